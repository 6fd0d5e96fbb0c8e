"""Altered copies of photos: like the photo and not the photo, the same each time, and rows of their own in a catalogue."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from croquis.catalog.images import decode_image
from croquis.formats.tables.altered_view import LEAST_SIDE, SHARE, altered_view
from croquis.sources.folder import Folder, is_view, planned_rows, rows


def photo(width: int = 120, height: int = 90, seed: int = 0) -> bytes:
    fields = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(fields).resize((width, height), Image.Resampling.BICUBIC).save(stream, format="PNG")
    return stream.getvalue()


@pytest.mark.parametrize("number", range(20))
def test_a_copy_shows_a_part_of_the_photo_in_its_proportions(number: int) -> None:
    copy = decode_image(altered_view(photo(), f"7/{number}"))
    height, width = copy.shape[:2]
    assert SHARE[0] * 0.95 <= width * height / (120 * 90) <= SHARE[1] * 1.05
    assert width / height == pytest.approx(120 / 90, rel=0.05)


def test_a_copy_goes_by_its_key_alone() -> None:
    assert altered_view(photo(), "7/a") == altered_view(photo(), "7/a")
    assert len({altered_view(photo(), f"7/{number}") for number in range(10)}) == 10


def test_some_are_mirrored_and_some_are_not() -> None:
    """A photo that is dark on its left."""
    pixels = np.zeros((90, 120, 3), dtype=np.uint8)
    pixels += np.linspace(20, 230, 120).astype(np.uint8)[None, :, None]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    copies = [decode_image(altered_view(stream.getvalue(), f"7/{n}")).astype(float) for n in range(30)]
    darker_left = sum(copy[:, 0].mean() < copy[:, -1].mean() for copy in copies)
    assert 5 <= darker_left <= 25


def test_a_small_photo_is_not_cut_below_the_least_side() -> None:
    copy = decode_image(altered_view(photo(LEAST_SIDE + 2, LEAST_SIDE), "7/a"))
    assert min(copy.shape[:2]) == LEAST_SIDE


def test_only_the_box_is_shown_and_a_broken_file_stays_as_it_is() -> None:
    pixels = np.zeros((90, 120, 3), dtype=np.uint8)
    pixels[20:80, 30:90] = 200
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    assert decode_image(altered_view(stream.getvalue(), "7/a", [30, 20, 90, 80])).min() > 100
    assert altered_view(b"no picture", "7/a") == b"no picture"


def test_a_table_with_roles_of_views_has_a_copy_of_each_shop_photo(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02d}.png").write_bytes(photo(seed=number))
    lines = [f"{number:02d}.png,p{number},{'street' if number == 11 else 'shop'}" for number in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["path,item_id,domain", *lines]))
    block = Folder(
        table=str(tmp_path / "t.csv"), images=str(tmp_path), columns={}, splits={}, domains={"street": "consumer"},
        roles="views", share=1.0, val_share=0.3, test_share=0.3,
    )  # fmt: skip
    planned = planned_rows(block, 7)
    copies = {row["image_id"]: row for row in planned if is_view(row["image_id"])}
    assert set(copies) == {f"{number:02d}.png~view" for number in range(11)}
    for row in planned:
        copy = copies.get(f"{row['image_id']}~view")
        if copy is not None:
            assert (copy["item_id"], copy["split"], copy["domain"]) == (row["item_id"], row["split"], "consumer")
            roles = ("train", "train") if row["split"] == "train" else ("gallery", "query")
            assert (row["role"], copy["role"]) == roles
    written = {row["image_id"]: row for row in rows(block, 7)}
    assert written["03.png"]["image"] == photo(seed=3)
    assert written["03.png~view"]["image"] == altered_view(photo(seed=3), "7/03.png")
    assert all(set(row) == set(written["03.png"]) for row in written.values())
