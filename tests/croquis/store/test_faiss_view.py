"""Rows of images by their ids, in the order that they came in, before and after changes."""

from __future__ import annotations

import numpy as np

from croquis.store.faiss_view import LOOKED_UP, StoreView
from croquis.store.vector_store import StoreSpec

SPEC = StoreSpec("bundle", "dense", "l2", dim=2)


def test_images_are_found_by_their_ids_one_by_one_and_many_at_once() -> None:
    ids = [f"image-{number * 7 % 100:02d}" for number in range(100)]
    vectors = np.arange(200, dtype=np.float32).reshape(100, 2)
    view = StoreView.of(SPEC, ids, vectors)
    assert view.ids(view.rows(ids)) == ids
    changed = view.changed(["new", ids[3]], -vectors[:2], removed=[ids[5], "nobody"])
    kept = [name for name in ids if name not in (ids[3], ids[5])]
    for asked in (["nobody", "new", ids[3], ids[5], ids[9]], [*ids, "nobody", "new"]):
        here = [name for name in asked if name in {*kept, "new", ids[3]}]
        rows = changed.rows(asked)
        assert changed.ids(rows) == here
        right = {**dict(zip(ids, vectors, strict=True)), "new": -vectors[0], ids[3]: -vectors[1]}
        np.testing.assert_array_equal(changed.vectors(rows), [right[name] for name in here])
    assert len(ids) > LOOKED_UP
    assert changed.ids(np.array([len(kept), 0, len(kept) + 1])) == ["new", kept[0], ids[3]]
