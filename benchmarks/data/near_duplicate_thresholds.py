"""How often the near-duplicate search is wrong on real photos, and what it finds of planted copies.

    python -m benchmarks.data.near_duplicate_thresholds [NAME ...] [--shared ../shared/data] [--out FOLDER]

For each real set and radius of the hash: the pairs of photos of different items that the hash proposes, those that the
thumbnails confirm, and the share of photos in one; byte-for-byte copies are counted apart. Then, of photos drawn by lot,
the share of re-encoded, resized and mirrored copies that are found. Two contact sheets per set show the proposed pairs,
green where confirmed: `NAME.bits.png` some of every distance in bits, `NAME.closest.png` those whose thumbnails differ
least. Whether a pair is a copy only a person can say; what was seen stands in docs/data.md.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.common.real_sets import merged, real_set
from croquis.catalog.images import decode_image, encode_png
from croquis.figures.tiles import HIT, INK, MISS, WHITE, png_bytes, tile, write
from croquis.files import write_bytes
from croquis.params import Params
from croquis.params.loader import parse_params, read_yaml
from croquis.sources import source_rows
from croquis.validation.fingerprints import as_thumbnails
from croquis.validation.measure import Measured, measure
from croquis.validation.near_duplicates import CopyPairs, near_pairs

SETS = ("attr_products", "inshop_luma")
RADII = (0, 1, 2, 3, 4, 6, 8)
ANY_DIFFERENCE = 1e9
PLANTED = 200
SIDE, COLUMNS, SHOWN = 120, 5, 60


@dataclass(frozen=True)
class Looked:
    """A set as the search sees it: ids, items and measurements, one entry per photo that can be read."""

    image_ids: npt.NDArray[np.object_]
    items: npt.NDArray[np.object_]
    found: Sequence[Measured]

    def pairs(self, radius: int, tolerance: float) -> CopyPairs:
        """Each pair of photos of different items once."""
        both = search(self.found, radius, tolerance)
        return both.where((both.first < both.second) & (self.items[both.first] != self.items[both.second]))

    def exact(self, pairs: CopyPairs) -> npt.NDArray[np.bool_]:
        digests = np.array([found.sha256 for found in self.found], dtype=object)
        return np.asarray(digests[pairs.first] == digests[pairs.second], dtype=np.bool_)


def search(found: Sequence[Measured], radius: int, tolerance: float) -> CopyPairs:
    codes, mirrored = (np.array([getattr(one, name) for one in found], np.uint64) for name in ("phash", "mirror_phash"))
    return near_pairs(codes, mirrored, as_thumbnails([one.thumbnail or b"" for one in found]), radius, tolerance)


def photos(params: Params) -> Iterator[dict[str, Any]]:
    yield from source_rows(params.ingest, params.base.seed)


def look(params: Params) -> Looked:
    ids, items, found = [], [], []
    for row in photos(params):
        measured = measure(row["image"], params.validate_.max_megapixels)
        if measured.problem is None:
            ids.append(row["image_id"])
            items.append(row["item_id"])
            found.append(measured)
    return Looked(np.array(ids, dtype=object), np.array(items, dtype=object), found)


def report_pairs(name: str, looked: Looked, tolerance: float) -> None:
    exact = looked.exact(looked.pairs(0, tolerance)).sum()
    print(f"{name}: {len(looked.found)} photos, {exact} pairs of different items are the same file")
    print("| bits | pairs by hash | confirmed | photos in a confirmed pair |\n|---|---|---|---|")
    for radius in RADII:
        proposed = looked.pairs(radius, ANY_DIFFERENCE)
        others = proposed.where(~looked.exact(proposed))
        confirmed = others.where(others.difference <= tolerance)
        touched = len(np.union1d(confirmed.first, confirmed.second)) / len(looked.found)
        print(f"| {radius} | {len(others)} | {len(confirmed)} | {touched:.2%} |")


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG 90": lambda image: saved(image, "JPEG", quality=90),
    "JPEG 60": lambda image: saved(image, "JPEG", quality=60),
    "JPEG 30": lambda image: saved(image, "JPEG", quality=30),
    "WEBP 50": lambda image: saved(image, "WEBP", quality=50),
    "half size": lambda image: saved(scaled(image, 1 / 2), "PNG"),
    "a third, JPEG 75": lambda image: saved(scaled(image, 1 / 3), "JPEG", quality=75),
    "1.5 times": lambda image: saved(scaled(image, 1.5), "PNG"),
    "mirrored, JPEG 75": lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=75),
}


def report_recall(params: Params, looked: Looked, tolerance: float) -> None:
    """Copies of photos drawn by lot, searched one kind at a time."""
    chosen = np.random.default_rng(params.base.seed).permutation(len(looked.found))[:PLANTED]
    originals = {looked.image_ids[row]: Image.fromarray(picture) for row, picture in pictures(params, looked, chosen)}
    first = [measure(encode_png(np.asarray(image)), 50) for image in originals.values()]
    print(f"| copies of {len(first)} photos | " + " | ".join(f"{radius} bits" for radius in RADII) + " |")
    print("|---" * (len(RADII) + 1) + "|")
    for kind, copy in COPIES.items():
        both = [*first, *(measure(copy(image), 50) for image in originals.values())]
        shares = []
        for radius in RADII:
            pairs = search(both, radius, tolerance)
            shares.append(np.isin(np.arange(len(first)), pairs.first[pairs.second == pairs.first + len(first)]).mean())
        print(f"| {kind} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


def pictures(params: Params, looked: Looked, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, np.ndarray]]:
    """Row number and decoded photo of the rows, in the source's order."""
    wanted = {looked.image_ids[row]: int(row) for row in rows}
    for row in photos(params):
        if row["image_id"] in wanted:
            yield wanted[row["image_id"]], decode_image(row["image"])


