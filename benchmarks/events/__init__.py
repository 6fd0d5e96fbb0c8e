"""Benchmarks of product events: latency, kills, several processes."""
