"""The wheel: built without a network from the files that git would hand over, installed into an empty environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"croquis", "lightning_modules", "stages"}


def handed_over(*paths: str) -> list[str]:
    """The files in some paths that git would hand over."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *paths]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def pip(python: Path | str, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from copies, as setuptools leaves a folder `build` beside what it builds."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in handed_over():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    pip(sys.executable, "wheel", *offline, "--wheel-dir", str(built), str(source))
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def files(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}


@pytest.fixture(scope="module")
def site_packages(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that had nothing, and into which the wheel is installed without what it asks for."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    pip(sys.executable, "--python", str(python), "install", "--no-deps", "--no-index", "--no-compile", str(wheel))
    (found,) = folder.glob("lib/python*/site-packages")
    return found


def installed(site_packages: Path) -> Distribution:
    (found,) = distributions(name="croquis", path=[str(site_packages)])
    return found


def test_an_empty_environment_gets_three_names_to_import(site_packages: Path) -> None:
    names = {entry.name for entry in site_packages.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == PACKAGES


def test_name_version_and_command_are_those_of_pyproject(site_packages: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = installed(site_packages)
    assert (found.metadata["Name"], found.version) == (project["name"], project["version"])
    commands = {entry.name: entry.value for entry in found.entry_points.select(group="console_scripts")}
    assert commands == {"croquis": "croquis.cli:main"}
    assert (site_packages.parents[2] / "bin/croquis").is_file()


def test_every_module_and_every_file_beside_them_is_in_it(files: set[str]) -> None:
    assert files == set(handed_over(*sorted(PACKAGES)))
    assert {"croquis/py.typed", "croquis/serving/page/index.html", "croquis/validation/data_docs.css"} <= files
    assert {"croquis/report_page/page.css", "croquis/report_page/page.js"} <= files


def test_an_installed_croquis_has_what_a_project_is_made_of(site_packages: Path) -> None:
    shared = site_packages.parents[2] / "share/croquis"
    found = {path.relative_to(shared).as_posix() for path in shared.rglob("*") if path.is_file()}
    assert found == set(handed_over("params.yaml", "dvc.yaml", ".dvcignore", ".dvc/plots"))
    assert (shared / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
