"""What the protocol changes: under a category protocol every image is an item, and the gallery may be the train split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from croquis.validation.quarantine import ValidationError
from tests.support.catalogues.planted_faults import new_row
from tests.support.stage_runs import Outcome

pytestmark = pytest.mark.usefixtures("no_data_docs")
Rows = list[dict[str, Any]]


@pytest.fixture
def run_shop(run_stage: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """The stage on a catalogue that has shop photos only."""
    return partial(run_stage, register__select_by="shop->shop/hit@1")


def category_rows(gallery: bool = False) -> Rows:
    """30 photos, each an item of its own, of three categories; val and test ask, and have a gallery of their own if told."""
    rows = []
    for number in range(30):
        split = "train" if number < 15 else "val" if number < 21 else "test"
        role = "train" if split == "train" else "gallery" if gallery and number % 6 > 2 else "query"
        category = ("coat", "dress", "skirt")[number % 3]
        rows.append(new_row(number, split=split, role=role, category=category))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["category", "cifar10_c"])
def test_single_photos_are_normal_and_train_is_the_gallery(run_shop: Callable[..., Outcome], protocol: str) -> None:
    outcome = run_shop(category_rows(), base__protocol=protocol)
    assert outcome.reasons == {}
    assert "single_image_items" not in {rule["rule"] for rule in outcome.report["rules"]}


@pytest.mark.slow
def test_the_same_rows_are_no_instance_catalogue(run_shop: Callable[..., Outcome]) -> None:
    with pytest.raises(ValidationError, match=r"15 of 30 images .*query_has_gallery 15"):
        run_shop(category_rows(), base__protocol="instance", validate__max_quarantine_share=0.1)
    with pytest.raises(ValidationError, match="single_image_items demands"):
        run_shop(category_rows(), base__protocol="instance")


@pytest.mark.slow
def test_a_query_needs_its_category_in_train(run_shop: Callable[..., Outcome]) -> None:
    rows = category_rows()
    rows[-1]["category"] = "scarf"
    outcome = run_shop(rows, base__protocol="category")
    assert outcome.reasons == {
        "planted/29": "query_has_gallery: category scarf has no other shop photo in the gallery of train"
    }


@pytest.mark.slow
def test_cifar10_a_searches_the_split_itself(run_shop: Callable[..., Outcome]) -> None:
    rows = category_rows(gallery=True)
    assert run_shop(rows, base__protocol="cifar10_a").reasons == {}
    rows[24]["category"] = "scarf"  # a query of test; scarves are in train only
    rows[0]["category"] = "scarf"
    outcome = run_shop(rows, base__protocol="cifar10_a")
    assert outcome.reasons == {
        "planted/24": "query_has_gallery: category scarf has no other shop photo in the gallery of test"
    }


@pytest.mark.slow
def test_distractors_answer_the_other_split_too(run_shop: Callable[..., Outcome]) -> None:
    rows = category_rows(gallery=True)
    rows[24]["category"] = rows[0]["category"] = "scarf"
    rows.append(new_row(30, split="val", role="gallery", category="scarf", also_gallery_of="test"))
    assert run_shop(rows, base__protocol="cifar10_a").reasons == {}


@pytest.mark.slow
def test_one_file_may_stand_under_two_items_but_not_two_categories(run_shop: Callable[..., Outcome]) -> None:
    rows = category_rows()
    rows[3]["image"] = rows[0]["image"]  # both coats
    rows[4]["image"] = rows[2]["image"]  # a dress and a skirt
    outcome = run_shop(rows, base__protocol="category")
    assert outcome.reasons == {
        "planted/2": "one_photo_two_labels: same bytes as planted/4 (category dress)",
        "planted/4": "one_photo_two_labels: same bytes as planted/2 (category skirt)",
    }


@pytest.mark.slow
def test_one_category_is_none(run_shop: Callable[..., Outcome]) -> None:
    rows = [row | {"category": "coat"} for row in category_rows()]
    with pytest.raises(ValidationError, match=r"two_categories demands.*found 1"):
        run_shop(rows, base__protocol="category")
