"""The rendered catalogue: garments rendered by the project from parameters, the same for the same seed."""

from croquis.sources.rendered.catalogue import rows
from croquis.sources.rendered.garments.garment import vocabulary

__all__ = ["rows", "vocabulary"]
