"""Work beside the requests: tasks that are watched, calls that may hang, and whether the server is ready. No routes."""
