"""A bundle: one folder with everything that answers queries.

It holds `manifest.json`, `index.faiss`, `gallery.parquet` and the graphs `encoder.onnx` (the histogram needs none),
`generator.onnx` and `classifier.onnx` (where there are any). What is evaluated, registered and served is this folder.
"""

from retrieval.bundle_reader import Bundle
from retrieval.bundle_writer import write_bundle
from retrieval.manifest import BundleError, Manifest

__all__ = ["Bundle", "BundleError", "Manifest", "write_bundle"]
