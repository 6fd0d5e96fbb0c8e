"""A bundle: one folder with everything that answers queries, read, checked and written. No queries in here.

`manifest.json`, `index.faiss`, `gallery.parquet`, and `words.sqlite` and the graphs of the nets where there are any.
"""

from croquis.bundle.manifest import BundleError, Manifest
from croquis.bundle.reader import Bundle
from croquis.bundle.writer import write_bundle

__all__ = ["Bundle", "BundleError", "Manifest", "write_bundle"]
