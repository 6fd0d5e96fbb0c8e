"""What each category of garment may look like: the allowed values of every attribute group."""

from __future__ import annotations

from dataclasses import dataclass

ALL_OVER = ("stripes-horizontal", "stripes-vertical", "checks", "dots", "floral", "zigzag", "camouflage", "argyle")
PLAIN = ("plain", "plain", "plain")


@dataclass(frozen=True)
class Category:
    """Allowed values of a category; a value that stands twice is drawn twice as often."""

    family: str
    sleeve: tuple[str, ...] = ()
    neck: tuple[str, ...] = ()
    length: tuple[str, ...] = ("hip",)
    fit: tuple[str, ...] = ("slim", "regular", "loose")
    closure: tuple[str, ...] = ("none",)
    pocket: tuple[str, ...] = ("none",)
    pattern: tuple[str, ...] = PLAIN + ALL_OVER
    fabric: tuple[str, ...] = ("smooth",)

    def choices(self, group: str) -> tuple[str, ...]:
        """The allowed values of an attribute group, each once, in a fixed order."""
        return tuple(dict.fromkeys(getattr(self, group)))


CATEGORIES: dict[str, Category] = {
    "t-shirt": Category(
        "top",
        ("cap", "short", "short", "elbow", "long"),
        ("crew", "crew", "v", "scoop", "boat"),
        ("crop", "hip", "hip", "thigh"),
        pocket=("none", "none", "chest"),
        pattern=(*PLAIN, "graphic", "graphic", "graphic", "colour-block", "stripes-horizontal", *ALL_OVER),
        fabric=("smooth", "smooth", "ribbed"),
    ),
    "tank-top": Category(
        "top",
        ("none",),
        ("scoop", "v", "crew", "square"),
        ("crop", "hip", "thigh"),
        pocket=("none", "none", "chest"),
        pattern=(*PLAIN, "graphic", "colour-block", *ALL_OVER),
        fabric=("smooth", "ribbed"),
    ),
    "polo": Category(
        "top",
        ("short", "short", "long"),
        ("polo",),
        ("hip", "hip", "crop"),
        closure=("buttons", "zip"),
        pocket=("none", "none", "chest"),
        pattern=(*PLAIN, "colour-block", "stripes-horizontal", "stripes-horizontal", "checks", "dots", "argyle"),
        fabric=("pique", "smooth", "knit"),
    ),
    "shirt": Category(
        "top",
        ("short", "elbow", "long", "long"),
        ("collar", "collar", "stand"),
        ("hip", "thigh", "crop"),
        closure=("buttons",),
        pocket=("none", "chest", "flap"),
        pattern=("plain", "plain", "checks", "stripes-vertical", "colour-block", *ALL_OVER),
        fabric=("smooth", "smooth", "denim", "corduroy"),
    ),
    "sweater": Category(
        "top",
        ("elbow", "long", "long"),
        ("crew", "v", "turtle", "boat"),
        ("crop", "hip", "thigh"),
        pattern=(
            *PLAIN,
            "stripes-horizontal",
            "stripes-horizontal",
            "argyle",
            "zigzag",
            "dots",
            "colour-block",
            "graphic",
        ),
        fabric=("knit", "knit", "cable", "ribbed"),
    ),
    "hoodie": Category(
        "top",
        ("short", "long", "long"),
        ("hood",),
        ("crop", "hip", "hip", "thigh"),
        closure=("none", "zip"),
        pocket=("kangaroo", "kangaroo", "none"),
        pattern=(*PLAIN, "graphic", "graphic", "colour-block", "camouflage", "stripes-horizontal", "checks", "dots"),
        fabric=("fleece", "fleece", "ribbed"),
    ),
    "cardigan": Category(
        "top",
        ("elbow", "long", "long"),
        ("v", "crew", "shawl"),
        ("hip", "thigh", "crop"),
        closure=("buttons", "buttons", "zip"),
        pocket=("none", "patch"),
        pattern=(*PLAIN, "stripes-horizontal", "argyle", "zigzag", "floral", "dots", "colour-block"),
        fabric=("knit", "cable", "ribbed"),
    ),
    "jacket": Category(
        "top",
        ("long",),
        ("stand", "collar", "lapel", "hood"),
        ("crop", "hip"),
        closure=("zip", "buttons"),
        pocket=("side", "flap", "chest"),
        pattern=(*PLAIN, "colour-block", "camouflage", "checks", "floral", "stripes-vertical"),
        fabric=("smooth", "denim", "corduroy", "quilted"),
    ),
    "coat": Category(
        "top",
        ("long",),
        ("lapel", "lapel", "stand", "hood", "collar"),
        ("thigh", "knee", "calf"),
        ("regular", "loose", "slim"),
        ("buttons", "zip"),
        ("side", "flap", "patch"),
        (*PLAIN, "checks", "colour-block", "stripes-vertical", "camouflage"),
        ("smooth", "fleece", "quilted"),
    ),
    "dress": Category(
        "dress",
        ("none", "cap", "short", "elbow", "long"),
        ("crew", "v", "scoop", "boat", "square", "collar"),
        ("thigh", "knee", "calf", "ankle"),
        ("slim", "regular", "flared", "flared"),
        ("none", "buttons"),
        ("none", "none", "side"),
        ("plain", "plain", "floral", "dots", "colour-block", *ALL_OVER),
        ("smooth", "smooth", "ribbed", "denim"),
    ),
    "jumpsuit": Category(
        "jumpsuit",
        ("none", "short", "long"),
        ("v", "collar", "scoop", "square"),
        ("calf", "ankle", "thigh"),
        ("slim", "regular", "flared"),
        ("none", "buttons", "zip"),
        ("none", "chest", "side"),
        ("plain", "plain", "stripes-vertical", "floral", "dots", "checks", "colour-block", "camouflage"),
        ("smooth", "denim"),
    ),
    "skirt": Category(
        "skirt",
        length=("thigh", "knee", "calf", "ankle"),
        fit=("slim", "regular", "flared", "pleated"),
        closure=("none", "buttons", "zip"),
        pocket=("none", "side", "patch"),
        pattern=("plain", "plain", "checks", "floral", "colour-block", *ALL_OVER),
        fabric=("smooth", "denim", "corduroy"),
    ),
    "trousers": Category(
        "legs",
        length=("calf", "ankle", "ankle"),
        fit=("slim", "regular", "loose", "flared"),
        closure=("buttons", "zip"),
        pocket=("side", "none", "flap"),
        pattern=(*PLAIN, "plain", "stripes-vertical", "checks", "camouflage", "floral", "colour-block", "zigzag"),
        fabric=("smooth", "smooth", "corduroy", "fleece"),
    ),
    "jeans": Category(
        "legs",
        length=("calf", "ankle", "ankle"),
        fit=("slim", "regular", "loose", "flared"),
        closure=("buttons",),
        pocket=("side",),
        pattern=("plain",),
        fabric=("denim",),
    ),
    "shorts": Category(
        "legs",
        length=("thigh", "thigh", "knee"),
        fit=("slim", "regular", "loose"),
        closure=("buttons", "zip", "none"),
        pocket=("side", "none", "flap"),
        pattern=("plain", "plain", "checks", "floral", "camouflage", "colour-block", *ALL_OVER),
        fabric=("smooth", "denim", "fleece"),
    ),
}

WARDROBE: tuple[str, ...] = tuple(
    name
    for name in CATEGORIES
    for _ in range({"t-shirt": 3, "dress": 3, "shirt": 2, "sweater": 2, "trousers": 2, "skirt": 2}.get(name, 1))
)
"""Category names as often as they should be drawn."""
