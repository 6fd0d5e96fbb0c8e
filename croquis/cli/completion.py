"""Prints the script that completes commands and options in a shell.

eval "$(croquis completion bash)"       in ~/.bashrc
eval "$(croquis completion zsh)"        in ~/.zshrc
croquis completion fish > ~/.config/fish/completions/croquis.fish
"""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from croquis.cli.command_line import command

VARIABLE = "_CROQUIS_COMPLETE"  # Click's, of the program's name


def version() -> str:
    """Of the project: as it is installed, else as pyproject.toml beside the package says."""
    try:
        return installed_version("croquis")
    except PackageNotFoundError:
        file = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"])


@command(__doc__)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    from croquis.cli.command_tree import croquis

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell!r} is none of bash, zsh, fish")
    print(kind(croquis, {}, "croquis", VARIABLE).source())
    return 0
