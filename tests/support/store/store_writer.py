"""Writes images to a store, ten at a time, until it is killed; prints the number of those acknowledged."""

from __future__ import annotations

import sys
from itertools import count

from croquis.store.versions import open_stores
from tests.support.store.store_sample import SPEC, image, vectors

TEN = 10


def written(batch: int) -> tuple[list, object]:
    """The images of a batch and their vectors."""
    return [image(batch * TEN + place, name="killed") for place in range(TEN)], vectors(TEN, seed=1000 + batch)


def main() -> None:
    uri, version, first = sys.argv[1:]
    store = open_stores(uri, "shop").open(SPEC.bundle, version)
    print("ready", flush=True)
    for batch in count(int(first)):
        store.upsert(*written(batch))
        print(batch, flush=True)


if __name__ == "__main__":
    main()
