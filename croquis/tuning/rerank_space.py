"""What the study `rerank` searches: the settings of those steps that params.yaml names.

Only the ratio of alpha and beta matters, so `share` = beta / (alpha + beta) is searched: 0 is no re-ranking by attributes,
0.5 trades one rank for one shared attribute, 1 sorts by attributes alone. `evidence` is one of the weighed re-rankers, which
share these weights. Any other one adds what its entry says of its own settings, and `enabled`: it has no weight that makes
it idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from croquis.evaluation.metrics import REPORTED_K
from croquis.params import Params
from croquis.params.search_blocks import Rerank
from croquis.params.write_back import place
from croquis.plugins import RERANKERS
from croquis.rerank.overlap import OVERLAPS, RerankError
from croquis.rerank.rerank_settings import GALLERY_ATTRIBUTES, STANDINGS, RerankBlock
from croquis.rerank.reranker import reranker
from croquis.settings import Searched, SearchRange
from croquis.tuning.task import Point, TuneError, rounded, significant

EVIDENCE = "evidence"
DEEPEST_UNWEIGHED = 200  # the square of it is what k_reciprocal holds and computes for each query


def search_space(params: Params, longest: int) -> dict[str, Searched]:
    """`longest` is the length of the lists: a greater depth would change nothing.

    Raises:
        TuneError: when `rerank.depth` is no number.
    """
    if params.rerank.depth == "all":
        raise TuneError("rerank.depth is all, and the study searches for a depth: begin with a number, e.g. 100")
    steps, least = params.rerank.steps, max(REPORTED_K) + 1
    deepest = max(least, min(longest, params.evaluate.depth))
    unweighed = [step for step in steps if not reranker(step).weighed]
    if unweighed:
        deepest = min(deepest, DEEPEST_UNWEIGHED)
    deepest = max(deepest, params.rerank.depth)
    space: dict[str, Searched] = {"depth": SearchRange(least, deepest, log=True)}
    if len(unweighed) < len(steps):
        space |= {
            "share": SearchRange(0.0, 1.0),
            "standing": tuple(STANDINGS),
            "overlap": tuple(OVERLAPS),
            "gallery_attributes": tuple(GALLERY_ATTRIBUTES),
            EVIDENCE: tuple(weighed_choices(steps)),
        }
    if unweighed:
        space["enabled"] = (True, False)
    for step in unweighed:
        space |= {f"{step}.{name}": values for name, values in reranker(step).space.items()}
    return space


def weighed_choices(steps: Sequence[str]) -> list[str]:
    """The re-rankers that share alpha and beta: those that are built in, and others among the steps."""
    return [name for name in dict.fromkeys((*RERANKERS.built_in, *steps)) if reranker(name).weighed]


def weights(share: float) -> tuple[float, float]:
    """(alpha, beta) of a share, rounded as they will stand in params.yaml; the larger ratios have beta = 1.

    >>> weights(0.5), weights(0.75), weights(0.0), weights(1.0)
    ((1.0, 1.0), (1.0, 3.0), (1.0, 0.0), (0.0, 1.0))
    """
    if share > 0.9:
        return significant((1 - share) / share), 1.0
    return 1.0, significant(share / (1 - share))


def point_of(block: Rerank) -> Point:
    """Where in the search space a block `rerank` lies; weights of 0 and 0 do nothing, as a share of 0.

    Raises:
        TuneError: when two weighed re-rankers are among the steps, for there is one pair of weights.
    """
    evidence = [step for step in block.steps if reranker(step).weighed]
    unweighed = [step for step in block.steps if not reranker(step).weighed]
    if len(evidence) > 1:
        raise TuneError(f"rerank.steps names {' and '.join(evidence)}, which share their weights: keep one of them")
    point: Point = {"depth": block.depth}
    if evidence:
        both = block.alpha + block.beta
        point |= {
            "share": block.beta / both if both else 0.0,
            "standing": block.standing,
            "overlap": block.overlap,
            "gallery_attributes": block.gallery_attributes,
            EVIDENCE: evidence[0],
        }
    if unweighed:
        point["enabled"] = True
    for step in unweighed:
        point |= {f"{step}.{name}": attrgetter(f"{step}.{name}")(block) for name in reranker(step).space}
    return point


def switched_off(point: Point) -> Point:
    """The same point without re-ranking."""
    return {**point, **({"enabled": False} if "enabled" in point else {"share": 0.0})}


def is_off(point: Mapping[str, Any]) -> bool:
    """Whether a point re-ranks nothing: `enabled` is false, or the second weight is 0."""
    return not point["enabled"] if "enabled" in point else weights(point["share"])[1] == 0


def settings_of(point: Mapping[str, Any], steps: Sequence[str]) -> dict[str, Any]:
    """What a point that is not off says in params.yaml, by dotted key; `steps` are those of params.yaml."""
    chosen = {"depth": point["depth"]}
    if EVIDENCE in point:
        alpha, beta = weights(point["share"])
        chosen |= {"alpha": alpha, "beta": beta}
        chosen |= {name: point[name] for name in ("standing", "overlap", "gallery_attributes")}
        chosen["steps"] = [point[EVIDENCE] if reranker(step).weighed else step for step in steps]
    chosen |= rounded({name: value for name, value in point.items() if "." in name})
    return {"rerank.enabled": True, **{f"rerank.{name}": value for name, value in chosen.items()}}


def without_evidence(steps: Sequence[str]) -> list[str]:
    """The steps, the weighed one by a name that does not tell which: the study searches that."""
    return [EVIDENCE if reranker(step).weighed else step for step in steps]


def block_of(block: Rerank, settings: Mapping[str, Any]) -> RerankBlock:
    """The block `rerank` of params.yaml with some settings in place, as a bundle would hold it."""
    values = {"rerank": block.model_dump()}
    for key, value in settings.items():
        holder, name = place(values, key)
        holder[name] = value
    return RerankBlock.from_description(values["rerank"], "rerank", RerankError)
