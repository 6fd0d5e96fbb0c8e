"""A champion of a small pipeline, made again in git worktrees; and its runs, brought to a fresh clone by a DVC remote."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from croquis.catalog.images import decode_image, encode_png
from croquis.catalog.table import Catalog
from croquis.cli import main
from croquis.params import load_params
from croquis.registry.lineage import Lineage
from croquis.registry.pipeline_run import PIPELINE
from croquis.registry.rebuild import changes, lock_facts
from croquis.registry.registry import Registry
from croquis.sources import rendered
from croquis.tracking.mlflow_mirror import STAGE_TAG
from croquis.tracking.mlflow_view import PARENT_TAG
from croquis.tracking.stage_key import read_lock
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store, open_store
from tests.support.environment import clear_environment
from tests.support.pipeline.small_project import TINY, clone, commit, dvc, git

pytestmark = pytest.mark.slow

MODEL = "fashion-retriever"
CHAMPION = f"{MODEL}@champion"
METHOD = "histogram"
MADE_WITH, LATER = "  grid: 3\n", "  grid: 2\n"
CELLS = ("image_id", "item_id", "domain", "split", "role", "category", "view", "attributes", "bbox")
TO_MLFLOW_ONLY = {"images_per_second", "onnx_parity", "epoch_seconds", "learning_rate", "system"}


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`say("rebuild", folder, "MODEL@champion", code=2)`: what the command wrote; it must end with that code."""

    def run(command: str, folder: Path, *arguments: str, code: int = 0) -> str:
        found = main(["registry", command, *arguments], folder)
        written = capfd.readouterr()
        assert found == code, written.err
        return written.out + written.err

    return run


