"""From a folder or a table to a whole project: what is guessed, what follows from it, what would stop the pipeline."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croquis.evaluation.answerable import unanswerable, unlearnable
from croquis.evaluation.protocol import PROTOCOLS
from croquis.formats.errors import SourceError, in_one_line
from croquis.params import Params
from croquis.plugins import SOURCES
from croquis.projects.folder_guess import guess_folder, only_table, pictures_in, what_else
from croquis.projects.profiles import PROFILES, Settings, shape_settings
from croquis.projects.project_files import TABLE
from croquis.projects.shape import CatalogueShape, catalog_of, measure_shape, shape_of
from croquis.projects.table_guess import guess_table
from croquis.projects.words import TABLES
from croquis.refusals import RefusedError
from croquis.sources.folder import Folder, planned_rows

SEED = 7
INSHOP = Path("Eval/list_eval_partition.txt")


@dataclass(frozen=True)
class ProjectPlan:
    """A project that is not written yet.

    Attributes:
        settings: dotted key of params.yaml -> value.
        shape: of the catalogue.
        notes: what was guessed, a line each.
        table: text of the table that the project brings, where the person has none.
        photos: some of the files.
    """

    settings: Settings
    shape: CatalogueShape
    notes: list[str]
    table: str | None
    photos: list[Path]


def plan_project(place: Path, table: Path | None, profile: str) -> ProjectPlan:
    """Looks at `place`, a folder of photos or a table, and decides all that it can; no picture is opened.

    Args:
        table: of the photos in `place`; where it is None, the only table in the folder.
        profile: a key of `PROFILES`.

    Raises:
        RefusedError: in one line with the fix, when nothing can be trained or measured.
    """
    place, table = _places(place.resolve(), table)
    if (place / INSHOP).is_file():
        return _of_inshop(place, profile)
    if table is None:
        return _of_folder(place, profile)
    guess = guess_table(table.resolve(), place)
    block: dict[str, Any] = {"table": str(guess.table), "images": str(guess.images), "columns": guess.columns}
    block |= {"splits": guess.splits, "domains": guess.domains, "share": 1.0}
    if guess.text is None:
        return _planned(block, guess.notes, None, profile, guess.table)
    guess.notes.append(f"the project has a table of its own with one row per photo, {TABLE}: after changes, init again")
    return _planned_own(block, guess.notes, guess.text, profile, guess.table)


def _places(place: Path, table: Path | None) -> tuple[Path, Path | None]:
    if place.suffix.lower() in TABLES and place.is_file():
        return place.parent, table or place
    if not place.is_dir():
        raise RefusedError(what_else(place, f"a folder of photos or a table ({', '.join(TABLES)})"))
    if table is not None and not table.is_file():
        raise RefusedError(f"the table {table} does not exist: correct --table")
    return place, table if table is not None else only_table(place)


def _of_folder(folder: Path, profile: str) -> ProjectPlan:
    made = guess_folder(folder)
    text = made.csv()
    columns: dict[str, Any] = {"attributes": ["category"]} if "category" in made.columns else {}
    block = {"images": str(folder), "columns": columns, "splits": {}, "domains": {}, "share": 1.0}
    return _planned_own(block, made.notes, text, profile, folder)


def _planned_own(block: dict[str, Any], notes: list[str], text: str, profile: str, where: Path) -> ProjectPlan:
    """The plan of a project that brings its table."""
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / TABLE.name
        table.write_text(text, encoding="utf-8")
        return _planned({**block, "table": str(table)}, notes, text, profile, where)


def _of_inshop(root: Path, profile: str) -> ProjectPlan:
    """The official files, whose own split and boxes count."""
    block = SOURCES.entry("deepfashion_inshop").params(root=str(root), val_share=0.2, high_resolution=False)
    rows = [{**row, "image": None} for row in SOURCES.entry("deepfashion_inshop").rows(block, SEED)]
    shape = shape_of(catalog_of(rows, root), "instance", "shop->shop/hit@1", block.val_share)
    settings = {"base.seed": SEED, "ingest.source": "deepfashion_inshop", "ingest.deepfashion_inshop.root": str(root)}
    settings |= shape_settings(shape) | PROFILES[profile].settings(shape)
    photos = [root / path for path in pictures_in(root)]
    notes = [f"the official In-shop lists in {INSHOP}: their split and boxes are used"]
    return ProjectPlan(settings, shape, notes, None, photos[:: max(1, len(photos) // 24)])


def _planned(block: dict[str, Any], notes: list[str], text: str | None, profile: str, where: Path) -> ProjectPlan:
    """`where` names the person's table or folder in a refusal."""
    named = str(where) if text is None or where.is_dir() else f"{where} (one row per photo)"
    try:
        shape, folder = _measured(block, notes)
        rows = planned_rows(folder, SEED)
    except SourceError as error:
        raise RefusedError(in_one_line(error).replace(block["table"], named)) from error
    values = folder.model_dump() | ({} if text is None else {"table": str(TABLE)})
    source = {f"ingest.folder.{key}": value for key, value in values.items()}
    settings = {"base.seed": SEED, "ingest.source": "folder", **source, **shape_settings(shape)}
    settings |= PROFILES[profile].settings(shape)
    step = max(1, len(rows) // 24)
    return ProjectPlan(settings, shape, notes, text, [Path(folder.images) / row["path"] for row in rows[::step]])


def _measured(block: dict[str, Any], notes: list[str]) -> tuple[CatalogueShape, Folder]:
    """The shape under the table's own split, or, where that cannot be answered, under one by a hash of the items."""
    try:
        return measure_shape(block, SEED)
    except RefusedError:
        if block["columns"].get("split") is None:
            raise
        own = block["columns"]["split"]
        block["columns"] = {**block["columns"], "split": None}
        found = measure_shape(block, SEED)
        notes.append(
            f"split: column {own!r} is left out, as its val and test cannot be answered; products are split by a hash"
        )
        return found


def problems(params: Params) -> list[str]:
    """What would stop the stages `ingest` and `validate` of a project with the source `folder`, without reading a picture.

    One line each, with the fix; none for other sources, which are read as they are ingested.
    """
    if params.ingest.source != "folder":
        return []
    block: Folder = params.ingest.block
    try:
        catalog = catalog_of(planned_rows(block, params.base.seed), Path(block.images))
    except SourceError as error:
        return str(error).splitlines()
    found = unanswerable(
        catalog, PROTOCOLS[params.base.protocol], params.register_.select_by, drawings=params.parts.sketch
    )
    if params.parts.attributes and (problem := unlearnable(catalog, params.train_classifier.min_positives)):
        found.append(f"train_classifier: {problem}, or set parts.attributes: false")
    return found
