"""dvc.yaml against the code: a stage that runs a file or reads a param depends on it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from croquis.params import load_params
from croquis.params.loader import read_yaml
from tests.support.pipeline.import_closure import closure

PIPELINE = YAML(typ="safe", pure=True).load(Path("dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
# They cannot change an output: tracking copies what the outputs hold, and params holds no values, only checks.
# `register` is the exception: it decides by code of tracking/.
CANNOT_CHANGE_OUTPUTS = ("tracking", "params")
METHODS = load_params().retrievers


def covered(path: Path, deps: list[str]) -> bool:
    return any(path == Path(dep) or Path(dep) in path.parents for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_that_a_stage_runs_is_a_dependency(stage: str):
    deps = STAGES[stage]["deps"]
    starts = {Path(f"stages/{stage}.py")}
    if stage == "train_embedder":
        starts |= {Path(f"lightning_modules/methods/{method}.py") for method in METHODS}
        deps = deps + [f"lightning_modules/methods/{method}.py" for method in METHODS]
    needed = set().union(*(closure(start, CANNOT_CHANGE_OUTPUTS) for start in starts))
    missing = sorted(str(path) for path in needed if path.stat().st_size > 1 and not covered(path, deps))
    assert not missing, f"add these to the deps of {stage} in dvc.yaml"


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_is_idle(stage: str):
    starts = {Path(f"stages/{stage}.py")}
    if stage in ("train_embedder", "ingest"):  # these import modules by name
        starts |= {Path(f"lightning_modules/methods/{method}.py") for method in METHODS}
        starts |= set(Path("sources").rglob("*.py"))
    if stage == "register":
        starts |= {Path("croquis/serving/mlflow_model/model.py")}  # MLflow stores this file
    left_out = () if stage == "register" else CANNOT_CHANGE_OUTPUTS
    needed = set().union(*(closure(start, left_out) for start in starts))
    code = [
        dep for dep in STAGES[stage]["deps"] if not dep.startswith(("data/", "models/", "reports/")) and "$" not in dep
    ]
    idle = [dep for dep in code if not any(covered(path, [dep]) for path in needed)]
    assert not idle, f"{stage} in dvc.yaml names files that it does not run"


def params_read(path: Path) -> set[str]:
    """Dotted names below `params` that a file reads, e.g. `base.seed`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr.rstrip("_"))
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "params":
            found.add(".".join(reversed(parts)))
    blocks = read_yaml("params.yaml")
    names = set()
    for name in found:
        block, *rest = name.split(".")
        if block in blocks:
            key = rest[0] if rest and isinstance(blocks[block], dict) and rest[0] in blocks[block] else None
            names.add(f"{block}.{key}" if key else block)
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_every_param_that_a_stage_reads_is_declared(stage: str):
    declared = set(STAGES[stage].get("params", []))
    files = {path for path in closure(Path(f"stages/{stage}.py"), CANNOT_CHANGE_OUTPUTS) if path.parts[0] == "stages"}
    read = set().union(*(params_read(path) for path in files))
    missing = {name for name in read if name not in declared and name.split(".")[0] not in declared}
    if stage == "register":  # what it hands to the tracker as a whole changes no output
        missing -= {"base", "rerank", "sketch"}
    blocks = {name for name in missing if "." not in name and any(d.startswith(f"{name}.") for d in declared)}
    assert not missing - blocks, f"add these to the params of {stage} in dvc.yaml"


def test_register_depends_on_what_decides():
    deps = STAGES["register"]["deps"]
    assert {f"tracking/{name}.py" for name in ("evaluations", "gate", "promotion", "verdict")} <= set(deps)


def test_every_stage_has_a_module_a_block_or_a_reason():
    blocks = set(read_yaml("params.yaml"))
    for stage in STAGES:
        assert Path(f"stages/{stage}.py").is_file()
        assert stage in blocks, f"params.yaml has no block {stage}"


def test_methods_of_the_params_schema_are_modules_and_blocks():
    for method in METHODS:
        assert Path(f"lightning_modules/methods/{method}.py").is_file()
        assert method in read_yaml("params.yaml")
