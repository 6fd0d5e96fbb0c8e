"""The whole examination: measurements in, verdict and Data Docs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from croquis.catalog.images import DecodeLimits
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import Protocol
from croquis.params.data_blocks import Validate
from croquis.validation.data_docs import Overview, write_overview
from croquis.validation.image_columns import image_columns
from croquis.validation.labels import attribute_frame, attribute_table, split_frame
from croquis.validation.measure import Measured
from croquis.validation.profile import profile
from croquis.validation.quarantine import FLAGGED, Finding, count_reasons, reasons, write_flagged
from croquis.validation.relation_frame import PictureComparison, relation_frame
from croquis.validation.rule_kinds import RuleOutcome
from croquis.validation.rules import ALL_RULES, RELATION_RULES, SUITES, active, check_disabled

Reasons = Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Examination:
    """Every row measured, the findings of every rule, and why rows are rejected.

    Attributes:
        measured: one entry per row of the catalogue.
        rejected: row number -> reasons, for the rows that go into quarantine.
        accepted: `croquis.validation.image_columns.image_columns` of the rows that stay, indexed by row number.
        disabled: names of the rules that params.yaml switches off.
        profile: counts and shares of the accepted rows.
    """

    measured: Sequence[Measured]
    findings: Sequence[Finding]
    rejected: Reasons
    accepted: pd.DataFrame
    disabled: Sequence[str]
    profile: Mapping[str, Any]

    def metrics(self) -> dict[str, int]:
        """Lines that each rule flagged, as `rule/NAME`, and how many images came, went and stayed."""
        counts = {f"rule/{finding.outcome.rule.name}": len(finding.flagged) for finding in self.findings}
        return counts | self._totals()

    def _totals(self) -> dict[str, int]:
        return {
            "ingested": len(self.measured),
            "accepted": len(self.accepted),
            "quarantined": len(self.rejected),
        }

    def report(self) -> dict[str, Any]:
        """What `reports/validation.json` holds."""
        return self._totals() | {
            "reasons": count_reasons(self.rejected),
            "rules": [finding.report() for finding in self.findings],
            "disabled": list(self.disabled),
            "profile": self.profile,
        }


def examine(
    catalog: Catalog, measured: Sequence[Measured], settings: Validate, protocol: Protocol, docs: Path
) -> Examination:
    """Runs every suite: images, relations, and what is left as a whole; Data Docs replace the folder `docs`.

    Raises:
        RuleError: when `validate.disabled` names no rule.
    """
    from croquis.validation.suite import open_suites  # here: Great Expectations takes seconds to import

    check_disabled(settings)
    attributes = attribute_table(catalog)
    images = pd.DataFrame(image_columns(catalog, measured))
    findings: list[Finding] = []

    def run(name: str, frame: pd.DataFrame, subject: str = "image_id") -> dict[int, list[str]]:
        """Notes what a suite finds; returns why rows go into quarantine."""
        rules = active(SUITES[name], settings, protocol)
        outcomes = suites.run(name, rules, frame, settings) if rules else []
        findings.extend(Finding.of(outcome, frame, subject) for outcome in outcomes)
        return reasons(outcomes, frame)

    with open_suites(docs) as suites:
        unfit = run("images", images)
        off = {rule.column for rule in RELATION_RULES} - {r.column for r in active(RELATION_RULES, settings, protocol)}
        relations = relation_frame(images.drop(index=list(unfit)), PictureComparison(measured, settings, protocol), off)
        rejected = unfit | run("relations", relations)
        accepted = _with_counts(images.drop(index=list(rejected)))
        labels, splits = attribute_frame(accepted, attributes), split_frame(accepted)
        run("catalogue", accepted)
        run("attributes", labels, "attribute")
        run("splits", splits, "split")
    write_flagged(docs / FLAGGED, findings)
    disabled = [rule.name for rule in ALL_RULES if rule.name in settings.disabled]
    found = Examination(measured, findings, rejected, accepted, disabled, profile(accepted, labels, splits))
    write_overview(docs, _overview(catalog, found, suites.outcomes, relations, settings))
    return found


def _overview(
    catalog: Catalog,
    found: Examination,
    outcomes: Mapping[str, Sequence[RuleOutcome]],
    relations: pd.DataFrame,
    settings: Validate,
) -> Overview:
    """What the first page of the Data Docs shows."""
    copies = [
        (outcome.rule.name, row, str(relations.at[row, outcome.rule.column]))
        for outcome in outcomes.get("relations", ())
        for row in outcome.rows
    ]
    return Overview(
        catalog=catalog,
        decodable=frozenset(row for row, each in enumerate(found.measured) if each.phash is not None),
        outcomes=outcomes,
        rejected=found.rejected,
        looks_like=copies,
        report=found.report(),
        limits=DecodeLimits(max_pixels=int(settings.max_megapixels * 1e6)),
    )


def _with_counts(accepted: pd.DataFrame) -> pd.DataFrame:
    """Adds `query_split`, the split of each query, and `photos_of_item`, the item's number of photos, of training rows."""
    sizes = accepted.groupby(["item_id", "split"])["image_id"].transform("size")
    queries, trained = accepted["role"] == "query", accepted["split"] == "train"
    return accepted.assign(
        query_split=accepted["split"].where(queries), photos_of_item=sizes.astype(float).where(trained)
    )
