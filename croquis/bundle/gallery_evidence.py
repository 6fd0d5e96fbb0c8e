"""What a bundle holds that re-ranking may know of its gallery."""

from __future__ import annotations

from croquis.arrays import Rows
from croquis.bundle.reader import Bundle
from croquis.index.vector_index import VectorIndex
from croquis.rerank.evidence import GalleryEvidence, certain_gallery
from croquis.rerank.overlap import Holdings


def attribute_sets(bundle: Bundle, source: str) -> list[list[str]]:
    """The attributes of each gallery row, `predicted` or those of the `catalogue`."""
    column = "predicted_attributes" if source == "predicted" else "attributes"
    sets: list[list[str]] = bundle.items.table.column(column).to_pylist()
    return sets


def stored_gallery(bundle: Bundle, index: VectorIndex, source: str, rows: Rows | None = None) -> GalleryEvidence:
    """What is stored; where `rows` are given, of those only, in their order, and `index` holds just them.

    Args:
        source: `predicted` or `catalogue`: which attributes of the gallery count.
    """
    if bundle.manifest.classifier is None:
        return GalleryEvidence(index.vectors)
    names = bundle.manifest.classifier.attributes

    def sets() -> list[list[str]]:
        found = attribute_sets(bundle, source)
        return found if rows is None else [found[row] for row in rows.tolist()]

    def probabilities() -> Holdings:
        found = bundle.items.probabilities(names)
        return found if rows is None else found[rows]

    return (
        GalleryEvidence(index.vectors, names, sets, probabilities)
        if source == "predicted"
        else certain_gallery(index.vectors, names, sets())
    )
