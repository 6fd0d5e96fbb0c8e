"""Searches params with Optuna: the margin of the triplet loss, and the weights of the re-ranking. Always on val."""
