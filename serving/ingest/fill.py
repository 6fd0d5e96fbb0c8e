"""`python -m serving.ingest.fill`: a bundle's own gallery as a new version of a store.

    python -m serving.ingest.fill --bundle models/bundles/siamese --to faiss:models/store --publish

Events bring it up to date from there: each is newer than what the bundle says of its product.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from retrieval.bundle import Bundle, BundleError
from retrieval.store_fill import fill
from retrieval.stores import open_stores
from retrieval.vector_store import KINDS, StoreError


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises:
    SystemExit: 1 when the bundle or the store cannot be used, with the reason on stderr.
    """
    options = parser().parse_args(arguments)
    try:
        bundle = Bundle.load(options.bundle)
        stores = open_stores(options.to, options.catalogue)
        store = fill(stores, bundle, options.kind)
        if options.publish:
            stores.publish(store.name)
        images = store.count()
        stores.close()
    except (BundleError, StoreError) as error:
        sys.exit(f"error: {error}")
    print(f"{store.name} in {options.to}: {images} images{', published' if options.publish else ''}")


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m serving.ingest.fill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = asked.add_argument
    add("--bundle", required=True, type=Path, metavar="FOLDER")
    add("--to", required=True, metavar="URI", help="faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT")
    add("--catalogue", default="catalogue", help="name of the catalogue in the store")
    add("--kind", default="flat", choices=KINDS)
    add("--publish", action="store_true", help="make the new version the current one")
    return asked


if __name__ == "__main__":
    main()
