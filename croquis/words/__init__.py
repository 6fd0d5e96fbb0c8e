"""Search by words: full text of images in SQLite, ranked by BM25, and what a classifier adds to it."""
