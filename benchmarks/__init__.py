"""Measurements outside the pipeline: leaderboards and trials on real pictures. Not installed."""
