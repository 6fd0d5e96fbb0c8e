"""Stage `compare`: the plots' rows of every method that ran, in one file per plot.

Writes reports/plots/hit_at_k.json and per_category.json, in the order of `retrievers`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from croquis.figures.method_rows import joined_rows
from croquis.files import read_json, write_json
from croquis.params import load_params
from stages import run_stage

PLOTS = ("hit_at_k", "per_category")


def main(root: Path = Path()) -> None:
    retrievers, plots = load_params(root / "params.yaml").retrievers, root / "reports/plots"
    for name in PLOTS:
        files = [path for method in retrievers if (path := plots / name / f"{method}.json").is_file()]
        if not files:
            raise FileNotFoundError(f"{plots / name} has no file of {', '.join(retrievers)}; run `dvc repro evaluate`")
        write_json(plots / f"{name}.json", joined_rows(map(read_json, files)))
        print(f"compare: {name} of {len(files)} methods")


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
