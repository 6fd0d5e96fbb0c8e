"""Which split an item is in, and which earlier item it takes after. Every answer needs a few hashes and no table."""

from __future__ import annotations

from dataclasses import dataclass

from croquis.sources.rendered.garments.garment import Garment, sample, twin_options, vary, wear_print
from croquis.sources.rendered.rendered_settings import Rendered
from croquis.sources.rendered.seeding import stream, unit

REACH = 600
"""How many items back a twin looks for its source: bounds the work, and keeps sources near at 100,000 items."""

FIRST_COPY = 16
"""Earlier items are all originals: with few to choose from, many twins would share one source."""


@dataclass(frozen=True)
class RenderedItem:
    """One catalogue item: its number, split, garment, and the item that it takes after."""

    number: int
    split: str
    garment: Garment
    twin_of: int | None = None
    print_of: int | None = None
    varied: str | None = None

    @property
    def item_id(self) -> str:
        """`item-` and the number, at least six digits."""
        return f"item-{self.number:06d}"


def split_of(params: Rendered, seed: int, number: int) -> str:
    """`test`, `val` or `train` by a hash of the item, so more items move no item."""
    at = unit(seed, number, "split")
    if at < params.test_share:
        return "test"
    return "val" if at < params.test_share + params.val_share else "train"


def kind_of(params: Rendered, seed: int, number: int) -> str:
    """`twin`, `print` or `original`; where the two shares pass 1 together, twins come first."""
    if number < FIRST_COPY:
        return "original"
    at = unit(seed, number, "kind")
    if at < params.twin_share:
        return "twin"
    return "print" if at < params.twin_share + params.shared_print_share else "original"


def make_item(params: Rendered, seed: int, number: int) -> RenderedItem:
    """The item with that number. A twin or shared print whose split has no earlier original stays on its own."""
    split, kind = split_of(params, seed, number), kind_of(params, seed, number)
    own = sample(stream(seed, number, "garment"))
    source = None if kind == "original" else _find_source(params, seed, number, split, own if kind == "print" else None)
    if source is None:
        return RenderedItem(number, split, own)
    other = sample(stream(seed, source, "garment"))
    if kind == "print":
        return RenderedItem(number, split, wear_print(own, other), print_of=source)
    rng = stream(seed, number, "twin")
    options = twin_options(other)
    group = options[int(rng.integers(len(options)))]
    return RenderedItem(number, split, vary(other, group, rng), twin_of=source, varied=group)


def _find_source(params: Rendered, seed: int, number: int, split: str, wearer: Garment | None) -> int | None:
    """An earlier original of the same split; for a shared print, one whose print the wearer's category may have."""
    near = range(max(0, number - REACH), number)
    originals = [n for n in near if split_of(params, seed, n) == split and kind_of(params, seed, n) == "original"]
    stream(seed, number, "source").shuffle(originals)
    for source in originals:
        if wearer is None or _fits(sample(stream(seed, source, "garment")).pattern, wearer):
            return source
    return None


def _fits(pattern: str, wearer: Garment) -> bool:
    return pattern != "plain" and pattern in wearer.spec.pattern
