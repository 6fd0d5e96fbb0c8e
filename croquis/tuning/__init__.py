"""Searches params with Optuna: margins, re-ranking, trade-offs. Always on val; trains by way of what it is given."""
