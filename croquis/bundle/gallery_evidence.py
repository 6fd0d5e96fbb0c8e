"""What a bundle holds that re-ranking may know of its gallery."""

from __future__ import annotations

from croquis.bundle.gallery_table import GalleryTable
from croquis.index.vector_index import VectorIndex
from croquis.rerank.evidence import GalleryEvidence, certain_gallery
from croquis.rerank.overlap import Holdings


def attribute_column(source: str) -> str:
    """The column of a gallery that counts where `rerank.gallery_attributes` is `predicted` or `catalogue`."""
    return "predicted_attributes" if source == "predicted" else "attributes"


def stored_gallery(
    items: GalleryTable, index: VectorIndex, names: tuple[str, ...] | None, source: str
) -> GalleryEvidence:
    """What is stored of a gallery whose rows are those of the index.

    Args:
        names: attributes of the classifier; None without one.
        source: `predicted` or `catalogue`: which attributes of the gallery count.
    """
    if names is None:
        return GalleryEvidence(index.vectors)

    def sets() -> list[list[str]]:
        found: list[list[str]] = items.table.column(attribute_column(source)).to_pylist()
        return found

    def probabilities() -> Holdings:
        return items.probabilities(names)

    return (
        GalleryEvidence(index.vectors, names, sets, probabilities)
        if source == "predicted"
        else certain_gallery(index.vectors, names, sets())
    )
