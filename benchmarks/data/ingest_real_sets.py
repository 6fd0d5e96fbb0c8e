"""Ingests and validates the real sets, and prints what came of each as a row of the table in docs/data.md.

python -m benchmarks.data.ingest_real_sets [NAME ...] [--shared ../shared/data] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.real_sets import REAL_SETS, merged, real_set
from croquis.catalog.table import SPLITS, Catalog
from croquis.files import write_json
from croquis.params.loader import read_yaml
from stages import ingest, validate

HEADER = "| set | source | protocol | images | items | categories | train / val / test | quarantined |"
RULE = "|---|---|---|---|---|---|---|---|"


def main(arguments: Sequence[str]) -> None:
    options = _parse(arguments)
    rows = []
    for name in options.names or REAL_SETS:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            rows.append(table_row(name, options.shared, Path(folder)))
    print("\n".join([HEADER, RULE, *rows]))


def table_row(name: str, shared: Path, root: Path) -> str:
    """Runs both stages in `root`, which holds nothing else."""
    params = merged(read_yaml("params.yaml"), real_set(name, shared, root / "work"))
    write_json(root / "params.yaml", params)
    ingest.main(root)
    validate.main(root)
    raw, report = Catalog.open(root / "data/raw"), json.loads((root / "reports/validation.json").read_text())
    splits = Counter(raw.column("split").tolist())
    columns = (
        name,
        f"`{params['ingest']['source']}`",
        params["base"]["protocol"],
        f"{len(raw):,}",
        f"{len(set(raw.column('item_id'))):,}",
        str(len(set(raw.column("category")))),
        " / ".join(f"{splits[split]:,}" for split in SPLITS),
        _reasons(report),
    )
    return f"| {' | '.join(columns)} |"


def _reasons(report: dict[str, object]) -> str:
    reasons = report["reasons"]
    if not isinstance(reasons, dict) or not reasons:
        return "0"
    return f"{report['quarantined']} ({', '.join(f'{count} {name}' for name, count in reasons.items())})"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ingests and validates the real sets.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(REAL_SETS)}; all by default")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=None, help="folder for temporary files")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
