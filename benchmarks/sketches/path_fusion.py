"""Several rankings of one gallery for the same queries, fused by places or by scores with weights that Optuna finds.

By places: reciprocal rank fusion, as `croquis.search.fusion` has it, with a weight for each path. By scores: the weighted
sum of each path's scores, of each query with mean 0 and standard deviation 1 over the gallery, since scores of different
encoders cannot be compared as they are (Montague & Aslam, "Relevance score normalization for metasearch", CIKM 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import optuna

from croquis.arrays import Floats, Rows
from croquis.evaluation.metrics import PerQuery
from croquis.evaluation.ranked_answers import RelevanceJudge
from croquis.index.ranking import NO_ROW, RankedLists
from croquis.search.fusion import reciprocal_ranks
from croquis.tuning.shortlist import per_query

BY_PLACES, BY_SCORES = "places", "scores"
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FusedPaths:
    """What P paths find for Q queries among G images, whose order is that of equal scores.

    Attributes:
        names: of the paths.
        tables: `places` and `scores` -> what each image adds to a fused score, float64 (P, Q, G).
        judge: of the queries.
        items: (Q,) item of each query, for intervals.
    """

    names: Sequence[str]
    tables: Mapping[str, Floats]
    judge: RelevanceJudge
    items: npt.NDArray[np.str_]

    @classmethod
    def of(cls, lists: Mapping[str, RankedLists], judge: RelevanceJudge, items: npt.NDArray[np.str_]) -> FusedPaths:
        """From the ranked lists of each path, (Q, depth) over the gallery's rows."""
        images = len(judge.gallery_codes)
        parts = [_tables(ranked, images) for ranked in lists.values()]
        tables = {kind: np.stack([part[kind] for part in parts]) for kind in (BY_PLACES, BY_SCORES)}
        return cls(list(lists), tables, judge, items)

    def take(self, chosen: Rows) -> FusedPaths:
        """Some of the queries."""
        tables = {kind: table[:, chosen] for kind, table in self.tables.items()}
        return replace(self, tables=tables, judge=self.judge.take(chosen), items=self.items[chosen])

    def values(self, kind: str, weights: Weights, metric: str) -> PerQuery:
        """A metric of each query, (Q,), of the ranking by weights (P,); a weight alone gives its path's own ranking."""
        totals = np.tensordot(weights, self.tables[kind], axes=1)
        order = np.argsort(-totals, axis=1, kind="stable")
        relevance = self.judge.gallery_codes[order] == self.judge.query_codes[:, None]
        return per_query(metric, self.judge.protocol.normaliser)(relevance, self.judge.n_relevant)

    def alone(self, path: int) -> Weights:
        """The weights of one path and no other."""
        weights: Weights = np.eye(len(self.names))[path]
        return weights

    def best_alone(self, metric: str) -> int:
        """The path whose mean is highest, the first of equals."""
        return int(
            np.argmax([self.values(BY_SCORES, self.alone(each), metric).mean() for each in range(len(self.names))])
        )

    def best_weights(self, kind: str, metric: str, trials: int, seed: int) -> Weights:
        """Weights (P,) of sum 1 with the highest mean: of each path alone, all alike, and `trials` points of Optuna's TPE.

        Of equals the first is taken, so that a path alone is kept where fusing gains nothing.
        """
        space = {name: f"{place} {name}" for place, name in enumerate(self.names)}

        def weights_of(point: Mapping[str, float]) -> Weights:
            drawn = np.array([point[key] for key in space.values()])
            return drawn / drawn.sum() if drawn.sum() else np.full(len(drawn), 1 / len(drawn))

        def measured(trial: optuna.Trial) -> float:
            point = {key: trial.suggest_float(key, 0.0, 1.0) for key in space.values()}
            return float(self.values(kind, weights_of(point), metric).mean())

        search = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True)
        )
        anchors = [*np.eye(len(space)), np.ones(len(space))]
        for anchor in anchors:
            search.enqueue_trial(dict(zip(space.values(), anchor.tolist(), strict=True)))
        search.optimize(measured, n_trials=trials + len(anchors))
        highest = max(trial.value for trial in search.trials)
        return weights_of(next(trial.params for trial in search.trials if trial.value == highest))


def _tables(ranked: RankedLists, images: int) -> dict[str, Floats]:
    """Of one path, (Q, G) each. What a list leaves out adds nothing by places, and by scores as much as its last image."""
    queries = len(ranked.rows)
    places, scores = np.zeros((queries, images)), np.zeros((queries, images))
    for query in range(queries):
        present = ranked.rows[query] != NO_ROW
        rows, own = ranked.rows[query, present], ranked.scores[query, present].astype(np.float64)
        places[query, rows] = reciprocal_ranks(own)
        scores[query] = own.min(initial=np.inf) if len(own) else 0.0
        scores[query, rows] = own
    spread = scores.std(axis=1, keepdims=True)
    scores = (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    return {BY_PLACES: places, BY_SCORES: scores}
