"""Vector stores with versions: FAISS with SQLite in one process, Milvus for several. No HTTP, no event streams."""
