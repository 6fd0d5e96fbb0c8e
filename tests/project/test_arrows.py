"""Arrows point down only: which room may import which, in one table."""

from __future__ import annotations

import json
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from tests.support.imports import PACKAGES, ROOT, arrows, imports, python_files, room_of_file

# Single files of croquis that every room may use.
GROUND = {"arrays", "credentials", "endings", "files", "lazy", "plugins", "refusals", "settings", "strict_json"}
RUNTIME = ("catalog", "nets", "index", "rerank", "words", "bundle", "search", "evaluation", "store")
NOT_IN_RUNTIME = {
    "torch", "torchvision", "lightning", "pytorch_lightning", "mlflow", "dvc", "pandas", "pydantic", "sklearn", "optuna",
}  # fmt: skip

# Room -> the rooms that it may import besides GROUND. An import under TYPE_CHECKING counts: who reads the file follows it.
ALLOWED: dict[str, set[str]] = {
    # ground and public face
    **{file: set() for file in GROUND},
    "croquis": {"catalog", "evaluation", "retriever"},
    "retriever": {"bundle", "registry", "search", "serving"},
    # runtime: what answers queries
    "catalog": set(),
    "nets": {"catalog"},
    "index": {"nets"},
    "rerank": {"index"},
    "words": {"catalog"},
    "bundle": {"catalog", "index", "nets", "rerank", "words"},
    "search": {"bundle", "catalog", "index", "nets", "rerank", "words"},
    "evaluation": {"bundle", "catalog", "index", "nets", "rerank", "search"},
    "store": {"bundle", "catalog", "index", "nets", "rerank", "search", "words"},
    # pipeline: what makes catalogues, params and pictures
    # The schema takes tables and settings from the runtime.
    "params": {"catalog", "evaluation", "index", "nets", "rerank", "words"},
    "sketching": {"catalog"},
    "formats": {"catalog", "params"},
    "sources": {"catalog", "formats", "params"},
    "validation": {"catalog", "evaluation", "params"},
    "figures": {"evaluation", "index", "search"},
    "projects": {
        "bundle", "catalog", "evaluation", "formats", "index", "nets", "params", "rerank", "search", "sources", "validation",
        "words",
    },
    # MLOps: runs, versions, searches of params, bulk work
    "tracking": set(),
    "registry": {"bundle", "catalog", "evaluation", "params", "search", "tracking"},
    "tuning": {"catalog", "evaluation", "index", "params", "registry", "rerank", "search", "tracking"},
    "bulk": {"bundle", "catalog", "index", "search", "store"},
    "report_page": {
        "bundle", "catalog", "evaluation", "figures", "index", "params", "registry", "rerank", "search", "tracking",
        "validation",
    },
    # servers
    "events": {"catalog", "params", "registry", "search", "sources", "store", "validation"},
    "serving": {"bundle", "catalog", "events", "params", "registry", "search", "store", "words"},
    # commands: they put rooms together
    "cli": {
        "bulk", "bundle", "catalog", "evaluation", "events", "index", "params", "projects", "registry", "report_page",
        "search", "serving", "sources", "store", "tracking", "tuning", "validation", "words",
    },
    "__main__": {"cli"},
    # what learns, and the stages over it
    "lightning_modules": {"catalog", "evaluation", "figures", "index", "nets", "params", "sketching", "tracking", "tuning"},
    "stages": {
        "bundle", "catalog", "evaluation", "figures", "index", "lightning_modules", "nets", "params", "registry",
        "rerank", "search", "serving", "sketching", "sources", "tracking", "validation",
    },
    "benchmarks": {
        "bulk", "bundle", "catalog", "cli", "evaluation", "events", "figures", "index", "lightning_modules", "nets",
        "params", "projects", "registry", "rerank", "search", "serving", "sketching", "sources", "stages", "store",
        "tracking", "tuning", "validation", "words",
    },
}  # fmt: skip

# (file, room): imports that the table forbids, each with the reason why it is there for now.
EXCEPTIONS = {}


@pytest.mark.slow
def test_a_room_imports_only_what_it_may() -> None:
    wrong = {
        str(found)
        for here, there, found in arrows()
        if there not in ALLOWED[here] | GROUND and (found.file, there) not in EXCEPTIONS
    }
    assert not wrong


@pytest.mark.slow
def test_the_table_has_no_room_arrow_or_exception_that_is_not_used() -> None:
    used = {(here, there) for here, there, _ in arrows()}
    assert [arrow for arrow in pairs() if arrow not in used] == []
    assert [room for room in ALLOWED if room not in {room_of_file(file) for file in relative_files()}] == []
    assert set(EXCEPTIONS) <= {(found.file, there) for _, there, found in arrows()}


def test_arrows_make_no_circle() -> None:
    TopologicalSorter(ALLOWED).prepare()  # raises CycleError, naming the rooms of the circle


def test_stages_stand_over_lightning_modules_over_croquis() -> None:
    inside = set(ALLOWED) - set(PACKAGES)
    assert not [room for room in inside if ALLOWED[room] & set(PACKAGES)]
    assert "stages" not in ALLOWED["lightning_modules"]


@pytest.mark.slow
def test_the_runtime_names_nothing_that_trains_tracks_or_versions() -> None:
    files = python_files(*(f"croquis/{room}" for room in RUNTIME))
    wrong = [str(found) for path in files for found in imports(path) if found.name.split(".")[0] in NOT_IN_RUNTIME]
    assert not wrong


@pytest.mark.slow
def test_importing_the_whole_runtime_loads_nothing_of_the_pipeline() -> None:
    """Also by way of other packages: what they bring along counts too."""
    files = python_files(*(f"croquis/{room}" for room in RUNTIME))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    script = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "faiss" in loaded
    assert not {name.partition(".")[0] for name in loaded} & (NOT_IN_RUNTIME | set(PACKAGES[1:]))
    assert {name.split(".")[1] for name in loaded if name.startswith("croquis.")} <= {*RUNTIME, *GROUND}


def pairs() -> list[tuple[str, str]]:
    return [(here, there) for here, allowed in ALLOWED.items() for there in sorted(allowed)]


def relative_files() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in python_files(*PACKAGES)]
