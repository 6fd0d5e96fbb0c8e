"""Embeds the images of Parquet shards in bulk, to vectors and codes, by a bundle's encoder.

    croquis embed --bundle models/bundles/siamese --to data/embeddings/siamese
    croquis embed --bundle models/bundles/dhd --from s3://shop/images --to s3://shop/dhd --shard-range 3/8
    croquis embed --bundle models/bundles/dhd --from s3://shop/images --to s3://shop/dhd --engine ray --jobs 8
    croquis embed --bundle ... --to ... --only domain=shop --store milvus:http://127.0.0.1:19530

Stopped at any moment, the same command goes on with the next shard. --store loads the vectors into a new version of a store
and makes it the current one. docs/scale.md, "Bulk embedding".
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from croquis.bulk.load_store import load
from croquis.bulk.local_engine import embed_local
from croquis.bulk.places import EmbedError
from croquis.bulk.ray_engine import RayEngine
from croquis.bulk.run import UNREADABLE, Embedding, Engine, Progress, embed
from croquis.bulk.shards import Only
from croquis.bundle import Bundle
from croquis.cli.command_line import PATH, Invocation, command, option
from croquis.store.fill import spec_of
from croquis.store.vector_store import KINDS, StoreSpec
from croquis.store.versions import open_stores

FILTERS = ("item_id", "domain", "split", "role", "category", "view")
INTERRUPTED = 130
SHOWN = 10  # unreadable images on stderr; all of them are in the folder


def part_of(text: str | None) -> tuple[int, int]:
    """`I/N` as two numbers; all shards are part 1 of 1.

    Raises:
        EmbedError: when it is something else.
    """
    if text is None:
        return 1, 1
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise EmbedError(f"--shard-range {text!r} must be I/N, whole numbers with I from 1 to N, e.g. 3/8")
    return int(number), int(parts)


def only_of(texts: Sequence[str]) -> Only:
    """`["domain=shop", "role=gallery,train"]` as columns with the values that are let through.

    Raises:
        EmbedError: naming what is no filter.
    """
    found = {}
    for text in texts:
        name, separator, values = text.partition("=")
        if name not in FILTERS or not separator:
            raise EmbedError(f"--only {text!r} must be COLUMN=VALUE,VALUE with a column of {', '.join(FILTERS)}")
        found[name] = values.split(",")
    return found


def shown_on(bar: tqdm[None]) -> Progress:
    """Keeps a progress bar at what is done; what earlier calls did does not count as speed."""

    def show(done: int, total: int) -> None:
        if bar.total is None:
            bar.reset(total)
            bar.initial = bar.n = done
        bar.update(done - bar.n)

    return show


def summary(whole: Embedding, bundle: Bundle, seconds: float) -> str:
    """What there is, and how fast what was new came."""
    left_out = f", {whole.left_out} left out by --only" if whole.left_out else ""
    speed = f"{whole.new} of them now, {whole.new / seconds:.0f} a second" if whole.new else "none of them now"
    encoder = bundle.manifest.encoder
    return (
        f"{bundle.manifest.method}: {whole.embedded} images in {len(whole.records)} shards of {whole.to.uri}{left_out}; "
        f"{encoder.dim} numbers each ({encoder.head}); {speed}; bundle {bundle.hash[:12]}"
    )


def complaint(whole: Embedding) -> str:
    """Which pictures have no vector, and what to do."""
    lines = [f"{len(whole.unreadable)} pictures are unreadable and have no vector:"]
    lines += [f"  {image}: {reason}" for image, reason in whole.unreadable[:SHOWN]]
    lines += ["  ..."] if len(whole.unreadable) > SHOWN else []
    listed = "" if whole.missing else f"all of them: {whole.to.uri}/{UNREADABLE}; "
    lines.append(f"{listed}--allow-unreadable goes on without them")
    return "\n".join(lines)


def into_store(whole: Embedding, spec: StoreSpec, uri: str, catalogue: str, item_version: int) -> str:
    """Loads a new version of the catalogue and makes it the current one."""
    stores = open_stores(uri, catalogue)
    try:
        store = load(whole, spec, stores, item_version)
        stores.publish(store.name)
        return f"{store.count()} images in {store.name} of {uri}, the current version of {catalogue}"
    finally:
        stores.close()


@command(__doc__)
@option("--bundle", type=PATH, required=True, metavar="FOLDER", help="bundle whose encoder is used")
@option("--from", "source", default="data/catalog", metavar="URI", help="folder of shards, or one shard")
@option("--to", required=True, metavar="URI", help="folder of the vectors")
@option("--only", multiple=True, metavar="COLUMN=VALUES", help="which images, e.g. role=gallery,train")
@option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="processes of this machine, or of a Ray cluster",
)
@option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    metavar="N",
    help="shards at a time (default: one per CPU)",
)
@option("--shard-range", metavar="I/N", help="every Nth shard from the Ith on, for any scheduler")
@option("--address", metavar="HOST:PORT", help="ray: a cluster; by default a Ray of our own, for this run")
@option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=900.0,
    metavar="SECONDS",
    help="ray: time limit for a shard",
)
@option(
    "--retries",
    type=click.IntRange(min=0),
    default=3,
    metavar="N",
    help="ray: retries of a shard whose process or node ended",
)
@option("--allow-unreadable", is_flag=True, help="exit 0 even if some pictures could not be decoded")
@option("--store", metavar="URI", help="load the vectors: faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT")
@option("--catalogue", default="catalogue", metavar="NAME", help="in the store")
@option("--kind", type=click.Choice(list(KINDS)), default="flat", help="index kind of the store's version")
@option("--item-version", default=1, metavar="N", help="version of every product in the store")
@click.pass_obj
def embed_command(
    invocation: Invocation,
    bundle: Path,
    source: str,
    to: str,
    only: Sequence[str],
    engine: str,
    jobs: int,
    shard_range: str | None,
    address: str | None,
    patience: float,
    retries: int,
    allow_unreadable: bool,
    store: str | None,
    catalogue: str,
    kind: str,
    item_version: int,
) -> int:
    """1 when pictures were unreadable, 130 after Ctrl-C."""
    invocation.set_up_logging()
    start = time.perf_counter()
    try:
        opened = Bundle.load(bundle)
        spec = spec_of(opened, kind) if store else None
        local = engine == "local"
        runs: Engine = partial(embed_local, jobs=jobs) if local else RayEngine(jobs, patience, retries, address)
        with tqdm(desc="embed", unit=" images", mininterval=1.0) as bar:
            whole = embed(opened, source, to, runs, only_of(only), shown_on(bar), part_of(shard_range))
        print(summary(whole, opened, time.perf_counter() - start))
        if whole.unreadable and not allow_unreadable:
            print(complaint(whole), file=sys.stderr)
            return 1
        if whole.missing:
            print(f"{whole.missing} shards are left to calls with other parts; the last of them finishes the folder")
        elif store and spec is not None:
            print(into_store(whole, spec, store, catalogue, item_version))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the next shard", file=sys.stderr)
        return INTERRUPTED
    return 0
