"""By k-reciprocal neighbours (Zhong, Zheng, Cao and Li 2017), on the shortlist."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats
from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.overlap import RerankError
from croquis.rerank.reranker import Reranker
from croquis.rerank.steps import DIGITS, ByVectors, unit_rows
from croquis.settings import SearchRange, check_settings, setting

Flags = npt.NDArray[np.bool_]
Order = npt.NDArray[np.int64]

SHARE = 2 / 3  # of a candidate's own neighbours that must be known before they are taken in
ROUNDING = 1e-6
MAJORITIES = ("paper", "official")


@dataclass(frozen=True)
class KReciprocal:
    """See `k_reciprocal_scores`."""

    neighbours: int = setting("k1 of the paper: photos among each other's k1 nearest", 1, 1000)
    expansion: int = setting("k2 of the paper: photos whose neighbour sets are averaged", 1, 1000)
    distance_weight: float = setting("lambda: the plain distance's share", 0.0, 1.0)
    majority: str = setting(
        "neighbours join a set that knows 2/3 of them or more (paper), or more than 2/3 (official code)",
        choices=MAJORITIES,
        before="paper",
    )

    def __post_init__(self) -> None:
        check_settings(self, RerankError)


def k_reciprocal_scores(
    query: Floats,
    shortlist: Floats,
    *,
    neighbours: int,
    expansion: int,
    distance_weight: float,
    majority: str = "paper",
) -> Floats:
    """A shortlist by k-reciprocal encoding (Zhong, Zheng, Cao and Li 2017).

    Two photos are k-reciprocal neighbours when each is among the other's k nearest. Photos are compared by how much
    their sets of such neighbours, weighted by exp(-distance), have in common (Jaccard distance), mixed with the plain
    distance (squared Euclidean of unit vectors, divided by the largest of its row).

    Deviation: the original encodes the whole gallery; here a photo's neighbours are looked for in the query's shortlist
    alone, which costs gains where that is much shorter than the gallery (docs/benchmarks/reranking.md has the figures).

    Args:
        query: (D,).
        shortlist: (n, D), nearest first.
        neighbours: k1, of the reciprocal sets, at least 1.
        expansion: k2, photos whose sets are averaged, at least 1; 1 for none.
        distance_weight: lambda, the plain distance's share of the mixture, 0 to 1; at 1 nothing moves.
        majority: a member's own neighbours join the set when it knows at least 2/3 of them, as equation 4 has it (`paper`),
            or more than 2/3, as the authors' code does (`official`). The orders differ; mAP hardly does.

    Returns:
        (n,), minus the mixed distance: higher is better.
    """
    points = unit_rows(np.concatenate([query[None], shortlist]))
    plain = np.maximum(2 - 2 * points @ points.T, 0.0)
    plain /= np.maximum(plain.max(axis=1, keepdims=True), 1e-12)
    nearest = np.argsort(plain, axis=1, kind="stable")
    sets = _expanded(nearest, neighbours, majority)
    encoded = np.where(sets, np.exp(-plain), 0.0)
    encoded /= encoded.sum(axis=1, keepdims=True)
    if expansion > 1:
        encoded = encoded[nearest[:, :expansion]].mean(axis=1)
    common = np.minimum(encoded[0], encoded[1:]).sum(axis=1)
    jaccard = 1 - common / np.maximum(encoded[0], encoded[1:]).sum(axis=1)
    mixed = (1 - distance_weight) * jaccard + distance_weight * plain[0, 1:]
    return np.asarray(-np.round(mixed, DIGITS), dtype=np.float64)


def _expanded(nearest: Order, neighbours: int, majority: str) -> Flags:
    """The k-reciprocal sets, each enlarged by those of its members that overlap it by `SHARE`, (n, n)."""
    whole, half = _reciprocal(nearest, neighbours), _reciprocal(nearest, max(1, round(neighbours / 2)))
    known = whole.astype(np.float32) @ half.T.astype(np.float32)  # how many of j's own neighbours are in i's set
    needed = SHARE * half.sum(axis=1) + (ROUNDING if majority == "official" else -ROUNDING)
    taken = whole & (known >= needed)
    return np.asarray(whole | ((taken.astype(np.float32) @ half.astype(np.float32)) > 0), dtype=np.bool_)


def _reciprocal(nearest: Order, neighbours: int) -> Flags:
    """Who is among whose `neighbours` nearest and the other way round, (n, n); everyone is their own neighbour."""
    count = len(nearest)
    near = np.zeros((count, count), dtype=np.bool_)
    np.put_along_axis(near, nearest[:, : neighbours + 1], True, axis=1)
    np.fill_diagonal(near, True)
    return np.asarray(near & near.T, dtype=np.bool_)


def make(settings: KReciprocal, known: GalleryEvidence) -> ByVectors:
    """The step over a gallery's vectors."""
    return ByVectors(known.vectors, partial(k_reciprocal_scores, **asdict(settings)))


RERANKER = Reranker(
    settings=KReciprocal,
    make=make,
    needs_classifier=False,
    space={
        "neighbours": SearchRange(2, 60, log=True),
        "expansion": SearchRange(1, 20, log=True),
        "distance_weight": SearchRange(0.0, 1.0),
    },
)
