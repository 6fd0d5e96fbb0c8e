"""Searches by words on real products: against pictures, and beside them."""
