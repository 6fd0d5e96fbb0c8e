"""A linear map behind a float encoder, fitted in closed form on the train split and chosen on val.

`pca`: the principal components of the train vectors, divided by their variance to a power (0.25: halfway to whitening).
`within_item`: principal components, then within-class covariance normalisation (Hatch, Kajarekar & Stolcke, "Within-class
covariance normalization for SVM-based speaker recognition", Interspeech 2006): with S the mean over items of the scatter
of their vectors around the item's centre,

    y = S'^(-1/2) V^T (x - mean),    S' = S + shrinkage * 5 * tr(S) / d * I.

The centre is the mean of the item's vectors, or that of its shop photos where the photos come from two domains.

`labels`: ridge regression of the labels, for a search whose right answers share labels that train has. With L the
variances of the principal components, and t_l = (1 - f_l) / sqrt(f_l) for an image with label l and -sqrt(f_l) for one
without, f_l the label's share of the images,

    y = W^T V^T (x - mean),    W = (L + shrinkage * tr(L) / d * I)^-1 V^T mean((x - mean) t^T).

Its vector has a number per label; where these are more than `dim`, their own principal components take their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.nets.linear_map import LinearMap

Matrix = npt.NDArray[np.float64]
PCA_POWER = 0.25
Centre = Literal["item", "shop"]
Labels = npt.NDArray[np.bool_]
ALL_LABELS = "all"


@dataclass(frozen=True)
class MapSettings:
    """One map: `dim` numbers per vector, of `labels` at most; `shrinkage` of all but `pca`; `centre` of `within_item`, and
    `labels`, a key of `LabelledVectors.labels` or `all` of them, of the kind `labels` only."""

    kind: Literal["pca", "within_item", "labels"]
    dim: int
    shrinkage: float = 0.0
    centre: Centre = "item"
    labels: str = ALL_LABELS


@dataclass(frozen=True)
class LabelledVectors:
    """Vectors of the train split.

    Attributes:
        vectors: float32 (N, D).
        items: (N,) number of each image's item.
        shop: (N,) whether it is a shop photo.
        labels: kind of label -> (N, L), which image has which; nothing where no map of labels is asked for.
    """

    vectors: Vectors
    items: npt.NDArray[np.int64]
    shop: npt.NDArray[np.bool_]
    labels: Mapping[str, Labels] = field(default_factory=dict)


class PrincipalComponents:
    """Of float32 (N, D) vectors, largest variance first; fitted once for maps of several settings."""

    def __init__(self, vectors: Vectors) -> None:
        self.mean: Matrix = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - self.mean
        count, numbers = centred.shape
        if count < numbers:  # the same components from the smaller matrix of inner products between images
            values, left = np.linalg.eigh(centred @ centred.T / count)
        else:
            values, left = np.linalg.eigh(centred.T @ centred / count)
        kept = values[::-1] > max(values[-1], 0.0) * 1e-9
        self.variance: Matrix = values[::-1][kept]
        basis = left[:, ::-1][:, kept]
        if count < numbers:
            basis = centred.T @ basis / np.sqrt(self.variance * count)
        self.basis: Matrix = _one_sign(basis)

    def fit(self, train: LabelledVectors, wanted: Sequence[MapSettings]) -> list[LinearMap]:
        """The maps of all `wanted`; each `dim` is lowered to what N images and D numbers can span.

        Raises:
            ValueError: for `within_item` when no item has two images (of `centre: shop`: one beside a shop photo).
        """
        spectra: dict[tuple[Centre, int], tuple[Matrix, Matrix]] = {}
        found = []
        for settings in wanted:
            dim = min(settings.dim, len(self.variance))
            basis = self.basis[:, :dim]
            if settings.kind == "pca":
                matrix = basis / self.variance[:dim] ** PCA_POWER
            elif settings.kind == "labels":
                matrix = self._regression(train, settings)
            else:
                key = settings.centre, dim
                if key not in spectra:
                    spectra[key] = spectrum(scatter_in(_differences(train, settings.centre), basis))
                matrix = basis @ root_of(*spectra[key], settings.shrinkage)
            found.append(LinearMap(np.vstack([matrix, -self.mean @ matrix]).astype(np.float32)))
        return found

    def _regression(self, train: LabelledVectors, settings: MapSettings) -> Matrix:
        """(D, labels or `dim`)."""
        kinds = list(train.labels) if settings.labels == ALL_LABELS else [settings.labels]
        labels = np.hstack([train.labels[kind] for kind in kinds])
        told = _telling(labels)
        targets = labels[:, told] / np.sqrt(labels[:, told].mean(axis=0))
        together = (train.vectors - self.mean).T @ targets / len(labels)
        damped = self.variance + settings.shrinkage * self.variance.mean()
        weights: Matrix = (self.basis.T @ together) / damped[:, None]
        if weights.shape[1] > settings.dim:
            spread = (weights * self.variance[:, None]).T @ weights
            weights = weights @ _one_sign(np.linalg.eigh(spread)[1][:, ::-1][:, : settings.dim])
        matrix: Matrix = self.basis @ weights
        return matrix


def scaled(matrix: Vectors, scale: Vectors) -> LinearMap:
    """The map of x for one, (D + 1, d), that was fitted on x * scale; scale (D,)."""
    return LinearMap(np.vstack([matrix[:-1] * scale[:, None], matrix[-1:]]).astype(np.float32))


def shortened(matrix: Vectors, train: Vectors, dim: int) -> Vectors:
    """The first principal components of what a map gives.

    Of `within_item` they are those of linear discriminant analysis: the directions in which items differ most, measured by
    how much photos of one item do. As few principal components of the photos themselves would be mostly what items have in
    common.

    Args:
        matrix: (D + 1, d), as `LinearMap` has it, with d >= dim.
        train: (N, D) vectors that it was fitted on.

    Returns:
        (D + 1, dim).
    """
    mapped = train @ matrix[:-1] + matrix[-1]
    basis = np.linalg.eigh(mapped.T.astype(np.float64) @ mapped)[1][:, ::-1][:, :dim]
    return np.asarray(matrix @ _one_sign(basis), dtype=np.float32)


def candidates(train: LabelledVectors, dims: Sequence[int], shrinkages: Sequence[float]) -> Iterator[MapSettings]:
    """The settings that the labels allow: `within_item` wants items of several images, `labels` one that some images have
    and others lack."""
    kinds = [kind for kind, labels in train.labels.items() if _telling(labels).any()]
    for each in [*kinds, *([ALL_LABELS] if len(kinds) > 1 else [])]:
        yield from (MapSettings("labels", max(dims), shrinkage, labels=each) for shrinkage in shrinkages)
    for dim in sorted(set(dims)):
        yield MapSettings("pca", dim)
        for centre in ("item", "shop"):
            if len(_differences(train, centre, refuse=False)):
                yield from (MapSettings("within_item", dim, shrinkage, centre) for shrinkage in shrinkages)


def _telling(labels: Labels) -> Labels:
    """Which of labels (N, L) tell something: what all images have, or none, does not; (L,)."""
    return np.asarray(labels.any(axis=0) & ~labels.all(axis=0))


def _differences(train: LabelledVectors, centre: Centre, refuse: bool = True) -> Matrix:
    """Of the vectors to their item's centre, weighted so that each item counts once; (M, D)."""
    counted = np.ones(len(train.items), dtype=bool) if centre == "item" else train.shop
    items = int(train.items.max(initial=-1)) + 1
    counts = np.bincount(train.items[counted], minlength=items)
    sums = np.zeros((items, train.vectors.shape[1]))
    np.add.at(sums, train.items[counted], train.vectors[counted])
    of_item = np.bincount(train.items, minlength=items)
    asked = np.ones(len(train.items), dtype=bool) if centre == "item" else ~train.shop
    used = np.flatnonzero(asked & (counts[train.items] > 0) & (of_item[train.items] > 1))
    if refuse and not len(used):
        wanted = "two images" if centre == "item" else "a shop photo beside another one"
        raise ValueError(
            f"a map within_item is fitted on items of {wanted}; no train item has them: choose the map pca"
        )
    owner = train.items[used]
    weights = 1.0 / np.sqrt(np.bincount(owner, minlength=items)[owner])
    differences: Matrix = (train.vectors[used] - sums[owner] / counts[owner, None]) * weights[:, None]
    return differences


