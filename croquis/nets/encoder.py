"""From prepared images to vectors: the nets of models/{method}/ and the encoders without one behind one interface.

`HEADS` lists what a method may put out, what it is compared by, and how queries meet stored codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from croquis.arrays import Vectors
from croquis.catalog.edge_maps import DRAWN, EDGE_METHODS, HED
from croquis.catalog.images import Batch
from croquis.files import read_json
from croquis.nets.edge_detector import EdgeDetector
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.nets.line_encoder import FRAMES, LineEncoder, LineNet, SideMaps
from croquis.nets.linear_map import LinearMap, MappedEncoder
from croquis.nets.session import ModelError, OnnxGraph
from croquis.nets.text_encoder import TextEncoder
from croquis.strict_json import parse_description

# Head -> metrics. `dense` vectors are kept as they are, of `binary` ones the signs, of `pq` ones the nearest codewords.
HEADS: dict[str, tuple[str, ...]] = {"dense": ("cosine", "l2"), "binary": ("hamming",), "pq": ("l2",)}

# How an encoder of lines may find them in photos.
LINES = (*EDGE_METHODS, HED, DRAWN)

# `symmetric`: the query is coded too. `asymmetric`: the query stays as exact as the net gave it.
COMPARISONS = ("asymmetric", "symmetric")


def other_comparison(comparison: str) -> str:
    """The one of the two that `comparison` is not."""
    return COMPARISONS[1 - COMPARISONS.index(comparison)]


class Encoder(Protocol):
    """Maps a batch of prepared images to vectors.

    Attributes:
        dim: numbers per vector.
        size: side of the square images it takes, pixels.
        metric: the similarity that its vectors are made for, one of `croquis.nets.encoder.HEADS`.
    """

    dim: int
    size: int
    metric: str

    def encode(self, images: Batch) -> Vectors:
        """Maps float32 (B, 3, size, size) in [0, 1] to float32 (B, dim)."""
        ...


class OnnxEncoder:
    """An exported net: input `images`, output `embeddings`, mean and standard deviation inside the graph.

    Args:
        path: the graph.
        size: side of the images, pixels.
        threads: threads of ONNX Runtime.
        metric: `cosine`, `l2` or `hamming`.

    Raises:
        ModelError: when the graph is damaged or leaves the width of its output open.
    """

    def __init__(self, path: str | Path, size: int, threads: int = 1, *, metric: str = "cosine") -> None:
        self.size = size
        self.metric = metric
        self._graph = OnnxGraph(path, input_name="images", output_name="embeddings", size=size, threads=threads)
        stated = self._graph.output_shape[-1]
        if not isinstance(stated, int):
            raise ModelError(f"{path} leaves the width of its output open ({stated}): only the batch may be dynamic")
        self.dim = stated

    def encode(self, images: Batch) -> Vectors:
        vectors = self._graph.run(images)
        if vectors.shape != (len(images), self.dim):
            raise ModelError(f"the encoder gave {vectors.shape}, expected {(len(images), self.dim)}")
        return vectors


@dataclass(frozen=True)
class OnnxDescription:
    """models/{method}/encoder.json of a net; `dim` and `metric` are those behind the `map`, a file, where it has one.

    `painted` and `straight` are files of maps that a bundle may have: of what a generator paints, and of drawings. `text`
    and `tokenizer` are those of the net's text tower, of a net that has one (`croquis.nets.text_encoder`).
    """

    kind: str
    file: str
    size: int
    head: str
    dim: int
    metric: str
    map: str | None = None
    painted: str | None = None
    straight: str | None = None
    text: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class HistogramDescription:
    """models/histogram/encoder.json; `map`, `painted` and `straight` as of a net."""

    kind: str
    size: int
    head: str
    dim: int
    metric: str
    colour_bins: int
    orientation_bins: int
    grid: int
    colour_weight: float
    map: str | None = None
    painted: str | None = None
    straight: str | None = None


@dataclass(frozen=True)
class LinesDescription:
    """models/edges/encoder.json; with a net also its `file`, the side of its images, the `map` of both sides behind it,
    and the values of `croquis.nets.line_encoder.LineNet`. Without a net a `map` stands behind the line orientations.
    `detector` is the file of the net that finds lines in photos, where `edges` is `hed`; `labels` and `label_weight` are
    those of `croquis.nets.linear_map.LinearMap`."""

    kind: str
    size: int
    head: str
    dim: int
    metric: str
    edges: str
    square: int
    orientations: int
    net_size: int = 0
    frame: str = "ink"
    mirrored: bool = False
    descriptor_weight: float = 1.0
    file: str | None = None
    map: str | None = None
    detector: str | None = None
    labels: int | None = None
    label_weight: float | None = None


EncoderDescription = OnnxDescription | HistogramDescription | LinesDescription
DESCRIPTIONS: dict[str, type[OnnxDescription] | type[HistogramDescription] | type[LinesDescription]] = {
    "onnx": OnnxDescription,
    "histogram": HistogramDescription,
    "lines": LinesDescription,
}


def graph_of(described: EncoderDescription) -> str | None:
    """The file of the encoder's net; None without one."""
    return None if isinstance(described, HistogramDescription) else described.file


