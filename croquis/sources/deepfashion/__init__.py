"""The DeepFashion benchmarks and their annotation files as catalogues. Reads a person's own copy only."""
