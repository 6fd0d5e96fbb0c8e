"""What JPEG draft mode saves, and what it changes: `python -m benchmarks.scale.draft_rates FOLDER --bundle BUNDLE`.

Photos of FOLDER are enlarged to what a phone takes, with noise as of a sensor, and saved as JPEG. Measured is CPU time of
`prepare_file` in full and in draft mode, in turns, with twice the net's pixels left; of the folder's own files, too. By the
bundle's encoder are compared, for several numbers of pixels left, the vectors of both: their cosine, and how often a photo
has the same nearest neighbour among the others. The figures go to reports/benchmarks/draft.json.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common.studies import listed
from croquis.arrays import Vectors
from croquis.bundle import Bundle
from croquis.catalog.images import prepare_file, to_batch
from croquis.files import write_json
from croquis.index.exact import normalise

REPORT = Path("reports/benchmarks/draft.json")
SUFFIXES = (".jpg", ".jpeg")
BLOCK = 16  # pixels, of which cameras' photos have whole numbers
NOISE = 4.0  # standard deviation, of 255
QUALITY = 90  # of the JPEG
MARGIN = 2  # times the net's pixels, in the rates
ENCODED = 32  # photos in one run of the net


def main(arguments: Sequence[str] | None = None) -> None:
    asked = parser().parse_args(arguments)
    own = chosen_files(asked.folder, asked.photos)
    large = [enlarged(data, asked.megapixels, seed) for seed, data in enumerate(own)]
    sizes = [int(word) for word in listed(asked.sizes)]
    timed = {"enlarged": large[: asked.timed], "as they are": own[: asked.timed]}
    report: dict[str, Any] = {
        "megabytes": {
            name: round(float(np.mean([len(each) for each in files])) / 1e6, 3) for name, files in timed.items()
        },
        "cpu_ms": {name: {size: rates(files, size, asked.repeats) for size in sizes} for name, files in timed.items()},
    }
    if asked.bundle is not None:
        report["vectors"] = compared(Bundle.load(asked.bundle), large, [float(word) for word in listed(asked.margins)])
    write_json(asked.report, report)
    print(json.dumps(report, indent=2))


def chosen_files(folder: Path, count: int) -> list[bytes]:
    """JPEG files of a folder and those below it, evenly spread."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    places = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int))
    return [paths[place].read_bytes() for place in places]


def enlarged(data: bytes, megapixels: float, seed: int) -> bytes:
    """A JPEG of a photo at so many pixels, with noise as of a sensor: without it, decoding would be too fast."""
    with Image.open(io.BytesIO(data)) as photo:
        scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        size = (BLOCK * round(photo.width * scale / BLOCK), BLOCK * round(photo.height * scale / BLOCK))
        large = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    noise = np.random.default_rng(seed).normal(0, NOISE, large.shape[:2]).astype(np.float32)
    pixels = np.clip(large + noise[:, :, None], 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def rates(files: Sequence[bytes], size: int, repeats: int) -> dict[str, Any]:
    """CPU milliseconds of a photo in full and in draft mode, in turns: median, lowest and highest; and their ratio."""
    found: dict[str, list[float]] = {"full": [], "draft": []}
    for _ in range(repeats):
        for name, draft in (("full", 0), ("draft", MARGIN * size)):
            began = time.process_time()
            for data in files:
                prepare_file(data, size, None, draft)
            found[name].append(1000 * (time.process_time() - began) / len(files))
    found["full / draft"] = [full / draft for full, draft in zip(found["full"], found["draft"], strict=True)]
    return {name: [round(pick(values), 3) for pick in (median, min, max)] for name, values in found.items()}


def compared(bundle: Bundle, files: Sequence[bytes], margins: Sequence[float]) -> dict[str, Any]:
    """How near vectors of photos in draft mode are to those in full, and whether they find the same photo."""
    size = bundle.manifest.preprocess.size
    full = vectors(bundle, files, 0)
    found: dict[str, Any] = {"photos": len(files), "size": size}
    for margin in margins:
        drafted = vectors(bundle, files, round(margin * size))
        cosines = (full * drafted).sum(axis=1)
        found[f"{margin:g} times the pixels"] = {
            "cosine": [round(float(value), 5) for value in (cosines.mean(), cosines.min())],
            "same first neighbour": round(float((first(full, full) == first(drafted, drafted)).mean()), 4),
            "same, only the query in draft mode": round(float((first(full, full) == first(drafted, full)).mean()), 4),
        }
    return found


def vectors(bundle: Bundle, files: Sequence[bytes], draft: int) -> Vectors:
    """Of length 1, (n, D)."""
    size, parts = bundle.manifest.preprocess.size, []
    for start in range(0, len(files), ENCODED):
        squares = [prepare_file(data, size, None, draft) for data in files[start : start + ENCODED]]
        parts.append(bundle.encoder.encode(to_batch(squares)))
    return normalise(np.concatenate(parts))


def first(queries: Vectors, gallery: Vectors) -> Any:
    """The row of the gallery that is nearest to each query and not its own, (n,)."""
    scores = queries @ gallery.T
    np.fill_diagonal(scores, -np.inf)
    return scores.argmax(axis=1)


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.draft_rates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = asked.add_argument
    add("folder", type=Path, metavar="FOLDER", help="of JPEG photos")
    add("--bundle", type=Path, metavar="FOLDER", help="whose encoder compares; by default only time is measured")
    add("--photos", type=int, default=60, metavar="N", help="that are compared (default %(default)s)")
    add("--timed", type=int, default=12, metavar="N", help="of them that are timed (default %(default)s)")
    add("--megapixels", type=float, default=12.0, metavar="X", help="of the enlarged photos (default %(default)s)")
    add("--sizes", default="160,224,288", metavar="S,...", help="of the squares, pixels (default %(default)s)")
    add("--margins", default="2", metavar="M,...", help="times the net's pixels, compared (default %(default)s)")
    add("--repeats", type=int, default=5, metavar="N", help="turns (default %(default)s)")
    add("--report", type=Path, default=REPORT, metavar="FILE")
    return asked


if __name__ == "__main__":
    main()
