"""Readers of tables of pictures: columns, rows, splits by hash, roles, altered copies."""
