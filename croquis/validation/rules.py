"""The rules, all of them: name, severity, what is checked, and what breaks it.

`quarantine` takes the rows out, each with its reasons; `fail` stops the stage and names the rows. Some rules of
severity `fail` tolerate a share, which is a param. There are five suites, each over a frame of its own: images one by
one; relations among those that passed; and, of what is accepted in the end, the catalogue as a whole, its attributes
and its splits. A new rule is one entry here and, if it needs one, a column in its frame. What breaks a line is worked out
here, for the stage `validate`, which shows it by Great Expectations, as for product events, which know no other suite than
the first.
"""

from __future__ import annotations

from croquis.catalog.images import MODES
from croquis.catalog.table import DOMAINS, ROLES, SPLITS
from croquis.evaluation.protocol import Protocol
from croquis.params.data_blocks import Validate
from croquis.validation.rule_kinds import Rule, at_least, at_most, contains, null, one_of, present, unique

IMAGE_RULES = (
    present("image_id_present", "image_id", "has an `image_id`: results are reported by it"),
    unique(
        "image_id_unique",
        "image_id",
        "no other row claims its `image_id`; which one is right is unknown, so all of them go",
    ),
    present("item_id_present", "item_id", "has an `item_id`: the item is what retrieval must match"),
    present("category_present", "category", "has a `category`: results are reported by it"),
    one_of("domain_known", "domain", DOMAINS, f"`domain` is one of {', '.join(DOMAINS)}"),
    one_of("split_known", "split", SPLITS, f"`split` is one of {', '.join(SPLITS)}"),
    one_of("role_known", "role", ROLES, f"`role` is one of {', '.join(ROLES)}"),
    null("role_fits_split", "quarantine", "role_problem", "train rows have role train, others query or gallery"),
    null(
        "distractor_known",
        "quarantine",
        "distractor_problem",
        "`also_gallery_of`, where given, names another split, and the photo has role gallery",
    ),
    null("decodable", "quarantine", "decode_problem", "the file is a JPEG, PNG, WEBP, BMP or GIF"),
    null("whole_file", "quarantine", "damage_problem", "the file is neither truncated nor damaged"),
    null("still_picture", "quarantine", "animation_problem", "the file holds one picture, not an animation"),
    null(
        "no_decompression_bomb",
        "quarantine",
        "size_problem",
        "file and stated picture stay below 20 MB and `validate.max_megapixels`; larger ones are not decoded",
    ),
    null("colour_mode", "quarantine", "mode_problem", f"the colour mode is one of {', '.join(MODES)}"),
    null("exif_orientation", "quarantine", "orientation_problem", "the EXIF orientation, where given, is 0 to 8"),
    null("not_blank", "quarantine", "blank_problem", "the picture has more than one colour"),
    at_least(
        "short_side",
        "quarantine",
        "short_side",
        "the upright picture's short side has at least `validate.min_side` pixels",
        lambda v: v.min_side,
    ),
    at_most(
        "long_side",
        "quarantine",
        "long_side",
        "the upright picture's long side has at most `validate.max_side` pixels",
        lambda v: v.max_side,
    ),
    null("box_inside", "quarantine", "box_problem", "the box, where given, lies inside the upright picture"),
    null(
        "landmarks_inside",
        "quarantine",
        "landmark_problem",
        "landmarks, where given, are triples of x, y, visibility, and visible ones lie inside the upright picture",
    ),
    null(
        "labels_sound",
        "quarantine",
        "label_problem",
        "attribute labels are neither blank nor repeated, nor both held and unknown",
    ),
    at_most(
        "item_attributes",
        "quarantine",
        "item_labels",
        "the item has at most `validate.max_item_attributes` different attributes",
        lambda v: v.max_item_attributes,
    ),
)

