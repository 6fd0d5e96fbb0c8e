"""Benchmarks of large galleries: capacity, indexes, rates of embedding."""
