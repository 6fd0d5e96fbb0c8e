"""What a catalogue can be asked, from its rows alone: the protocol, the measure that chooses, splits that make both work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.catalog.table import METADATA_COLUMNS, SCHEMA, Catalog
from croquis.evaluation.answerable import answered_pairs, unanswerable, unlearnable
from croquis.evaluation.protocol import PAIRS as DOMAIN_PAIRS
from croquis.evaluation.protocol import (
    PROTOCOLS,
    ProtocolError,
    count_relevant,
    label_codes,
    open_gallery,
    open_queries,
    own_rows,
)
from croquis.projects.words import categories_in_words
from croquis.refusals import RefusedError
from croquis.sources.folder import VIEWS, Folder, is_view, planned_rows

SHARES = (0.2, 0.3, 0.4)  # of the items, for val and for test: more where few have no answer, or prove nothing
MOST_BY_CHANCE = 0.05  # 1 - `register.confidence` as shipped
PAIRS = ("consumer->shop", "shop->shop")
PLANS = (
    ("instance", "by_item"),
    ("category", "queries"),
    ("instance", VIEWS),
)  # protocol and roles, tried in this order
MIN_POSITIVES = (20, 10, 5, 2)


@dataclass(frozen=True)
class CatalogueShape:
    """A catalogue and how it can be measured.

    Attributes:
        protocol: `base.protocol`.
        select_by: `register.select_by`.
        share: `val_share` and `test_share` of the source.
        photos, items, categories: counts of all splits.
        train: photos of the train split.
        pairs: items of the train split with two photos or more.
        domains: of the photos, in the order of the catalogue's words.
        min_positives: of the attribute classifier; None where there is nothing to learn.
        unanswered: share of the query photos without a right answer.
        single: share of the training photos that are their item's only one.
        views: whether the queries are altered copies of photos, as nothing else tells a right answer.
    """

    protocol: str
    select_by: str
    share: float
    photos: int
    items: int
    categories: int
    train: int
    pairs: int
    domains: tuple[str, ...]
    min_positives: int | None
    unanswered: float
    single: float
    views: bool = False


def catalog_of(rows: Sequence[Mapping[str, Any]], folder: Path) -> Catalog:
    """Planned rows as a catalogue without images."""
    schema = pa.schema([SCHEMA.field(name) for name in METADATA_COLUMNS])
    table = pa.Table.from_pylist([{name: row.get(name) for name in METADATA_COLUMNS} for row in rows], schema=schema)
    return Catalog(folder, table, np.array([0, len(rows)], dtype=np.int64), [])


def measure_shape(block: Mapping[str, Any], seed: int) -> tuple[CatalogueShape, Folder]:
    """The first protocol, pair and share of splits under which val and test can be answered and val can show that a method
    is above chance, and the source's block.

    Args:
        block: `ingest.folder` of params.yaml; its roles and shares are chosen here.

    Raises:
        RefusedError: when there is none, in one line that says what is missing.
        SourceError: as `croquis.sources.folder.planned_rows`.
    """
    problem = ""
    for protocol, roles in PLANS:
        for share in SHARES:
            chosen = {"roles": roles, "val_share": share, "test_share": share}
            folder = Folder.model_validate({**block, **chosen})
            catalog = catalog_of(planned_rows(folder, seed), Path(folder.images))
            for pair in PAIRS:
                select_by = f"{pair}/hit@1"
                found = unanswerable(catalog, PROTOCOLS[protocol], select_by, drawings=False)
                shape = shape_of(catalog, protocol, select_by, share, roles == VIEWS)
                found = found or proves_nothing(catalog, protocol, pair)
                if not found and (protocol == "category" or shape.pairs >= 2):
                    return shape, folder
                found = found or ["fewer than two products of the train split have two photos"]
                problem = problem or (found[0] if pair == PAIRS[-1] else "")
    raise RefusedError(_what_is_missing(catalog, problem))


def proves_nothing(catalog: Catalog, protocol: str, pair: str) -> list[str]:
    """One line where random orders may answer every val query of a pair of domains right, so that no method can become
    champion by the gate's rule `chance`; none where a method can.

    The probability that they do is bounded as the gate bounds it, for a hit@1 of 1 in every query.
    """
    gallery = open_gallery(catalog, "val", PROTOCOLS[protocol])
    queries = open_queries(catalog, "val", next(each for each in DOMAIN_PAIRS if each.name == pair))
    relevant = count_relevant(*label_codes(queries, gallery), own_rows(queries, gallery))
    asked = queries.item_ids[relevant > 0].tolist()
    chance = float(relevant[relevant > 0].mean()) / len(gallery)
    draws = len(asked) / max(Counter(asked).values())
    if chance**draws <= MOST_BY_CHANCE:
        return []
    return [f"val has {len(asked)} queries of {len(set(asked))} products, which a random order may answer all"]


def _what_is_missing(catalog: Catalog, problem: str) -> str:
    photos, items = len(_own_photos(catalog)), len(set(catalog.column("item_id")))
    categories = len(set(catalog.column("category")))
    what = f"{photos} photos of {items} products in {categories_in_words(categories)}"
    return (
        f"{what}: too few to split into train, val and test ({problem}); nothing can be trained or measured on them. Name "
        "products or categories in a table, or search them as they are: croquis index FOLDER --to shop.bundle"
    )


def _own_photos(catalog: Catalog) -> list[str]:
    return [name for name in catalog.column("image_id") if not is_view(name)]


def shape_of(catalog: Catalog, protocol: str, select_by: str, share: float, views: bool = False) -> CatalogueShape:
    """The shape of a catalogue that is measured so; `share` and `views` are told, not looked at."""
    splits, items = catalog.column("split"), catalog.column("item_id")
    sizes = Counter(items[splits == "train"].tolist())
    train = sum(sizes.values())
    asked = catalog.select(role="query")
    domains = set(catalog.column("domain"))
    return CatalogueShape(
        protocol=protocol,
        select_by=select_by,
        share=share,
        photos=len(_own_photos(catalog)) if views else len(catalog),
        views=views,
        items=len(set(items)),
        categories=len(set(catalog.column("category"))),
        train=train,
        pairs=sum(count > 1 for count in sizes.values()),
        domains=tuple(name for name in ("shop", "consumer", "sketch") if name in domains),
        min_positives=next((count for count in MIN_POSITIVES if unlearnable(catalog, count) is None), None),
        unanswered=(len(asked) - _answered(catalog, protocol)) / len(catalog),
        single=sum(count == 1 for count in sizes.values()) / max(1, train),
    )


def _answered(catalog: Catalog, protocol: str) -> int:
    found = 0
    for split in ("val", "test"):
        try:
            found += sum(answered_pairs(catalog, split, open_gallery(catalog, split, PROTOCOLS[protocol])).values())
        except ProtocolError:
            continue
    return found
