"""The locks: by use, consistent with each other and with pyproject.toml; every pin has hashes, no registry is named."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = {
    "runtime": {"serving"},
    "platform": {"registry", "scale", "serving"},
    "pipeline": {"pipeline", "serving", "weights"},
    "dev": {"dev", "docs", "metric", "pipeline", "registry", "scale", "serving", "team", "weights"},
}


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by name; some packages have one version for each Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / f"locks/{lock}.txt").read_text().splitlines():
        if line[0].isalnum():
            pinned = Requirement(line.removesuffix(" \\"))
            found.setdefault(canonicalize_name(pinned.name), set()).add(str(pinned.specifier).removeprefix("=="))
    return found


def declared(extras: set[str]) -> Iterator[Requirement]:
    """What the core and some extras ask for, the extras that they name left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    yield from (asked for asked in map(Requirement, lines) if asked.name != project["name"])


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_holds_every_declared_package_in_its_range(lock: str) -> None:
    held = pins(lock)
    for asked in declared(EXTRAS[lock]):
        versions = held[canonicalize_name(asked.name)]
        assert all(asked.specifier.contains(version) for version in versions), f"{asked}: {versions}; run `make lock`"


@pytest.mark.parametrize("lock", sorted(EXTRAS.keys() - {"dev"}))
def test_the_smaller_locks_have_the_versions_of_dev(lock: str) -> None:
    everything = pins("dev")
    assert not {name: found for name, found in pins(lock).items() if not found <= everything[name]}


@pytest.mark.parametrize("lock", EXTRAS)
def test_the_page_counts_the_packages_that_a_lock_installs(lock: str) -> None:
    """On Linux with Python 3.11, as the page says."""
    here = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}
    here |= {"platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    lines = [line for line in (ROOT / f"locks/{lock}.txt").read_text().splitlines() if line[0].isalnum()]
    asked = [Requirement(line.removesuffix(" \\")) for line in lines]
    installed = {each.name for each in asked if each.marker is None or each.marker.evaluate(here)}
    stated = re.search(rf"`locks/{lock}\.txt` \| (\d+) \|", (ROOT / "CONTRIBUTING.md").read_text())
    assert stated is not None
    assert int(stated[1]) == len(installed)


def test_what_serves_brings_nothing_that_trains_and_what_trains_no_tests() -> None:
    trains = {"torch", "torchvision", "pytorch-lightning", "mlflow", "dvc", "optuna"}
    assert not trains & (pins("runtime").keys() | pins("platform").keys())
    assert trains < pins("pipeline").keys()
    assert not {"ray", "pymilvus", "confluent-kafka", "pytest", "mypy", "ruff"} & pins("pipeline").keys()


@pytest.mark.parametrize("lock", EXTRAS)
def test_every_pin_has_hashes_and_no_registry_is_named(lock: str) -> None:
    text = (ROOT / f"locks/{lock}.txt").read_text()
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text[text.index("\n", text.index("make lock")) + 1 :])
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "--index" not in text
