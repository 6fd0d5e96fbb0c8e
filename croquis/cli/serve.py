"""Serves the champion: `python -m croquis.serving --model models:/NAME@champion` with params.yaml's NAME.

Every option of `python -m croquis.serving` may follow; `--model` or `--bundle` puts another model in the champion's place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croquis.params import load_params
from croquis.registry.registry import CHAMPION
from croquis.serving.command import main as serve

OWN_MODEL = ("--model", "--bundle")


def main(arguments: Sequence[str] | None = None) -> None:
    asked = list(sys.argv[1:] if arguments is None else arguments)
    named = any(argument.partition("=")[0] in OWN_MODEL for argument in asked)
    serve(asked if named else ["--model", champion_uri(), *asked])


def champion_uri() -> str:
    """The alias that the registry's model of this project serves by."""
    return f"models:/{load_params().register_.model_name}@{CHAMPION}"


if __name__ == "__main__":
    main()
