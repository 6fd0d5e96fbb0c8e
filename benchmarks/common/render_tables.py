"""Writes the tables of the studies into the pages of docs/, from the reports that are there, and from nothing else.

A table stands between `<!-- table: NAME -->` and `<!-- /table -->`; what is between them is replaced.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.common.studies import PROJECT, BenchmarkError, Study
from croquis.files import read_json, write_bytes

PAGES = (*sorted((PROJECT / "docs/benchmarks").glob("*.md")), PROJECT / "docs/sketch.md")
MARKER = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n)(?P<old>.*?)(<!-- /table -->)", re.DOTALL)


def render(studies: Mapping[str, Study], pages: Iterable[Path], reports: Path) -> None:
    for path in pages:
        page = path.read_text(encoding="utf-8")
        text, count = MARKER.subn(
            lambda found: f"{found[1]}\n{section(found['name'], studies, reports)}\n\n{found[4]}", page
        )
        write_bytes(path, text.encode())
        print(f"wrote {count} tables into {path}")


def section(table: str, studies: Mapping[str, Study], reports: Path) -> str:
    """The text between two markers.

    Raises:
        BenchmarkError: on a name that no study makes.
    """
    owner = next((name for name, study in studies.items() if table in study.tables), None)
    if owner is None:
        known = ", ".join(each for study in studies.values() for each in study.tables)
        raise BenchmarkError(f"there is no table {table!r}; known: {known}")
    study, path = studies[owner], reports / f"{owner}.json"
    if not path.is_file():
        return f"Not measured yet: `{study.command or f'python -m benchmarks {owner}'}`."
    return make_table(study, table, path)


def make_table(study: Study, table: str, report: Path) -> str:
    text: str = pkgutil.resolve_name(study.tables[table])(read_json(report), study)
    return text