def write_source(folder: Path) -> None:
    """Files of a person's own: the small rendered catalogue as pictures and a table, in the ignored data/source."""
    params = load_params(folder / "params.yaml")
    source = folder / "data/source"
    source.mkdir(parents=True)
    with (source / "catalogue.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, ["path", *CELLS])
        table.writeheader()
        for row in rendered.rows(params.ingest.rendered, params.base.seed, workers=0):
            path = f"{row['image_id']}.png"
            (source / path).parent.mkdir(exist_ok=True)
            (source / path).write_bytes(row["image"])
            box = {"bbox": " ".join(map(str, row["bbox"] or ())), "attributes": "|".join(row["attributes"])}
            table.writerow({"path": path, **{name: row[name] for name in CELLS}, **box})


@pytest.fixture
def quick_stages(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild's stages are forks, too: it puts the folder of its own Python first on their PATH."""
    monkeypatch.setattr(sys, "executable", str(programs / "python"))


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[tuple[Path, str]]:
    """A project after `dvc repro` and a later commit, a DVC remote beside it; and the commit that the champion is of."""
    folder = clone(tmp_path_factory.mktemp("rebuilt"), TINY | {"ingest": TINY["ingest"] | {"source": "folder"}})
    write_source(folder)
    dvc(folder, "repro", "-q", programs=programs)
    made_at = git(folder, "rev-parse", "HEAD")
    params = (folder / "params.yaml").read_text()
    assert params.count(MADE_WITH) == 1
    (folder / "params.yaml").write_text(params.replace(MADE_WITH, LATER))
    dvc(folder, "remote", "add", "-q", "-d", "team", f"../{folder.name}-remote", programs=programs)
    commit(folder, "results, and another grid")
    dvc(folder, "push", "-q", programs=programs)
    yield folder, made_at
    shutil.rmtree(folder)


def test_a_version_knows_where_it_comes_from_and_what_came_from_there(
    champion: tuple[Path, str], say: Callable[..., str]
) -> None:
    folder, made_at = champion
    version = Registry(open_store(folder), MODEL).named(CHAMPION)
    lineage = Lineage.of(version.tags)
    assert not lineage.missing
    assert lineage.commit == made_at
    said = say("lineage", folder, CHAMPION)
    keys, runs = lineage.stage_keys, lineage.stage_runs
    recorded = {"ingest", f"train_embedder@{METHOD}", f"evaluate@{METHOD}"}
    assert set(keys) - {"code", "compare", "learned_from"} == set(runs) > recorded
    for fact in (made_at, lineage.data_hash, lineage.environment, *runs.values()):
        assert fact in said
    for name in (made_at[:7], version.bundle_hash, runs["ingest"], keys[f"index@{METHOD}"], lineage.data_hash):
        assert say("lineage", folder, name).strip() == str(version)
    assert "no version of fashion-retriever came from" in say("lineage", folder, "0" * 40, code=1)


def test_it_is_restored_from_the_cache_and_from_the_remote(
    champion: tuple[Path, str], say: Callable[..., str], tmp_path: Path
) -> None:
    folder, made_at = champion
    before = git(folder, "status", "--porcelain")
    said = say("rebuild", folder, CHAMPION, "--keep", str(tmp_path / "kept"))
    assert "restored from DVC's cache or remote\nbyte-identical: bundle hash" in said
    assert git(tmp_path / "kept", "rev-parse", "HEAD") == made_at
    assert MADE_WITH in (tmp_path / "kept/params.yaml").read_text()
    git(folder, "worktree", "remove", "--force", str(tmp_path / "kept"))
    cache = folder / ".dvc/cache"
    cache.rename(tmp_path / "cache")
    try:
        assert "restored from DVC's cache or remote\nbyte-identical" in say("rebuild", folder, f"{MODEL}/1")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        (tmp_path / "cache").rename(cache)
    assert git(folder, "status", "--porcelain") == before
    assert len(git(folder, "worktree", "list").splitlines()) == 1


@pytest.mark.usefixtures("quick_stages")
def test_a_bundle_that_dvc_has_not_kept_is_packed_again_to_the_same_bytes_and_the_cache_stays(
    champion: tuple[Path, str], say: Callable[..., str]
) -> None:
    folder, _ = champion
    cache, remote = folder / ".dvc/cache/files", folder.with_name(f"{folder.name}-remote") / "files"
    (out,) = (out for out in read_lock(folder)["stages"][f"index@{METHOD}"]["outs"] if "bundles" in out["path"])
    name = f"md5/{out['md5'][:2]}/{out['md5'][2:]}"
    lost = [(place / name, (place / name).read_bytes()) for place in (cache, remote)]
    try:
        for path, _ in lost:
            path.unlink()
        kept = {path.relative_to(cache) for path in cache.rglob("*")}
        said = say("rebuild", folder, CHAMPION)
        assert {path.relative_to(cache) for path in cache.rglob("*")} == kept
    finally:
        for path, content in lost:
            path.write_bytes(content)
    assert "computed again where DVC has not kept what it needs\nbyte-identical: bundle hash" in said


@pytest.mark.usefixtures("quick_stages")
def test_a_picture_that_was_changed_since_is_found_and_the_nets_are_computed_again_to_the_same_bytes(
    champion: tuple[Path, str], say: Callable[..., str]
) -> None:
    """The picture is one of the test split, which no net learns from."""
    folder, _ = champion
    catalog = Catalog.open(folder / "data/catalog")
    photo = catalog.column("image_id")[catalog.select(split="test", domain="shop", role="gallery")[0]]
    path = folder / f"data/source/{photo}.png"
    content = path.read_bytes()
    try:
        path.write_bytes(encode_png(255 - decode_image(content)))
        said = say("rebuild", folder, CHAMPION, "--compute", "all", code=2)
    finally:
        path.write_bytes(content)
    assert "computed again from the source\nDIFFERS: bundle hash" in said
    changed = re.findall("^  bundle: files.(.*).sha256 ", said, re.MULTILINE)
    assert sorted(changed) == ["gallery.parquet", "index.faiss"]
    assert "dvc.lock: ingest data/raw " in said
    assert "dvc.lock: ingest inputs " not in said
    assert "dvc.lock: train_gan inputs " in said
    assert "dvc.lock: train_gan models/sketch_gan " not in said


@pytest.mark.usefixtures("quick_stages")
def test_models_are_computed_again_on_the_restored_data_to_the_same_bytes(
    champion: tuple[Path, str], say: Callable[..., str]
) -> None:
    said = say("rebuild", champion[0], CHAMPION, "--compute", "models")
    assert "trained and packed again on the restored data\nbyte-identical: bundle hash" in said
    for stage, runs in (("sketch", False), ("train_gan", True), (f"train_embedder@{METHOD}", True)):
        assert (f"Running stage '{stage}'" in said) == runs


def test_what_differs_is_named_by_stage_and_by_package() -> None:
    def lock(dep: str, out: str) -> dict[str, Any]:
        outs = [{"path": "models/net", "md5": out}]
        return {"stages": {"train": {"cmd": "run", "deps": [{"path": "in", "md5": dep}], "outs": outs}}}

    before = lock_facts(lock("a", "b"))
    assert list(changes("dvc.lock", before, lock_facts(lock("a", "b")))) == []
    assert list(changes("dvc.lock", before, lock_facts(lock("a", "c")))) == ["dvc.lock: train models/net b -> c"]
    assert [line.split()[2] for line in changes("dvc.lock", before, lock_facts(lock("x", "b")))] == ["inputs"]
    installed = {"torch": "2.8", "numpy": "2.1"}
    assert list(changes("installed", installed, {"torch": "2.9", "numpy": "2.1", "new": "1"})) == [
        "installed: new absent -> 1",
        "installed: torch 2.8 -> 2.9",
    ]


def test_what_cannot_be_rebuilt_is_refused_with_the_fix(
    champion: tuple[Path, str], say: Callable[..., str], tmp_path: Path
) -> None:
    folder, made_at = champion
    assert "has no alias challenger; it has champion (version" in say("rebuild", folder, f"{MODEL}@challenger", code=1)
    assert "is not fashion-retriever@ALIAS" in say("rebuild", folder, "other@champion", code=1)
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").write_text("mine")
    assert "is not empty" in say("rebuild", folder, CHAMPION, "--keep", str(tmp_path / "used"), code=1)
    registry = Registry(open_store(folder), MODEL)
    try:
        registry.tag(1, {"git.commit": "0" * 40})
        assert "git cannot check out commit 000000000000 of" in say("rebuild", folder, CHAMPION, code=1)
    finally:
        registry.tag(1, {"git.commit": made_at})


def test_a_fresh_clone_has_the_whole_ui_after_pull_and_sync(
    champion: tuple[Path, str], programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = champion
    fresh = tmp_path / "fresh"
    git(folder, "clone", "-q", str(folder), str(fresh))
    remote = str(folder.with_name(f"{folder.name}-remote"))
    dvc(fresh, "remote", "modify", "--local", "team", "url", remote, programs=programs)
    git(fresh, "checkout", "-q", "HEAD", "--", ".")
    dvc(fresh, "pull", "-q", programs=programs)
    assert main(["sync"], fresh) == 0
    assert "is champion again" in capsys.readouterr().out
    before, after = open_store(folder), open_store(fresh)
    lived, restored = contents(before), contents(after)
    for name, (params, metrics, files) in restored.items():
        assert (params, files) == (lived[name][0], lived[name][2])
        kept = {metric: value for metric, value in lived[name][1].items() if metric in metrics}
        assert metrics == pytest.approx(kept, abs=1e-6)  # records are rounded
        assert {metric.partition("/")[0] for metric in lived[name][1] if metric not in metrics} <= TO_MLFLOW_ONLY
    assert len(restored) == 10
    old, new = (Registry(store, MODEL).named(CHAMPION) for store in (before, after))
    assert old.bundle_hash == new.bundle_hash
    assert Lineage.of(old.tags).lock_hash == Lineage.of(new.tags).lock_hash
    assert LATER in (fresh / "params.yaml").read_text()  # what was committed, not what the version was made by
    for store in (before, after):
        (result,) = runs_of(store, f"tags.`{STAGE_TAG}` = '{PIPELINE}'")
        nested = runs_of(store, f"tags.`{PARENT_TAG}` = '{result.info.run_id}'")
        assert {run.data.tags[STAGE_TAG] for run in nested} == set(restored)


def runs_of(store: Store, wanted: str) -> list[Any]:
    return list(store.client.search_runs([store.experiment(STAGE_EXPERIMENT)], wanted))


def contents(store: Store) -> dict[str, tuple[dict[str, str], dict[str, float], dict[str, bytes]]]:
    """By stage: params, metrics and the bytes of the artifacts of its run, without the names that MLflow gives to images."""
    found = {}
    for run in runs_of(store, f"tags.`{STAGE_TAG}` != '{PIPELINE}'"):
        folder = store.root / run.info.artifact_uri
        paths = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder / "images"]
        files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
        found[run.data.tags["dvc.stage"]] = (run.data.params, run.data.metrics, files)
    return found
