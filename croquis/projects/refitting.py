"""A trained bundle's net and map, made once more before the shop's bundle is, on the labels of val and test too."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from croquis.bundle.manifest import MAP, Manifest, RefitBlock
from croquis.files import read_json, sha256_file, write_json
from croquis.nets.linear_map import LinearMap
from croquis.params import load_params
from croquis.plugins import METHODS
from croquis.projects.given_nets import GivenNets, run_python
from croquis.projects.search_rows import is_catalog
from croquis.refusals import RefusedError

REFIT = """import pathlib, sys
from croquis.refusals import is_refusal
from lightning_modules.embedder.refit import refit_in
root, name, folder, key = sys.argv[1:]
try:
    refit_in(pathlib.Path(root), name, pathlib.Path(folder), key)
except Exception as error:
    print(error)
    if not is_refusal(error):
        raise
    sys.exit(1)"""
LEAVE_OUT = "leave --refit out, and the bundle's nets are used as they are"


def wants_refit(asked: bool | None, catalog: Path, encoder: str | None) -> bool:
    """Whether nets are to be made once more.

    Args:
        asked: `--refit`, `--no-refit` or neither, which leaves it to `shop.refit` of the project's params.yaml, where the
            photos are those of a project and the encoder is a bundle.
        catalog: where the photos are.
        encoder: as `--encoder` has it.
    """
    if asked is not None:
        return asked
    params = _project(catalog) / "params.yaml"
    named = encoder is not None and (Path(encoder) / "manifest.json").is_file()
    return named and _is_of_project(catalog) and load_params(params).shop.refit


def refitted(nets: GivenNets, catalog: Path, scratch: Path) -> GivenNets:
    """The nets, trained and with their map fitted on all labelled photos of a project.

    Args:
        nets: of a bundle of that project.
        catalog: PROJECT/data/catalog.

    Raises:
        RefusedError: when nothing of the nets learns from labels of photos, or the project is another one or has changed.
    """
    root = _project(catalog)
    if not _is_of_project(catalog):
        raise RefusedError(f"--refit takes labels of a project, and {catalog} is no PROJECT/data/catalog: name that")
    if nets.bundle is None:
        raise RefusedError("--refit needs a trained bundle: give --encoder models/bundles/METHOD, or leave --refit out")
    method, manifest = METHODS.entry(nets.method), nets.bundle.manifest
    if method.fit_encoder is not None:
        raise RefusedError(
            f"{nets.method} learns from pairs of drawings and photos, and is not fitted again: {LEAVE_OUT}"
        )
    if not method.learns and manifest.encoder.map is None:
        raise RefusedError(f"{nets.bundle.folder} has no map, so nothing of it is fitted on labels: {LEAVE_OUT}")
    if method.learns and not _is_exported(manifest, root / "models" / nets.method):
        raise RefusedError(
            f"{nets.bundle.folder} has another net than {root / 'models' / nets.method}: name the project's own bundle, or "
            f"run `croquis repro` first"
        )
    draft = load_params(root / "params.yaml").prepare.draft
    if draft != nets.draft:
        raise RefusedError(
            f"{nets.bundle.folder} was made with prepare.draft: {nets.draft}, and params.yaml has {draft}: set it back, or "
            "run `croquis repro` first"
        )
    folder = scratch / "refitted"
    shutil.copytree(nets.folder, folder)
    described = read_json(folder / "encoder.json")
    for kind in ("painted", "straight"):  # from vectors of the net as it was, into the space of the map as it was
        if (file := described.pop(kind, None)) is not None:
            (folder / file).unlink()
    write_json(folder / "encoder.json", described)
    if manifest.encoder.map is not None:
        (folder / MAP).rename(folder / "held.npy")
        bare = {key: value for key, value in described.items() if key != "map"}
        write_json(folder / "encoder.json", bare | {"dim": LinearMap.open(folder / "held.npy").inputs})
    arguments = ["-c", REFIT, str(root), nets.method, str(folder.resolve()), nets.bundle.hash]
    run_python(arguments, root, f"{nets.method} could not be made again", shown=True)
    if (folder / MAP).is_file():
        (folder / "held.npy").unlink()
        stated: dict[str, Any] = read_json(folder / "encoder.json")
        mapped = {"map": MAP, "dim": LinearMap.open(folder / MAP).dim, "metric": described["metric"]}
        write_json(folder / "encoder.json", stated | mapped)
    return replace(nets, folder=folder, refit=RefitBlock(**read_json(folder / "refit.json")))


def _project(catalog: Path) -> Path:
    return catalog.absolute().parent.parent  # `data` may be a link


def _is_of_project(catalog: Path) -> bool:
    return catalog.is_dir() and is_catalog(catalog) and (_project(catalog) / "params.yaml").is_file()


def _is_exported(manifest: Manifest, folder: Path) -> bool:
    """Whether the bundle's net is the one in a folder of models."""
    file = manifest.encoder.file
    graph = folder / "encoder.onnx"
    return file is not None and graph.is_file() and sha256_file(graph) == manifest.files[file].sha256
