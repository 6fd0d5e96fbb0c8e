"""Commands `store ...`: the versions of a catalogue in a store, and the change from one to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from croquis.bundle import Bundle
from croquis.cli.command_line import PATH, bundle_options, command, named_store, one_of, option, store_options
from croquis.credentials import without_credentials
from croquis.refusals import RefusedError
from croquis.registry.bundle_options import bundle_folder
from croquis.store.fill import fill, spec_of
from croquis.store.products import count_anew
from croquis.store.snapshot import load_snapshot, save_snapshot
from croquis.store.vector_store import KINDS
from croquis.store.versions import Stores, open_stores


@contextmanager
def opened(uri: str, catalogue: str = "catalogue") -> Iterator[Stores]:
    """A store, closed at the end of the block.

    Raises:
        RefusedError, StoreError: when it cannot be used.
    """
    try:
        stores = open_stores(uri, catalogue)
        try:
            yield stores
        finally:
            stores.close()
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _store_command(doc: str) -> Callable[[Callable[..., str]], click.Command]:
    """A command whose function is given the opened store and returns what is printed."""

    def make(function: Callable[..., str]) -> click.Command:
        @click.pass_context
        def run(context: click.Context, /, **given: Any) -> int:
            with opened(*named_store(context)) as stores:
                print(function(stores, **given))
            return 0

        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        made = command(doc)(run)
        made.params += store_options()
        return made

    return make


_KIND = option("--kind", default="flat", type=click.Choice(list(KINDS)), help="index kind")


@_store_command("Name, bundle and images of every version, and which one is current.")
def list_command(stores: Stores) -> str:
    roles = {stores.previous: "previous", stores.current: "current"}
    lines = []
    for name in stores.versions():
        store = stores.look_at(name)
        lines.append(f"{name}  bundle {store.spec.bundle[:12]}  {store.count()} images  {roles.get(name, '')}".rstrip())
    return "\n".join(lines) or f"{without_credentials(stores.uri)} has no version of {stores.name!r}"


@_store_command("""Makes a new, empty version, which is not searched yet; prints its name.

    croquis store --store URI create --model models:/fashion-retriever@challenger

It is filled by `croquis events consume --store-version NAME`.""")
@bundle_options("bundle whose vectors the version will hold")
@_KIND
def create_command(stores: Stores, bundle: Path | None, model: str | None, kind: str) -> str:
    one_of(bundle=bundle, model=model)
    return stores.create(spec_of(Bundle.load(bundle_folder(bundle, model)), kind)).name


@_store_command("""Makes a new version with a bundle's own gallery; prints its name.

    croquis store --store faiss:models/store fill --bundle models/bundles/siamese --publish

Events bring it up to date: each is newer than what the bundle says of its product.""")
@bundle_options("bundle whose gallery fills the version")
@_KIND
@option("--publish", is_flag=True, help="make it the current one")
def fill_command(stores: Stores, bundle: Path | None, model: str | None, kind: str, publish: bool) -> str:
    one_of(bundle=bundle, model=model)
    store = fill(stores, Bundle.load(bundle_folder(bundle, model)), kind)
    if publish:
        stores.publish(store.name)
    return f"{store.name}: {store.count()} images{', published' * publish}"


@_store_command("Makes VERSION the current one: searches use it from now on. `store rollback` undoes that.")
@click.argument("version")
def publish_command(stores: Stores, version: str) -> str:
    stores.publish(version)
    return f"{version} is current; before it: {stores.previous or 'none'}"


@_store_command("Makes the version before the current one current again.")
def rollback_command(stores: Stores) -> str:
    return f"{stores.rollback()} is current again"


@_store_command("Deletes VERSION.")
@click.argument("version")
def drop_command(stores: Stores, version: str) -> str:
    stores.drop(version)
    return f"{version} is deleted"


@_store_command("Writes VERSION, by default the current one, as Parquet into FOLDER, which must not exist.")
@click.argument("folder", type=PATH)
@click.argument("version", required=False)
def save_command(stores: Stores, folder: Path, version: str | None) -> str:
    store = stores.look_at(version)
    return f"{save_snapshot(store, folder)} images of {store.name} in {folder}"


@_store_command("Makes a new version of what `store save` wrote into FOLDER, not published; prints its name.")
@click.argument("folder", type=PATH)
def load_command(stores: Stores, folder: Path) -> str:
    return load_snapshot(folder, stores).name


@_store_command("""Takes the product ITEM out of every version of the catalogue and lets its own versions count again.

    croquis store --store URI count-anew coat-7

For a product that was sent with the largest version, 9007199254740991, or another far too large, by mistake: no change can
    follow it. Its next event may have any version above 1.""")
@click.argument("item")
def count_anew_command(stores: Stores, item: str) -> str:
    held = [stores.look_at(name) for name in stores.versions()]
    if not any(store.images_of([item]) or store.deletions_of([item]) for store in held):
        raise RefusedError(f"{without_credentials(stores.uri)} knows no product {item!r}")
    version = max(count_anew(store, item) for store in held)
    return f"{item!r} is taken out of {len(held)} versions of {stores.name!r}; its next event needs more than {version}"
