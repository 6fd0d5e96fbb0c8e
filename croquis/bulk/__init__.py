"""Bulk embedding: Parquet shards of images to Parquet shards of vectors, by processes here or by Ray. No torch."""
