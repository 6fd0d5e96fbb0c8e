"""The table of images: rows, pictures, drawings, products, filters. No nets, no index."""
