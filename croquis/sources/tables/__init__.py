"""Folders and tables of pictures as catalogues: columns, splits, roles."""
