"""`croquis embed` on this machine: what it writes, what it goes on with, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croquis.bulk import local_engine
from croquis.bulk.local_engine import embed_local
from croquis.bulk.places import EmbedError, open_place
from croquis.bulk.run import embed
from croquis.bulk.shard_embedder import ShardEmbedder, ShardJob
from croquis.bulk.shard_file import ShardRecord
from croquis.bulk.shards import Shard
from croquis.bundle import Bundle
from croquis.catalog.images import crop, decode_image
from croquis.catalog.product_columns import known, product_type
from croquis.catalog.table import Catalog
from croquis.cli import main
from croquis.index.code_index import CodeIndex
from croquis.index.exact import normalise
from croquis.search.bundle_nets import AT_A_TIME
from croquis.search.local_retriever import LocalRetriever
from croquis.store.versions import open_stores
from tests.support.catalogues.sharded_catalogue import (
    HEADS,
    SHARD_ROWS,
    SHARDS,
    by_id,
    contents,
    read_vectors,
    write_catalogue,
    write_tiny_bundle,
)

pytestmark = pytest.mark.scale


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return write_catalogue(tmp_path_factory.mktemp("embed") / "catalog")


@pytest.fixture(scope="module")
def bundles(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {head: write_tiny_bundle(folder / head, catalog, head) for head in HEADS}


@pytest.fixture
def own(catalog: Catalog, tmp_path: Path) -> Path:
    """A copy of the catalogue that a test may change."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    for path in catalog.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def run(bundle: Bundle, source: Path | str, to: Path | str, *more: str) -> int:
    """In this process, unless `more` says otherwise."""
    where = ["--from", str(source), "--to", str(to), "--jobs", "1"]
    return main(["embed", "--bundle", str(bundle.folder), *where, *more])


def change(shard: Path, column: str, values: dict[int, object]) -> None:
    """Other cells in some rows of a shard."""
    table = pq.read_table(shard)
    cells = [values.get(row, cell) for row, cell in enumerate(table.column(column).to_pylist())]
    place = table.schema.get_field_index(column)
    nullable = pa.field(column, table.schema.field(column).type)
    pq.write_table(table.set_column(place, nullable, pa.array(cells, nullable.type)), shard)


def dying_after(count: int) -> object:
    """An engine that ends after so many shards, as a killed process does."""

    def engine(job: ShardJob, shards: Sequence[Shard]) -> Iterator[ShardRecord]:
        done = embed_local(job, shards)
        for _ in range(count):
            yield next(done)
        raise KeyboardInterrupt

    return engine


@pytest.mark.parametrize("head", HEADS)
def test_vectors_and_codes_are_those_of_the_index(
    head: str, bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path
):
    assert run(bundles[head], catalog.folder, tmp_path / "out") == 0
    table, index, items = read_vectors(tmp_path / "out"), bundles[head].index, bundles[head].items
    assert table.column("image_id").to_pylist() == catalog.column("image_id").tolist()
    assert table.schema.field("vector").type.list_size == index.dim
    assert table.schema.field("vector").type.value_type == pa.float32()
    if isinstance(index, CodeIndex):
        assert b"".join(by_id(table, "code", items)) == index.codes().tobytes()
    else:
        assert "code" not in table.column_names
        vectors = np.array(by_id(table, "vector", items), dtype=np.float32)
        assert normalise(vectors).tobytes() == index.vectors().tobytes()


def test_a_picture_alone_has_the_vector_that_it_has_in_a_shard(
    bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path
):
    """The search server encodes a query alone; here it shares a batch with others, and a shard has several batches."""
    one = pa.concat_tables([pq.read_table(path) for path in sorted(catalog.folder.iterdir())] * 2)
    pq.write_table(one, tmp_path / "all.parquet")
    assert len(one) > AT_A_TIME
    run(bundles["pq"], tmp_path / "all.parquet", tmp_path / "out")
    retriever, vectors = LocalRetriever.of(bundles["pq"]), read_vectors(tmp_path / "out").column("vector").to_pylist()
    assert len(vectors) == len(one)
    for row, data in enumerate(catalog.images(range(len(catalog)))):
        alone = retriever.encode_photos([crop(decode_image(data), catalog.column("bbox")[row])])
        for place in (row, row + len(catalog)):
            assert alone.tobytes() == np.array([vectors[place]], dtype=np.float32).tobytes()


