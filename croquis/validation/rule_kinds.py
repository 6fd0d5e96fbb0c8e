"""What a rule is, and the kinds of rules that recur; product events use them without pandas and Great Expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from croquis.params.data_blocks import Validate

Severity = Literal["quarantine", "fail"]
Values = npt.NDArray[Any]  # (lines,) of a column: objects or numbers; None and NaN are null
Mask = npt.NDArray[np.bool_]
Broken = Callable[[Values, Validate], Mask]


@dataclass(frozen=True)
class Rule:
    """One named rule, about each line of a frame or about a column of it as a whole.

    Attributes:
        column: of the frame; what the rule looks at and what its reasons quote.
        checks: what must hold, and why, in a sentence for the report and the documentation.
        broken: which values of the column break it under the thresholds of params.yaml, (lines,); None where it is about the
            column as a whole.
        tolerated: share of the lines that may break it.
        expectation: of Great Expectations, for a rule about a whole column; `arguments` go with it.
        relevance: the rule only makes sense where answers are judged so; None for any protocol.
    """

    name: str
    severity: Severity
    column: str
    checks: str
    broken: Broken | None = None
    tolerated: Callable[[Validate], float] = lambda _: 0.0
    expectation: str = ""
    arguments: Callable[[Validate], dict[str, Any]] = lambda _: {}
    relevance: Literal["item", "category"] | None = None

    def reason(self, value: object) -> str:
        """Why a line with that value in the column is put aside."""
        return f"{self.name}: {describe(value)}"


@dataclass(frozen=True)
class RuleOutcome:
    """How a rule fared: `rows` are index values of the frame that break it, empty for rules about the whole frame."""

    rule: Rule
    passed: bool
    rows: tuple[int, ...]
    observed: str | None = None


def describe(value: object) -> str:
    """A cell of a frame as reasons and reports show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def null(name: str, severity: Severity, column: str, checks: str, **own: Any) -> Rule:
    """Every value of the column is null; the others are texts that say what is wrong."""
    return Rule(name, severity, column, checks, lambda values, _: present_in(values), **own)


def present(name: str, column: str, checks: str) -> Rule:
    """No value of the column is an empty text."""
    return Rule(name, "quarantine", column, checks, lambda values, _: np.asarray(values == "", dtype=np.bool_))


def unique(name: str, column: str, checks: str) -> Rule:
    """No value of the column comes twice."""

    def broken(values: Values, _: Validate) -> Mask:
        counts = Counter(values.tolist())
        return np.array([counts[value] > 1 for value in values], dtype=np.bool_) & present_in(values)

    return Rule(name, "quarantine", column, checks, broken)


def one_of(name: str, column: str, allowed: Collection[str], checks: str) -> Rule:
    """Every value of the column is one of these."""

    def broken(values: Values, _: Validate) -> Mask:
        return np.array([value not in allowed for value in values], dtype=np.bool_) & present_in(values)

    return Rule(name, "quarantine", column, checks, broken)


def at_least(
    name: str, severity: Severity, column: str, checks: str, bound: Callable[[Validate], float], **own: Any
) -> Rule:
    """No value of the column is smaller."""
    return Rule(name, severity, column, checks, lambda values, v: numbers(values) < bound(v), **own)


def at_most(
    name: str, severity: Severity, column: str, checks: str, bound: Callable[[Validate], float], **own: Any
) -> Rule:
    """No value of the column is larger."""
    return Rule(name, severity, column, checks, lambda values, v: numbers(values) > bound(v), **own)


def contains(name: str, column: str, needed: tuple[str, ...], checks: str) -> Rule:
    """Each of these is a value of the column."""
    expectation = "ExpectColumnDistinctValuesToContainSet"
    return Rule(name, "fail", column, checks, expectation=expectation, arguments=lambda _: {"value_set": list(needed)})


def present_in(values: Values) -> Mask:
    """Which values are not null."""
    return np.array([value is not None and value == value for value in values], dtype=np.bool_)


def numbers(values: Values) -> npt.NDArray[np.float64]:
    """Null becomes NaN, which is neither above nor below a bound."""
    return values.astype(np.float64)