def draw_sheet(params: Params, looked: Looked, pairs: CopyPairs, tolerance: float) -> bytes:
    shown = dict(pictures(params, looked, np.union1d(pairs.first, pairs.second)))
    lines = -(-len(pairs) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (2 * SIDE + 12), max(1, lines) * (SIDE + 20)), WHITE)
    for place in range(len(pairs)):
        left, top = place % COLUMNS * (2 * SIDE + 12), place // COLUMNS * (SIDE + 20)
        frame = HIT if pairs.difference[place] <= tolerance else MISS
        for side, row in enumerate((pairs.first[place], pairs.second[place])):
            sheet.paste(tile(shown[int(row)], SIDE, frame, 2), (left + side * SIDE, top + 16))
        turned = ", mirrored" if pairs.mirrored[place] else ""
        text = f"{pairs.bits[place]} bits, {pairs.difference[place]:.3f}{turned}"
        write(sheet, (left, top), text, 2 * SIDE, 12, INK)
    return png_bytes(sheet)


def some(pairs: CopyPairs, count: int) -> CopyPairs:
    """`count` pairs, evenly spaced."""
    return pairs.where(np.isin(np.arange(len(pairs)), np.linspace(0, len(pairs) - 1, count).astype(int)))


def ordered(pairs: CopyPairs, *keys: npt.NDArray[Any]) -> CopyPairs:
    order = np.lexsort(keys[::-1])
    return CopyPairs(*(getattr(pairs, name)[order] for name in ("first", "second", "bits", "difference", "mirrored")))


def sheets(looked: Looked) -> dict[str, CopyPairs]:
    proposed = looked.pairs(max(RADII), ANY_DIFFERENCE)
    others = proposed.where(~looked.exact(proposed))
    by_bits = ordered(others, others.bits, others.difference)
    parts = [some(by_bits.where(by_bits.bits == bits), 3 * COLUMNS) for bits in np.unique(by_bits.bits)]
    closest = ordered(others, others.difference)
    return {"bits": CopyPairs.joined(parts), "closest": closest.where(np.arange(len(closest)) < SHOWN)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=SETS, help="real sets")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--out", type=Path, default=Path(".scratch/near_duplicates"), help="folder for contact sheets")
    options = parser.parse_args(arguments)
    for name in options.names:
        with tempfile.TemporaryDirectory() as work:
            overrides = real_set(name, options.shared, Path(work))
            params = parse_params(merged(read_yaml("params.yaml"), overrides))
            tolerance = params.validate_.near_duplicate_difference
            looked = look(params)
            report_pairs(name, looked, tolerance)
            report_recall(params, looked, tolerance)
            for kind, pairs in sheets(looked).items():
                write_bytes(options.out / f"{name}.{kind}.png", draw_sheet(params, looked, pairs, tolerance))


if __name__ == "__main__":
    main()
