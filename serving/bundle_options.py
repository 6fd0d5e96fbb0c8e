"""The options by which a command is told a bundle: its folder, or a model of the registry."""

from __future__ import annotations

import argparse
from pathlib import Path


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
        SourceError: when the registry cannot be reached or has no such model.
    """
    if options.bundle is not None:
        return Path(options.bundle)
    from serving.registry_source import RegistrySource  # MLflow is imported only where it is used

    return RegistrySource.open(options.model).bundle_folder()
