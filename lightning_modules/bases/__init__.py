"""Base modules that several methods share. No method of its own."""
