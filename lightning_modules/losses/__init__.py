"""Losses of more than one method. Tensors in, a scalar out."""
