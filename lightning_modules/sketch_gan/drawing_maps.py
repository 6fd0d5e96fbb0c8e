"""Maps of drawings behind an encoder of photos: of what a generator paints of them, and of the drawings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from croquis.arrays import Rows, Vectors
from croquis.catalog.images import from_batch, prepare_image, to_batch
from croquis.catalog.prepared_photos import Preparation, open_photos
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import Protocol
from croquis.files import read_json, write_array, write_json
from croquis.index.exact import normalise
from croquis.nets.encoder import Encoder, LinesDescription, describe_encoder
from croquis.nets.generator import Generator
from croquis.nets.linear_map import MappedEncoder
from lightning_modules.maps.pair_map import reciprocal_rank
from lightning_modules.maps.query_map import QueryPairs, choose_query_map
from lightning_modules.sketch_gan.pair_rows import pair_rows

SHRINKAGES = (0.01, 0.1, 1.0)
MOST = 20_000  # pairs that a map is fitted on
AT_A_TIME = 32  # pictures in one run of a net
Kind = Literal["painted", "straight"]


def add_drawing_maps(folder: Path, kinds: Sequence[Kind], seen: Looks) -> dict[str, float]:
    """Fits a map for each kind, and writes it beside the encoder of `folder` where val gains by it.

    An encoder whose vectors become codes keeps none, nor does one of lines, which has its own for drawings.

    Args:
        kinds: `painted` is left out where there is no generator.
        seen: by the encoder of `folder`.

    Returns:
        By kind `KIND/val_without`, `KIND/val_with`, mean reciprocal ranks of the first right photo of val;
        `KIND/shrinkage`, and `KIND/kept`, 1 or 0. Nothing where there can be no map.

    Raises:
        PairError: when train or val has no drawing of a photo.
    """
    described = describe_encoder(folder)
    if isinstance(described, LinesDescription) or (described.head, described.metric) != ("dense", "cosine"):
        return {}
    told: dict[str, float] = {}
    for kind in kinds:
        if kind == "painted" and seen.generator is None:
            continue
        train, val = seen.pairs("train", kind), seen.pairs("val", kind)
        found, without = (
            choose_query_map(train, val, SHRINKAGES),
            reciprocal_rank(seen.as_photos(val.queries) @ val.photos.T, val),
        )
        kept = found.score > without
        if kept:
            write_array(folder / f"{kind}.npy", found.linear.matrix)
            write_json(folder / "encoder.json", read_json(folder / "encoder.json") | {kind: f"{kind}.npy"})
        figures = {"val_without": without, "val_with": found.score, "shrinkage": found.shrinkage, "kept": float(kept)}
        told |= {f"{kind}/{name}": value for name, value in figures.items()}
    return told


@dataclass(frozen=True)
class Looks:
    """What an encoder sees of drawings of a catalogue's photos, and of these photos.

    Attributes:
        generator: that paints them; None for none.
        sketches: drawings of train and val photos of `catalog`.
        protocol: what makes a photo a right answer to a drawing.
        how: pictures are prepared.
    """

    encoder: Encoder
    generator: Generator | None
    sketches: Catalog
    catalog: Catalog
    protocol: Protocol
    how: Preparation

    def pairs(self, split: str, kind: Kind) -> QueryPairs:
        """Of drawings of a split, evenly chosen, at most `MOST` pairs: each photo that is painted of a drawing is one.

        Raises:
            PairError: when the split has no drawing of a photo.
        """
        drawn, shown = pair_rows(self.sketches, self.catalog, split)
        samples = self.generator.samples if kind == "painted" and self.generator is not None else 1
        step = -(-len(drawn) * samples // MOST)
        drawn, shown = drawn[::step], shown[::step]
        distinct, place = np.unique(shown, return_inverse=True)
        squares = open_photos(self.catalog, self.encoder.size, how=self.how)
        photos = np.empty((len(distinct), self.encoder.dim), dtype=np.float32)
        for start in range(0, len(distinct), AT_A_TIME):
            batch = to_batch(list(squares.take(distinct[start : start + AT_A_TIME])))
            photos[start : start + len(batch)] = self.encoder.encode(batch)
        items, labels = (
            np.unique(self.catalog.column(name)[shown].astype(str), return_inverse=True)[1].astype(np.int64)
            for name in ("item_id", "category" if self.protocol.relevance == "category" else "item_id")
        )
        each = np.repeat(np.arange(len(drawn)), samples)
        return QueryPairs(self._queries(drawn, kind), normalise(photos)[place][each], items[each], labels[each])

    def as_photos(self, queries: Vectors) -> Vectors:
        """Queries (N, D) behind the map of photos, if there is one; of length 1."""
        linear = self.encoder.linear if isinstance(self.encoder, MappedEncoder) else None
        return normalise(queries) if linear is None else linear.apply(queries)

    def _queries(self, rows: Rows, kind: Kind) -> Vectors:
        """(N, D), without any map, of drawings or of every photo painted of them, as the product looks at them."""
        bare = self.encoder.unmapped if isinstance(self.encoder, MappedEncoder) else self.encoder
        painter = self.generator if kind == "painted" else None
        drawings = open_photos(
            self.sketches, bare.size if painter is None else painter.size, "ink" if painter else "box", self.how
        )
        parts = []
        for start in range(0, len(rows), AT_A_TIME):
            batch = to_batch(list(drawings.take(rows[start : start + AT_A_TIME])))
            if painter is not None:
                batch = to_batch([prepare_image(made, bare.size) for made in from_batch(painter.generate(batch))])
            parts.append(bare.encode(batch))
        return np.concatenate(parts)
