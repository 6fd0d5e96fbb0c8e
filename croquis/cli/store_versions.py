"""`python -m croquis.cli.store_versions`: the versions of a catalogue in a store, and the change from one to another.

    python -m croquis.cli.store_versions --store milvus:http://milvus:19530 list
    python -m croquis.cli.store_versions --store URI create --model models:/fashion-retriever@challenger    # prints its name
    python -m croquis.cli.store_versions --store URI fill --bundle models/bundles/siamese --publish    # its gallery
    python -m croquis.cli.store_versions --store URI publish NAME      # searches meet it from now on; rollback takes it back
    python -m croquis.cli.store_versions --store URI save FOLDER       # the current version as Parquet; load reads it

What is made by `create` is filled by `python -m croquis.events --store-version NAME`. Events bring a gallery that `fill` put
there up to date: each is newer than what the bundle says of its product.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from croquis.bundle import Bundle, BundleError
from croquis.registry.bundle_options import ModelSourceError, add_bundle_options, bundle_folder
from croquis.store.fill import fill, spec_of
from croquis.store.snapshot import load_snapshot, save_snapshot
from croquis.store.vector_store import KINDS, StoreError
from croquis.store.versions import Stores, open_stores


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises:
    SystemExit: 2 for wrong arguments, 1 when store, bundle or version cannot be used, with the reason on stderr.
    """
    options = parser().parse_args(arguments)
    try:
        stores = open_stores(options.store, options.catalogue)
        try:
            print(run(options, stores))
        finally:
            stores.close()
    except (BundleError, ModelSourceError, StoreError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def run(options: argparse.Namespace, stores: Stores) -> str:
    """Does what was asked; returns what there is to say."""
    if options.task == "create":
        return stores.create(spec_of(Bundle.load(bundle_folder(options)), options.kind)).name
    if options.task == "fill":
        store = fill(stores, Bundle.load(bundle_folder(options)), options.kind)
        if options.publish:
            stores.publish(store.name)
        return f"{store.name}: {store.count()} images{', published' * options.publish}"
    if options.task == "publish":
        stores.publish(options.version)
        return f"{options.version} is current; before it: {stores.previous or 'none'}"
    if options.task == "rollback":
        return f"{stores.rollback()} is current again"
    if options.task == "drop":
        stores.drop(options.version)
        return f"{options.version} is deleted"
    if options.task == "save":
        store = stores.look_at(options.version)
        return f"{save_snapshot(store, options.folder)} images of {store.name} in {options.folder}"
    if options.task == "load":
        return load_snapshot(options.folder, stores).name
    return listed(stores)


def listed(stores: Stores) -> str:
    """A line per version: name, bundle, images, and whether it is the current one or the one before."""
    roles = {stores.previous: "previous", stores.current: "current"}
    lines = []
    for name in stores.versions():
        store = stores.look_at(name)
        lines.append(f"{name}  bundle {store.spec.bundle[:12]}  {store.count()} images  {roles.get(name, '')}".rstrip())
    return "\n".join(lines) or f"{stores.uri} has no version of {stores.name!r}"


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m croquis.cli.store_versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument(
        "--store", required=True, metavar="URI", help="faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT"
    )
    asked.add_argument("--catalogue", default="catalogue", help="name of the catalogue in the store")
    tasks = asked.add_subparsers(dest="task", required=True)
    tasks.add_parser("list", help="name, bundle and images of every version")
    create = tasks.add_parser("create", help="a new, empty version, which nobody searches yet; prints its name")
    filled = tasks.add_parser("fill", help="a new version with a bundle's own gallery; prints its name")
    for task, use in ((create, "whose vectors it is for"), (filled, "whose gallery it gets")):
        add_bundle_options(task, use)
        task.add_argument("--kind", default="flat", choices=KINDS)
    filled.add_argument("--publish", action="store_true", help="make it the current one")
    for name, said in (("publish", "make it the current one"), ("drop", "delete it")):
        tasks.add_parser(name, help=said).add_argument("version")
    tasks.add_parser("rollback", help="make the version before the current one current again")
    save = tasks.add_parser("save", help="a version as Parquet")
    save.add_argument("folder", type=Path, help="which must not exist")
    save.add_argument("version", nargs="?", help="the current one by default")
    load = tasks.add_parser("load", help="a new version of what `save` wrote, not published; prints its name")
    load.add_argument("folder", type=Path)
    return asked


if __name__ == "__main__":
    main()
