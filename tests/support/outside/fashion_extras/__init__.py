"""A package of somebody else: two methods, a source and a re-ranker for Croquis."""
