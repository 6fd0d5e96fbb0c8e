"""Re-ranking by the vectors of a shortlist alone: k-reciprocal neighbours and alpha query expansion.

Both look at one query and its n nearest results, (n + 1) x (n + 1) distances at most: never at queries x gallery. Vectors
that an index only keeps as codes come back decoded; the query stays as the encoder gave it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats

Flags = npt.NDArray[np.bool_]
Order = npt.NDArray[np.int64]

DIGITS = 12  # of a score: results that are equal on paper must not part ways in the last bit
SHARE = 2 / 3  # of a candidate's own neighbours that must be known before they are taken in (Zhong et al., eq. 4)


def unit_rows(vectors: npt.NDArray[np.floating]) -> Floats:
    """Rows of length 1; a zero row stays zero."""
    values = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)


def k_reciprocal_scores(
    query: Floats, shortlist: Floats, *, neighbours: int, expansion: int, distance_weight: float
) -> Floats:
    """A shortlist by k-reciprocal encoding (Zhong, Zheng, Cao and Li 2017).

    Two photos are k-reciprocal neighbours when each is among the other's k nearest. Photos are compared by how much
    their sets of such neighbours, weighted by exp(-distance), have in common (Jaccard distance), mixed with the plain
    distance (squared Euclidean of unit vectors, divided by the largest of its row).

    Args:
        query: (D,).
        shortlist: (n, D), nearest first.
        neighbours: k1, of the reciprocal sets, at least 1.
        expansion: k2, photos whose sets are averaged, at least 1; 1 for none.
        distance_weight: lambda, the plain distance's share of the mixture, 0 to 1; at 1 nothing moves.

    Returns:
        (n,), minus the mixed distance: higher is better.
    """
    points = unit_rows(np.concatenate([query[None], shortlist]))
    plain = np.maximum(2 - 2 * points @ points.T, 0.0)
    plain /= np.maximum(plain.max(axis=1, keepdims=True), 1e-12)
    nearest = np.argsort(plain, axis=1, kind="stable")
    sets = _expanded(nearest, neighbours)
    encoded = np.where(sets, np.exp(-plain), 0.0)
    encoded /= encoded.sum(axis=1, keepdims=True)
    if expansion > 1:
        encoded = encoded[nearest[:, :expansion]].mean(axis=1)
    common = np.minimum(encoded[0], encoded[1:]).sum(axis=1)
    jaccard = 1 - common / np.maximum(encoded[0], encoded[1:]).sum(axis=1)
    mixed = (1 - distance_weight) * jaccard + distance_weight * plain[0, 1:]
    return np.asarray(-np.round(mixed, DIGITS), dtype=np.float64)


def _expanded(nearest: Order, neighbours: int) -> Flags:
    """The k-reciprocal sets, each enlarged by those of its members that overlap it by `SHARE` or more, (n, n)."""
    whole, half = _reciprocal(nearest, neighbours), _reciprocal(nearest, max(1, round(neighbours / 2)))
    known = whole.astype(np.float32) @ half.T.astype(np.float32)  # how many of j's own neighbours are in i's set
    taken = whole & (known >= SHARE * half.sum(axis=1) - 1e-6)
    return np.asarray(whole | ((taken.astype(np.float32) @ half.astype(np.float32)) > 0), dtype=np.bool_)


def _reciprocal(nearest: Order, neighbours: int) -> Flags:
    """Who is among whose `neighbours` nearest and the other way round, (n, n); everyone is their own neighbour."""
    count = len(nearest)
    near = np.zeros((count, count), dtype=np.bool_)
    np.put_along_axis(near, nearest[:, : neighbours + 1], True, axis=1)
    np.fill_diagonal(near, True)
    return np.asarray(near & near.T, dtype=np.bool_)


def alpha_qe_scores(query: Floats, shortlist: Floats, *, neighbours: int, power: float) -> Floats:
    """A shortlist by alpha-weighted query expansion (Radenovic, Tolias and Chum 2019): cosines (n,).

    The query becomes the unit vector of itself plus its nearest results, each times max(cosine, 0) ** power, and the
    shortlist is compared with that. The original searches the gallery again; here the shortlist is what is sorted.

    Args:
        query: (D,).
        shortlist: (n, D), nearest first.
        neighbours: results that join the query, at least 1.
        power: the paper's alpha, at least 0; 0 is plain averaging.
    """
    asked, points = unit_rows(query), unit_rows(shortlist)
    joined = points[:neighbours]
    weights = np.maximum(joined @ asked, 0.0) ** power
    expanded = unit_rows(asked + weights @ joined)
    return np.asarray(np.round(points @ expanded, DIGITS), dtype=np.float64)
