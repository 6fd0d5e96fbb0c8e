"""Re-ranking of shortlists by attributes and by neighbours. Arrays in, arrays out: no bundle, no pictures."""
