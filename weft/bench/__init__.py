"""`weft bench`: Weft and its peers, measured in one run."""