def detector_of(described: EncoderDescription) -> str | None:
    """The file of the net that finds lines in photos; None where no net does."""
    return described.detector if isinstance(described, LinesDescription) else None


def drawing_maps(described: EncoderDescription) -> dict[str, str]:
    """The files of the maps of drawings: `painted` and `straight`, of those that there are; an encoder of lines has none."""
    if isinstance(described, LinesDescription):
        return {}
    files = {"painted": described.painted, "straight": described.straight}
    return {kind: file for kind, file in files.items() if file is not None}


def text_files(described: EncoderDescription) -> dict[str, str]:
    """The files of the text tower, `text` and `tokenizer`; empty for an encoder without one."""
    if not isinstance(described, OnnxDescription) or described.text is None or described.tokenizer is None:
        return {}
    return {"text": described.text, "tokenizer": described.tokenizer}


FixedEncoder = HistogramEncoder | LineEncoder
"""An encoder without a net."""


def encode_drawings(encoder: Encoder, images: Batch) -> Vectors:
    """Vectors of line drawings: an encoder of lines takes them for what they are, and so does one with a map of its own for
    them; any other sees photos in them."""
    return (
        encoder.encode_drawings(images) if isinstance(encoder, LineEncoder | MappedEncoder) else encoder.encode(images)
    )


def encode_painted(encoder: Encoder, images: Batch) -> Vectors:
    """Vectors of what a generator has painted: by a map of its own where the encoder has one, else as photos."""
    return encoder.encode_painted(images) if isinstance(encoder, MappedEncoder) else encoder.encode(images)


def describe_fixed(encoder: FixedEncoder) -> dict[str, Any]:
    """The content of encoder.json of an encoder without a net."""
    return {
        "kind": encoder.kind,
        "size": encoder.size,
        "head": encoder.head,
        "dim": encoder.dim,
        "metric": encoder.metric,
        **encoder.parameters,
    }


def describe_encoder(folder: str | Path) -> EncoderDescription:
    """Reads and checks `folder`/encoder.json.

    Raises:
        ModelError: naming the key that is missing, unknown or out of range.
    """
    source = Path(folder) / "encoder.json"
    if not source.is_file():
        raise ModelError(f"{source} does not exist; run the stage that writes it (dvc repro)")
    return parse_encoder(read_json(source), str(source))


def parse_encoder(values: Any, source: str) -> EncoderDescription:
    """Checks the JSON of an encoder.json; `source` names it in errors."""
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in DESCRIPTIONS:
        raise ModelError(f"{source}: kind = {kind!r}, must be one of {sorted(DESCRIPTIONS)}")
    described = parse_description(DESCRIPTIONS[kind], values, source, ModelError)
    if described.head not in HEADS:
        raise ModelError(f"{source}: head = {described.head!r}, must be one of {list(HEADS)}")
    if described.metric not in HEADS[described.head]:
        allowed = f"of head {described.head!r} must be one of {list(HEADS[described.head])}"
        raise ModelError(f"{source}: metric = {described.metric!r}, {allowed}")
    mapped = described.map is not None or drawing_maps(described)
    if mapped and (described.head, described.metric) != ("dense", "cosine"):
        raise ModelError(f"{source}: a map gives dense vectors for cosine, not {described.head} for {described.metric}")
    if isinstance(described, LinesDescription):
        _check_lines(described, source)
    if isinstance(described, OnnxDescription):
        _check_text(described, source)
    return described


