"""Readers of the tables and official files that sources are made of. No params.yaml, no splits of their own."""
