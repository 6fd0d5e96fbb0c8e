"""Makes the bundle of a registered version again, in a scratch clone, and says what differs."""
