"""A project for a person's own photos: what a folder or a table holds, and the files that are written for it."""