def _check_text(described: OnnxDescription, source: str) -> None:
    if (described.text is None) != (described.tokenizer is None):
        raise ModelError(
            f"{source}: text = {described.text!r} with tokenizer = {described.tokenizer!r}: a text tower has both"
        )
    if described.text is not None and (described.head, described.metric) != ("dense", "cosine"):
        found = f"not {described.head} for {described.metric}"
        raise ModelError(f"{source}: a text tower gives dense vectors for cosine, {found}")


def _check_lines(described: LinesDescription, source: str) -> None:
    if described.edges not in LINES:
        raise ModelError(f"{source}: edges = {described.edges!r}, must be one of {list(LINES)}")
    if (described.edges == HED) != (described.detector is not None):
        raise ModelError(
            f"{source}: edges = {described.edges!r} with detector = {described.detector!r}: hed has one, no other"
        )
    if described.frame not in FRAMES:
        raise ModelError(f"{source}: frame = {described.frame!r}, must be one of {list(FRAMES)}")
    if described.file is not None and described.map is None:
        raise ModelError(f"{source}: a net that looks at lines needs a map beside its file")
    if described.file is not None and not 0 <= described.descriptor_weight < 1:
        raise ModelError(f"{source}: descriptor_weight = {described.descriptor_weight}, must be 0 to below 1")


def load_encoder(folder: str | Path, threads: int = 1) -> Encoder:
    """Opens the encoder that `folder`/encoder.json describes.

    Raises:
        ModelError: when the description or the graph is wrong.
    """
    return open_encoder(describe_encoder(folder), folder, threads)


def open_encoder(described: EncoderDescription, folder: str | Path, threads: int = 1) -> Encoder:
    """Opens a described encoder whose files lie in `folder`."""
    encoder = _without_map(described, Path(folder), threads)
    own = drawing_maps(described)
    if own or (described.map is not None and not isinstance(described, LinesDescription)):
        files = (described.map, own.get("painted"), own.get("straight"))
        encoder = MappedEncoder(encoder, *(LinearMap.open(Path(folder) / file) if file else None for file in files))
    if encoder.dim != described.dim:
        raise ModelError(f"the encoder gives {encoder.dim} numbers per image, its description says {described.dim}")
    return encoder


def open_text(described: EncoderDescription, folder: str | Path, threads: int = 1) -> TextEncoder | None:
    """Opens the text tower of a described encoder; None where it has none.

    Raises:
        ModelError: when it gives vectors of another width than the encoder.
    """
    files = text_files(described)
    if not files:
        return None
    linear = None if described.map is None else LinearMap.open(Path(folder) / described.map)
    words = TextEncoder(Path(folder) / files["text"], Path(folder) / files["tokenizer"], linear, threads)
    if words.dim != described.dim:
        raise ModelError(f"the text tower gives {words.dim} numbers per text, the encoder {described.dim} per image")
    return words


def _without_map(described: EncoderDescription, folder: Path, threads: int) -> Encoder:
    if isinstance(described, OnnxDescription):
        return OnnxEncoder(folder / described.file, described.size, threads, metric=described.metric)
    if isinstance(described, LinesDescription):
        return LineEncoder(
            size=described.size,
            edges=described.edges,
            square=described.square,
            orientations=described.orientations,
            sees=_line_net(described, folder, threads),
            maps=_line_maps(described, folder),
            detector=_detector(described, folder, threads),
        )
    return HistogramEncoder(
        colour_bins=described.colour_bins,
        orientation_bins=described.orientation_bins,
        grid=described.grid,
        colour_weight=described.colour_weight,
        size=described.size,
    )


def _line_maps(described: LinesDescription, folder: Path) -> SideMaps | None:
    if described.file is not None or described.map is None:
        return None
    return SideMaps(*_sides(described, folder / described.map))


def _sides(described: LinesDescription, path: Path) -> tuple[LinearMap, LinearMap]:
    return LinearMap.open_sides(path, described.labels or 0, described.label_weight or 0.0)


def _detector(described: LinesDescription, folder: Path, threads: int) -> EdgeDetector | None:
    return None if described.detector is None else EdgeDetector(folder / described.detector, described.size, threads)


def _line_net(described: LinesDescription, folder: Path, threads: int) -> LineNet | None:
    if described.file is None or described.map is None:
        return None
    net = OnnxEncoder(folder / described.file, described.net_size, threads)
    photos, drawings = _sides(described, folder / described.map)
    return LineNet(net, photos, drawings, described.frame, described.mirrored, described.descriptor_weight)
