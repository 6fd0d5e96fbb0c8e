"""What changes a running server's catalogue: the stores that requests write to, and the intake of events."""
