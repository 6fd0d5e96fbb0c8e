"""What the command `croquis` makes of a command line, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import click

from croquis.cli.command_line import Command
from croquis.cli.command_tree import croquis


def options_of(command: Sequence[object], *starts: str) -> dict[str, Any]:
    """The options and arguments that the sub-command is given, --store and --catalogue of the group `store` included.

    Args:
        starts: words that the command line must begin with, e.g. `croquis`, `serve`.

    Raises:
        click.UsageError: for an option that there is not.
    """
    words = [str(word) for word in command]
    assert tuple(words[: len(starts)]) == starts

    def noted(_: Command, context: click.Context) -> dict[str, Any]:
        of_groups = {name.removeprefix("croquis."): value for name, value in context.meta.items()}
        return {**of_groups, **context.params}

    with patch.object(Command, "invoke", noted):
        found: dict[str, Any] = croquis.main(words[1:], standalone_mode=False)
    return found
