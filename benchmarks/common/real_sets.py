"""The real picture sets of `../shared/data`: the params that each of them needs, for tests, presets and studies.

A set is read where it lies; a table is written only for the two that have none, and only the CIFAR-10 pick, which is a
zip, is unpacked. Sets without attributes take their class as the one attribute, for the attribute classifier is a stage
of the pipeline. What a set is and what it may be used for is told by its README.txt.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from croquis.files import fresh_file, fresh_folder
from croquis.refusals import RefusedError

Overrides = dict[str, Any]

SHOP_ONLY: Overrides = {"train_embedder": {"domains": ["shop"]}, "register": {"select_by": "shop->shop/hit@1"}}
CATEGORY: Overrides = {"base": {"protocol": "category"}, **SHOP_ONLY}
INSTANCE: Overrides = {"base": {"protocol": "instance"}}
FREE_MAPPINGS = ("columns", "splits", "domains", "storage_options")
"""Blocks whose keys a person chooses; merging two of them would mix two tables."""


class RealSetError(RefusedError):
    """A set is unknown or its files are not there."""


def real_set(name: str, shared: Path, work: Path, share: float = 1.0, **part: str) -> Overrides:
    """Nested overrides of params.yaml under which the pipeline reads a real set; a table it needs is written to `work`.

    Args:
        name: a key of `REAL_SETS`.
        shared: the folder that holds all sets.
        work: where tables and unpacked pictures go; may be used again.
        share: part of the items that is kept, the same in every class where the set is one of classes; `inshop_luma`
            is small and always whole.
        part: further arguments of the set, e.g. `kind` of `sketch_qmul`.

    Raises:
        RealSetError: when there is no such set, or its folder is missing.
    """
    if name not in REAL_SETS:
        raise RealSetError(f"there is no real set {name!r}; known: {', '.join(REAL_SETS)}")
    folder = shared.resolve() / name
    if not folder.is_dir():
        raise RealSetError(f"{folder} does not exist; the real sets are not part of the project")
    work.mkdir(parents=True, exist_ok=True)
    return REAL_SETS[name](folder, work.resolve(), share, **part)


def merged(params: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with every value of `overrides` in the place of its own; neither argument is changed.

    Mappings are merged key by key, but for `FREE_MAPPINGS`, which are replaced.
    """
    whole = dict(params)
    for key, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(whole.get(key), Mapping) and key not in FREE_MAPPINGS
        whole[key] = merged(whole[key], value) if nested else value
    return whole


def _folder(table: Path, images: Path, share: float, **settings: Any) -> Overrides:
    """The block `ingest.folder` in full, so that nothing of an earlier set stays behind."""
    block = {
        "table": str(table),
        "images": str(images),
        "columns": {},
        "splits": {},
        "domains": {},
        "roles": "by_item",
        "share": share,
        "val_share": 0.2,
        "test_share": 0.2,
    }
    return {"ingest": {"source": "folder", "folder": block | settings}}


def _inshop_luma(folder: Path, _work: Path, _share: float) -> Overrides:
    block = {"root": str(folder), "val_share": 0.2, "high_resolution": False}
    ingest = {"ingest": {"source": "deepfashion_inshop", "deepfashion_inshop": block}}
    return {**INSTANCE, **SHOP_ONLY, **ingest}


def _attr_products(folder: Path, _work: Path, share: float) -> Overrides:
    columns = {
        "path": "image",
        "item_id": "id",
        "category": "articleType",
        "attributes": ["gender", "baseColour", "season", "usage"],
    }
    return {**CATEGORY, **_folder(folder / "styles.csv", folder, share, columns=columns, roles="queries")}


def _clothing_small(folder: Path, _work: Path, share: float) -> Overrides:
    columns = {"path": "image", "item_id": "image", "category": "label", "attributes": ["label"]}
    settings = {"columns": columns, "splits": {"validation": "val"}, "roles": "queries"}
    return {**CATEGORY, **_folder(folder / "labels.csv", folder, share, **settings)}


