"""A map for two sides of one thing, drawings and photos, in closed form from pairs of them.

With x the vectors of both, each side's own mean taken off, V their principal components, and S the scatter of the
differences within pairs, both mapped by V (Hatch, Kajarekar & Stolcke, Interspeech 2006, with a pair in the place of a
class):

    y = S'^(-1/2) V^T (x - mean of its side),    S' = S + shrinkage * 5 * tr(S) / d * I.

What tells a drawing from the photo that it shows loses its weight; the sides differ in their offset alone.

Behind y may stand the ridge regression of the labels, by which photos of one label come nearer whatever their lines are.
With t_l = (1 - f_l) / sqrt(f_l) for a pair with label l and -sqrt(f_l) for one without, f_l the label's share of the pairs,
and A = mean(y y^T) over drawings, photos and both mirrored, all of length 1,

    z = (A + LABEL_SHRINKAGE * tr(A) / d * I)^-1 mean(y t^T)^T y.

y and z, each of length 1, are weighted in the similarity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.nets.linear_map import LinearMap
from lightning_modules.maps.closed_form import Matrix, PrincipalComponents, inverse_root, scatter_in

FOLDS = 3
LABEL_SHRINKAGE = 1.0
SPANNING = 2400  # vectors that principal components are sought among; more would take minutes
SPANNED = 1000
Rows = npt.NDArray[np.int64]


class Shown(Protocol):
    """What pairs show."""

    @property
    def items(self) -> Rows:
        """(N,) number of the item that a pair shows."""
        ...

    @property
    def labels(self) -> Rows:
        """(N,) what a right answer shares with a query."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Vectors of drawings and of the photos that they show, row for row.

    Attributes:
        drawings, photos: (N, D).
        mirrored_drawings, mirrored_photos: (N, D), of the flipped pictures.
        descriptors: of drawings and of photos, (N, E) each: what else they are compared by.
        items: (N,) number of the item that a pair shows.
        labels: (N,) what a right answer shares with a drawing: `items`, or its category.
    """

    drawings: Vectors
    photos: Vectors
    mirrored_drawings: Vectors
    mirrored_photos: Vectors
    descriptors: tuple[Vectors, Vectors]
    items: Rows
    labels: Rows

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: Rows) -> Pairs:
        drawn, seen = self.descriptors
        return Pairs(
            self.drawings[rows],
            self.photos[rows],
            self.mirrored_drawings[rows],
            self.mirrored_photos[rows],
            (drawn[rows], seen[rows]),
            self.items[rows],
            self.labels[rows],
        )

    @property
    def sides(self) -> tuple[Vectors, Vectors]:
        """Drawings and photos, (2N, D) each, the mirrored ones below the others."""
        drawn = np.vstack([self.drawings, self.mirrored_drawings])
        return drawn, np.vstack([self.photos, self.mirrored_photos])


@dataclass(frozen=True)
class PairSettings:
    """`dim` numbers per vector, `shrinkage` of the scatter, the share of the descriptors in the similarity, and that of the
    labels in what is left."""

    dim: int
    shrinkage: float
    descriptor_weight: float
    label_weight: float = 0.0


@dataclass(frozen=True)
class ChosenMaps:
    """The maps of both sides with the settings that were best on pairs left out, and the score there."""

    photos: LinearMap
    drawings: LinearMap
    settings: PairSettings
    score: float

    @property
    def matrix(self) -> Vectors:
        """As `LinearMap.open_sides` reads it."""
        return np.vstack([self.photos.matrix, self.drawings.matrix[-1:]])


def choose_pair_map(
    pairs: Pairs,
    dims: Sequence[int],
    shrinkages: Sequence[float],
    weights: Sequence[float],
    seed: int,
    mirrored: bool,
    label_weights: Sequence[float] = (0.0,),
) -> ChosenMaps:
    """Fits on all pairs what was best on `FOLDS` parts of the items, each asked by a map of the others.

    The score is the mean reciprocal rank of the first right photo of a drawing among the photos of the part; where
    categories count, the photo that the drawing shows is no answer, as in an evaluation.

    Args:
        pairs: that were seen.
        dims, shrinkages, weights, label_weights: that are tried, each with each; see `PairSettings`.
        seed: of the parts.
        mirrored: whether the cosines of the mirrored pictures count, too.

    Raises:
        ValueError: when fewer than `2 * FOLDS` items have a pair.
    """
    items = np.unique(pairs.items)
    if len(items) < 2 * FOLDS:
        raise ValueError(f"a map of drawings and photos needs pairs of {2 * FOLDS} train items, there are {len(items)}")
    small, basis = rotated(pairs, max(SPANNED, 2 * max(dims)))
    wanted = [(dim, shrinkage) for dim in sorted(set(dims)) for shrinkage in shrinkages]
    scores: dict[PairSettings, list[float]] = {}
    for known, asked in _folds(small, items, seed):
        components = PairComponents(known)
        for dim, shrinkage in wanted:
            sides = components.fit(dim, shrinkage)
            others = asked.descriptors[0] @ asked.descriptors[1].T
            for label_weight in label_weights:
                mapped = _cosines(asked, *with_labels(*sides, known, label_weight), mirrored)
                for weight in weights:
                    settings = PairSettings(dim, shrinkage, weight, label_weight)
                    figure = reciprocal_rank((1 - weight) * mapped + weight * others, asked)
                    scores.setdefault(settings, []).append(figure)
    best = max(scores, key=lambda settings: float(np.mean(scores[settings])))
    sides = with_labels(*PairComponents(small).fit(best.dim, best.shrinkage), small, best.label_weight)
    photos, drawings = (_unrotated(each, basis) for each in sides)
    return ChosenMaps(photos, drawings, best, float(np.mean(scores[best])))


def _cosines(asked: Pairs, photos: LinearMap, drawings: LinearMap, mirrored: bool) -> Vectors:
    """Of each drawing (row) with each photo (column)."""
    mapped = drawings.apply(asked.drawings) @ photos.apply(asked.photos).T
    if mirrored:
        mapped += drawings.apply(asked.mirrored_drawings) @ photos.apply(asked.mirrored_photos).T
        mapped /= 2
    return mapped


def with_labels(photos: LinearMap, drawings: LinearMap, pairs: Pairs, weight: float) -> tuple[LinearMap, LinearMap]:
    """Maps that tell the labels of pairs, too; as they are where the weight is 0 or all pairs have one label."""
    places = np.unique(pairs.labels, return_inverse=True)[1]
    shares = np.bincount(places) / len(places)
    if not weight or len(shares) < 2:
        return photos, drawings
    seen = [drawings.apply(side) for side in (pairs.drawings, pairs.mirrored_drawings)]
    seen += [photos.apply(side) for side in (pairs.photos, pairs.mirrored_photos)]
    mapped = np.vstack(seen).astype(np.float64)
    together = np.zeros((len(shares), mapped.shape[1]))
    np.add.at(together, np.tile(places, len(seen)), mapped)
    told = (together.T / shares - mapped.sum(axis=0)[:, None]) * np.sqrt(shares) / len(mapped)
    inner = mapped.T @ mapped / len(mapped)
    damped = inner + LABEL_SHRINKAGE * np.trace(inner) / len(inner) * np.eye(len(inner))
    regression = np.linalg.solve(damped, told)
    matrices = (np.hstack([side.matrix, side.matrix @ regression]) for side in (photos, drawings))
    of_photos, of_drawings = (LinearMap(each.astype(np.float32), len(shares), weight) for each in matrices)
    return of_photos, of_drawings


class PairComponents:
    """The principal components of both sides, fitted once for maps of several settings."""

    def __init__(self, pairs: Pairs) -> None:
        drawn, seen = pairs.sides
        self.means = seen.mean(axis=0, dtype=np.float64), drawn.mean(axis=0, dtype=np.float64)
        centred = np.vstack([drawn - self.means[1], seen - self.means[0]])
        self.basis: Matrix = PrincipalComponents(centred).basis
        self.differences: Matrix = (drawn - self.means[1]) - (seen - self.means[0])

    def fit(self, dim: int, shrinkage: float) -> tuple[LinearMap, LinearMap]:
        """Of photos and of drawings; `dim` is lowered to what the pairs span."""
        basis = self.basis[:, :dim]
        matrix = basis @ inverse_root(scatter_in(self.differences, basis), shrinkage)
        photos, drawings = (np.vstack([matrix, -mean @ matrix]).astype(np.float32) for mean in self.means)
        return LinearMap(photos), LinearMap(drawings)


def rotated(pairs: Pairs, kept: int) -> tuple[Pairs, Matrix]:
    """The pairs in the coordinates of the few dimensions that they span, and the basis (D, r) of those.

    Of many pairs the basis is that of `SPANNING` vectors, evenly chosen, and no more than `kept` of its dimensions, those
    of the largest values: a map takes fewer principal components than that.
    """
    views = (pairs.drawings, pairs.mirrored_drawings, pairs.photos, pairs.mirrored_photos)
    count, numbers = 4 * len(pairs), pairs.drawings.shape[1]
    if numbers <= min(count, kept):
        return pairs, np.eye(numbers)
    step = -(-count // SPANNING)
    chosen = np.vstack([view[::step] for view in views]).astype(np.float64)
    values, vectors = np.linalg.eigh(chosen @ chosen.T)
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    held = values > values[0] * 1e-9
    basis = chosen.T @ (vectors[:, held] / np.sqrt(values[held]))
    drawings, mirrored_drawings, photos, mirrored_photos = (view @ basis.astype(np.float32) for view in views)
    others = (pairs.descriptors, pairs.items, pairs.labels)
    return Pairs(drawings, photos, mirrored_drawings, mirrored_photos, *others), basis


def reciprocal_rank(scores: Vectors, pairs: Shown) -> float:
    """Mean over drawings (rows) of 1 / rank of the first photo (columns) of the same label, of those drawings that have one;
    photos of the drawing's own item are left out where labels are more than items."""
    right = pairs.labels[:, None] == pairs.labels[None, :]
    own = pairs.items[:, None] == pairs.items[None, :]
    if not np.array_equal(right, own):
        right, scores = right & ~own, np.where(own, -np.inf, scores)
    asked = right.any(axis=1)
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((scores > best) & ~right).sum(axis=1)
    return float(np.mean(1 / ranks[asked])) if asked.any() else 0.0


def _folds(pairs: Pairs, items: Rows, seed: int) -> Iterator[tuple[Pairs, Pairs]]:
    """Pairs to fit on and query pairs, split by items."""
    mixed = np.random.default_rng(seed).permutation(items)
    for part in range(FOLDS):
        asked = np.isin(pairs.items, mixed[part::FOLDS])
        yield pairs.take(np.flatnonzero(~asked)), pairs.take(np.flatnonzero(asked))


def _unrotated(linear: LinearMap, basis: Matrix) -> LinearMap:
    matrix = linear.matrix.astype(np.float64)
    found = np.vstack([basis @ matrix[:-1], matrix[-1:]]).astype(np.float32)
    return LinearMap(found, linear.labels, linear.label_weight)
