"""The rendered catalogue: garments rendered by the project from parameters, the same for the same seed."""

from croquis.sources import Source
from croquis.sources.rendered.catalogue import rows
from croquis.sources.rendered.garments.garment import vocabulary
from croquis.sources.rendered.rendered_settings import Rendered

__all__ = ["SOURCE", "rows", "vocabulary"]

SOURCE = Source(params=Rendered, rows=rows)
