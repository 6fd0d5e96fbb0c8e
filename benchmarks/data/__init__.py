"""Benchmarks of ingest and validation: real sets, scale, thresholds of near duplicates."""
