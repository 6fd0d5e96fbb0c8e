"""ONNX Runtime without telemetry: 1.31 writes a device id into the home folder and reports home, unless the environment says
otherwise when it is imported. Everything here imports it from this module (tracking/environment.py: the other libraries)."""

from __future__ import annotations

import os

SILENT = {"ORT_DISABLE_TELEMETRY": "1"}
os.environ.update(SILENT)

import onnxruntime  # noqa: E402

__all__ = ["SILENT", "onnxruntime"]
