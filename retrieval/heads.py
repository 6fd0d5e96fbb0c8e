"""What a method may put out, what it is compared by, and how queries meet stored codes."""

from __future__ import annotations

# Head -> metrics. `dense` vectors are kept as they are, of `binary` ones the signs, of `pq` ones the nearest codewords.
HEADS: dict[str, tuple[str, ...]] = {"dense": ("cosine", "l2"), "binary": ("hamming",), "pq": ("l2",)}

# `symmetric`: the query is coded too. `asymmetric`: the query stays as exact as the net gave it.
COMPARISONS = ("asymmetric", "symmetric")


def other_comparison(comparison: str) -> str:
    """The one of the two that `comparison` is not."""
    return COMPARISONS[1 - COMPARISONS.index(comparison)]
