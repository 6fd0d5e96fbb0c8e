"""Readers of the DeepFashion benchmarks' annotation files. They check and translate; splits are the sources'."""
