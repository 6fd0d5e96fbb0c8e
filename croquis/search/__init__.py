"""Search over a bundle: queries, galleries, answers. No torch, no HTTP."""
