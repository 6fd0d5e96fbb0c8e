"""docs/troubleshooting.md: the code says what the page says, in the situations that the page names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from croquis.bundle import Bundle
from croquis.catalog.base64_text import read_base64
from croquis.catalog.images import decode_image
from croquis.catalog.prepared_photos import check_draft, new_array
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.answerable import unanswerable, unlearnable
from croquis.evaluation.protocol import PROTOCOLS
from croquis.params import load_params
from croquis.params.accelerators import check_accelerator
from croquis.projects.search_rows import find_photos_at
from croquis.registry.named_version import NamedVersion
from croquis.serving.addresses import listening_socket
from croquis.tuning.storage import JOURNAL, open_storage
from lightning_modules.nets.weights import load_weights
from lightning_modules.training.fit import FitPlan, below_start
from stages.validate import check_answerable
from tests.support.catalogues.garment_catalogue import build_rows, draw_garment
from tests.support.imports import ROOT
from tests.support.sources.folder_table import read_folder

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
ROWS = re.findall(r"^\| `(.+?)` \| .+ \| .+ \|$", PAGE, flags=re.MULTILINE)
INSTANCE = PROTOCOLS["instance"]
Situation = Callable[[Path], object]
SITUATIONS: list[Situation] = []


def situation(act: Situation) -> Situation:
    """Adds what raises, or returns, the text of one or more rows of the page."""
    SITUATIONS.append(act)
    return act


def table(folder: Path, text: str | bytes) -> None:
    """Reads a table with the columns path, item_id and others beside one picture."""
    (folder / "0.png").write_bytes(draw_garment(1))
    (folder / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    read_folder(folder / "t.csv", folder)


for text in (
    'path,item_id,note\n0.png,a,"Boyfriend jeans\n',
    'path,item_id,note\n0.png,a,"Boyfriend jeans\n0.png,b,plain"\n',
    "path,item_id,attributes\n0.png,a,\"['red', 'slim fit']\"\n",
    "path,item_id\n0.png,nan\n",
    "path,item_id,bbox\n0.png,a,1 2 3\n",
    "path,item_id\n0.png,..\n",
    "path,item_id,path\n0.png,a,1.png\n",
    "path,item_id\n0.png,4.00E+12\n",
    "path,item_id\n0.png,caf\u00e9\n".encode("latin-1"),
):
    situation(lambda folder, text=text: table(folder, text))


def shop_table(folder: Path, name: str, cell: str) -> None:
    """Looks for the photos that a table names, beside one picture."""
    (folder / "0.png").write_bytes(draw_garment(1))
    (folder / name).write_text(f"photo,sku\n0.png,a\n{cell},b\n{cell},c\n0.png,d\n" if cell else "")
    find_photos_at(folder / name, None)


for name, cell in (("t.csv", "gone.png"), ("t.xlsx", "")):
    situation(lambda folder, name=name, cell=cell: shop_table(folder, name, cell))


@situation
def links_to_photos(folder: Path) -> None:
    (folder / "t.csv").write_text("photo,sku\nhttps://cdn.example/a.jpg,a\n")
    find_photos_at(folder / "t.csv", None)


@situation
def the_disk_is_full(folder: Path) -> None:
    new_array(folder / "squares.npy", (10**9, 224, 224, 3), np.dtype(np.uint8))


@situation
def the_draft_is_small(_: Path) -> None:
    check_draft(112, 256)


def catalogue(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row) -> Catalog:
    with CatalogWriter(folder / "catalogue") as writer:
        for row in build_rows():
            writer.write(change(row))
    return Catalog.open(folder / "catalogue")


@situation
def choice_without_queries(folder: Path) -> str:
    shop = catalogue(folder, lambda row: row | {"domain": "shop"})
    return unanswerable(shop, INSTANCE, "consumer->shop/hit@1")[0]


@situation
def photos_that_are_items(folder: Path) -> str:
    return unanswerable(
        catalogue(folder, lambda row: row | {"item_id": row["image_id"]}), INSTANCE, "shop->shop/hit@1"
    )[0]


@situation
def one_item_in_the_gallery(folder: Path) -> str:
    found = catalogue(folder, lambda row: row | ({"item_id": "x"} if row["split"] == "test" else {}))
    return unanswerable(found, INSTANCE, "shop->shop/hit@1")[0]


@situation
def rare_attributes(folder: Path) -> str | None:
    return unlearnable(catalogue(folder), 1000)


@situation
def re_ranking_without_attributes(folder: Path) -> None:
    catalogue(folder / "data").folder.rename(folder / "data/catalog")
    params = load_params(ROOT / "params.yaml")
    asked = params.rerank.model_copy(update={"enabled": True, "steps": ["attributes"]})
    rare = params.train_classifier.model_copy(update={"min_positives": 1000})
    check_answerable(params.model_copy(update={"rerank": asked, "train_classifier": rare}), folder)


@situation
def no_such_device(_: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: False)
        patch.setattr("torch.backends.mps.is_available", lambda: False)
        check_accelerator("gpu")


@situation
def weights_that_training_destroys(_: Path) -> str | None:
    history = {"before_training/score": [[0.0, 0.48]], "val/score": [[0.0, 0.16]]}
    rates = {"siamese.fit.learning_rate": 0.005, "siamese.fit.backbone_rate": 1.0}
    return below_start(history, FitPlan("siamese", 1, 1, "val/score", "max", rates=rates))


@situation
def half_a_picture(_: Path) -> None:
    decode_image(draw_garment(1)[:200])


def weights(folder: Path, content: object) -> None:
    if isinstance(content, bytes):
        (folder / "w.pt").write_bytes(content)
    else:
        torch.save(content, folder / "w.pt")
    load_weights(torch.nn.Linear(2, 2), folder / "w.pt")


for content in (torch.nn.Linear(2, 2), b"version https://git-lfs.github.com/spec/v1\n", {"other": torch.zeros(1)}):
    situation(lambda folder, content=content: weights(folder, content))


@situation
def edited_journal(folder: Path) -> None:
    (folder / JOURNAL).parent.mkdir(parents=True)
    (folder / JOURNAL).write_text("hello\n" * 2)
    open_storage(None, folder).get_all_studies()


@situation
def wrong_bundle(folder: Path) -> None:
    (folder / "siamese").mkdir()
    (folder / "siamese/manifest.json").write_text("{}")
    Bundle.load(folder / "siamse")


@situation
def wrong_model(_: Path) -> None:
    NamedVersion.open("fashion-retriever")


@situation
def taken_port(_: Path) -> None:
    with listening_socket("127.0.0.1", 0, 1) as taken:
        listening_socket("127.0.0.1", taken.getsockname()[1], 1)


@situation
def damaged_base64(_: Path) -> None:
    read_base64("abc!")


def said(folder: Path) -> Iterator[str]:
    for number, act in enumerate(SITUATIONS):
        own = folder / str(number)
        own.mkdir()
        try:
            yield str(act(own))
        except (ValueError, RuntimeError) as error:
            yield str(error)


def test_the_code_says_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    texts = list(said(tmp_path))
    assert len(ROWS) == len(texts) == PAGE.count("\n| `")
    patterns = [".*".join(map(re.escape, row.split("…"))) for row in ROWS]
    unsaid = [row for row, pattern in zip(ROWS, patterns, strict=True)
              if not any(re.search(pattern, text, re.DOTALL) for text in texts)]  # fmt: skip
    assert not unsaid, "\n".join(texts)
    missing = [text for text in texts if not any(re.search(pattern, text, re.DOTALL) for pattern in patterns)]
    assert not missing
