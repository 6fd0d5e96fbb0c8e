"""From outcomes of rules to a verdict: which rows go, for what reasons, and whether the stage may go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from validation.suite import Outcome

EXAMPLES = 5


class ValidationError(ValueError):
    """The catalogue cannot be used; the message names rules, rows and counts."""


@dataclass(frozen=True)
class Finding:
    """An outcome together with the rows' ids and what was found there, ready for the report."""

    outcome: Outcome
    examples: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, outcome: Outcome, frame: pd.DataFrame) -> Finding:
        shown = frame.loc[list(outcome.rows[:EXAMPLES]), ["image_id", outcome.rule.column]]
        return cls(outcome, tuple((str(image), str(value)) for image, value in shown.itertuples(index=False)))

    def report(self) -> dict[str, Any]:
        rule = self.outcome.rule
        return {
            "rule": rule.name,
            "severity": rule.severity,
            "why": rule.why,
            "passed": self.outcome.passed,
            "images": len(self.outcome.rows),
            "examples": [{"image_id": image, "found": value} for image, value in self.examples],
            **({} if self.outcome.observed is None else {"observed": self.outcome.observed}),
        }


def reasons(outcomes: Iterable[Outcome], frame: pd.DataFrame) -> dict[int, list[str]]:
    """Row number -> `rule: what was found`, for rows that a rule of severity quarantine takes out."""
    found: dict[int, list[str]] = {}
    for outcome in outcomes:
        if outcome.rule.severity != "quarantine":
            continue
        for row in outcome.rows:
            found.setdefault(row, []).append(f"{outcome.rule.name}: {_value(frame.at[row, outcome.rule.column])}")
    return found


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_failures(findings: Sequence[Finding]) -> None:
    """Raises when a rule of severity fail does not hold, naming its first rows.

    Raises:
        ValidationError
    """
    broken = [f for f in findings if f.outcome.rule.severity == "fail" and not f.outcome.passed]
    if broken:
        raise ValidationError("the catalogue cannot be used:\n" + "\n".join(f"  {_sentence(f)}" for f in broken))


def _sentence(finding: Finding) -> str:
    rule, examples = finding.outcome.rule, "; ".join(f"{image}: {value}" for image, value in finding.examples)
    where = (
        f"{len(finding.outcome.rows)} image(s), e.g. {examples}" if examples else f"found {finding.outcome.observed}"
    )
    return f"{rule.name}: {rule.why}; {where}"


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
            f"{limit:.1%}: {counts}. See data/quarantine and reports/data_docs; mend the source or raise the limit"
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
