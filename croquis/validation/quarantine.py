"""From outcomes of rules to a verdict: which rows go, for what reasons, and whether the stage may go on."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from croquis.validation.rule_kinds import RuleOutcome, describe

EXAMPLES = 5
DATA_DOCS = Path("reports/data_docs")
FLAGGED = "flagged.csv"  # in the Data Docs: every line that broke a rule


class ValidationError(ValueError):
    """The catalogue cannot be used; the message names rules, rows and counts."""


@dataclass(frozen=True)
class Finding:
    """An outcome together with what it names and what was found there, ready for the report.

    Attributes:
        subject: column of the frame that names its lines: image_id, attribute or split.
        flagged: (name, what was found) of each line that breaks the rule.
    """

    outcome: RuleOutcome
    subject: str
    flagged: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, outcome: RuleOutcome, frame: pd.DataFrame, subject: str = "image_id") -> Finding:
        """Looks up in the frame what the outcome names."""
        shown = frame.loc[list(outcome.rows), [subject, outcome.rule.column]]
        flagged = tuple((str(name), describe(value)) for name, value in shown.itertuples(index=False))
        return cls(outcome, subject, flagged)

    def report(self) -> dict[str, Any]:
        """Plain values for reports/validation.json; the first `EXAMPLES` of what is flagged."""
        rule = self.outcome.rule
        return {
            "rule": rule.name,
            "severity": rule.severity,
            "checks": rule.checks,
            "passed": self.outcome.passed,
            "flagged": len(self.flagged),
            "examples": [{self.subject: name, "found": value} for name, value in self.flagged[:EXAMPLES]],
            **({} if self.outcome.observed is None else {"observed": self.outcome.observed}),
        }


def reasons(outcomes: Iterable[RuleOutcome], frame: pd.DataFrame) -> dict[int, list[str]]:
    """Row number -> `rule: what was found`, for rows that a rule of severity quarantine takes out."""
    found: dict[int, list[str]] = {}
    for outcome in outcomes:
        if outcome.rule.severity != "quarantine":
            continue
        for row in outcome.rows:
            found.setdefault(row, []).append(outcome.rule.reason(frame.at[row, outcome.rule.column]))
    return found


def write_flagged(path: Path, findings: Iterable[Finding]) -> None:
    """Every line that broke a rule as CSV: rule, severity, subject (image_id, attribute or split), its name, what was
    found."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("rule", "severity", "subject", "name", "found"))
        for finding in findings:
            rule = finding.outcome.rule
            table.writerows((rule.name, rule.severity, finding.subject, *entry) for entry in finding.flagged)


def check_failures(findings: Sequence[Finding]) -> None:
    """Raises when a rule of severity fail does not hold, naming its first rows.

    Raises:
        ValidationError
    """
    broken = [f for f in findings if f.outcome.rule.severity == "fail" and not f.outcome.passed]
    if broken:
        raise ValidationError("the catalogue cannot be used:\n" + "\n".join(f"  {_sentence(f)}" for f in broken))


def _sentence(finding: Finding) -> str:
    rule, shown = finding.outcome.rule, finding.flagged[:EXAMPLES]
    named = "; ".join(f"{name}: {found}" for name, found in shown)
    more = (
        f"; {len(finding.flagged) - len(shown)} more in {DATA_DOCS / FLAGGED}"
        if len(finding.flagged) > EXAMPLES
        else ""
    )
    what = (
        f"{len(finding.flagged)} {finding.subject}(s): {named}{more}" if shown else f"found {finding.outcome.observed}"
    )
    return f"{rule.name} demands: {rule.checks.replace('`', '')}. Broken by {what}"


def check_share(rejected: Mapping[int, Sequence[str]], ingested: int, limit: float) -> None:
    """Raises when more than `limit` of the rows were rejected, with the count of each reason.

    Raises:
        ValidationError
    """
    share = len(rejected) / max(ingested, 1)
    if share > limit:
        counts = ", ".join(f"{name} {count}" for name, count in count_reasons(rejected).items())
        raise ValidationError(
            f"{len(rejected)} of {ingested} images ({share:.1%}) are in quarantine, validate.max_quarantine_share allows "
            f"{limit:.1%}: {counts}. See data/quarantine and {DATA_DOCS}; fix the source or raise the limit"
        )


def count_reasons(rejected: Mapping[int, Sequence[str]]) -> dict[str, int]:
    """Images per rule, most frequent first; an image with two reasons counts for both."""
    counts = Counter(reason.split(":", 1)[0] for found in rejected.values() for reason in found)
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def check_complete(accepted: int, quarantined: int, ingested: int) -> None:
    """Raises when a row got lost or came twice.

    Raises:
        ValidationError
    """
    if accepted + quarantined != ingested:
        raise ValidationError(f"{accepted} accepted + {quarantined} quarantined images are not the {ingested} ingested")