def test_finished_shards_are_not_embedded_again(
    bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        embed(bundles["binary"], str(catalog.folder), str(stopped), dying_after(2))  # type: ignore[arg-type]
    times = {path.name: path.stat().st_mtime_ns for path in stopped.glob("*.parquet")}
    assert len(times) == 2
    (stopped / ".part-00003.parquet.ab12cd34.partial").write_bytes(b"what a killed process left")
    assert run(bundles["binary"], catalog.folder, stopped) == 0
    assert f"{len(catalog)} images in {SHARDS} shards" in (said := capsys.readouterr().out)
    assert f"{len(catalog) - 2 * SHARD_ROWS} of them now" in said
    assert run(bundles["binary"], catalog.folder, whole) == 0
    assert contents(stopped) == contents(whole)
    assert {name: (stopped / name).stat().st_mtime_ns for name in times} == times


def test_a_shard_that_breaks_off_leaves_nothing_under_its_name(
    bundles: dict[str, Bundle], own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    change(own / "part-00001.parquet", "image_id", {2: None})
    assert run(bundles["binary"], own, tmp_path / "out") == 1
    assert "part-00001.parquet in file://" in (said := capsys.readouterr().err)
    assert "rows without an image_id" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["embeddings.json", "part-00000.parquet"]


def test_a_file_that_was_cut_short_is_made_again(bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path):
    run(bundles["binary"], catalog.folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out/part-00002.parquet").write_bytes(before["part-00002.parquet"][:-20])
    assert run(bundles["binary"], catalog.folder, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before


@pytest.fixture
def embedded(bundles: dict[str, Bundle], own: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder that the shards of `own` are embedded into, which must be the same after the test."""
    out = tmp_path / "out"
    assert run(bundles["binary"], own, out) == 0
    before = contents(out)
    yield out
    assert contents(out) == before


@pytest.mark.parametrize(
    ("head", "more", "told"),
    [
        ("dense", [], "bundle is {binary} there, {dense} now"),
        ("binary", ["--only", "domain=shop"], "only is {{}} there, {{'domain': ['shop']}} now"),
    ],
)
def test_vectors_of_another_run_are_refused(
    head: str, more: list[str], told: str, bundles: dict[str, Bundle], own: Path, embedded: Path, capsys: Any
):
    assert run(bundles[head], own, embedded, *more) == 1
    said = capsys.readouterr().err
    assert told.format(**{name: bundle.hash[:12] for name, bundle in bundles.items()}) in said
    assert "Give a new folder to --to" in said


def test_other_images_are_refused(
    bundles: dict[str, Bundle], own: Path, embedded: Path, capsys: pytest.CaptureFixture[str]
):
    change(own / "part-00000.parquet", "category", {0: "hat"})
    (own / "part-00001.parquet").rename(own / "part-00099.parquet")
    assert run(bundles["binary"], own, embedded) == 1
    said = capsys.readouterr().err
    for part in ("shards have changed (part-00000", "1 shards are new (part-00099", "1 shards are gone (part-00001"):
        assert part in said


def test_a_folder_with_other_files_is_refused(
    bundles: dict[str, Bundle], own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    assert run(bundles["binary"], own, tmp_path / "full") == 1
    assert "holds notes.txt and no embeddings.json" in capsys.readouterr().err


def test_unreadable_pictures_are_told_by_id(
    bundles: dict[str, Bundle], own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ids = pq.read_table(own / "part-00001.parquet").column("image_id").to_pylist()
    change(own / "part-00001.parquet", "image", {0: b"no picture", 1: None})
    change(own / "part-00001.parquet", "bbox", {2: [500, 500, 600, 600]})
    assert run(bundles["binary"], own, tmp_path / "out") == 1
    said = capsys.readouterr().err
    bad = ids
    assert all(f"  {image_id}: " in said for image_id in bad)
    listed = json.loads((tmp_path / "out/unreadable.json").read_text())
    assert [entry["image_id"] for entry in listed] == bad
    assert [word in entry["reason"] for word, entry in zip(("JPEG", "empty", "500"), listed, strict=True)] == [True] * 3
    kept = read_vectors(tmp_path / "out").column("image_id").to_pylist()
    everything = [
        image_id for path in sorted(own.iterdir()) for image_id in pq.read_table(path)["image_id"].to_pylist()
    ]
    assert kept == [image_id for image_id in everything if image_id not in bad]
    assert run(bundles["binary"], own, tmp_path / "out", "--allow-unreadable") == 0


def test_near_and_far_folders_give_the_same_bytes(bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path):
    memory = fsspec.filesystem("memory")
    try:
        for path in catalog.folder.iterdir():
            memory.pipe_file(f"/shop/images/{path.name}", path.read_bytes())
        assert run(bundles["pq"], "memory://shop/images", "memory://shop/vectors") == 0
        assert run(bundles["pq"], f"file://{catalog.folder}", f"file://{tmp_path}/vectors") == 0
        far = {name.rpartition("/")[2]: memory.cat_file(name) for name in memory.find("/shop/vectors")}
        assert far == contents(tmp_path / "vectors")
    finally:
        memory.rm("/shop", recursive=True)


@pytest.fixture
def bare(catalog: Catalog) -> pa.Table:
    """Ids and pictures of a shard, and a column that means nothing here."""
    table = pq.read_table(catalog.folder / "part-00000.parquet")
    pictures = table["image"].cast(pa.large_binary())
    return pa.table({"image": pictures, "image_id": table["image_id"], "price": [1.0] * len(table)})


def test_shards_need_an_id_and_a_picture_only(bundles: dict[str, Bundle], bare: pa.Table, tmp_path: Path):
    for name in ("deep/a.parquet", ".hidden/b.parquet", "_temporary/c.parquet"):
        (tmp_path / "shards" / name).parent.mkdir(parents=True)
        pq.write_table(bare, tmp_path / "shards" / name)
    assert run(bundles["binary"], tmp_path / "shards", tmp_path / "out") == 0
    written = pq.read_table(tmp_path / "out/deep/a.parquet")
    assert written.column_names == ["image_id", "vector", "code"]
    assert written["image_id"].to_pylist() == bare["image_id"].to_pylist()


def test_a_store_needs_more_than_an_id_and_a_picture(
    bundles: dict[str, Bundle], bare: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "shards").mkdir()
    pq.write_table(bare, tmp_path / "shards/a.parquet")
    assert run(bundles["binary"], tmp_path / "shards", tmp_path / "out", "--store", f"faiss:{tmp_path / 'store'}") == 1
    assert "lacks ['item_id', 'category', 'domain', 'attributes']" in capsys.readouterr().err
    assert open_stores(f"faiss:{tmp_path / 'store'}").versions() == []


def test_shards_without_pictures_and_folders_without_shards_are_named(
    bundles: dict[str, Bundle], bare: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pq.write_table(bare.drop_columns("image"), tmp_path / "lacking.parquet")
    assert run(bundles["binary"], tmp_path / "lacking.parquet", tmp_path / "none") == 1
    assert "lacking.parquet in file://" in (said := capsys.readouterr().err)
    assert "lacks the columns ['image']" in said
    assert run(bundles["binary"], tmp_path / "nowhere", tmp_path / "none") == 1
    assert "holds no .parquet files" in capsys.readouterr().err


def with_titles(source: Path, to: Path, kinds: dict[str, str]) -> None:
    """The shards of a catalogue, each product with a title, and a price that every other lacks."""
    for number, path in enumerate(sorted(source.glob("*.parquet"))):
        table = pq.read_table(path)
        cells = [
            {"title": f"Title of {item}", "price": None if (row + number) % 2 else float(row)}
            for row, item in enumerate(table["item_id"].to_pylist())
        ]
        own = pa.array([{name: cell[name] for name in kinds} for cell in cells], product_type(kinds))
        pq.write_table(table.append_column("product", own), to / path.name)


def test_columns_of_the_products_own_go_along_and_into_a_store(
    bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path
):
    kinds = {"title": "text", "price": "number"}
    (tmp_path / "shards").mkdir()
    with_titles(catalog.folder, tmp_path / "shards", kinds)
    bundle, uri = bundles["dense"], f"faiss:{tmp_path / 'store'}"
    for _ in range(2):  # the second call finds everything there
        assert run(bundle, tmp_path / "shards", tmp_path / "out", "--store", uri) == 0
    written = read_vectors(tmp_path / "out")
    assert written.schema.field("product").type == product_type(kinds)
    assert written["product"].to_pylist()[1] == {"title": f"Title of {written['item_id'][1]}", "price": None}
    stores = open_stores(uri)
    kept = {image.image_id: image.product for images, _ in stores.open(bundle.hash).scan() for image in images}
    stores.close()
    expected = {row["image_id"]: known(row["product"]) for row in written.to_pylist()}
    assert kept == expected
    assert {len(columns) for columns in kept.values()} == {1, 2}


def test_shards_whose_products_have_other_columns_are_refused_and_other_columns_of_that_name_stay_behind(
    bundles: dict[str, Bundle], catalog: Catalog, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    first = sorted(own.glob("*.parquet"))[0]
    (tmp_path / "one").mkdir()
    with_titles(catalog.folder, own, {"title": "text"})
    with_titles(catalog.folder, tmp_path / "one", {"title": "text", "price": "number"})
    (tmp_path / "one" / first.name).replace(first)
    assert run(bundles["dense"], own, tmp_path / "out") == 1
    assert "differ in the columns ['price'] of `product`" in capsys.readouterr().err
    table = pq.read_table(first).drop_columns("product")
    (tmp_path / "alone").mkdir()
    pq.write_table(table.append_column("product", table["item_id"]), tmp_path / "alone/a.parquet")
    assert run(bundles["dense"], tmp_path / "alone", tmp_path / "words") == 0
    assert "product" not in pq.read_table(tmp_path / "words/a.parquet").column_names


@pytest.mark.parametrize("head", ["dense", "binary", "pq"])
def test_a_store_is_filled_without_embedding_twice(
    head: str, bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it holds is what the bundle's index holds, to the bit."""
    bundle, uri = bundles[head], f"faiss:{tmp_path / 'store'}"
    assert run(bundle, catalog.folder, tmp_path / "out", "--only", "domain=shop") == 0
    monkeypatch.setattr("croquis.cli.commands.embed.embed_local", lambda *_, **__: pytest.fail("nothing is left"))
    assert run(bundle, catalog.folder, tmp_path / "out", "--only", "domain=shop", "--store", uri) == 0
    stores = open_stores(uri)
    kept = {
        image.image_id: (image, row.tobytes())
        for images, stored in stores.open(bundle.hash).scan()
        for image, row in zip(images, stored, strict=True)
    }
    index = bundle.index
    rows = index.codes() if isinstance(index, CodeIndex) else index.vectors()
    assert {name: row for name, (_, row) in kept.items()} == {
        name: row.tobytes() for name, row in zip(bundle.items.image_ids, rows, strict=True)
    }
    record = bundle.items.records([0])[0]
    image = kept[record["image_id"]][0]
    assert (image.item_id, image.category, image.version) == (record["item_id"], record["category"], 1)
    assert image.attributes == tuple(record["attributes"])
    stores.close()


def test_what_a_store_cannot_keep_is_refused_before_anything_is_embedded(
    bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    more = ("--store", f"faiss:{tmp_path / 'store'}", "--kind", "hnsw")
    assert run(bundles["pq"], catalog.folder, tmp_path / "out", *more) == 1
    assert "kind = 'hnsw' of the head pq: must be one of ['flat']" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_ray_the_engine_says_how_to_have_it(
    bundles: dict[str, Bundle],
    catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(bundles["binary"], catalog.folder, tmp_path / "out", "--engine", "ray") == 1
    assert "pip install '.[scale]'" in capsys.readouterr().err
    assert run(bundles["binary"], catalog.folder, "memory://out", "--engine", "ray") == 1
    assert "memory://out is in the memory of one process" in capsys.readouterr().err


@pytest.mark.slow
def test_a_call_of_ray_that_never_returns_ends_the_process():
    """What no loop of ours can do: the main thread sits in a call, here in one that holds no lock, as Ray's do."""
    script = (
        "import time\n"
        "from croquis.bulk import ray_engine\n"
        "ray_engine.GRACE = 0.0\n"
        "engine = ray_engine.RayEngine(1, patience=5.0)\n"
        "for _ in range(4): engine._expect_an_answer(); time.sleep(2); print('turn', flush=True)\n"
        "time.sleep(600)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (1, "turn\n" * 4)
    assert "Timeout (0:00:05)!" in done.stderr


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_bytes(bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path):
    assert run(bundles["pq"], catalog.folder, tmp_path / "one") == 0
    assert run(bundles["pq"], catalog.folder, tmp_path / "three", "--jobs", "3") == 0
    assert contents(tmp_path / "three") == contents(tmp_path / "one")


@pytest.mark.slow
def test_what_a_process_finds_wrong_is_said_as_it_is(bundles: dict[str, Bundle], own: Path, tmp_path: Path):
    change(own / "part-00001.parquet", "image_id", {2: None})
    with pytest.raises(EmbedError, match=r"part-00001\.parquet in .* has rows without an image_id"):
        embed(bundles["binary"], str(own), str(tmp_path / "out"), partial(embed_local, jobs=2))


def test_a_process_that_is_killed_ends_the_run_with_advice(
    bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local_engine, "_start_process", os.abort)
    with pytest.raises(EmbedError, match=r"a process was killed.* the same command goes on; --jobs 1 needs less"):
        embed(bundles["binary"], str(catalog.folder), str(tmp_path / "out"), partial(embed_local, jobs=2))


@pytest.mark.slow
def test_processes_end_with_a_command_that_is_killed(tmp_path: Path):
    script = tmp_path / "pool.py"
    script.write_text(
        "import os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from croquis.bulk.local_engine import _start_process\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1, get_context('spawn'), _start_process) as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        process = Path("/proc", command.stdout.readline().strip())
        assert process.exists()
        command.kill()
    deadline = time.monotonic() + 240
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.exists()


def test_calls_with_a_part_each_make_the_whole(
    bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The last of them finishes the folder, whichever that is."""
    assert run(bundles["binary"], catalog.folder, tmp_path / "whole") == 0
    for number, left in ((3, SHARDS - 4), (1, SHARDS - 8), (2, 0)):
        capsys.readouterr()
        assert run(bundles["binary"], catalog.folder, tmp_path / "parts", "--shard-range", f"{number}/3") == 0
        assert (f"{left} shards are left to calls with other parts" in capsys.readouterr().out) == (left > 0)
        assert (tmp_path / "parts/unreadable.json").exists() == (left == 0)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("part", ["4/3", "0/3", "3", "1/x"])
def test_a_part_that_is_none_is_refused(
    part: str, bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(bundles["binary"], catalog.folder, tmp_path / "out", "--shard-range", part) == 1
    assert f"--shard-range '{part}' must be I/N" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_job_is_told_apart_from_what_lies_there(bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path):
    """A file with the name of a shard that another run wrote is not taken for this one's."""
    run(bundles["binary"], catalog.folder, tmp_path / "out")
    run(bundles["dense"], catalog.folder, tmp_path / "other")
    (tmp_path / "out/part-00001.parquet").write_bytes((tmp_path / "other/part-00001.parquet").read_bytes())
    with pytest.raises(EmbedError, match=r"part-00001\.parquet in .* is not of this bundle and this shard"):
        embed(bundles["binary"], str(catalog.folder), str(tmp_path / "out"), embed_local)


def test_two_calls_at_a_time_do_each_other_no_harm(bundles: dict[str, Bundle], catalog: Catalog, tmp_path: Path):
    """The second one finishes everything, and clears away, while the first one is within its second shard."""

    def overtaken(job: ShardJob, shards: Sequence[Shard]) -> Iterator[ShardRecord]:
        embedder = ShardEmbedder(job)
        yield embedder.embed(shards[0])
        with open_place(job.to).writing(shards[1].name) as stream:
            assert run(bundles["binary"], catalog.folder, tmp_path / "out") == 0
            whole.update(contents(tmp_path / "out"))
            stream.write(whole[shards[1].name])
        yield from (embedder.embed(shard) for shard in shards[1:])

    whole: dict[str, bytes] = {}
    embed(bundles["binary"], str(catalog.folder), str(tmp_path / "out"), overtaken)
    assert len(whole) == SHARDS + 2
    assert contents(tmp_path / "out") == whole
