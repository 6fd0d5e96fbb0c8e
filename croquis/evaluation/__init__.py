"""Protocols, metrics, intervals, and the evaluation of a bundle. Reads bundles, writes no files; no torch, no MLflow."""
