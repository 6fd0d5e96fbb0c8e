"""Product events from a stream into a store: `python -m croquis.events`; `python -m croquis.events.feed` sends them.
No HTTP server."""
