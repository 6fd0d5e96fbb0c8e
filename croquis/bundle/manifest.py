"""What a bundle says about itself: manifest.json, read strictly and written canonically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Self

from croquis.nets.classifier import ClassifierDescription
from croquis.nets.encoder import COMPARISONS, EncoderDescription, OnnxDescription, parse_encoder
from croquis.nets.generator import GeneratorDescription
from croquis.rerank.attributes import STANDINGS
from croquis.rerank.overlap import OVERLAPS
from croquis.rerank.rerank_settings import STEPS, RerankBlock
from croquis.strict_json import parse_description

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
GALLERY_ATTRIBUTES = ("predicted", "catalogue")


class BundleError(ValueError):
    """A bundle is not whole or not what its manifest says; the message names the file or key."""


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle: its SHA-256 in hex and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the net's input: `prepare_image(image, size)`, then `to_batch`."""

    size: int


@dataclass(frozen=True)
class EncoderBlock:
    """The encoder: a `file` for a net, `params` inline for the histogram."""

    kind: str
    head: str
    dim: int
    metric: str
    file: str | None = None
    params: dict[str, Any] | None = None


@dataclass(frozen=True)
class IndexBlock:
    """The index: what it is, how many vectors of what width it holds, and how queries are compared with codes."""

    kind: str
    file: str
    rows: int
    dim: int
    metric: str
    bytes_per_vector: int
    parameters: dict[str, int]
    comparison: str | None = None


@dataclass(frozen=True)
class ItemsBlock:
    """The table of gallery images, row for row with the index."""

    file: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    """The whole of manifest.json."""

    schema_version: int
    method: str
    preprocess: Preprocess
    encoder: EncoderBlock
    generator: GeneratorDescription | None
    classifier: ClassifierDescription | None
    index: IndexBlock
    items: ItemsBlock
    rerank: RerankBlock
    files: dict[str, FileEntry]
    stage_keys: dict[str, str] | None = None

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Checks and converts the parsed JSON.

        Raises:
            BundleError: naming the key that is missing, unknown or holds something else than is allowed.
        """
        version = values.get("schema_version") if isinstance(values, Mapping) else None
        if version != SCHEMA_VERSION:
            raise BundleError(f"{MANIFEST_FILE}: schema_version = {version!r}, this version reads {SCHEMA_VERSION}")
        manifest = parse_description(cls, values, MANIFEST_FILE, BundleError)
        manifest._check_files()
        manifest._check_agreement()
        return manifest

    def to_json(self) -> dict[str, Any]:
        """The JSON object; `from_json` of it gives an equal manifest."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for part in ("encoder", "index"):
            values[part] = {key: value for key, value in values[part].items() if value is not None}
        # What came later is told where it says something, so that older bundles keep their identity.
        for part, block in (("rerank", self.rerank), ("classifier", self.classifier)):
            values[part] = block and {key: value for key, value in values[part].items() if not _by_default(block, key)}
        if self.stage_keys is None:
            del values["stage_keys"]
        return values

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical manifest, which holds that of every file: the identity of the bundle."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def encoder_description(self) -> EncoderDescription:
        """What `open_encoder` needs."""
        block = self.encoder
        values = {"kind": block.kind, "head": block.head, "dim": block.dim, "metric": block.metric}
        own = {"file": block.file} if block.params is None else block.params
        return parse_encoder({**values, "size": self.preprocess.size, **own}, f"{MANIFEST_FILE}: encoder")

    def _check_files(self) -> None:
        parts = (self.encoder, self.generator, self.classifier, self.index, self.items)
        named = {part.file for part in parts if part is not None and part.file is not None}
        if named != set(self.files):
            raise BundleError(f"{MANIFEST_FILE}: files lists {sorted(self.files)}, the parts name {sorted(named)}")
        for name in self.files:
            if PurePosixPath(name).name != name or "\\" in name or name in ("", "..", MANIFEST_FILE):
                raise BundleError(f"{MANIFEST_FILE}: {name!r} is not a plain file name")

    def _check_agreement(self) -> None:
        if (self.index.dim, self.index.metric) != (self.encoder.dim, self.encoder.metric):
            raise BundleError(
                f"{MANIFEST_FILE}: the index holds {self.index.dim} numbers ({self.index.metric}), "
                f"the encoder gives {self.encoder.dim} ({self.encoder.metric})"
            )
        if self.index.comparison not in ((None,) if self.encoder.head == "dense" else COMPARISONS):
            found = f"index: comparison = {self.index.comparison!r}"
            raise BundleError(f"{MANIFEST_FILE}: {found} does not fit an encoder with head {self.encoder.head!r}")
        if self.index.rows != self.items.rows:
            raise BundleError(f"{MANIFEST_FILE}: {self.index.rows} rows in the index, {self.items.rows} in the items")
        if unknown := sorted({*self.rerank.steps, *self.rerank.compare} - set(STEPS)):
            raise BundleError(f"{MANIFEST_FILE}: rerank names the steps {unknown}, known are {list(STEPS)}")
        if self.rerank.standing not in STANDINGS:
            raise BundleError(f"{MANIFEST_FILE}: rerank.standing = {self.rerank.standing!r}, not in {STANDINGS}")
        if self.rerank.overlap not in OVERLAPS:
            raise BundleError(f"{MANIFEST_FILE}: rerank.overlap = {self.rerank.overlap!r}, must be one of {OVERLAPS}")
        if self.rerank.gallery_attributes not in GALLERY_ATTRIBUTES:
            found = self.rerank.gallery_attributes
            raise BundleError(f"{MANIFEST_FILE}: rerank.gallery_attributes = {found!r}, not in {GALLERY_ATTRIBUTES}")


def _by_default(block: Any, key: str) -> bool:
    """Whether a field has the default that its class gives it."""
    field = next(field for field in fields(block) if field.name == key)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(block, key) == default)


def encoder_block(described: EncoderDescription, file: str) -> EncoderBlock:
    """The manifest's form of an encoder.json; `file` is the graph's name within the bundle."""
    common = {"kind": described.kind, "head": described.head, "dim": described.dim, "metric": described.metric}
    if isinstance(described, OnnxDescription):
        return EncoderBlock(**common, file=file)  # type: ignore[arg-type]
    own = {key: value for key, value in asdict(described).items() if key not in (*common, "size")}
    return EncoderBlock(**common, params=own)  # type: ignore[arg-type]
