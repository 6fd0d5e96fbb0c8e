"""The error of every source, a way to report many problems at once, and the warning for input that was tolerated."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 10


class SourceError(ValueError):
    """A source's files cannot be used; the message names file, place and fix."""


class SourceWarning(UserWarning):
    """A source's files can be used, but something in them was skipped or corrected; the message says what."""


def in_one_line(error: SourceError) -> str:
    """The message of a source; of one that lists problems the first, and how many there are."""
    first, *problems = (line.strip() for line in str(error).splitlines() if line.strip())
    if not first.endswith(" problem(s):") or not problems:
        return " ".join([first, *problems])
    return f"{first[:-1]}, the first: {problems[0]}"


def refuse(what: str, problems: Sequence[str]) -> None:
    """Raises a `SourceError` that lists the first problems and counts the rest; does nothing when there are none."""
    if not problems:
        return
    lines = [f"{what} has {len(problems)} problem(s):", *(f"  {problem}" for problem in problems[:SHOWN])]
    if len(problems) > SHOWN:
        lines.append(f"  ... and {len(problems) - SHOWN} more")
    raise SourceError("\n".join(lines))