def _c2s_grocery(folder: Path, _work: Path, share: float) -> Overrides:
    """The class is the item. The set's own split has the same classes in train and val, so it is left out."""
    columns = {
        "path": "image",
        "item_id": "class_id",
        "category": "coarse_id",
        "attributes": ["coarse_id"],
        "split": None,
    }
    both = {
        "train_embedder": {"domains": ["shop", "consumer"]},
        "register": {"select_by": "consumer->shop/hit@1"},
    }
    return {**INSTANCE, **both, **_folder(folder / "labels.csv", folder, share, columns=columns, val_share=0.15)}


def _cifar10(folder: Path, work: Path, share: float) -> Overrides:
    """The zip of JPEGs: `test` asks, `train` is trained on and searched; val is taken out of train."""
    names = _unpack(folder / "cifar10_jpg_22k.zip", work / f"cifar10-{share:g}", share)
    table = _write_table(
        work / f"cifar10-{share:g}.csv",
        ("path", "category", "split"),
        ((name, PurePosixPath(name).parts[1], PurePosixPath(name).parts[0]) for name in names),
    )
    settings = {"columns": {"item_id": "path", "attributes": ["category"]}, "roles": "queries", "val_share": 0.1}
    protocol = {"base": {"protocol": "cifar10_c"}}
    return {**SHOP_ONLY, **protocol, **_folder(table, work / f"cifar10-{share:g}", 1.0, **settings)}


def _fmnist_style(folder: Path, _work: Path, share: float) -> Overrides:
    block = {
        "root": str(folder),
        "train": {"images": "train-images-idx3-ubyte.gz", "labels": "train-labels-idx1-ubyte.gz"},
        "test": {"images": "t10k-images-idx3-ubyte.gz", "labels": "t10k-labels-idx1-ubyte.gz"},
        "classes": "classes.txt",
        "share": share,
        "val_share": 0.1,
        "test_share": 0.1,
    }
    return {**CATEGORY, "ingest": {"source": "idx", "idx": block}}


def _sketch_qmul(folder: Path, work: Path, share: float, kind: str = "*") -> Overrides:
    """There is no table: the edge map of a photo stands in for the shop photo, the drawing of its number asks for it.

    Args:
        kind: `shoes` or `chairs`; both by default.
    """
    pictures = sorted(path.relative_to(folder) for path in folder.glob(f"{kind}/*/*/*.png"))
    domain = {"edge": "shop", "sketch": "sketch"}
    lines = []
    for path in pictures:
        category, split, drawn, file = path.parts
        lines.append((path.as_posix(), f"{category}-{split}-{Path(file).stem}", domain[drawn], split, category))
    name = "sketch_qmul.csv" if kind == "*" else f"sketch_qmul-{kind}.csv"
    table = _write_table(work / name, ("path", "item_id", "domain", "split", "category"), lines)
    trained = {
        "train_embedder": {"domains": ["shop", "sketch"]},
        "register": {"select_by": "sketch->shop/hit@1"},
    }
    return {**INSTANCE, **trained, **_folder(table, folder, share, columns={"attributes": ["category"]})}


def _unpack(archive: Path, target: Path, share: float) -> Sequence[str]:
    """Unpacks the first `share` of every folder of the zip, unless it is there; returns the names in the zip's order."""
    with zipfile.ZipFile(archive) as stream:
        of_folder: dict[str, list[str]] = {}
        for name in stream.namelist():
            of_folder.setdefault(str(PurePosixPath(name).parent), []).append(name)
        kept = [name for names in of_folder.values() for name in names[: max(2, round(share * len(names)))]]
        if not target.is_dir():
            with fresh_folder(target) as partial:
                stream.extractall(partial, members=kept)
    return kept


def _write_table(path: Path, header: Sequence[str], lines: Iterable[Sequence[str]]) -> Path:
    with fresh_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(lines)
    return path


REAL_SETS: Mapping[str, Callable[..., Overrides]] = {
    "inshop_luma": _inshop_luma,
    "attr_products": _attr_products,
    "clothing_small": _clothing_small,
    "c2s_grocery": _c2s_grocery,
    "cifar10": _cifar10,
    "fmnist_style": _fmnist_style,
    "sketch_qmul": _sketch_qmul,
}
