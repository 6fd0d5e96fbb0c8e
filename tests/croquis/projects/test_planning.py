"""Folders and tables of many shapes: each gives a project that ingests and validates, or is refused in one line."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from croquis.params import load_params
from croquis.projects.planning import plan_project, problems
from croquis.projects.profiles import PROFILES
from croquis.projects.project_files import project_params, write_project
from croquis.projects.shape import catalog_of
from croquis.refusals import RefusedError
from croquis.registry.gating.gate import decide
from croquis.registry.gating.verdict import Policy, Scores
from croquis.sources.folder import Folder, planned_rows
from stages import ingest, validate

ITEMS, COLOURS = 24, ("red", "green", "blue")


def picture(path: Path, item: int, view: int = 0) -> str:
    """A garment of its own colour and form on a ground that differs by view; returns the file's name."""
    rng = np.random.default_rng(item)
    ground = tuple(int(value) for value in np.random.default_rng([item, view]).integers(150, 256, 3))
    image = Image.new("RGB", (60, 80), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, width, height = (int(value) for value in rng.integers([2, 2, 8, 8], [40, 50, 30, 40]))
        shade = tuple(int(value) for value in rng.integers(0, 256, 3))
        draw.rectangle((x + 3 * view, y + 2 * view, x + width, y + height), fill=shade)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path.name


def table(folder: Path, rows: list[dict[str, Any]], header: bool = True) -> None:
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        if header:
            writer.writeheader()
        writer.writerows(rows)


def shots(folder: Path, items: int = ITEMS, views: int = 3, **more: Callable[[int, int], Any]) -> list[dict[str, Any]]:
    """Photos of products in one folder, with columns of which `more` gives the cells of an item and a view."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        {"file": picture(folder / f"{item:02d}-{view}.png", item, view), "sku": f"A{item:03d}"}
        | {name: cell(item, view) for name, cell in more.items()}
        for item in range(items)
        for view in range(views)
    ]


def kind(item: int, view: int) -> str:
    return ("dress", "coat", "skirt")[item % 3]


def only_shop_photos(folder: Path) -> None:
    for item in range(ITEMS):
        for view in range(3):
            picture(folder / f"bag {item:02d}_{view + 1}.png", item, view)


def only_labels(folder: Path) -> None:
    for item in range(60):
        picture(folder / kind(item, 0) / f"photo{item:03d}x.png", item)


def one_photo_per_item(folder: Path) -> None:
    for item in range(ITEMS):
        picture(folder / f"garment{item:03d}x.png", item)


def table_without_labels(folder: Path) -> None:
    table(folder, shots(folder, views=1, price=lambda item, view: 9.99 + item))


def eight_photos(folder: Path) -> None:
    for item in range(8):
        picture(folder / f"garment{item:03d}x.png", item)


def two_domains(folder: Path) -> None:
    table(folder, shots(folder, domain=lambda item, view: "studio" if view == 0 else "street", category=kind))


def unicode_names(folder: Path) -> None:
    for item in range(ITEMS):
        for view in range(3):
            picture(folder / "Kleider größer" / f"été {item}" / f"фото {view}.png", item, view)


def nested_folders(folder: Path) -> None:
    for item in range(ITEMS):
        for view in range(3):
            picture(folder / kind(item, 0) / f"style-{item:02d}" / f"{view}.png", item, view)


def three_items(folder: Path) -> None:
    table(folder, shots(folder, items=3))


def one_category(folder: Path) -> None:
    table(folder, shots(folder, category=lambda item, view: "dress"))


def extra_columns(folder: Path) -> None:
    more: dict[str, Callable[[int, int], Any]] = {
        "price": lambda item, view: 9.99 + item,
        "in stock": lambda item, view: item % 2 == 0,
        "added": lambda item, view: f"2024-01-{item + 1:02d}",
        "title": lambda item, view: f"A fine garment, number {item}",
        "colour": lambda item, view: COLOURS[item % 3],
        "empty": lambda item, view: "",
        "bbox": lambda item, view: "2 2 58 78",
        "catgory": lambda item, view: f"word {item}",
        "tags": lambda item, view: "['a', 'b']",
    }
    table(folder, shots(folder, **more))


def parts_of_photos(folder: Path) -> None:
    """A split whose words are not known, and further columns that tell parts of the photos; the title is the product's."""
    more: dict[str, Callable[[int, int], Any]] = {
        "split": lambda item, view: ("gallery", "train", "val", "test")[item % 4],
        "fold": lambda item, view: f"f{item % 3}",
        "origin": lambda item, view: "studio" if view == 0 else "street",
        "taken by": lambda item, view: "store" if view == 0 else "customer",
        "title": lambda item, view: f"A fine garment, number {item}",
        "colour": lambda item, view: COLOURS[item % 3],
    }
    table(folder, shots(folder, **more))


def fifty_columns(folder: Path) -> None:
    more = {f"c{number:02d}": lambda item, view, n=number: f"v{item * n % 7}" for number in range(48)}
    table(folder, shots(folder, **more))


def missing_files(folder: Path) -> None:
    rows = shots(folder)
    (folder / rows[4]["file"]).unlink()
    table(folder, rows)


def no_header(folder: Path) -> None:
    table(folder, shots(folder), header=False)


PROJECTS: dict[Callable[[Path], None], tuple[str, str, dict[str, Any]]] = {
    only_shop_photos: ("instance", "shop->shop/hit@1", {}),
    only_labels: ("category", "shop->shop/hit@1", {"attributes": ["category"]}),
    one_photo_per_item: ("instance", "consumer->shop/hit@1", {}),
    table_without_labels: ("instance", "consumer->shop/hit@1", {"item_id": "sku", "product": ["price"]}),
    two_domains: ("instance", "consumer->shop/hit@1", {"item_id": "sku", "category": "category"}),
    unicode_names: ("instance", "shop->shop/hit@1", {}),
    nested_folders: ("instance", "shop->shop/hit@1", {"attributes": ["category"]}),
    one_category: ("instance", "shop->shop/hit@1", {"item_id": "sku"}),
    extra_columns: (
        "instance",
        "shop->shop/hit@1",
        {"attributes": ["in stock", "colour"], "product": ["price", "added", "title", "catgory", "tags"]},
    ),
    fifty_columns: ("instance", "shop->shop/hit@1", {"path": "file"}),
    parts_of_photos: (
        "instance",
        "consumer->shop/hit@1",
        {"attributes": ["colour"], "domain": "origin", "product": ["title"], "split": None},
    ),
}
REFUSED: dict[Callable[[Path], None], str] = {
    eight_photos: "8 products in 1 category: too few to split into train, val and test",
    three_items: "too few to split into train, val and test",
    missing_files: "1 of 72 rows name no file in",
    no_header: "has no header: its first row holds '00-0.png'; put a line of column names first",
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
@pytest.mark.parametrize("make", PROJECTS, ids=lambda make: make.__name__)
def test_a_catalogue_gives_a_project_that_ingests_and_validates(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    make(tmp_path / "photos")
    protocol, select_by, columns = PROJECTS[make]
    plan = plan_project(tmp_path / "photos", None, "photos")
    root = tmp_path / "project"
    write_project(root, project_params(plan.settings), plan.table)
    with contextlib.chdir(root):
        params = load_params("params.yaml", methods=True)
        assert problems(params) == []
        ingest.main(Path())
        validate.main(Path())
    assert (params.base.protocol, params.register_.select_by) == (protocol, select_by)
    assert columns.items() <= params.ingest.block.columns.items()
    assert not params.parts.sketch
    assert not params.parts.gan


@pytest.mark.parametrize(("make", "words"), [(one_category, "1 category"), (two_domains, "3 categories")])
def test_the_note_about_categories_counts_them(make: Callable[[Path], None], words: str, tmp_path: Path):
    make(tmp_path / "photos")
    notes = plan_project(tmp_path / "photos", None, "photos").notes
    assert [words in note for note in notes if note.startswith("category")] == [True]


@pytest.mark.parametrize("make", [one_photo_per_item, table_without_labels], ids=lambda make: make.__name__)
def test_where_nothing_tells_a_right_answer_the_queries_are_altered_copies(
    make: Callable[[Path], None], tmp_path: Path
):
    make(tmp_path / "photos")
    plan = plan_project(tmp_path / "photos", None, "quick")
    assert plan.settings["ingest.folder.roles"] == "views"
    assert (plan.shape.views, plan.shape.photos, plan.shape.items) == (True, ITEMS, ITEMS)
    assert plan.shape.pairs == plan.shape.train / 2


@pytest.mark.parametrize("make", [only_labels, only_shop_photos], ids=lambda make: make.__name__)
def test_labels_and_further_photos_ask_where_there_are_any(make: Callable[[Path], None], tmp_path: Path):
    make(tmp_path / "photos")
    plan = plan_project(tmp_path / "photos", None, "quick")
    assert plan.settings["ingest.folder.roles"] != "views"
    assert not plan.shape.views


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_a_catalogue_that_nothing_can_be_measured_on_is_refused_in_one_line(
    make: Callable[[Path], None], tmp_path: Path
):
    make(tmp_path / "photos")
    with pytest.raises(RefusedError) as error:
        plan_project(tmp_path / "photos", None, "quick")
    assert REFUSED[make] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("items", [8, 12, 20, 24, 40])
def test_of_few_products_val_gets_so_many_that_a_champion_can_be_above_chance(items: int, tmp_path: Path):
    """As the gate bounds it, for a search that is always right; the share stays 0.2 where that is enough."""
    table(tmp_path, shots(tmp_path, items=items))
    plan = plan_project(tmp_path, None, "quick")
    folder = Folder.model_validate({key.rpartition(".")[2]: value for key, value in plan.settings.items()
                                    if key.startswith("ingest.folder.")})  # fmt: skip
    catalog = catalog_of(planned_rows(folder, 7), tmp_path)
    val = catalog.column("split") == "val"
    asked = catalog.column("item_id")[val & (catalog.column("role") == "query")]
    gallery = int((val & (catalog.column("role") == "gallery")).sum())
    alike = Scores(asked, asked, asked, np.ones(len(asked)), chance=1 / gallery)
    policy = Policy("hit@1", 0.0, 0.0, 0.95, 1.0, 1.0, 9.0, 9999, 9999.0)
    assert decide(alike, None, policy).promote
    assert plan.shape.share == (0.3 if items < 25 else 0.2)
    assert plan.shape.pairs >= 2


def test_of_too_few_products_it_says_so(tmp_path: Path):
    table(tmp_path, shots(tmp_path, items=6))
    with pytest.raises(
        RefusedError, match=r"6 products in 1 category: too few to split .* gallery of test holds one item"
    ):
        plan_project(tmp_path, None, "quick")


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("make", [two_domains, only_labels], ids=lambda make: make.__name__)
def test_every_profile_gives_params_that_the_schema_takes(make: Callable[[Path], None], profile: str, tmp_path: Path):
    make(tmp_path / "photos")
    plan = plan_project(tmp_path / "photos", None, profile)
    text = project_params(plan.settings)  # checks the blocks of all methods
    assert ("parts.sketch" not in plan.settings) == (profile == "full")
    assert f"protocol: {plan.shape.protocol}" in text


def test_an_empty_folder_a_missing_one_and_two_tables_are_refused(tmp_path: Path):
    with pytest.raises(RefusedError, match="holds no picture"):
        plan_project(tmp_path, None, "quick")
    with pytest.raises(RefusedError, match="does not exist: name a folder of photos or a table"):
        plan_project(tmp_path / "absent", None, "quick")
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(RefusedError, match=r"several tables \(a.csv, b.csv\): name one by --table"):
        plan_project(tmp_path, None, "quick")


def test_names_that_lack_folder_and_ending_are_found_by_a_pattern(tmp_path: Path):
    rows = [{"path": "x", "id": 100 + row["item"], "type": row["type"]} for row in labelled(tmp_path / "images")]
    table(tmp_path, [{name: row[name] for name in ("id", "type")} for row in rows])
    plan = plan_project(tmp_path, None, "quick")
    assert plan.settings["ingest.folder.columns"]["path"] == "images/{id}.png"
    assert plan.shape.protocol == "category"


def labelled(folder: Path) -> list[dict[str, Any]]:
    return [
        {"item": item, "type": kind(item, 0), "file": picture(folder / f"{100 + item}.png", item)} for item in range(60)
    ]


@pytest.mark.slow
def test_a_project_that_lost_a_photo_says_so_before_it_runs(tmp_path: Path):
    two_domains(tmp_path / "photos")
    plan = plan_project(tmp_path / "photos", None, "quick")
    write_project(tmp_path / "project", project_params(plan.settings), plan.table)
    (tmp_path / "photos/00-0.png").unlink()
    found = problems(load_params(tmp_path / "project/params.yaml"))
    assert any("00-0.png does not exist" in line for line in found)
