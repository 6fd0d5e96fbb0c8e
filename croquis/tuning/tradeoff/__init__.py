"""The study of quality against size and latency, over retrievers and kinds of index."""
