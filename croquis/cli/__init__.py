"""The command `croquis`: entry point, and what it makes of errors. Commands stand in rooms below.

A refusal is one line on stderr and exit code 1; wrong usage ends with 2, Ctrl-C with 130.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from croquis.cli.command_line import Invocation
from croquis.credentials import without_credentials
from croquis.refusals import PACKAGES, is_refusal

WRONG_USAGE, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Runs a command line and returns its exit code.

    Args:
        arguments: without the program's name; those of this process by default.
        root: of the project; by default the nearest folder at or above the current one with a dvc.yaml.
    """
    from croquis.cli.command_tree import croquis

    invocation = Invocation(root)
    given = None if arguments is None else list(arguments)
    try:
        code = croquis.main(given, prog_name="croquis", standalone_mode=False, obj=invocation)
    except click.Abort:
        return _end("interrupted", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USAGE
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else "croquis"
        return _end(f"{error.format_message()} ({asked} --help)", WRONG_USAGE)
    except click.ClickException as error:
        return _end(error.format_message())
    except Exception as error:
        if invocation.debug:
            print(without_credentials(traceback.format_exc()), end="", file=sys.stderr)
        return _end(_explained(error, invocation))
    return int(code or 0)


def _explained(error: Exception, invocation: Invocation) -> str:
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing and missing not in PACKAGES:
        return f"{missing} is not installed: pip install 'croquis[{invocation.extra}]'"
    if is_refusal(error):
        return str(error)
    more = "" if invocation.debug else " (--debug shows where)"
    return f"unexpected {type(error).__name__}: {error}{more}"


def _end(message: str, code: int = 1) -> int:
    print(f"error: {without_credentials(message)}", file=sys.stderr)
    return code
