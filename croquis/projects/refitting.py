"""A trained bundle's map, fitted once more before the shop's bundle is made, on the labels of val and test too."""

from __future__ import annotations

import shutil
from pathlib import Path

from croquis.bundle.manifest import MAP
from croquis.files import read_json, write_json
from croquis.nets.linear_map import LinearMap
from croquis.plugins import METHODS
from croquis.projects.given_nets import GivenNets, run_python
from croquis.projects.search_rows import is_catalog
from croquis.refusals import RefusedError

REFIT = """import pathlib, sys
from croquis.refusals import RefusedError
from lightning_modules.training.map_refit import refit_map_in
root, name, folder = sys.argv[1:]
try:
    refit_map_in(pathlib.Path(root), name, pathlib.Path(folder))
except RefusedError as error:
    sys.exit(str(error))"""
WAYS = ("fixed_net", "fixed_encoder")  # of a method whose map alone is fitted on labels
LEAVE_OUT = "leave --refit out, and the bundle's nets are used as they are"


def refitted(nets: GivenNets, catalog: Path, scratch: Path) -> GivenNets:
    """The nets with their map fitted on all labelled photos of a project.

    Args:
        nets: of a bundle of that project.
        catalog: PROJECT/data/catalog.

    Raises:
        RefusedError: when nothing of the nets is fitted in closed form, or the project is another one or has changed.
    """
    root = catalog.resolve().parent.parent
    if not (catalog.is_dir() and is_catalog(catalog) and (root / "params.yaml").is_file()):
        raise RefusedError(f"--refit takes labels of a project, and {catalog} is no PROJECT/data/catalog: name that")
    if nets.bundle is None:
        raise RefusedError("--refit needs a trained bundle: give --encoder models/bundles/METHOD, or leave --refit out")
    method, manifest = METHODS.entry(nets.method), nets.bundle.manifest
    if all(getattr(method, way) is None for way in WAYS):
        raise RefusedError(
            f"--refit fits maps in closed form, and {nets.method} is trained, by epochs that val chose: {LEAVE_OUT}"
        )
    if manifest.encoder.map is None:
        raise RefusedError(f"{nets.bundle.folder} has no map, so nothing of it is fitted on labels: {LEAVE_OUT}")
    if manifest.index.kind == "ivfpq":
        raise RefusedError(
            f"{nets.bundle.folder} keeps codes that belong to its map: set index.kind to flat or hnsw, or {LEAVE_OUT}"
        )
    folder = scratch / "refitted"
    shutil.copytree(nets.folder, folder)
    described = read_json(folder / "encoder.json")
    (folder / MAP).rename(folder / "held.npy")
    bare = {key: value for key, value in described.items() if key != "map"}
    write_json(folder / "encoder.json", bare | {"dim": LinearMap.open(folder / "held.npy").inputs})
    run_python(["-c", REFIT, str(root), nets.method, str(folder.resolve())], root, "the map could not be fitted again")
    (folder / "held.npy").unlink()
    write_json(folder / "encoder.json", described | {"dim": LinearMap.open(folder / MAP).dim})
    return GivenNets(nets.method, folder, nets.bundle)
