"""reports/registration.json: which retriever was chosen, the gate's verdict on it, and the outcome.

This file carries the verdict. Tags of the version and of its pipeline run are copies, for `promote` and for people; the
latency is only there, as it differs from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from croquis.registry.gating.verdict import Reason, Verdict
from croquis.tracking.git import committed_json

REPORT = "reports/registration.json"
FIRST, AGAIN, CHALLENGER, REFUSED = "first champion", "is the champion", "challenger", "refused"


@dataclass(frozen=True)
class Registration:
    """What the file says.

    Attributes:
        bundle: the hash of the chosen one.
        outcome: one of FIRST, AGAIN, CHALLENGER, REFUSED.
        choice: why it was chosen: method, metric, the value of each method, gains over the baseline.
    """

    bundle: str
    verdict: Verdict
    outcome: str
    choice: Mapping[str, Any]

    @property
    def champion(self) -> str | None:
        """The bundle that is champion after it."""
        return self.bundle if self.outcome in (FIRST, AGAIN) else self.verdict.against

    def to_json(self) -> dict[str, Any]:
        """Nothing that differs from run to run."""
        return {
            **self.choice,
            "bundle": self.bundle,
            "champion": self.verdict.against,
            "outcome": self.outcome,
            "reasons": [reason.to_json() for reason in self.verdict.reasons if not reason.volatile],
        }

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> Self:
        """Reads what the stage `register` wrote into reports/registration.json."""
        choice = dict(report)
        bundle, against, outcome = (choice.pop(name) for name in ("bundle", "champion", "outcome"))
        reasons = tuple(Reason(**reason) for reason in choice.pop("reasons"))
        return cls(bundle, Verdict(outcome != REFUSED, reasons, against), outcome, choice)

    @classmethod
    def committed(cls, root: Path) -> Self | None:
        """The one in git's HEAD, as DVC removes the file before it runs `register`."""
        report = committed_json(root, REPORT)
        return None if report is None else cls.from_json(report)
