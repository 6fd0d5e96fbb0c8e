"""The map in closed form against what it must do: whiten, tell items apart, and be the same however it is fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from croquis.nets.linear_map import LinearMap
from lightning_modules.maps.closed_form import (
    ALL_LABELS,
    LabelledVectors,
    MapSettings,
    PrincipalComponents,
    candidates,
    scaled,
    shortened,
)

ITEMS, PHOTOS, DIM = 40, 6, 12


def train(seed: int = 0) -> LabelledVectors:
    """Items that differ in the first three numbers only; photos of one item differ in the others, far more."""
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(ITEMS), PHOTOS)
    vectors = rng.normal(size=(len(items), DIM)) * np.r_[np.full(3, 0.03), np.full(DIM - 3, 1.0)]
    vectors[:, :3] += rng.normal(size=(ITEMS, 3))[items]
    return LabelledVectors((vectors + 5).astype(np.float32), items, np.arange(len(items)) % PHOTOS == 0)


def fit_map(data: LabelledVectors, settings: MapSettings) -> LinearMap:
    return PrincipalComponents(data.vectors).fit(data, [settings])[0]


def hit_at_1(vectors: np.ndarray, items: np.ndarray) -> float:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return float((items[cosines.argmax(axis=1)] == items).mean())


@pytest.mark.parametrize("centre", ["item", "shop"])
def test_within_item_takes_off_what_photos_of_one_item_differ_in(centre: str) -> None:
    fitted, unseen = train(0), train(1)
    plain = hit_at_1(unseen.vectors / np.linalg.norm(unseen.vectors, axis=1, keepdims=True), unseen.items)
    mapped = fit_map(fitted, MapSettings("within_item", DIM, 0.001, centre)).apply(unseen.vectors)
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)
    assert plain < 0.3 < 0.9 < hit_at_1(mapped, unseen.items)


def test_a_shortened_map_keeps_what_tells_items_apart() -> None:
    """Three components of the photos themselves are what photos of one item differ in."""
    fitted, unseen = train(0), train(1)
    plain = fit_map(fitted, MapSettings("within_item", 3, 0.001))
    longer = fit_map(fitted, MapSettings("within_item", DIM, 0.001))
    shorter = LinearMap(shortened(longer.matrix, fitted.vectors, 3))
    assert shorter.matrix.shape == (DIM + 1, 3)
    found = [hit_at_1(each.apply(unseen.vectors), unseen.items) for each in (plain, shorter)]
    assert found[0] < 0.3 < 0.7 < found[1]


def test_within_item_is_the_formula() -> None:
    """y = S'^(-1/2) V^T (x - mean), by loops over the items."""
    data = train()
    centred = data.vectors - data.vectors.mean(axis=0, dtype=np.float64)
    basis = np.linalg.svd(centred, full_matrices=False)[2][:8].T
    scatter = np.zeros((8, 8))
    for item in range(ITEMS):
        own = (centred @ basis)[data.items == item]
        own = own - own.mean(axis=0)
        scatter += own.T @ own / len(own)
    scatter /= ITEMS
    shrunk = scatter + 0.1 * 5 * np.trace(scatter) / 8 * np.eye(8)
    values, vectors = np.linalg.eigh(shrunk)
    expected = centred @ basis @ (vectors / np.sqrt(values) @ vectors.T)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    mapped = fit_map(data, MapSettings("within_item", 8, 0.1)).apply(data.vectors)
    np.testing.assert_allclose(mapped @ mapped.T, expected @ expected.T, atol=1e-4)


def labelled() -> LabelledVectors:
    """Each item is a category; a third of the items bears an attribute, all of them another, none a third one."""
    data = train()
    worn = np.stack([data.items % 3 == 0, data.items >= 0, data.items < 0], axis=1)
    return replace(data, labels={"category": data.items[:, None] == np.arange(ITEMS), "attributes": worn})


@pytest.mark.parametrize(("kind", "columns"), [("category", ITEMS), ("attributes", 1), (ALL_LABELS, ITEMS + 1)])
def test_labels_is_the_ridge_regression(kind: str, columns: int) -> None:
    """(C + shrinkage * tr(C) / D * I)^-1 times the covariance with the targets, without principal components."""
    data = labelled()
    labels = {"category": data.labels["category"], "attributes": data.labels["attributes"][:, :1]}
    told = np.hstack(list(labels.values())) if kind == ALL_LABELS else labels[kind]
    share = told.mean(axis=0)
    targets = np.where(told, (1 - share) / np.sqrt(share), -np.sqrt(share))
    centred = data.vectors - data.vectors.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred / len(centred)
    damped = covariance + 0.1 * np.trace(covariance) / DIM * np.eye(DIM)
    expected = centred @ np.linalg.solve(damped, centred.T @ targets / len(centred))
    linear = fit_map(data, MapSettings("labels", 100, 0.1, labels=kind))
    assert linear.dim == columns
    np.testing.assert_allclose(data.vectors @ linear.matrix[:-1] + linear.matrix[-1], expected, atol=1e-4)


