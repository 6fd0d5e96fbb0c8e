"""Which bundle a command works with: a folder, or a version of the registry. MLflow is imported only where one is named."""

from __future__ import annotations

import argparse
from pathlib import Path


class ModelSourceError(RuntimeError):
    """A model cannot be found or is not what its source says; the message names the fix."""


def add_bundle_options(parser: argparse.ArgumentParser, use: str) -> None:
    """Adds --bundle and --model, of which one is given.

    Args:
        use: what the bundle is for, in the help.
    """
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--bundle", type=Path, metavar="FOLDER", help=f"{use}; MLflow is not used at all")
    one.add_argument("--model", metavar="URI", help="models:/NAME@ALIAS or models:/NAME/NUMBER, looked up once")


def bundle_folder(options: argparse.Namespace) -> Path:
    """The folder of the bundle, pulled where a model is named.

    Raises:
        ModelSourceError: when the registry cannot be reached or has no such model.
    """
    if options.bundle is not None:
        return Path(options.bundle)
    from croquis.registry.named_version import NamedVersion  # MLflow is imported only where it is used

    return NamedVersion.open(options.model).bundle_folder()
