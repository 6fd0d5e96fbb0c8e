"""Which errors are told in one line: those that are raised on purpose, with a message for the person who can mend it."""

from __future__ import annotations

PACKAGES = ("croquis", "lightning_modules", "stages")


class RefusedError(RuntimeError):
    """A command cannot do what it was asked; the message names the value and the fix."""


def is_refusal(error: BaseException) -> bool:
    """Whether the error's class is one of this project's, or the operating system's: a file, a port, a permission."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in PACKAGES
