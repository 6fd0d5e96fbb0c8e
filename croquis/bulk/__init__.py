"""Bulk embedding: Parquet shards of images to Parquet shards of vectors, by one process or by Ray's actors. No torch."""
