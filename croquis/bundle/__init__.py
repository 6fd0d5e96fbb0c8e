"""A bundle: one folder with everything that answers queries.

It holds `manifest.json`, `index.faiss`, `gallery.parquet` and the graphs `encoder.onnx` (the histogram needs none),
`generator.onnx` and `classifier.onnx` (where there are any). What is evaluated, registered and served is this folder.
"""

from croquis.bundle.manifest import BundleError, Manifest
from croquis.bundle.reader import Bundle
from croquis.bundle.writer import write_bundle

__all__ = ["Bundle", "BundleError", "Manifest", "write_bundle"]
