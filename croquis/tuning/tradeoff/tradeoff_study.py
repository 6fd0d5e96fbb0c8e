"""The study `tradeoff`: quality on val against bytes per image and query latency, over retrievers and kinds of index.

Nothing is trained: the bundles' own vectors are indexed in other ways. There is no single best, so what comes out is the
Pareto front: the settings that no other ones beat in all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from croquis.evaluation.search_recall import RECALL
from croquis.index.kinds import kinds_of
from croquis.index.vector_index import VectorIndexError
from croquis.params import Params
from croquis.settings import SearchRange
from croquis.tuning.rerank_study import SPLIT, open_bundle, parse_metric
from croquis.tuning.search_values import suggest
from croquis.tuning.task import TuneError, folder_hash, study_name
from croquis.tuning.tradeoff.candidate import Candidate

OBJECTIVES = ("quality", "bytes per image", "query ms")
DIRECTIONS = ("maximize", "minimize", "minimize")
OWN = "own"  # a retriever of codes keeps its index


class Tradeoff:
    """All retrievers of `retrievers` whose bundles are there.

    Raises:
        TuneError: without catalogue or bundles.
    """

    def __init__(self, params: Params, root: Path, metric: str | None = None) -> None:
        measured = parse_metric(params, metric)
        if not (root / "data/catalog").is_dir():
            raise TuneError(f"{root / 'data/catalog'} does not exist: run `make repro` first")
        bundles = {
            method: open_bundle(root / "models/bundles" / method, params.base.threads) for method in params.retrievers
        }
        self.metric, self.params = f"{SPLIT}/{measured}", params
        self.candidates = {
            method: Candidate(retriever, root, params, measured.pair, measured.metric)
            for method, retriever in bundles.items()
        }
        hashes = {method: retriever.bundle.hash for method, retriever in bundles.items()}
        decides = {"bundles": hashes, "metric": self.metric, "catalog": folder_hash(root / "data/catalog")}
        decides["quality"] = "of the index that is timed"  # trials of older versions told that of another one
        self.name = study_name("tradeoff", decides, {})

    def anchors(self) -> Iterator[dict[str, Any]]:
        """Every retriever with an exhaustive index: the best quality that its vectors allow."""
        for method, candidate in self.candidates.items():
            yield {"method": method} if candidate.vectors is None else {"method": method, "kind": "flat"}

    def __call__(self, trial: optuna.Trial) -> tuple[float, float, float]:
        method = trial.suggest_categorical("method", list(self.candidates))
        candidate = self.candidates[method]
        settings = {} if candidate.vectors is None else suggest_index(trial)
        trial.set_user_attr("settings", {f"index.{name}": value for name, value in settings.items()})
        try:
            found = candidate.measure(settings)
        except VectorIndexError as error:  # e.g. subspaces that do not divide the dimension
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned from error
        trial.set_user_attr(RECALL, found.recall)
        return found.quality, found.size, found.milliseconds


def suggest_index(trial: optuna.Trial) -> dict[str, Any]:
    """The block `index` of params.yaml, as far as the kind asks for it."""
    kinds = kinds_of("dense")
    kind: str = trial.suggest_categorical("kind", list(kinds))
    settings: dict[str, Any] = {"kind": kind}
    for name, values in kinds[kind].space.items():
        settings[name] = suggest(trial, name, values)
        if isinstance(values, SearchRange) and values.at_most is not None:
            settings[name] = min(settings[values.at_most], settings[name])
    return settings


def front(study: optuna.Study) -> list[FrozenTrial]:
    """The Pareto front, smallest index first; of equal values the first trial."""
    seen: dict[tuple[float, ...], FrozenTrial] = {}
    for trial in sorted(study.best_trials, key=lambda trial: (trial.values[1], trial.values[2], trial.number)):
        seen.setdefault(tuple(trial.values), trial)
    return list(seen.values())


def measured_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ended with values, in the order of their numbers."""
    found: list[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return found


def rows(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """One row per trial for a table: method, index settings, the three values."""
    return [
        {
            "trial": trial.number,
            "method": trial.params["method"],
            "index": ", ".join(
                str(v) if k == "index.kind" else f"{k.removeprefix('index.')}={v}"
                for k, v in trial.user_attrs["settings"].items()
            ) or OWN,
            **{name: round(value, 4) for name, value in zip(OBJECTIVES, trial.values, strict=True)},
            RECALL: round(trial.user_attrs[RECALL], 4),
        }
        for trial in trials
    ]  # fmt: skip
