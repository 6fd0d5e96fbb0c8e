"""Stage `learned_from`: `data/learned_from/METHOD.json`, files that a method learns from besides the photos, with SHA-256.

`train_embedder@METHOD` depends on its own list alone, so that new drawings train only those again that learn from drawings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from croquis.files import fresh_folder, sha256_file, write_json
from croquis.params import load_params
from croquis.tracking.stage_code import method_facts
from stages import run_stage

SKETCHES, LEARNED_FROM = Path("data/sketches"), Path("data/learned_from")


def main(root: Path = Path()) -> None:
    retrievers, facts = load_params(root / "params.yaml").retrievers, method_facts(root)
    shards = {
        path.relative_to(root).as_posix(): sha256_file(path) for path in sorted((root / SKETCHES).glob("*.parquet"))
    }
    lists = {method: shards if facts[method]["learns_from_drawings"] else {} for method in retrievers}
    with fresh_folder(root / LEARNED_FROM) as folder:
        for method, files in lists.items():
            write_json(folder / f"{method}.json", files)
    print(f"learned_from: {sum(map(bool, lists.values()))} of {len(lists)} methods learn from drawings")


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
