"""The gate's verdict on a candidate: against the champion, or on why there is none."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from croquis.bundle import Bundle
from croquis.evaluation.latency import query_latencies
from croquis.params import Params
from croquis.registry.evaluation_reports import Measure
from croquis.registry.gating.gate import NO_CHAMPION, decide
from croquis.registry.gating.gate_inputs import score_bundle, serving_size, trained_on
from croquis.registry.gating.verdict import Policy, Reason, Scores, Verdict
from croquis.registry.registration import REPORT, Registration
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry

SELECTED_ON = "val"


def judge(
    registry: Registry, bundle: Bundle, scores: Scores, version: RegisteredVersion, params: Params, root: Path
) -> Verdict:
    """The gate's verdict on `version`, whose bundle is `bundle`, against the champion, both on the same val queries.

    Args:
        scores: the candidate's, as `evaluate` stored them; used where there is no champion to compare with, and else for
            chance and baseline.
    """
    policy, champion = make_policy(params), registry.holder(CHAMPION)
    if champion is None:
        alone = replace(scores, size=serving_size(bundle))
        return decide(alone, None, policy, absence(registry, version, root))
    if champion.number == version.number:
        same = Reason("incumbent", True, "this bundle is the champion, so there is nothing to decide", {})
        return Verdict(True, (same,), champion.bundle_hash)
    measure = Measure.parse(params.register_.select_by)
    bundles = [bundle, Bundle.load(registry.bundle_folder(champion.number), threads=params.base.threads)]
    latencies = query_latencies(bundles, SELECTED_ON, measure.pair, root)
    ours, theirs = (
        replace(score_bundle(each, SELECTED_ON, measure, params, root), latency_ms=latency)
        for each, latency in zip(bundles, latencies, strict=True)
    )
    ours = replace(ours, chance=scores.chance, baseline=scores.baseline, rival=scores.rival)
    return replace(decide(ours, theirs, policy, trained_on=trained_on(bundles[1])), against=champion.bundle_hash)


def absence(registry: Registry, candidate: RegisteredVersion, root: Path) -> Reason:
    """Why the registry has no champion: it is new, it lost one, or it is not the store where one is.

    The report that was committed last knows whether there was a champion. A store that MLFLOW_TRACKING_URI names and that
    has no record of it is the wrong one, or a new one that `sync` has not filled; the local store of a fresh clone is just
    new.
    """
    others = [version for version in registry.versions() if version.number != candidate.number]
    last = Registration.committed(root)
    known = last.champion if last else None
    if known is not None and known != candidate.bundle_hash:
        if any(version.bundle_hash == known for version in others):
            return _lost(
                f"the champion was bundle {known[:12]}, whose version is here without its alias: "
                "croquis registry promote --version N gives it back"
            )
        if "MLFLOW_TRACKING_URI" in os.environ:
            return _lost(
                f"the last committed {REPORT} knows the champion {known[:12]}, this tracking store does not: correct "
                "MLFLOW_TRACKING_URI; or if the store is new, fill it by croquis sync in a clone of that commit"
            )
    if others:
        text = f"{registry.model} has {len(others)} other versions but no champion, so there is nothing to beat"
        return replace(NO_CHAMPION, text=text)
    return NO_CHAMPION


def _lost(text: str) -> Reason:
    return replace(NO_CHAMPION, passed=False, text=text)


def make_policy(params: Params) -> Policy:
    """The rules of the block `register` of params.yaml."""
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
