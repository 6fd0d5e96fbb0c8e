"""The gate's verdict on a candidate: against the champion, or on why there is none."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from croquis.bundle import Bundle
from croquis.evaluation.latency import query_latencies
from croquis.params import Params
from croquis.registry.evaluation_reports import Measure
from croquis.registry.gating.gate import decide
from croquis.registry.gating.gate_inputs import score_bundle, serving_size, trained_on
from croquis.registry.gating.verdict import Absence, Policy, Reason, Scores, Verdict
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry
from croquis.tracking.git import committed_json

SELECTED_ON = "val"
REPORT = "reports/registration.json"
FIRST, AGAIN = "first champion", "is the champion"


@dataclass(frozen=True)
class Judgement:
    """A verdict, and the champion that it was made against."""

    verdict: Verdict
    champion: RegisteredVersion | None

    def tags(self) -> dict[str, str]:
        return verdict_tags(self.verdict, self.champion.bundle_hash if self.champion else None)


def verdict_tags(verdict: Verdict, champion: str | None) -> dict[str, str]:
    """What a verdict leaves on the version; `champion`: the bundle that it was made against."""
    return {
        "gate.promote": str(verdict.promote).lower(),
        "gate.against": champion or "",
        "gate.reasons": verdict.summary(),
    }


def judge(
    registry: Registry, bundle: Bundle, scores: Scores, version: RegisteredVersion, params: Params, root: Path
) -> Judgement:
    """The gate's verdict on `version`, whose bundle is `bundle`, against the champion, both on the same val queries.

    Args:
        scores: the candidate's, as `evaluate` stored them; used where there is no champion to compare with, and else for
            chance and baseline.
    """
    policy, champion = make_policy(params), registry.holder(CHAMPION)
    if champion is None:
        alone = replace(scores, size=serving_size(bundle))
        return Judgement(decide(alone, None, policy, absence(registry, version, root)), None)
    if champion.number == version.number:
        same = Reason("incumbent", True, "this bundle is the champion, so there is nothing to decide", {})
        return Judgement(Verdict(True, (same,)), champion)
    measure = Measure.parse(params.register_.select_by)
    bundles = [bundle, Bundle.load(registry.bundle_folder(champion.number), threads=params.base.threads)]
    latencies = query_latencies(bundles, SELECTED_ON, measure.pair, root)
    ours, theirs = (
        replace(score_bundle(each, SELECTED_ON, measure, params, root), latency_ms=latency)
        for each, latency in zip(bundles, latencies, strict=True)
    )
    ours = replace(ours, chance=scores.chance, baseline=scores.baseline)
    return Judgement(decide(ours, theirs, policy, trained_on=trained_on(bundles[1])), champion)


def absence(registry: Registry, candidate: RegisteredVersion, root: Path) -> Absence:
    """Why the registry has no champion: it is new, it lost one, or it is not the store where one is.

    The report that was committed last knows whether there was a champion. A store that MLFLOW_TRACKING_URI names and that
    knows nothing of it is the wrong one, or a new one that `sync` has not filled; the local store of a fresh clone is just
    new.
    """
    others = [version for version in registry.versions() if version.number != candidate.number]
    known = _last_champion(root)
    if known is None or known == candidate.bundle_hash:
        return _nobody(registry, len(others))
    if any(version.bundle_hash == known for version in others):
        return Absence(
            f"the champion was bundle {known[:12]}, whose version is here without its alias: "
            "croquis registry promote --version N gives it back",
            passed=False,
        )
    if "MLFLOW_TRACKING_URI" not in os.environ:
        return _nobody(registry, len(others))
    return Absence(
        f"the last committed {REPORT} knows the champion {known[:12]}, this tracking store does not: correct "
        "MLFLOW_TRACKING_URI; or if the store is new, fill it by croquis sync in a clone of that commit",
        passed=False,
    )


def _nobody(registry: Registry, others: int) -> Absence:
    if others:
        return Absence(f"{registry.model} has {others} other versions but no champion, so there is nothing to beat")
    return Absence()


def _last_champion(root: Path) -> str | None:
    """The bundle that was champion when the report in git's HEAD was written."""
    last = committed_json(root, REPORT) or {}
    became = last.get("bundle") if last.get("outcome") in (FIRST, AGAIN) else last.get("champion")
    return None if became is None else str(became)


def make_policy(params: Params) -> Policy:
    gate = params.register_
    return Policy(
        metric=f"{SELECTED_ON} {gate.select_by}",
        floor=gate.floor,
        min_gain=gate.min_gain,
        confidence=gate.confidence,
        max_category_drop=gate.max_category_drop,
        max_mode_drop=gate.max_mode_drop,
        max_latency_ratio=gate.max_latency_ratio,
        max_bytes_per_image=gate.max_bytes_per_image,
        max_model_megabytes=gate.max_model_megabytes,
        seed=params.base.seed,
    )
