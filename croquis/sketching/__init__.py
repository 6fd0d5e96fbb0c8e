"""Simulated hand drawing of photos: line work, skeletons, strokes. Pictures in, drawings out."""
