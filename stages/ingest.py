"""Stage `ingest`: turns the source that params.yaml names into the table of images, `data/raw/`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from croquis.catalog.table import CatalogWriter
from croquis.params import Params, load_params
from croquis.sources import source_rows
from croquis.tracking.stage_run import stage_run
from stages import run_stage

RAW = Path("data/raw")


class IngestCounts:
    """Counts rows as they pass by, so that no row has to be kept."""

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.galleries: dict[str, Counter[str]] = {}
        self.items: set[str] = set()
        self.categories: set[str] = set()

    def watch(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.cells[row["split"], row["domain"], row["role"]] += 1
            self.items.add(row["item_id"])
            self.categories.add(row["category"])
            if row["role"] == "gallery" and row["domain"] == "shop":
                for split in {row["split"], row.get("also_gallery_of")} - {None}:
                    self.galleries.setdefault(split, Counter())[row["split"]] += 1
            yield row

    def metrics(self) -> dict[str, int]:
        """Counts by name: in all, as `images/SPLIT/DOMAIN/ROLE`, and photos that a split searches as `gallery/SPLIT`."""
        total = {"images": self.cells.total(), "items": len(self.items), "categories": len(self.categories)}
        galleries = {f"gallery/{split}": photos.total() for split, photos in sorted(self.galleries.items())}
        return total | {f"images/{'/'.join(cell)}": count for cell, count in sorted(self.cells.items())} | galleries


def ingest(params: Params, root: Path) -> IngestCounts:
    """Streams the source into `data/raw/` below `root`; no more than one shard of images is in memory.

    Raises:
        croquis.formats.errors.SourceError: when the source's files cannot be used; an older `data/raw/` is left as it was.
    """
    tally = IngestCounts()
    rows = source_rows(params.ingest, params.base.seed)
    with CatalogWriter(root / RAW, params.ingest.shard_rows) as writer:
        writer.write_all(
            tally.watch(tqdm(rows, desc=f"ingest {params.ingest.source}", unit=" images", mininterval=1.0))
        )
    return tally


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml", methods=True)  # a wrong block is told now, not after hours
    source = params.ingest.source
    settings = {"seed": params.base.seed, "source": source, source: params.ingest.block.model_dump()}
    with stage_run("ingest", params=settings, root=root) as run:
        start = time.perf_counter()
        tally = ingest(params, root)
        speed = tally.cells.total() / (time.perf_counter() - start)
        run.volatile("images_per_second", speed)
        for name, value in tally.metrics().items():
            run.metric(name, value)
    print(summary(source, tally), f"  {speed:.0f} images/s", sep="\n")


def summary(source: str, tally: IngestCounts) -> str:
    lines = [f"{source}: {tally.cells.total()} images, {len(tally.items)} items, {len(tally.categories)} categories"]
    for (split, domain, role), count in sorted(tally.cells.items()):
        lines.append(f"  {split:<6}{domain:<10}{role:<9}{count:>8}")
    for split, photos in sorted(tally.galleries.items()):
        others = "".join(f", {count} of them of {other}" for other, count in sorted(photos.items()) if other != split)
        lines.append(f"  gallery of {split}: {photos.total()} shop photos{others}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