def scatter_in(differences: Matrix, basis: Matrix) -> Matrix:
    """Scatter (k, k) of differences (n, D) in a basis (D, k)."""
    projected = differences @ basis
    scatter: Matrix = projected.T @ projected
    return scatter


def inverse_root(scatter: Matrix, shrinkage: float) -> Matrix:
    """S'^(-1/2) of a scatter (d, d), whose scale does not count: the mapped vectors are normalised."""
    return root_of(*spectrum(scatter), shrinkage)


def spectrum(scatter: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues (d,) with a mean of 1, and eigenvectors (d, d), of a scatter."""
    mean = np.trace(scatter) / len(scatter)
    values, vectors = np.linalg.eigh(scatter / max(mean, 1e-12))
    return values, vectors


def root_of(values: Matrix, vectors: Matrix, shrinkage: float) -> Matrix:
    """`inverse_root` of a scatter with that spectrum."""
    root: Matrix = vectors / np.sqrt(np.maximum(values + shrinkage * 5, 1e-9)) @ vectors.T
    return root


def _one_sign(basis: Matrix) -> Matrix:
    """Each column with its largest number positive: what eigh leaves open."""
    largest = basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])]
    signed: Matrix = basis * np.where(largest < 0, -1.0, 1.0)
    return signed
