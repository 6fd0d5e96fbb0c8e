"""Drawings and photos by their lines, behind a map in closed form. No gradient is taken.

A photo is looked at by its edge map, a drawing as it is, both fitted into one square by their lines. Vector: maps of some
levels of a pretrained backbone, averaged in cells, since in a drawing the place of a line counts, each level at length 1.
The map takes each side's own mean off and whitens the differences within pairs of drawing and photo
(`lightning_modules/maps/pair_map.py`); pairs are drawings that the catalogue brings of train items, or those of the
simulated hand elsewhere. Beside the net stand the line orientations of the method `edges`, with a weight that, like
the map's settings, was the best on pairs that the map was not fitted on.

Without a net (`net: false`) the map stands behind the line orientations themselves, and no weights are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from croquis.arrays import Vectors
from croquis.catalog.drawings import photo_of
from croquis.catalog.edge_maps import DRAWN, EdgeMap
from croquis.evaluation.protocol import PROTOCOLS
from croquis.files import write_array, write_json
from croquis.nets.edge_descriptor import EdgeDescriptor
from croquis.nets.edge_detector import EdgeDetector
from croquis.nets.encoder import LINES, Encoder, OnnxEncoder, describe_fixed
from croquis.nets.line_encoder import FRAMES, LineEncoder, LineNet, SideMaps, found_lines, line_pictures, mirror
from croquis.params import Params
from croquis.params.block import Block, OneOf
from croquis.params.data_blocks import HedWeights
from croquis.params.training_blocks import Cells, Pooling
from lightning_modules.data.retrieval_data import EVAL_BATCH, ImageSet, RetrievalData
from lightning_modules.maps.pair_map import Pairs, Rows, choose_pair_map
from lightning_modules.methods import Method
from lightning_modules.methods.joint import add_drawings
from lightning_modules.methods.pretrained import refuse_random
from lightning_modules.nets.hed_graph import add_detector
from lightning_modules.nets.hed_weights import check_hed
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.nets.retrieval_net import Embedder, average_pool_net

NAME = "sketch_map"
NET, MAP = "encoder.onnx", "map.npy"


class SketchMapParams(Block):
    """Lines of drawings and photos, seen by a pretrained net or not, and a map of both sides in closed form."""

    size: int = Field(ge=32, le=1024, description="side of the square pictures that lines are found in, pixels")
    net: bool = Field(
        description="whether a pretrained net looks at the lines; else their orientations alone are mapped"
    )
    net_size: int = Field(ge=32, le=1024, description="side of the square that the net sees lines in, pixels")
    edges: Annotated[str, OneOf(LINES)]
    hed_weights: HedWeights
    frame: Annotated[str, OneOf(FRAMES)] = Field(
        description="ink: lines are fitted into the net's square; sheet: they stay where they lie, for drawings in place"
    )
    mirrored: bool = Field(description="whether the mirrored lines are looked at, too: twice the time")
    square: int = Field(ge=16, le=512, multiple_of=8)
    orientations: int = Field(ge=2, le=36)
    levels: list[Annotated[int, Field(ge=-16, le=15)]] = Field(
        min_length=1, description="of the backbone, as train_embedder.backbone.pooling.levels has it"
    )
    cells: list[Cells] = Field(min_length=1, description="per side of the map of each level")
    drawings: Literal["brought", "simulated", "all"] = Field(
        description="that pairs are made of: the catalogue's own, or, where it has none of train items, the hand's; the "
        "hand's; both"
    )
    pairs: int = Field(ge=6, le=20_000, description="of drawing and photo, at most")
    dims: list[Annotated[int, Field(ge=2, le=4096)]] = Field(min_length=1)
    shrinkages: list[Annotated[float, Field(gt=0.0, le=10.0)]] = Field(min_length=1)
    descriptor_weights: list[Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(
        min_length=1, description="shares of the line orientations in the similarity"
    )
    label_weights: list[Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(
        min_length=1,
        description="shares of the regression of the labels; above 0 for a protocol whose right answers share a category",
    )


def fit_encoder(params: Params, data: RetrievalData, folder: Path) -> dict[str, float]:
    """Writes net, map and encoder.json into `folder`; returns the settings that were chosen and their score.

    Raises:
        ValueError: when too few train items have a drawing and a photo.
    """
    own: SketchMapParams = params.method(NAME)
    told, net = exported_net(params, own, folder) if own.net else ({}, None)
    files = add_detector(own.edges, own.hed_weights, own.size, folder)
    detector = EdgeDetector(folder / files["detector"], own.size, params.base.threads) if files else None
    rows = pairs_of(data.train, own.drawings)
    if len(rows) > own.pairs:
        rows = np.random.default_rng(params.base.seed).permutation(rows)[: own.pairs]
    pairs = seen_pairs(data.train, rows, net, own, detector)
    weights, mirrored = (own.descriptor_weights, own.mirrored) if own.net else ([0.0], False)
    seed = params.base.seed
    found = choose_pair_map(pairs, own.dims, own.shrinkages, weights, seed, mirrored, own.label_weights)
    write_array(folder / MAP, found.matrix)
    weight = found.settings.descriptor_weight
    lines = LineEncoder(
        size=own.size,
        edges=own.edges,
        square=own.square,
        orientations=own.orientations,
        sees=None if net is None else LineNet(net, found.photos, found.drawings, own.frame, own.mirrored, weight),
        maps=SideMaps(found.photos, found.drawings) if net is None else None,
    )
    of_net = {"file": NET, "net_size": own.net_size, "frame": own.frame, "mirrored": own.mirrored}
    of_net = of_net | {"descriptor_weight": weight} if own.net else {}
    labels = {"labels": found.photos.labels, "label_weight": found.photos.label_weight} if found.photos.labels else {}
    write_json(folder / "encoder.json", {**describe_fixed(lines), **of_net, **files, **labels, "map": MAP})
    chosen = {"dim": float(found.photos.dim), "shrinkage": found.settings.shrinkage}
    chosen |= {"descriptor_weight": weight} if own.net else {}
    chosen |= {"label_weight": found.settings.label_weight} if any(own.label_weights) else {}
    return {"pairs": float(len(rows)), "left_out_mrr": found.score, **chosen, **told}


def exported_net(params: Params, own: SketchMapParams, folder: Path) -> tuple[dict[str, float], OnnxEncoder]:
    """Writes the net into `folder`; returns how far it is from the one in PyTorch, and the net, opened."""
    size = own.net_size
    parity = export_onnx(line_net(params, own), torch.rand(2, 3, size, size), folder / NET, "images", "embeddings")
    return {"onnx_parity": parity}, OnnxEncoder(folder / NET, size, params.base.threads)


def line_net(params: Params, own: SketchMapParams) -> Embedder:
    """The backbone with its weights, pooled as the block says, for images of `net_size`.

    Raises:
        ValueError: when the weights are random.
    """
    refuse_random(params, NAME)
    pooling = Pooling(levels=own.levels, kind="average", cells=own.cells, normalise=True, histogram=0.0, flip=False)
    return average_pool_net(params.train_embedder.backbone.model_copy(update={"pooling": pooling}), own.net_size)


def pairs_of(train: ImageSet, wanted: Literal["brought", "simulated", "all"]) -> Rows:
    """(N, 2): rows of a drawing and of a photo that it shows.

    A traced drawing shows the photo that it was traced from. One that the catalogue brings shows those photos of its item
    that others were traced from, which show the outline, or else all shop photos of the item.
    """
    row_of = {name: row for row, name in enumerate(train.image_ids)}
    drawn = np.flatnonzero(train.domains == "sketch").tolist()
    traced = {row: row_of[photo] for row in drawn if (photo := photo_of(train.image_ids[row])) in row_of}
    brought = [row for row in drawn if photo_of(train.image_ids[row]) is None]
    outlines = _by_item(train, sorted(set(traced.values())))
    shop = _by_item(train, np.flatnonzero(train.domains == "shop").tolist())
    own = [
        (row, photo)
        for row in brought
        for photo in outlines.get(str(train.item_ids[row])) or shop.get(str(train.item_ids[row]), [])
    ]
    simulated = list(traced.items())
    chosen = {"brought": own or simulated, "simulated": simulated, "all": own + simulated}[wanted]
    return np.array(sorted(chosen), dtype=np.int64).reshape(-1, 2)


def _by_item(train: ImageSet, rows: Iterable[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(str(train.item_ids[row]), []).append(row)
    return found


def seen_pairs(
    train: ImageSet, rows: Rows, net: Encoder | None, own: SketchMapParams, detector: EdgeDetector | None = None
) -> Pairs:
    """What stands before the map, of the lines of pairs (N, 2) of rows and of the same lines mirrored: what the net sees,
    with the line orientations beside it, or, without a net, the orientations themselves, with nothing beside them."""
    sides: list[tuple[Vectors, Vectors, Vectors]] = []
    descriptor = EdgeDescriptor(own.square, own.orientations)

    def seen(lines: list[EdgeMap]) -> Vectors:
        if net is None:
            return descriptor.describe(lines)
        return net.encode(line_pictures(lines, net.size, own.frame))

    for column, edges in ((0, DRAWN), (1, own.edges)):
        distinct, place = np.unique(rows[:, column], return_inverse=True)
        plain, mirrored, orientations = [], [], []
        for start in range(0, len(distinct), EVAL_BATCH):
            lines = lines_of(train, distinct[start : start + EVAL_BATCH], edges, detector)
            plain.append(seen(lines))
            mirrored.append(seen(mirror(lines)))
            orientations.append(np.zeros((len(lines), 0), np.float32) if net is None else descriptor.describe(lines))
        sides.append(
            (np.concatenate(plain)[place], np.concatenate(mirrored)[place], np.concatenate(orientations)[place])
        )
    (drawings, mirrored_drawings, drawn), (photos, mirrored_photos, described) = sides
    items = np.unique(train.item_ids[rows[:, 1]].astype(str), return_inverse=True)[1].astype(np.int64)
    labels = train.items[rows[:, 1]]
    return Pairs(drawings, photos, mirrored_drawings, mirrored_photos, (drawn, described), items, labels)


def lines_of(train: ImageSet, rows: Rows, edges: str, detector: EdgeDetector | None = None) -> list[EdgeMap]:
    """Edge maps of photos, or drawings as they are (`drawn`)."""
    pictures = np.asarray(train.images[rows]).transpose(0, 2, 3, 1)
    return found_lines([np.ascontiguousarray(picture) for picture in pictures], edges, detector)


def check(params: Params) -> None:
    """Refuses levels and cells that do not fit each other, `hed` without weights, and, where a net looks, random weights.

    Raises:
        ValueError: naming the key and the fix.
    """
    own: SketchMapParams = params.method(NAME)
    if len(own.levels) != len(own.cells):
        raise ValueError(
            f"{NAME}.cells names {len(own.cells)} levels, {NAME}.levels {len(own.levels)}: name a number for each"
        )
    if any(own.label_weights) and PROTOCOLS[params.base.protocol].relevance == "item":
        raise ValueError(
            f"{NAME}.label_weights = {own.label_weights}, but base.protocol = {params.base.protocol!r} asks for items, "
            f"not for categories: set it to [0.0], or base.protocol: category"
        )
    if NAME in params.retrievers:
        check_hed(NAME, own.edges, own.hed_weights, own.size)
    if own.net and NAME in params.retrievers:
        refuse_random(params, NAME, f"set {NAME}.net: false, ")


METHOD = Method(params=SketchMapParams, fit_encoder=fit_encoder, add_drawings=add_drawings, check=check)
