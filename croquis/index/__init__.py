"""Indexes over vectors and codes: exact, HNSW, IVF-PQ, binary, PQ, layered. Rows and scores, nothing of images."""
