"""One entry of the registry of re-rankers, and how an entry is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from croquis.plugins import RERANKERS, PluginError
from croquis.rerank.overlap import RerankError
from croquis.settings import SearchSpace

if TYPE_CHECKING:
    from croquis.rerank.evidence import GalleryEvidence
    from croquis.rerank.steps import Step

T = TypeVar("T")


@dataclass(frozen=True)
class Reranker:
    """A step that `rerank.steps` may name; its module holds it in the constant `RERANKER`.

    Attributes:
        settings: frozen dataclass without defaults (see `croquis.settings`), in params.yaml under `rerank.NAME`; None for
            no settings of its own.
        make: from its settings and what is known of the gallery to the step. A `weighed` one gets the whole `RerankBlock`.
        needs_classifier: whether it looks at attributes.
        space: what the study `rerank` searches of its settings.
        weighed: whether it sorts by `alpha * standing + beta * overlap`; then it has no settings of its own, and `make`
            returns a `croquis.rerank.steps.ByAttributes`.
    """

    settings: type[Any] | None
    make: Callable[[Any, GalleryEvidence], Step]
    needs_classifier: bool
    space: SearchSpace = field(default_factory=dict)
    weighed: bool = False


@cache
def reranker(name: str) -> Reranker:
    """The re-ranker of that name.

    Raises:
        RerankError: when there is none; the message names those that there are.
    """
    try:
        found: Reranker = RERANKERS.entry(name)
    except PluginError as error:
        raise RerankError(str(error)) from error
    return found


def needs_classifier(steps: Sequence[str]) -> bool:
    """Whether any of the steps looks at attributes."""
    return any(reranker(step).needs_classifier for step in steps)


def without_classifier() -> list[str]:
    """The built-in re-rankers that look at vectors alone."""
    return [name for name in RERANKERS.built_in if not reranker(name).needs_classifier]


def needed(value: T | None) -> T:
    """`value`, what a classifier says of the gallery.

    Raises:
        RerankError: when it is None.
    """
    if value is None:
        raise RerankError(f"there is no attribute classifier: choose the steps {' or '.join(without_classifier())}")
    return value
