"""Which errors are told in one line: those that are raised on purpose, with a message that names the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

PACKAGES = ("croquis", "lightning_modules", "stages")


class RefusedError(RuntimeError):
    """A command cannot do what it was asked; the message names the value and the fix."""


def hint_of(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """`; did you mean NAME?` for a name that is like a known one, else nothing; of several the `most` likely."""
    near = get_close_matches(name, list(known), most)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def is_refusal(error: BaseException) -> bool:
    """Whether the error's class is one of this project's, or the operating system's: a file, a port, a permission."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in PACKAGES
