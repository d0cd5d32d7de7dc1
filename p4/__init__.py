"""P4_16: compiler, switch and programs."""
