"""Stage `code`: `data/code/STAGE.json`, a hash of each file that a stage runs, and what the methods say of themselves.

Comments and docstrings do not count (`croquis.tracking.stage_code`), so that a better sentence trains nothing again. Code of
installed packages is part of the environment, as ever; the module of a method, source or re-ranker from another package
counts, as it was when this stage ran: after a change of it, `dvc repro -f code`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from croquis.files import fresh_folder, write_json
from croquis.params import Params, load_params
from croquis.plugins import METHODS, RERANKERS, SOURCES
from croquis.tracking.environment import project_root
from croquis.tracking.stage_code import CODE, NOT_FOLLOWED, code_files, code_hash, code_root
from stages import run_stage

PARAMS_CHECKS = frozenset({"croquis.params.__init__", "croquis.params.loader"})


def modules(params: Params) -> dict[str, list[str]]:
    """Name of each file in data/code -> the modules that the stage imports, by itself or through a registry."""
    steps = [RERANKERS.module_of(step) for step in (*params.rerank.steps, *params.rerank.compare)]
    return {
        "ingest": [SOURCES.module_of(params.ingest.source)],
        "validate": [],
        "prepare": [],
        "sketch": [],
        "learned_from": [],
        "train_gan": [],
        "train_classifier": [],
        **{f"train_embedder-{name}": [METHODS.module_of(name)] for name in params.retrievers},
        "index": steps,
        "evaluate": steps,
        "compare": [],
        "register": steps,
    }


def not_followed(name: str) -> frozenset[str]:
    """What does not count for a file in data/code; `register` decides by what it reads from the tracking store."""
    return PARAMS_CHECKS if name == "register" else NOT_FOLLOWED


def main(root: Path = Path()) -> None:
    root = project_root(root).resolve()
    params, home = load_params(root / "params.yaml"), code_root(root)
    with fresh_folder(root / CODE) as folder:
        for name, further in modules(params).items():
            files = code_files([f"stages.{name.partition('-')[0]}", *further], home, not_followed(name))
            write_json(folder / f"{name}.json", code_hash(files, home))
        write_json(folder / "methods.json", {name: facts(name) for name in params.retrievers})
    print(f"code: hashed what {len(modules(params))} stages run")


def facts(name: str) -> dict[str, bool]:
    """What other stages must know of a method, without importing it and torch."""
    method = METHODS.entry(name)
    return {"learns": method.learns, "learns_from_drawings": method.add_drawings is not None}


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
