"""`weft demo`: DDP over weft beside DDP over gloo, on real data that ships in a wheel."""
