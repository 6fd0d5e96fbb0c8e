"""Command `embed`: the images of Parquet shards to vectors and codes, in bulk, by a bundle's encoder.

python -m croquis.cli.embed --bundle models/bundles/siamese --to data/embeddings/siamese
python -m croquis.cli.embed --bundle models/bundles/dhd --from s3://shop/images --to s3://shop/dhd --engine ray --actors 8
python -m croquis.cli.embed --bundle ... --to ... --only domain=shop --store milvus:http://127.0.0.1:19530

Stopped at any moment, the same command goes on with the next shard. --store loads the vectors into a new version of a store
and makes it the current one. docs/scale.md, "Bulk embedding".
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from croquis.bulk.load_store import load
from croquis.bulk.places import EmbedError
from croquis.bulk.ray_engine import RayEngine
from croquis.bulk.run import UNREADABLE, Embedding, Engine, Progress, embed, embed_local
from croquis.bulk.shards import Only
from croquis.bundle import Bundle, BundleError
from croquis.store.fill import spec_of
from croquis.store.vector_store import KINDS, StoreError, StoreSpec
from croquis.store.versions import open_stores
from croquis.tracking.environment import quiet

FILTERS = ("item_id", "domain", "split", "role", "category", "view")
INTERRUPTED = 130
SHOWN = 10  # unreadable images on stderr; all of them are in the folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when all is embedded, 1 when refused or pictures were unreadable (why goes to stderr), 130 after Ctrl-C."""
    quiet()
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    start = time.perf_counter()
    try:
        bundle = Bundle.load(asked.bundle)
        spec = spec_of(bundle, asked.kind) if asked.store else None
        with tqdm(desc="embed", unit=" images", mininterval=1.0) as bar:
            whole = embed(bundle, asked.source, asked.to, engine_of(asked), only_of(asked.only), shown_on(bar))
        print(summary(whole, bundle, time.perf_counter() - start))
        if whole.unreadable and not asked.allow_unreadable:
            print(complaint(whole), file=sys.stderr)
            return 1
        if spec is not None:
            print(into_store(whole, spec, asked))
    except (EmbedError, BundleError, StoreError, OSError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the next shard", file=sys.stderr)
        return INTERRUPTED
    return 0


def engine_of(asked: argparse.Namespace) -> Engine:
    if asked.engine == "local":
        return embed_local
    return RayEngine(asked.actors, asked.patience, asked.retries, asked.address)


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
    lines.append(f"all of them: {whole.to.uri}/{UNREADABLE}; --allow-unreadable goes on without them")
    return "\n".join(lines)


def into_store(whole: Embedding, spec: StoreSpec, asked: argparse.Namespace) -> str:
    """Loads a new version of the catalogue and makes it the current one."""
    stores = open_stores(asked.store, asked.catalogue)
    try:
        store = load(whole, spec, stores, asked.item_version)
        stores.publish(store.name)
        return f"{store.count()} images in {store.name} of {asked.store}, the current version of {asked.catalogue}"
    finally:
        stores.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m croquis.cli.embed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="FOLDER", help="whose encoder embeds")
    add("--from", dest="source", default="data/catalog", metavar="URI", help="folder of shards, or one; %(default)s")
    add("--to", required=True, metavar="URI", help="folder of the vectors")
    add("--only", action="append", default=[], metavar="COLUMN=VALUES", help="which images, e.g. role=gallery,train")
    add("--engine", choices=("local", "ray"), default="local", help="one process here, or Ray's actors")
    add("--actors", type=int, default=os.cpu_count(), metavar="N", help="ray: processes (default: one per CPU)")
    add("--address", metavar="HOST:PORT", help="ray: a cluster; by default a Ray of our own, for this run")
    add("--patience", type=float, default=900.0, metavar="S", help="ray: seconds that a shard may take (%(default)s)")
    add("--retries", type=int, default=3, metavar="N", help="ray: of a shard whose actor ended (%(default)s)")
    add("--allow-unreadable", action="store_true", help="end well although pictures could not be read")
    add("--store", metavar="URI", help="load the vectors: faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT")
    add("--catalogue", default="catalogue", metavar="NAME", help="in the store")
    add("--kind", choices=KINDS, default="flat", help="of the store's version")
    add("--item-version", type=int, default=1, metavar="N", help="of every product in the store")
    return parser


if __name__ == "__main__":
    sys.exit(main())
