"""What the server accepts: bodies, pictures, and the fields of searches and items, checked. No answers."""
