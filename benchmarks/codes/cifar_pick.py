"""The CIFAR-10 pick (20,000 train and 2,000 test JPEGs in a zip) as a catalogue with a protocol's exact proportions.

`cifar10_a` (GPQ): queries : labelled : database as 1,000 : 5,000 : 54,000, so 1 : 5 : 54 in every class. As there, the
queries come from the test part, the labelled images from the train part, and the database is what is left of both; it is
also the unlabelled training set. `cifar10_c` (SPQ): 10,000 queries of the test part, 50,000 training images that are also
the database, so 1 : 5.

Val, which picks epochs, is taken from images that no other part has: under `a` it has queries and a gallery of its own,
under `c` queries. Who is in which part is decided by a hash of the file name, not by a seed.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.studies import BenchmarkError, Options, Values
from croquis.catalog.table import CatalogWriter
from croquis.index.ranking import label_blind_keys
from croquis.params import load_params

ARCHIVE = "cifar10/cifar10_jpg_22k.zip"
SHARES = {"cifar10_a": (1, 5, 54), "cifar10_c": (1, 5, 0)}


@dataclass(frozen=True)
class PickPart:
    """Images of one class for one purpose; `source` is the zip's own split that they come from, None for both."""

    split: str
    role: str
    source: str | None
    count: int


def parts(protocol: str, scale: float) -> list[PickPart]:
    """Images per class. The pick holds 200 test and 2,000 train images of each; `scale` 1 uses all that fit.

    Raises:
        BenchmarkError: when the scale leaves no image for some part, or asks for more than there is.
    """
    unit = round((34 if protocol == "cifar10_a" else 200) * scale)
    if not 0 < scale <= 1 or unit < 2:
        raise BenchmarkError(f"--share is {scale}, must lie between 0.06 and 1")
    queries, labelled, database = (unit * share for share in SHARES[protocol])
    if protocol == "cifar10_a":
        return [
            PickPart("test", "query", "test", queries),
            PickPart("train", "train", "train", labelled),
            PickPart("test", "gallery", None, database),
            PickPart("val", "query", None, queries),
            PickPart("val", "gallery", None, round(126 * scale)),
        ]
    return [
        PickPart("test", "query", "test", queries),
        PickPart("train", "train", "train", labelled),
        PickPart("val", "query", "train", round(100 * scale)),
    ]


def make_pick(folder: Path, options: Options) -> None:
    """The catalogue of a study, whose params.yaml is there and names the protocol."""
    protocol = load_params(folder / "params.yaml").base.protocol
    write_catalogue(options.shared, folder, protocol, options.share)


def write_catalogue(shared: Path, folder: Path, protocol: str, scale: float) -> None:
    """`folder/data/catalog`; every image is an item of its own and its class the category.

    Raises:
        BenchmarkError: when the zip is not there.
    """
    archive = shared / ARCHIVE
    if not archive.is_file():
        raise BenchmarkError(f"{archive} does not exist; name the folder of the real sets by --shared")
    with zipfile.ZipFile(archive) as pictures, CatalogWriter(folder / "data/catalog") as writer:
        for name, part in sorted(assign(pictures.namelist(), parts(protocol, scale))):
            writer.write(row_of(name, part, pictures.read(name)))


def assign(names: list[str], wanted: list[PickPart]) -> Iterator[tuple[str, PickPart]]:
    """Deals the pictures of each class out to the parts, in the order of a hash of their names."""
    of_class: dict[str, list[str]] = defaultdict(list)
    for _, name in sorted(zip(label_blind_keys(names).tolist(), names, strict=True)):
        of_class[class_of(name)].append(name)
    for label, waiting in sorted(of_class.items()):
        for part in wanted:
            fitting = [name for name in waiting if part.source is None or name.startswith(f"{part.source}/")]
            if len(fitting) < part.count:
                raise BenchmarkError(f"class {label} has {len(fitting)} images for {part}, needs {part.count}")
            taken = set(fitting[: part.count])
            waiting = [name for name in waiting if name not in taken]
            yield from ((name, part) for name in fitting[: part.count])


def class_of(name: str) -> str:
    """`train/airplane/0001.jpg` -> `airplane`."""
    return name.split("/")[1]


def row_of(name: str, part: PickPart, image: bytes) -> Values:
    labels = {"image_id": name, "item_id": name, "category": class_of(name), "attributes": []}
    return {**labels, "domain": "shop", "split": part.split, "role": part.role, "image": image}
