"""Leaderboards of the methods, and ablations of their training."""
