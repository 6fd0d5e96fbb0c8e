"""The rules, all of them: name, severity, reason and the expectation that tests it.

`quarantine` takes the rows out, `fail` stops the stage, `report` only counts. Rules for images look at each row alone;
rules for relations look at the rows that passed those. A new rule is one entry here and, if it needs one, a column in
`validation/frame.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import great_expectations.expectations as gxe

from params.data import Validate
from retrieval.catalog import DOMAINS, ROLES, SPLITS

Severity = Literal["quarantine", "fail", "report"]


@dataclass(frozen=True)
class Rule:
    """One named rule; `column` is what it looks at and what its reasons quote."""

    name: str
    severity: Severity
    column: str
    why: str
    expect: Callable[[Validate], Any]


def _null(name: str, severity: Severity, column: str, why: str) -> Rule:
    return Rule(name, severity, column, why, lambda _: gxe.ExpectColumnValuesToBeNull(column=column))


def _present(name: str, column: str, why: str) -> Rule:
    def expect(_: Validate) -> Any:
        return gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1)

    return Rule(name, "quarantine", column, why, expect)


def _one_of(name: str, column: str, allowed: tuple[str, ...]) -> Rule:
    def expect(_: Validate) -> Any:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed))

    return Rule(name, "quarantine", column, f"must be one of {', '.join(allowed)}", expect)


def _contains(name: str, column: str, needed: tuple[str, ...], why: str) -> Rule:
    def expect(_: Validate) -> Any:
        return gxe.ExpectColumnDistinctValuesToContainSet(column=column, value_set=list(needed))

    return Rule(name, "fail", column, why, expect)


IMAGE_RULES = (
    _present("image_id_present", "image_id", "results are reported by image_id"),
    Rule(
        "image_id_unique",
        "quarantine",
        "image_id",
        "two rows that claim one id cannot be told apart; both go",
        lambda _: gxe.ExpectColumnValuesToBeUnique(column="image_id"),
    ),
    _present("item_id_present", "item_id", "the item is what retrieval must match"),
    _present("category_present", "category", "results are reported by category"),
    _one_of("domain_known", "domain", DOMAINS),
    _one_of("split_known", "split", SPLITS),
    _one_of("role_known", "role", ROLES),
    _null("role_fits_split", "quarantine", "role_problem", "train rows have role train, others query or gallery"),
    _null("decodable", "quarantine", "decode_problem", "the file must be a whole, still picture"),
    _null("megapixels", "quarantine", "size_problem", "larger pictures are not decoded"),
    Rule(
        "short_side",
        "quarantine",
        "short_side",
        "smaller pictures show nothing",
        lambda v: gxe.ExpectColumnValuesToBeBetween(column="short_side", min_value=v.min_side),
    ),
    Rule(
        "long_side",
        "quarantine",
        "long_side",
        "larger pictures are scans or mistakes",
        lambda v: gxe.ExpectColumnValuesToBeBetween(column="long_side", max_value=v.max_side),
    ),
    _null("box_inside", "quarantine", "box_problem", "a box must hold pixels of its image"),
)

RELATION_RULES = (
    _null("item_in_one_split", "fail", "split_conflict", "an item seen in training must not be tested on"),
    _null("copy_in_later_split", "quarantine", "later_copy", "a test photo, byte for byte, must not be learned from"),
    _null("query_has_gallery", "quarantine", "gallery_problem", "a query without a match cannot be answered"),
    _contains("splits_present", "split", SPLITS, "training, selection and the final measure each need a split"),
    _contains("queries_present", "query_split", ("val", "test"), "val and test need queries that can be answered"),
    _null("photo_of_two_items", "report", "shared_photo", "one file under two items makes one of them wrong"),
    _null("near_duplicate_items", "report", "near_item", "two items that look alike may be one"),
    _null("near_duplicate_splits", "report", "near_split", "what looks like a photo of another split may leak"),
    _null("lone_train_photo", "report", "lone_train_photo", "an item with one photo forms no pair to learn from"),
)
