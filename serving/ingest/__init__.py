"""Product events from a stream into a store: `python -m serving.ingest`; `python -m serving.ingest.feed` sends them."""
