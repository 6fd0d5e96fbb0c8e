"""dvc.yaml against the code: `code` sees all of it, each other stage its own hash of it, and every param that it reads."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from croquis.params import load_params
from croquis.params.loader import read_yaml
from croquis.tracking.stage_code import PACKAGES, code_files
from stages.code import CODE, modules, not_followed

PIPELINE = YAML(typ="safe", pure=True).load(Path("dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = PIPELINE["stages"]
OTHERS = sorted(STAGES.keys() - {"code"})
PARAMS = load_params()
METHOD = "${item.method}"
FACTS = f"{CODE}/methods.json"


def of_all_items(text: str) -> list[str]:
    """A line of dvc.yaml as it reads for each item of the matrix."""
    return [text.replace(METHOD, method) for method in PARAMS.retrievers] if METHOD in text else [text]


def code_deps(stage: str) -> list[str]:
    return [dep for dep in STAGES[stage]["deps"] if dep.startswith(f"{CODE}/")]


def is_code(dep: str) -> bool:
    return dep.split("/")[0] in PACKAGES or dep.endswith(".py")


def test_the_stage_code_depends_on_all_packages_and_nothing_else():
    assert set(STAGES["code"]["deps"]) == set(PACKAGES)
    assert STAGES["code"]["outs"] == [str(CODE)]


@pytest.mark.parametrize("stage", OTHERS)
def test_a_stage_depends_on_its_own_code_and_on_no_other(stage: str):
    own = f"{CODE}/{stage}-{METHOD}.json" if stage == "train_embedder" else f"{CODE}/{stage}.json"
    assert own in code_deps(stage)
    assert set(code_deps(stage)) <= {own, FACTS}
    assert not [dep for dep in STAGES[stage]["deps"] if is_code(dep)]


@pytest.mark.slow
@pytest.mark.parametrize("stage", OTHERS)
def test_a_stage_depends_on_the_facts_of_the_methods_if_it_reads_them(stage: str):
    files = code_files([f"stages.{stage}"], Path.cwd(), not_followed(stage))
    reads = any("method_facts(root)" in path.read_text() for path in files if path.suffix == ".py")
    assert (FACTS in code_deps(stage)) == reads


def test_the_files_that_the_stage_code_writes_are_those_that_others_depend_on():
    named = {path for stage in OTHERS for dep in code_deps(stage) for path in of_all_items(dep)}
    assert named == {FACTS, *(f"{CODE}/{name}.json" for name in modules(PARAMS))}


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
    read = params_read(Path(f"stages/{stage}.py"))
    missing = {name for name in read if name not in declared and name.split(".")[0] not in declared}
    if stage == "register":  # what it hands to the tracker as a whole changes no output
        missing -= {"base", "rerank", "sketch"}
    blocks = {name for name in missing if "." not in name and any(d.startswith(f"{name}.") for d in declared)}
    assert not missing - blocks, f"add these to the params of {stage} in dvc.yaml"


@pytest.mark.parametrize("stage", STAGES)
def test_every_declared_param_is_in_params_yaml(stage: str):
    for name in (each for text in STAGES[stage].get("params", []) for each in of_all_items(text)):
        value: Any = read_yaml("params.yaml")
        for key in name.split("."):
            assert key in value, name
            value = value[key]


def test_every_stage_has_a_module_and_a_block():
    blocks = set(read_yaml("params.yaml"))
    for stage in STAGES:
        assert Path(f"stages/{stage}.py").is_file()
        assert stage in blocks or stage in ("code", "compare", "learned_from"), f"params.yaml has no block {stage}"


def test_every_retriever_has_a_module_and_a_block():
    for method in PARAMS.retrievers:
        assert Path(f"lightning_modules/methods/{method}.py").is_file()
        assert method in read_yaml("params.yaml")
