"""Load on the search server."""
