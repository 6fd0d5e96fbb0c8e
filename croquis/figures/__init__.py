"""Pictures of results: contact sheets, curves and projections. Every PNG has the same bytes for the same content,
except t-SNE, whose layout follows the last bits of the processor's linear algebra."""
