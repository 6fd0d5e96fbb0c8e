"""What a bundle holds that re-ranking may know of its gallery."""

from __future__ import annotations

from croquis.arrays import Rows
from croquis.bundle.gallery_table import GalleryTable
from croquis.index.vector_index import VectorIndex
from croquis.rerank.evidence import GalleryEvidence, certain_gallery
from croquis.rerank.overlap import Holdings


def attribute_column(source: str) -> str:
    """The column of a gallery that counts where `rerank.gallery_attributes` is `predicted` or `catalogue`."""
    return "predicted_attributes" if source == "predicted" else "attributes"


def stored_gallery(
    items: GalleryTable, index: VectorIndex, names: tuple[str, ...] | None, source: str, rows: Rows | None = None
) -> GalleryEvidence:
    """What is stored; where `rows` are given, of those only, in their order, and `index` holds just them.

    Args:
        items: the whole table of the gallery.
        names: attributes of the classifier; None without one.
        source: `predicted` or `catalogue`: which attributes of the gallery count.
    """
    if names is None:
        return GalleryEvidence(index.vectors)

    def sets() -> list[list[str]]:
        found: list[list[str]] = items.table.column(attribute_column(source)).to_pylist()
        return found if rows is None else [found[row] for row in rows.tolist()]

    def probabilities() -> Holdings:
        found = items.probabilities(names)
        return found if rows is None else found[rows]

    return (
        GalleryEvidence(index.vectors, names, sets, probabilities)
        if source == "predicted"
        else certain_gallery(index.vectors, names, sets())
    )
