"""What the `validate` stage checks: measurements of each image, named rules run by Great Expectations, and the report."""