RELATION_RULES = (
    null("item_in_one_split", "fail", "split_conflict", "no item has photos in two splits"),
    null(
        "copy_in_later_split",
        "quarantine",
        "later_copy",
        "no later split (train, val, test) holds the same file, byte for byte: it would be learned from and tested on",
    ),
    null(
        "one_photo_two_labels",
        "quarantine",
        "shared_photo",
        "the file, with the same box, does not stand under another item (category, where the protocol goes by it) too; "
        "all copies go",
    ),
    null(
        "near_copy_in_later_split",
        "quarantine",
        "near_later",
        "no later split holds the photo re-encoded, resized or mirrored",
    ),
    null(
        "query_has_gallery",
        "quarantine",
        "gallery_problem",
        "a query's item (category) has a shop photo that is not itself among what the protocol lets it search",
    ),
    null(
        "near_copy_two_labels",
        "fail",
        "near_label",
        "at most `validate.max_near_duplicate_share` of the photos look like another file of another item (category) in "
        "their split",
        tolerated=lambda v: v.max_near_duplicate_share,
    ),
)

CATALOGUE_RULES = (
    contains("splits_present", "split", SPLITS, "there are train, val and test images"),
    contains("queries_present", "query_split", ("val", "test"), "val and test have queries that can be answered"),
    Rule(
        "category_count",
        "fail",
        "category",
        "there are `validate.min_categories` to `validate.max_categories` categories",
        expectation="ExpectColumnUniqueValueCountToBeBetween",
        arguments=lambda v: {"min_value": v.min_categories, "max_value": v.max_categories},
    ),
    Rule(
        "two_categories",
        "fail",
        "category",
        "there are two categories or more: with one, every answer is right",
        expectation="ExpectColumnUniqueValueCountToBeBetween",
        arguments=lambda _: {"min_value": 2},
        relevance="category",
    ),
    Rule(
        "single_image_items",
        "fail",
        "photos_of_item",
        "at most `validate.max_single_image_share` of the training photos are their item's only one, which forms no pair",
        expectation="ExpectColumnValuesToBeBetween",  # its share is of the lines that are not null
        arguments=lambda v: {"min_value": 2, "mostly": 1 - v.max_single_image_share},
        relevance="item",
    ),
)

ATTRIBUTE_RULES = (
    Rule(
        "attribute_tells",
        "fail",
        "train",
        "at most `validate.max_constant_attribute_share` of the attributes are held by all or none of the training items",
        lambda shares, _: (shares <= 0.0) | (shares >= 1.0),
        tolerated=lambda v: v.max_constant_attribute_share,
    ),
    at_most(
        "attribute_prevalence",
        "fail",
        "shift",
        "between train and another split no attribute's share of items moves by more than "
        "`validate.max_prevalence_shift` beyond three standard errors",
        lambda v: v.max_prevalence_shift,
    ),
)

SPLIT_RULES = (
    at_most(
        "category_drift",
        "fail",
        "drift",
        "the total variation distance between the category shares of train and the split exceeds what chance gives by "
        "at most `validate.max_category_drift`",
        lambda v: v.max_category_drift,
    ),
)

SUITES = {
    "images": IMAGE_RULES,
    "relations": RELATION_RULES,
    "catalogue": CATALOGUE_RULES,
    "attributes": ATTRIBUTE_RULES,
    "splits": SPLIT_RULES,
}
ALL_RULES = tuple(rule for rules in SUITES.values() for rule in rules)


class RuleError(ValueError):
    """params.yaml switches off a rule that does not exist."""


def active(rules: tuple[Rule, ...], settings: Validate, protocol: Protocol) -> tuple[Rule, ...]:
    """The rules that params.yaml leaves on and that mean something under the protocol."""
    return tuple(
        rule for rule in rules if rule.name not in settings.disabled and rule.relevance in (None, protocol.relevance)
    )


def check_disabled(settings: Validate) -> None:
    """Raises a `RuleError` when `validate.disabled` holds a name that no rule has."""
    known = [rule.name for rule in ALL_RULES]
    for name in settings.disabled:
        if name not in known:
            raise RuleError(f"validate.disabled names {name!r}, which is no rule; rules are {', '.join(known)}")


def table() -> str:
    """All rules as a Markdown table."""
    lines = [f"| `{rule.name}` | {rule.severity} | {rule.checks} |" for rule in ALL_RULES]
    return "\n".join(["| rule | severity | what it checks |", "|---|---|---|", *lines])
