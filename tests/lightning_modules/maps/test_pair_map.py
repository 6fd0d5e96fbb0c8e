"""The map of two sides: against its formula, and that it finds what pairs have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lightning_modules.maps import pair_map
from lightning_modules.maps.pair_map import Pairs, choose_pair_map, reciprocal_rank, rotated

WEIGHTS = (0.0,)


def made_up(items: int = 60, dim: int = 40, shared: int = 8, seed: int = 0) -> Pairs:
    """Photos and drawings of items: `shared` numbers tell the item, the others are loud and each side's own."""
    rng = np.random.default_rng(seed)
    of_item = rng.normal(size=(items, shared))

    def side(offset: float) -> np.ndarray:
        loud = rng.normal(size=(items, dim - shared)) * 4
        seen = of_item + rng.normal(size=(items, shared)) * 0.05
        return np.asarray(np.hstack([seen, loud]) + offset, dtype=np.float32)

    none = np.zeros((items, 1), dtype=np.float32)
    return Pairs(side(3.0), side(-5.0), side(3.0), side(-5.0), (none, none), np.arange(items), np.arange(items))


def test_it_finds_the_pair_that_plain_vectors_do_not() -> None:
    pairs, asked = made_up(), made_up(seed=1)
    plain = reciprocal_rank(asked.drawings @ asked.photos.T, asked)
    found = choose_pair_map(pairs, [40], [0.0001, 0.1], WEIGHTS, 3, False)
    mapped = found.drawings.apply(asked.drawings) @ found.photos.apply(asked.photos).T
    assert reciprocal_rank(mapped, asked) > 0.9 > 0.3 > plain
    assert found.score > 0.9
    np.testing.assert_array_equal(found.matrix[:-1], found.photos.matrix)
    np.testing.assert_array_equal(found.matrix[-1], found.drawings.matrix[-1])


@pytest.mark.parametrize("dim", [40, 400])
def test_the_map_is_its_formula(dim: int) -> None:
    """Also where there are more numbers than pairs, and the fit is made in what those span."""
    pairs, shrinkage, kept = made_up(items=30, dim=dim), 0.1, 12
    found = choose_pair_map(pairs, [kept], [shrinkage], WEIGHTS, 0, True)
    drawn, seen = (side.astype(np.float64) for side in pairs.sides)
    drawn, seen = drawn - drawn.mean(axis=0), seen - seen.mean(axis=0)
    _, _, components = np.linalg.svd(np.vstack([drawn, seen]), full_matrices=False)
    within = (drawn - seen) @ components[:kept].T
    scatter = within.T @ within
    values, vectors = np.linalg.eigh(scatter / (np.trace(scatter) / kept) + shrinkage * 5 * np.eye(kept))
    root = vectors / np.sqrt(values) @ vectors.T
    expected = drawn[: len(pairs)] @ components[:kept].T @ root
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    mapped = found.drawings.apply(pairs.drawings)
    np.testing.assert_allclose(mapped @ mapped.T, expected @ expected.T, atol=2e-3)  # the basis is free to turn


def test_the_weight_of_the_descriptors_is_chosen_too() -> None:
    pairs = made_up(shared=1)
    telling = np.eye(len(pairs), dtype=np.float32)
    pairs = replace(pairs, descriptors=(telling, telling))
    found = choose_pair_map(pairs, [20], [0.1], [0.0, 0.6], 0, False)
    assert found.settings.descriptor_weight == 0.6
    assert found.score == 1.0


