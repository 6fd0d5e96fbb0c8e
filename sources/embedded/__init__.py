"""The embedded catalogue: garments rendered by the project from parameters, the same for the same seed."""

from sources.embedded.catalogue import rows
from sources.embedded.garment import vocabulary

__all__ = ["rows", "vocabulary"]
