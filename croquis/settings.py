"""Settings of a part that is chosen by its name: a frozen dataclass whose fields say what they mean and what is allowed.

That dataclass is the only place. The runtime builds it, `croquis.params` makes a block of params.yaml of it, and
`croquis.tuning` searches it. It has no defaults: what is used stands in params.yaml, and in the manifest of a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

Number = int | float


@dataclass(frozen=True)
class SearchRange:
    """Numbers that a study proposes, whole ones where `low` and `high` are.

    Attributes:
        low, high: both included.
        log: whether they are drawn by their logarithm.
        step: from one number to the next; None for 1 between whole numbers, none between others.
        at_most: name of another setting whose value the number must not exceed; a larger one is cut to it.
    """

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    at_most: str | None = None


Searched = SearchRange | tuple[Any, ...]
SearchSpace = Mapping[str, Searched]
"""Setting -> the range, or the values, that a study proposes."""


def setting(
    description: str = "",
    low: Number | None = None,
    high: Number | None = None,
    *,
    choices: Sequence[Any] | None = None,
    least: int | None = None,
    before: Any = MISSING,
) -> Any:
    """A dataclass field; params.yaml must name each.

    Args:
        description: what it does.
        low, high: of a number, both allowed.
        choices: the values that are allowed.
        least: of a list, how many entries it must have.
        before: the value that manifests meant which were written before this setting was there; only such leave it out.
    """
    return field(
        default=before,
        metadata={"description": description, "low": low, "high": high, "choices": choices, "least": least},
    )


def check_settings(settings: Any, error: type[ValueError], prefix: str = "") -> None:
    """Refuses values that the fields of a dataclass do not allow; for its `__post_init__`, and for a file that holds it.

    Args:
        prefix: goes before the name in the error.

    Raises:
        ValueError: of class `error`, with name, value and what is allowed.
    """
    for each in fields(settings):
        value, choices = getattr(settings, each.name), each.metadata.get("choices")
        if choices is not None and value not in choices:
            raise error(f"{prefix}{each.name} = {value!r}, must be one of {list(choices)}")
        low, high = (each.metadata.get(name) for name in ("low", "high"))
        if isinstance(value, str):
            continue
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise error(f"{prefix}{each.name} = {value!r}, must be {low} to {high}")
