"""What a bundle says about itself: manifest.json, read strictly and written canonically."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from croquis.bundle.old_manifests import completed
from croquis.nets.classifier import ClassifierDescription
from croquis.nets.colours import HEX
from croquis.nets.encoder import (
    COMPARISONS,
    EncoderDescription,
    OnnxDescription,
    detector_of,
    drawing_maps,
    graph_of,
    parse_encoder,
    text_files,
)
from croquis.nets.generator import MOST_SAMPLES, GeneratorDescription
from croquis.rerank.rerank_settings import RerankBlock
from croquis.settings import check_settings
from croquis.strict_json import parse_description
from croquis.words.word_settings import DEFAULT_WORDS, TOKENIZERS, WordSettings

SCHEMA_VERSION = 2
MANIFEST_FILE = "manifest.json"
MAP = "map.npy"
DETECTOR = "edges.onnx"
TEXT_FILES = {"text": "text.onnx", "tokenizer": "tokenizer.json"}
ENCODER_FILES = ("file", "map", "detector", "painted", "straight", "text", "tokenizer")
"""Keys of the encoder's block that name a file of the bundle, where there is one."""
SHOP = "shop"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # the same on every file system
LARGEST_SIDE = 4096  # of the images of a net, pixels


class BundleError(ValueError):
    """A bundle is not whole or not what its manifest says; the message names the file or key."""


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle: its SHA-256 in hex and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the net's input: `decode_inside` its box, `prepare_image(image, size)`, then `to_batch`.

    Attributes:
        size: side of the square, pixels.
        draft: of `decode_inside`; left out where photos are decoded in full.
    """

    size: int
    draft: int | None = None


@dataclass(frozen=True)
class EncoderBlock:
    """The encoder: a `file` for a net, `params` inline for what is none; `map` is the file of the matrix behind it,
    `detector` that of the net that finds lines in photos, `painted` and `straight` of the matrices for what the generator
    paints and for drawings as they are, `text` and `tokenizer` of the text tower."""

    kind: str
    head: str
    dim: int
    metric: str
    file: str | None = None
    params: dict[str, Any] | None = None
    map: str | None = None
    detector: str | None = None
    painted: str | None = None
    straight: str | None = None
    text: str | None = None
    tokenizer: str | None = None


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
class WordsBlock:
    """The words of the gallery's images, row for row with it; see `croquis.words.word_settings.WordSettings`. An encoder
    without a text tower has no `tower_weight`."""

    file: str
    rows: int
    tokenizer: str
    weight: float
    tower_weight: float | None = None


@dataclass(frozen=True)
class RefitBlock:
    """What the encoder was made of once more, after it had been chosen.

    Attributes:
        photos: labelled ones of train, val and test.
        epochs: of a net; left out where a map alone was fitted.
    """

    photos: int
    epochs: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The whole of manifest.json.

    Attributes:
        purpose: `shop` where the gallery is all photos that there were when the bundle was made, whatever split they are of;
            left out where it is the gallery of an evaluation.
        drawings: false where the bundle was made without the part `sketch`: nothing of it has seen a drawing, and the search
            page offers none; left out otherwise.
        refit: where the encoder has learned from val and test too, so that no figure of the split is its own; left out
            otherwise.
    """

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
    purpose: str | None = None
    words: WordsBlock | None = None
    drawings: bool | None = None
    refit: RefitBlock | None = None
    stated: Mapping[str, Any] | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Checks and converts the parsed JSON; a file of an older version is read with what it left out.

        Raises:
            BundleError: naming the key that is missing, unknown or holds something else than is allowed.
        """
        version = values.get("schema_version") if isinstance(values, Mapping) else None
        if version not in (1, SCHEMA_VERSION):
            raise BundleError(
                f"{MANIFEST_FILE}: schema_version = {version!r}, this version reads 1 and {SCHEMA_VERSION}"
            )
        whole = completed(values) if version == 1 else values
        try:
            json.dumps(whole, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            raise BundleError(f"{MANIFEST_FILE} holds what JSON has no word for: {error}") from None
        manifest = parse_description(cls, whole, MANIFEST_FILE, BundleError)
        manifest._check_files()
        manifest._check_agreement()
        object.__setattr__(manifest, "stated", deepcopy(dict(values)))
        return manifest

    def to_json(self) -> dict[str, Any]:
        """The JSON object, with every value: as it stands in the file that was read, so that a bundle keeps its identity
        whatever a later version writes; `from_json` of it gives an equal manifest."""
        if self.stated is not None:
            return deepcopy(dict(self.stated))
        values: dict[str, Any] = json.loads(json.dumps(asdict(replace(self, rerank=None))))  # type: ignore[arg-type]
        del values["stated"]
        values["rerank"] = self.rerank.to_json()
        if self.words is None:
            del values["words"]
        elif self.words.tower_weight is None:
            del values["words"]["tower_weight"]
        if self.preprocess.draft is None:
            del values["preprocess"]["draft"]
        for part in ("encoder", "generator", "index"):
            if values[part] is not None:
                values[part] = {key: value for key, value in values[part].items() if value is not None}
        for key in ("purpose", "drawings", "refit"):
            if values[key] is None:
                del values[key]
        if self.refit is not None and self.refit.epochs is None:
            del values["refit"]["epochs"]
        return values

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical manifest, which holds that of every file: the identity of the bundle."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def attributes(self) -> tuple[str, ...] | None:
        """Those that the classifier knows, in the order of its output; None without one."""
        return None if self.classifier is None else self.classifier.attributes

    @property
    def word_settings(self) -> WordSettings:
        """How words are searched; the defaults for a bundle that holds none."""
        if self.words is None:
            return DEFAULT_WORDS
        told = {} if self.words.tower_weight is None else {"tower_weight": self.words.tower_weight}
        return WordSettings(self.words.tokenizer, self.words.weight, **told)

    @property
    def encoder_description(self) -> EncoderDescription:
        """What `open_encoder` needs."""
        block = self.encoder
        values = {"kind": block.kind, "head": block.head, "dim": block.dim, "metric": block.metric}
        files = {name: getattr(block, name) for name in ENCODER_FILES}
        own = {**(block.params or {}), **{name: file for name, file in files.items() if file is not None}}
        return parse_encoder({**values, "size": self.preprocess.size, **own}, f"{MANIFEST_FILE}: encoder")

    def _check_files(self) -> None:
        parts = (self.encoder, self.generator, self.classifier, self.index, self.items, self.words)
        files = [part.file for part in parts if part is not None]
        files += [getattr(self.encoder, name) for name in ENCODER_FILES]
        named = {file for file in files if file is not None}
        if named != set(self.files):
            raise BundleError(f"{MANIFEST_FILE}: files lists {sorted(self.files)}, the parts name {sorted(named)}")
        for name in self.files:
            if not FILE_NAME.fullmatch(name):
                raise BundleError(f"{MANIFEST_FILE}: {name!r} is not a plain file name")
        folded = [name.casefold() for name in (*self.files, MANIFEST_FILE)]
        if len(set(folded)) < len(folded):
            raise BundleError(f"{MANIFEST_FILE}: {sorted(self.files)} are not different where case does not count")

    def _check_agreement(self) -> None:
        if (self.index.dim, self.index.metric) != (self.encoder.dim, self.encoder.metric):
            raise BundleError(
                f"{MANIFEST_FILE}: the index holds {self.index.dim} numbers ({self.index.metric}), "
                f"the encoder gives {self.encoder.dim} ({self.encoder.metric})"
            )
        if self.encoder.painted is not None and self.generator is None:
            raise BundleError(f"{MANIFEST_FILE}: encoder: painted needs a generator, and there is none")
        samples = None if self.generator is None else self.generator.samples
        if samples is not None and not 2 <= samples <= MOST_SAMPLES:
            raise BundleError(
                f"{MANIFEST_FILE}: generator: samples = {samples}, must be 2 to {MOST_SAMPLES}, or left out where it is one"
            )
        colours = {} if self.generator is None else self.generator.colours or {}
        if wrong := {name: value for name, value in colours.items() if not HEX.fullmatch(value)}:
            raise BundleError(f"{MANIFEST_FILE}: generator: colours hold {wrong}, must be #rrggbb each")
        if self.index.comparison not in ((None,) if self.encoder.head == "dense" else COMPARISONS):
            found = f"index: comparison = {self.index.comparison!r}"
            raise BundleError(f"{MANIFEST_FILE}: {found} does not fit an encoder with head {self.encoder.head!r}")
        if self.purpose not in (None, SHOP):
            raise BundleError(f"{MANIFEST_FILE}: purpose = {self.purpose!r}, must be {SHOP!r} or left out")
        if self.drawings not in (None, False):
            raise BundleError(f"{MANIFEST_FILE}: drawings = {self.drawings!r}, must be false or left out")
        if self.refit is not None and (self.refit.photos < 1 or (self.refit.epochs or 1) < 1):
            raise BundleError(f"{MANIFEST_FILE}: refit = {asdict(self.refit)}, must hold numbers of at least 1")
        if self.index.rows != self.items.rows:
            raise BundleError(f"{MANIFEST_FILE}: {self.index.rows} rows in the index, {self.items.rows} in the items")
        if self.words is not None and self.words.rows != self.items.rows:
            raise BundleError(f"{MANIFEST_FILE}: {self.words.rows} rows in the words, {self.items.rows} in the items")
        if self.words is not None and (self.words.tokenizer not in TOKENIZERS or not 0 <= self.words.weight <= 1):
            known = f"one of {list(TOKENIZERS)} and 0 to 1"
            found = f"words: tokenizer = {self.words.tokenizer!r}, weight = {self.words.weight}"
            raise BundleError(f"{MANIFEST_FILE}: {found}, must be {known}")
        share = None if self.words is None else self.words.tower_weight
        if share is not None and (self.encoder.text is None or not 0 <= share <= 1):
            found = f"words: tower_weight = {share}"
            raise BundleError(
                f"{MANIFEST_FILE}: {found}, must be 0 to 1 beside an encoder with a text tower, or absent"
            )
        for part in (self.preprocess, self.generator, self.classifier):
            if part is not None and not 1 <= part.size <= LARGEST_SIDE:
                raise BundleError(f"{MANIFEST_FILE}: size = {part.size}, must be 1 to {LARGEST_SIDE} pixels")
            if part is not None and self.preprocess.draft is not None and self.preprocess.draft < part.size:
                raise BundleError(
                    f"{MANIFEST_FILE}: preprocess: draft = {self.preprocess.draft}, must be at least {part.size}, the "
                    "pixels of a net, or left out"
                )
        check_settings(self.rerank, BundleError, f"{MANIFEST_FILE}: rerank.")


def encoder_block(described: EncoderDescription, file: str) -> EncoderBlock:
    """The manifest's form of an encoder.json; `file` is the graph's name within the bundle, `MAP` that of its map."""
    common = {"kind": described.kind, "head": described.head, "dim": described.dim, "metric": described.metric}
    common |= {"map": None if described.map is None else MAP, "painted": None, "straight": None}
    common |= {"detector": None if detector_of(described) is None else DETECTOR}
    common |= {kind: f"{kind}.npy" for kind in drawing_maps(described)}
    common |= {part: TEXT_FILES[part] for part in text_files(described)}
    if isinstance(described, OnnxDescription):
        return EncoderBlock(**common, file=file)  # type: ignore[arg-type]
    stated = {key: value for key, value in asdict(described).items() if value is not None}
    own = {key: value for key, value in stated.items() if key not in (*common, "size", "file")}
    return EncoderBlock(**common, file=file if graph_of(described) else None, params=own)  # type: ignore[arg-type]
