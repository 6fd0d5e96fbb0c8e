"""Benchmarks of the re-rankers."""
