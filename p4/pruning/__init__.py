"""Queries through a switch that drops rows which cannot change the answer."""
