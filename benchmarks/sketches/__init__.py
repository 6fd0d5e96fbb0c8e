"""Benchmarks of sketch queries."""