def test_coordinates_of_the_span_keep_every_product() -> None:
    pairs = made_up(items=10, dim=300)
    small, basis = rotated(pairs, 1000)
    assert small.drawings.shape[1] == basis.shape[1] <= 40
    np.testing.assert_allclose(small.drawings @ small.photos.T, pairs.drawings @ pairs.photos.T, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(small.drawings @ basis.T, pairs.drawings, atol=1e-3)


def test_of_many_pairs_a_part_spans_the_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide vectors of few strong directions: a fifth of them, and not all of their span, give nearly the same map."""
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(120, 40)))[0].T.astype(np.float32)
    pairs = made_up(items=60)
    views = (pairs.drawings, pairs.photos, pairs.mirrored_drawings, pairs.mirrored_photos)
    noise = np.random.default_rng(3).normal(size=(4, 60, 120)).astype(np.float32) * 0.01
    faint = [view @ turn + own for view, own in zip(views, noise, strict=True)]
    wide = Pairs(*faint, pairs.descriptors, pairs.items, pairs.labels)
    whole = choose_pair_map(wide, [40], [0.001], WEIGHTS, 0, False)
    monkeypatch.setattr(pair_map, "SPANNING", 60)
    monkeypatch.setattr(pair_map, "SPANNED", 45)
    part = choose_pair_map(wide, [20, 40], [0.001], WEIGHTS, 0, False)
    small, basis = rotated(wide, 45)
    assert (small.photos.shape, basis.shape) == ((60, 45), (120, 45))
    assert part.photos.inputs == 120
    assert part.score > whole.score - 0.05
    assert whole.score > 0.9


def test_too_few_items_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs of 6 train items, there are 4"):
        choose_pair_map(made_up(items=4), [8], [0.1], WEIGHTS, 0, False)


def test_photos_of_one_item_do_not_compete() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.9, 0.2, 0.3]], dtype=np.float32)
    pairs = labelled([0, 0, 1], [0, 0, 1])
    assert reciprocal_rank(scores, pairs) == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_where_categories_count_the_photo_that_was_drawn_is_no_answer() -> None:
    scores = np.array([[0.9, 0.3, 0.4], [0.2, 0.9, 0.1], [0.5, 0.6, 0.9]], dtype=np.float32)
    pairs = labelled([0, 1, 2], [7, 7, 8])
    assert reciprocal_rank(scores, pairs) == pytest.approx((1 / 2 + 1) / 2)  # nothing can answer the third


def labelled(items: list[int], labels: list[int]) -> Pairs:
    none = np.zeros((len(items), 1), dtype=np.float32)
    return Pairs(none, none, none, none, (none, none), np.array(items), np.array(labels))


def kinds(seed: int) -> Pairs:
    """80 pairs of four kinds; drawings and photos of one kind have 3 of 40 numbers in common, each pair many more."""
    rng = np.random.default_rng(seed)
    labels = np.arange(80) % 4
    own = rng.normal(size=(80, 40))
    own[:, :3] += 2 * np.random.default_rng(99).normal(size=(4, 3))[labels]

    def side() -> np.ndarray:
        return np.asarray(own + rng.normal(size=own.shape) * 0.3, dtype=np.float32)

    none = np.zeros((80, 1), dtype=np.float32)
    return Pairs(side(), side(), side(), side(), (none, none), np.arange(80), labels)


def test_labels_stand_behind_the_map_by_their_formula() -> None:
    pairs = kinds(0)
    plain = choose_pair_map(pairs, [20], [0.1], WEIGHTS, 0, False)
    found = choose_pair_map(pairs, [20], [0.1], WEIGHTS, 0, False, [0.36])
    assert (found.photos.labels, found.photos.dim, found.settings.label_weight) == (4, 24, 0.36)
    views = [plain.drawings.apply(side) for side in (pairs.drawings, pairs.mirrored_drawings)]
    views += [plain.photos.apply(side) for side in (pairs.photos, pairs.mirrored_photos)]
    seen = np.vstack(views).astype(np.float64)
    targets = np.where(np.tile(pairs.labels, 4)[:, None] == np.arange(4), 0.75 / 0.5, -0.5)  # a quarter each
    inner = seen.T @ seen / len(seen)
    damped = inner + pair_map.LABEL_SHRINKAGE * np.trace(inner) / 20 * np.eye(20)
    regression = np.linalg.solve(damped, seen.T @ targets / len(seen))
    asked = kinds(1).drawings
    expected = plain.drawings.apply(asked).astype(np.float64) @ regression
    expected *= 0.6 / np.linalg.norm(expected, axis=1, keepdims=True)
    mapped = found.drawings.apply(asked)
    np.testing.assert_allclose(mapped[:, 20:], expected, atol=1e-4)
    np.testing.assert_allclose(mapped[:, :20], 0.8 * plain.drawings.apply(asked), atol=1e-5)


def test_the_share_of_the_labels_is_chosen_where_they_help() -> None:
    assert choose_pair_map(kinds(0), [20], [0.1], WEIGHTS, 0, False, [0.0, 0.5]).settings.label_weight == 0.5
    alone = replace(kinds(0), labels=np.zeros(80, dtype=np.int64))
    assert choose_pair_map(alone, [20], [0.1], WEIGHTS, 0, False, [0.5]).photos.labels == 0  # one label tells nothing