def test_more_labels_than_numbers_are_told_by_their_principal_components() -> None:
    """Forty labels depend on the twelve numbers of the vectors: twelve numbers compare them as forty do."""
    data = labelled()
    long, short = (fit_map(data, MapSettings("labels", dim, 0.1)).apply(data.vectors) for dim in (100, DIM))
    assert short.shape[1] == DIM
    np.testing.assert_allclose(short @ short.T, long @ long.T, atol=1e-4)


def test_pca_divides_by_the_variance_to_a_quarter() -> None:
    data = train()
    linear = fit_map(data, MapSettings("pca", DIM))
    mapped = data.vectors @ linear.matrix[:-1].astype(np.float64) + linear.matrix[-1]
    variance = np.linalg.eigvalsh(np.cov(data.vectors.T.astype(np.float64), bias=True))[::-1]
    np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(mapped.var(axis=0), np.sqrt(variance), rtol=1e-3)


def test_dim_is_what_the_images_span() -> None:
    few = train()
    few = LabelledVectors(few.vectors[:5], few.items[:5], few.shop[:5])
    assert fit_map(few, MapSettings("pca", 100)).dim == 4
    assert fit_map(few, MapSettings("within_item", 100, 0.1)).dim == 4


def test_labels_decide_on_the_candidates() -> None:
    data = train()
    alone = LabelledVectors(data.vectors, np.arange(len(data.items)), data.shop)
    one_domain = LabelledVectors(data.vectors, data.items, np.ones(len(data.items), dtype=bool))
    kinds = [
        {(settings.kind, settings.centre) for settings in candidates(of, [4, 8], [0.1, 0.3])}
        for of in (data, one_domain, alone)
    ]
    assert kinds[0] == {("pca", "item"), ("within_item", "item"), ("within_item", "shop")}
    assert kinds[1] == {("pca", "item"), ("within_item", "item")}
    assert kinds[2] == {("pca", "item")}
    assert len(list(candidates(data, [4, 8, 8], [0.1, 0.3]))) == 10
    of_labels = [each for each in candidates(labelled(), [4, 8], [0.1, 0.3]) if each.kind == "labels"]
    assert {(each.labels, each.dim) for each in of_labels} == {("category", 8), ("attributes", 8), (ALL_LABELS, 8)}
    with pytest.raises(ValueError, match="choose the map pca"):
        fit_map(alone, MapSettings("within_item", 4, 0.1))


@pytest.mark.parametrize("held", [True, False])
def test_labels_that_all_images_have_or_none_make_no_map(held: bool) -> None:
    """A table whose one attribute is the same everywhere, or stands in no row of train."""
    same = np.full((ITEMS * PHOTOS, 2), held)
    given = replace(labelled(), labels={"category": labelled().labels["category"], "attributes": same})
    wanted = list(candidates(given, [4], [0.1]))
    assert [each.labels for each in wanted if each.kind == "labels"] == ["category"]
    assert all(each.dim > 0 for each in PrincipalComponents(given.vectors).fit(given, wanted))


def test_fewer_images_than_numbers_give_the_same_map_in_less_time() -> None:
    """The components come from the smaller of two matrices; vectors with zeros behind them have the same map."""
    data = train()
    wide = LabelledVectors(np.pad(data.vectors, ((0, 0), (0, 400))), data.items, data.shop)
    for settings in (MapSettings("pca", 8), MapSettings("within_item", 8, 0.1)):
        expected, found = fit_map(data, settings), fit_map(wide, settings)
        np.testing.assert_allclose(found.apply(wide.vectors), expected.apply(data.vectors), atol=1e-4)


def test_a_map_of_weighted_numbers_takes_them_without_the_weights() -> None:
    data, weights = train(), np.linspace(0, 3, DIM, dtype=np.float32)
    weighted = LabelledVectors(data.vectors * weights, data.items, data.shop)
    fitted = fit_map(weighted, MapSettings("within_item", 8, 0.1))
    found = scaled(fitted.matrix, weights).apply(data.vectors)
    np.testing.assert_allclose(found, fitted.apply(weighted.vectors), atol=1e-5)
