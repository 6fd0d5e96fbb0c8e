"""One garment as numbers: its attributes, colours, print and the small measures that set it apart from its like."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from croquis.sources.rendered.garments.categories import CATEGORIES, WARDROBE, Category
from croquis.sources.rendered.garments.palette import PALETTE, Colour, jittered, weights

GROUPS = ("sleeve", "neck", "length", "fit", "closure", "pocket", "pattern", "fabric")
TWO_COLOURED = frozenset({"graphic", "colour-block"})


@dataclass(frozen=True)
class Print:
    """What is on the cloth. Lengths in garment units (a shoulder is about 0.2 wide)."""

    kind: str
    period: float
    angle: float
    motif: int
    share: float


@dataclass(frozen=True)
class Shape:
    """Cut of the garment: deviations from its category's block, each in [-1, 1]."""

    width: float
    shoulder: float
    neck_width: float
    neck_depth: float
    taper: float
    sleeve: float
    hem: float
    detail: float
    rise: float


@dataclass(frozen=True)
class Garment:
    """Everything that all photos of an item share."""

    category: str
    sleeve: str
    neck: str
    length: str
    fit: str
    closure: str
    pocket: str
    fabric: str
    colour: str
    accent: str
    jitter: tuple[float, float, float]
    print: Print
    shape: Shape

    @property
    def pattern(self) -> str:
        """Kind of its print, e.g. `dots`."""
        return self.print.kind

    @property
    def spec(self) -> Category:
        """What its category allows."""
        return CATEGORIES[self.category]

    @property
    def family(self) -> str:
        """Group of categories that it is drawn as, e.g. `top`."""
        return self.spec.family

    @property
    def main_rgb(self) -> Colour:
        """Its colour, with the item's own deviation."""
        return jittered(self.colour, self.jitter)

    @property
    def accent_rgb(self) -> Colour:
        """Its second colour, with the item's own deviation."""
        return jittered(self.accent, (self.jitter[1], self.jitter[2], self.jitter[0]))

    def attributes(self) -> list[str]:
        """Labels `group:value`, in a fixed order; groups that the category does not have are left out."""
        labels = [f"{group}:{getattr(self, group)}" for group in GROUPS if getattr(self, group)]
        labels.append(f"colour:{self.colour}")
        if self.pattern != "plain":
            labels.append(f"accent:{self.accent}")
        return labels


def vocabulary() -> list[str]:
    """Every label that any garment may carry, sorted."""
    labels = {f"{group}:{v}" for spec in CATEGORIES.values() for group in GROUPS for v in getattr(spec, group)}
    labels |= {f"{group}:{name}" for group in ("colour", "accent") for name in PALETTE}
    return sorted(labels)


def sample(rng: np.random.Generator) -> Garment:
    """Draws a garment on its own, without regard to twins and shared prints."""
    category = WARDROBE[int(rng.integers(len(WARDROBE)))]
    spec = CATEGORIES[category]
    values = {group: _pick(rng, getattr(spec, group)) for group in GROUPS}
    kind = values.pop("pattern")
    colour = _colour(rng, values["fabric"])
    return Garment(
        category=category,
        colour=colour,
        accent=contrasting(rng, colour),
        jitter=_three(rng),
        print=sample_print(rng, kind),
        shape=Shape(*(float(v) for v in np.clip(rng.normal(0.0, 0.5, len(fields(Shape))), -1.0, 1.0))),
        **values,
    )


def sample_print(rng: np.random.Generator, kind: str) -> Print:
    """Draws scale, angle and motif of a print of the given kind."""
    period = float(np.exp(rng.uniform(np.log(0.035), np.log(0.11))))
    tilt = float(rng.normal(0.0, 0.03)) if rng.random() < 0.8 else float(rng.uniform(-0.8, 0.8))
    angle = tilt if kind in {"checks", "dots", "argyle", "zigzag"} else 0.0
    return Print(kind, period, angle, int(rng.integers(2**31)), float(rng.uniform(0.3, 0.7)))


def contrasting(rng: np.random.Generator, colour: str) -> str:
    """A palette name that can be told from `colour` when both are in one print."""
    base = np.array(PALETTE[colour])
    distance = np.array([np.abs(np.array(rgb) - base).sum() for rgb in PALETTE.values()])
    chances = np.where(distance > 130, weights(), 0.0)
    return list(PALETTE)[int(rng.choice(len(PALETTE), p=chances / chances.sum()))]


def twin_options(garment: Garment) -> list[str]:
    """Attribute groups in which a twin of this garment may differ, the others staying as they are."""
    options = [g for g in ("sleeve", "neck", "length", "fit", "closure", "pocket") if len(garment.spec.choices(g)) > 1]
    options += ["colour"]
    if garment.pattern != "plain":
        options += ["accent"]
    if garment.pattern not in TWO_COLOURED | {"plain"} and len(_printed(garment)) > 1:
        options += ["pattern"]
    return options


def vary(garment: Garment, group: str, rng: np.random.Generator) -> Garment:
    """A copy that differs from `garment` in exactly that attribute group."""
    if group == "colour":
        return replace(garment, colour=_other_colour(rng, garment.colour, garment.accent))
    if group == "accent":
        return replace(garment, accent=_other_colour(rng, garment.accent, garment.colour))
    if group == "pattern":
        kind = _pick(rng, tuple(k for k in _printed(garment) if k != garment.pattern))
        return replace(garment, print=replace(garment.print, kind=kind))
    values = tuple(v for v in garment.spec.choices(group) if v != getattr(garment, group))
    changed: dict[str, Any] = {group: _pick(rng, values)}
    return replace(garment, **changed)


def wear_print(garment: Garment, source: Garment) -> Garment:
    """`garment` made of the cloth of `source`: same print, colours and dye lot."""
    return replace(garment, print=source.print, colour=source.colour, accent=source.accent, jitter=source.jitter)


def block_band(garment: Garment) -> tuple[float, float]:
    """Upper and lower end (y, garment units) of the band of a colour-blocked garment."""
    start = (0.62 if garment.family in {"legs", "skirt"} else 0.28) + 0.12 * (garment.print.share - 0.5)
    return start, start + 0.07 + 1.1 * garment.print.period


def block_style(garment: Garment) -> str:
    """Where a colour-blocked garment has its second colour: `sleeves`, `band`, `lower` or `halves`; else ``."""
    if garment.pattern != "colour-block":
        return ""
    styles = ("sleeves", "band", "lower", "halves")
    style = styles[garment.print.motif % 4]
    bare = garment.sleeve in {"", "none", "cap"}
    return (
        "stripe"
        if style == "sleeves" and garment.family == "legs"
        else "lower"
        if style == "sleeves" and bare
        else style
    )


def _printed(garment: Garment) -> tuple[str, ...]:
    return tuple(k for k in garment.spec.choices("pattern") if k not in TWO_COLOURED | {"plain"})


def _other_colour(rng: np.random.Generator, old: str, beside: str) -> str:
    while True:
        name = contrasting(rng, beside)
        if name != old:
            return name


def _colour(rng: np.random.Generator, fabric: str) -> str:
    if fabric == "denim":
        return _pick(rng, ("navy", "blue", "blue", "light-blue", "black", "grey", "white"))
    names = list(PALETTE)
    return names[int(rng.choice(len(names), p=weights()))]


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))] if values else ""


def _three(rng: np.random.Generator) -> tuple[float, float, float]:
    first, second, third = (float(v) for v in rng.uniform(-1.0, 1.0, 3))
    return first, second, third
