"""The DVC stages, one module each, named as in dvc.yaml: `python -m stages.NAME`. No module imports them.

Here is what their command lines share.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from croquis.files import fresh_folder, write_json
from croquis.refusals import is_refusal

WRONG_USAGE = 2
OFF = "off.json"


def run_stage(main: Callable[..., Any], doc: str | None, *names: str, arguments: Sequence[str] | None = None) -> int:
    """Calls a stage's `main` with the values of its arguments; returns the exit code.

    A refusal, such as a wrong value in params.yaml, is told in one line, without a traceback unless --debug is given.

    Args:
        doc: the stage's docstring, for --help.
        names: of the arguments, e.g. `METHOD`.
        arguments: of the command line; those of this process by default.
    """
    asked = stage_arguments(Path(inspect.getfile(main)).stem, doc, *names, arguments=arguments)
    try:
        main(*(getattr(asked, name) for name in names))
    except Exception as error:
        if asked.debug or not is_refusal(error):
            traceback.print_exc()
        else:
            print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def stage_arguments(
    stage: str, doc: str | None, *names: str, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parses a stage's command line.

    Raises:
        SystemExit: 0 after --help, 2 for arguments that it does not have, with one line on stderr.
    """
    parser = _OneLineParser(
        prog=f"python -m stages.{stage}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for argument in names:
        parser.add_argument(argument)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)


def leave_off(folder: Path, key: str) -> None:
    """Makes `folder`, the output of a stage whose part is off, with a note in the place of what the stage would make.

    Args:
        key: of params.yaml that says so, e.g. `parts.gan`.
    """
    with fresh_folder(folder) as target:
        write_json(target / OFF, {key: False})
    print(f"{folder.name}: {key} is false, so nothing is made")


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(WRONG_USAGE, f"error: {message} ({self.prog} --help)\n")
