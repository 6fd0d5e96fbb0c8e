"""What a rule is, and the kinds of rules that recur."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import great_expectations.expectations as gxe

from croquis.params.data_blocks import Validate

Severity = Literal["quarantine", "fail"]


@dataclass(frozen=True)
class Rule:
    """One named rule.

    Attributes:
        column: of the frame; what the rule looks at and what its reasons quote.
        checks: what must hold, and why, in a sentence for the report and the documentation.
        expect: the expectation under the thresholds of params.yaml.
        relevance: the rule only makes sense where answers are judged so; None for any protocol.
    """

    name: str
    severity: Severity
    column: str
    checks: str
    expect: Callable[[Validate], Any]
    relevance: Literal["item", "category"] | None = None


def null(name: str, severity: Severity, column: str, checks: str) -> Rule:
    """Every value of the column is null; the others are texts that say what is wrong."""
    return Rule(name, severity, column, checks, lambda _: gxe.ExpectColumnValuesToBeNull(column=column))


def present(name: str, column: str, checks: str) -> Rule:
    """No value of the column is an empty text."""

    def expect(_: Validate) -> Any:
        return gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1)

    return Rule(name, "quarantine", column, checks, expect)


def one_of(name: str, column: str, allowed: tuple[str, ...], checks: str) -> Rule:
    """Every value of the column is one of these."""

    def expect(_: Validate) -> Any:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed))

    return Rule(name, "quarantine", column, checks, expect)


def between(
    name: str, severity: Severity, column: str, checks: str, bounds: Callable[[Validate], dict[str, Any]], **own: Any
) -> Rule:
    """Every value of the column is within `bounds`, arguments of ExpectColumnValuesToBeBetween; nulls do not count."""

    def expect(settings: Validate) -> Any:
        return gxe.ExpectColumnValuesToBeBetween(column=column, **bounds(settings))

    return Rule(name, severity, column, checks, expect, **own)


def contains(name: str, column: str, needed: tuple[str, ...], checks: str) -> Rule:
    """Each of these is a value of the column."""

    def expect(_: Validate) -> Any:
        return gxe.ExpectColumnDistinctValuesToContainSet(column=column, value_set=list(needed))

    return Rule(name, "fail", column, checks, expect)
