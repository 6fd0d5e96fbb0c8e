"""Products as they are handed in: the ids of pictures, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from croquis.catalog.filters import QueryError
from croquis.catalog.product import ProductPicture, check_attributes, check_item_id, check_version


def test_a_picture_has_the_same_id_whenever_it_comes() -> None:
    one, again, cropped = (ProductPicture.of("a", b"file", box).image_id for box in (None, None, (0, 0, 4, 4)))
    assert one == again != cropped
    assert one.startswith("a/")
    assert ProductPicture.of("b", b"file").image_id != one


@pytest.mark.parametrize("value", ["", " a", "a ", "a\n", "\ud800", "x" * 201, ".", "..", "a/image", 5, None])
def test_an_item_id_that_cannot_stand_in_a_url_is_refused(value: Any) -> None:
    with pytest.raises(QueryError, match="item_id"):
        check_item_id(value)


def test_attributes_and_versions_are_checked() -> None:
    assert check_attributes(["b", "a", "b"]) == ("b", "a")
    for wrong in ("colour:red", 5, None, [1], [""], ["x" * 101], ["a"] * 101):
        with pytest.raises(QueryError, match="attributes"):
            check_attributes(wrong)
    assert check_version(2**53 - 1) == 2**53 - 1
    for wrong in (0, -1, 2**53, 1.0, True, "1"):
        with pytest.raises(QueryError, match="version"):
            check_version(wrong)
