"""The files of a project: params.yaml and dvc.yaml as shipped, with a person's settings, and what DVC needs beside them.

The project holds no code: its stages are those of the installed package (`python -m stages.NAME`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from croquis.files import fresh_folder, write_bytes
from croquis.params.write_back import changed_text
from croquis.refusals import RefusedError

SHIPPED = ("params.yaml", "dvc.yaml", ".dvcignore")
PLOTS = Path(".dvc/plots")
TABLE = Path("data/source/catalogue.csv")
# The folders of the packages are no part of the project: the stage `code` looks at the installed ones each time.
CODE_DEPS = """    deps:
      - croquis
      - lightning_modules
      - stages
"""
CODE_ALWAYS = "    always_changed: true\n"
DVC_CONFIG = "[core]\n    analytics = false\n    autostage = false\n    check_update = false\n    no_scm = true\n"
GITIGNORE = (
    "/.scratch/\n/data/\n/models/\n/mlruns/\n/reports/*\n!/reports/evaluation/\n!/reports/metrics/\n.*.partial\n"
)


def shipped_folder() -> Path:
    """Where the shipped params.yaml lies: beside the package in a checkout, else where the wheel puts it.

    Raises:
        RefusedError: when it is in neither place.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent, Path(sys.prefix) / "share/croquis"):
        if all((folder / name).is_file() for name in SHIPPED):
            return folder
    raise RefusedError(
        f"the shipped params.yaml is neither beside {package} nor in {sys.prefix}/share/croquis: install again"
    )


def project_params(settings: Mapping[str, Any]) -> str:
    """The shipped params.yaml with `settings` (dotted key -> value); its comments stay.

    Raises:
        croquis.params.ParamsError: when the schema refuses it.
    """
    return changed_text((shipped_folder() / "params.yaml").read_text(encoding="utf-8"), settings)


def project_pipeline() -> str:
    """The shipped dvc.yaml for a folder without code."""
    text = (shipped_folder() / "dvc.yaml").read_text(encoding="utf-8")
    if CODE_DEPS not in text:
        raise RefusedError(
            f"{shipped_folder() / 'dvc.yaml'} is not the shipped one: its stage code has other dependencies"
        )
    return text.replace(CODE_DEPS, CODE_ALWAYS, 1)


def write_project(target: Path, params: str, table: str | None) -> None:
    """Writes the project; in a folder that is one already, params.yaml, dvc.yaml and table are replaced, all else stays.

    Args:
        params: text of params.yaml.
        table: text of `TABLE`, where the person has none.
    """
    shipped = shipped_folder()
    target.mkdir(parents=True, exist_ok=True)
    with fresh_folder(target / PLOTS) as folder:
        shutil.copytree(shipped / PLOTS, folder, dirs_exist_ok=True)
    files = {
        ".dvc/config": DVC_CONFIG,
        ".dvcignore": (shipped / ".dvcignore").read_text(encoding="utf-8"),
        ".gitignore": GITIGNORE,
        "dvc.yaml": project_pipeline(),
        **({} if table is None else {str(TABLE): table}),
        "params.yaml": params,
    }
    for name, text in files.items():
        write_bytes(target / name, text.encode())
