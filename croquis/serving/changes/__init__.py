"""What changes a running server's catalogue: a log of changes, the live catalogue, the intake of events."""
