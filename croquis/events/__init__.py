"""Product events from a stream into a store: `croquis events consume`; `croquis events feed` sends them.
No HTTP server."""
