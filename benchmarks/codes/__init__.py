"""Benchmarks of binary and quantised codes."""
