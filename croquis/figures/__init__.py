"""Pictures of results: contact sheets, curves and projections. Every PNG has the same bytes for the same content."""
