"""What a catalogue cannot answer, found when it is validated and not by the last stage that needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import (
    PAIRS,
    JudgedGallery,
    Protocol,
    ProtocolError,
    count_relevant,
    label_codes,
    open_gallery,
    open_queries,
    own_rows,
)

SPLITS = ("val", "test")
CHOSEN_ON = "val"
DRAWN = "sketch->shop"  # the stage `sketch` draws the queries of a split that has none


def answered_pairs(catalog: Catalog, split: str, gallery: JudgedGallery) -> dict[str, int]:
    """By pair of domains with queries in the split: how many of them have a right answer in its gallery."""
    found = {}
    for pair in PAIRS:
        queries = open_queries(catalog, split, pair)
        if len(queries):
            relevant = count_relevant(*label_codes(queries, gallery), own_rows(queries, gallery))
            found[pair.name] = int((relevant > 0).sum())
    return found


def unanswerable(catalog: Catalog, protocol: Protocol, select_by: str, *, drawings: bool = True) -> list[str]:
    """One line, with the fix, for everything that params.yaml asks for and the catalogue cannot give.

    Args:
        select_by: `register.select_by`, `PAIR/METRIC`, measured on val.
        drawings: `parts.sketch`, whether there are sketch queries.
    """
    problems: list[str] = []
    for split in SPLITS:
        try:
            gallery = open_gallery(catalog, split, protocol)
        except ProtocolError as error:
            problems.append(str(error))
            continue
        answered = answered_pairs(catalog, split, gallery)
        problems += _of_split(split, gallery, answered)
        possible = [each.name for each in PAIRS if answered.get(each.name) or each.name == DRAWN]
        possible = [name for name in possible if drawings or name != DRAWN]
        problems += _of_choice(possible, select_by) if split == CHOSEN_ON else ()
    return problems


def _of_split(split: str, gallery: JudgedGallery, answered: Mapping[str, int]) -> Iterator[str]:
    protocol = gallery.protocol
    what = "item" if protocol.relevance == "item" else "category"
    if not answered:
        yield f"split {split} has no queries; give some of its photos the role query"
    elif not any(answered.values()):
        yield (
            f"no query of {split} has another photo of its {what} in the gallery"
            + ("; if each photo is an item of its own, set base.protocol: category (and ingest.folder.roles: queries, "
               "where the source is folder)" if what == "item" else "")
        )  # fmt: skip
    elif len(set(gallery.labels(protocol))) < 2:
        yield f"the gallery of {split} holds one {what}, so that every answer is right; give it two or more"


def _of_choice(possible: Sequence[str], select_by: str) -> Iterator[str]:
    pair, _, metric = select_by.rpartition("/")
    if pair not in possible:
        remedies = " or ".join(f"{name}/{metric}" for name in possible)
        yield f"register.select_by is {select_by}, and val has no such queries with an answer; set it to {remedies}"


def unlearnable(catalog: Catalog, min_positives: int) -> str | None:
    """Why the attribute classifier has nothing to learn, with the fix; None when it has.

    Args:
        min_positives: `train_classifier.min_positives`, training photos that an attribute needs.
    """
    rows = catalog.select(split="train", domain=["shop", "consumer"])
    counts = Counter(label for labels in catalog.column("attributes")[rows] for label in set(labels))
    if not counts:
        return "no training photo has an attribute; name some, e.g. by ingest.folder.columns: {attributes: [category]}"
    if any(min_positives <= count < len(rows) for count in counts.values()):
        return None
    label, most = counts.most_common(1)[0]
    return (
        f"no attribute has {min_positives} training photos and is absent from others ({label!r} has {most} of "
        f"{len(rows)}); lower train_classifier.min_positives or add attributes"
    )
