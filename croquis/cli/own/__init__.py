"""Commands on a person's own photos: a project of them, a search of them."""
