"""Garments, twins and shared prints, without drawing anything."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from croquis.sources.rendered.garments.categories import CATEGORIES
from croquis.sources.rendered.garments.garment import GROUPS, sample, vary, vocabulary
from croquis.sources.rendered.item_lineage import make_item, split_of
from croquis.sources.rendered.rendered_settings import Rendered

SEED = 5
PARAMS = Rendered(
    items=400,
    size=64,
    shop_views=["front"],
    consumer_photos=1,
    sketches=True,
    twin_share=0.3,
    shared_print_share=0.2,
    difficulty=1.0,
    lighting=1.0,
    val_share=0.2,
    test_share=0.2,
)


@pytest.fixture(scope="module")
def items():
    return [make_item(PARAMS, SEED, number) for number in range(400)]


def by_group(labels: list[str]) -> dict[str, str]:
    return dict(label.split(":") for label in labels)


@pytest.mark.slow
def test_at_least_ten_categories_are_drawn(items):
    assert len({item.garment.category for item in items}) >= 10


def test_at_least_forty_labels_are_drawn(items):
    seen = {label for item in items for label in item.garment.attributes()}
    assert len(seen) >= 40
    assert seen <= set(vocabulary())


def test_shares_of_twins_and_prints_are_near_the_params(items):
    twins = sum(item.twin_of is not None for item in items) / len(items)
    prints = sum(item.print_of is not None for item in items) / len(items)
    assert 0.22 < twins < 0.36
    assert 0.12 < prints < 0.26


def test_a_twin_differs_from_its_source_in_exactly_one_attribute_group(items):
    twins = [item for item in items if item.twin_of is not None]
    for twin in twins:
        source = items[twin.twin_of]
        own, other = by_group(twin.garment.attributes()), by_group(source.garment.attributes())
        assert own.keys() == other.keys()
        assert [group for group in own if own[group] != other[group]] == [twin.varied]
        assert twin.garment.category == source.garment.category
        assert twin.garment.shape == source.garment.shape
    assert len({twin.varied for twin in twins}) >= 6


def test_sources_are_earlier_originals_of_the_same_split(items):
    for item in items:
        source = item.twin_of if item.twin_of is not None else item.print_of
        if source is not None:
            assert source < item.number
            assert items[source].split == item.split
            assert items[source].twin_of is None
            assert items[source].print_of is None


def test_a_shared_print_has_the_cloth_of_its_source_and_fits_its_category(items):
    for item in items:
        if item.print_of is not None:
            source = items[item.print_of].garment
            assert (item.garment.print, item.garment.colour, item.garment.accent) == (
                source.print,
                source.colour,
                source.accent,
            )
            assert item.garment.pattern in CATEGORIES[item.garment.category].pattern


def test_splits_have_about_the_asked_shares():
    counts = Counter(split_of(PARAMS, SEED, number) for number in range(5000))
    assert abs(counts["test"] / 5000 - 0.2) < 0.03
    assert abs(counts["val"] / 5000 - 0.2) < 0.03


def test_no_twins_when_none_are_asked_for():
    alone = PARAMS.model_copy(update={"twin_share": 0.0, "shared_print_share": 0.0})
    assert all(make_item(alone, SEED, n).twin_of is None for n in range(100))


def test_every_value_of_every_category_can_be_varied_to():
    rng = np.random.default_rng(0)
    for _ in range(200):
        garment = sample(rng)
        for group in GROUPS:
            if group != "pattern" and len(garment.spec.choices(group)) > 1:
                changed = vary(garment, group, rng)
                assert getattr(changed, group) != getattr(garment, group)
                assert getattr(changed, group) in garment.spec.choices(group)
