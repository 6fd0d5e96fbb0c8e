"""How a bundle re-ranks: the block `rerank` of params.yaml and of its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from croquis.plugins import RERANKERS
from croquis.rerank.overlap import OVERLAPS, RerankError
from croquis.rerank.reranker import reranker
from croquis.settings import setting
from croquis.strict_json import parse_description

GALLERY_ATTRIBUTES = ("predicted", "catalogue")
STANDINGS = ("rank", "score")
WEIGHT = (0.0, 100.0)
DEEPEST = 10_000


@dataclass(frozen=True)
class RerankBlock:
    """How, and whether by default.

    Attributes:
        settings: re-ranker -> its own settings. In params.yaml and in a manifest they stand beside the other keys, under
            the re-ranker's name, of a dotted name one block in the other: `fashion.knn` is `{fashion: {knn: {...}}}`.
    """

    enabled: bool = setting("the default for requests that do not set `rerank`")
    steps: tuple[str, ...] = setting("re-rankers, applied one after the other", least=1)
    compare: tuple[str, ...] = setting("further re-rankers that `evaluate` measures, each alone")
    depth: int | Literal["all"] = setting(
        f"length of the shortlist; all: the whole gallery, of at most {DEEPEST:,} images", 2, DEEPEST
    )
    alpha: float = setting("weight of the standing, of re-rankers by attributes", *WEIGHT)
    beta: float = setting("weight of the overlap, of re-rankers by attributes", *WEIGHT)
    standing: str = setting("what alpha weighs: minus the rank (the paper), or the score in [-1, 0]", choices=STANDINGS)
    overlap: str = setting("what counts as overlap, see croquis.rerank.overlap", choices=OVERLAPS)
    gallery_attributes: str = setting("which attributes of the gallery count", choices=GALLERY_ATTRIBUTES)
    settings: Mapping[str, Any] = setting("of each re-ranker, by its name")

    @classmethod
    def from_description(cls, values: Any, source: str, error: type[ValueError]) -> Self:
        """From the JSON object of a manifest, or the mapping of params.yaml. Settings of re-rankers of other packages that
        no step uses are left out.

        Raises:
            ValueError: of class `error`, naming the key, or the re-ranker that is not installed.
        """
        if not isinstance(values, Mapping):
            raise error(f"{source} must be an object, not {type(values).__name__}")
        shared = [each.name for each in fields(cls) if each.name != "settings"]
        rest: dict[str, Any] = {name: deepcopy(value) for name, value in values.items() if name not in shared}
        found = {name: values[name] for name in shared if name in values}
        block = parse_description(cls, {**found, "settings": {}}, source, error, follow=False)
        settings = block._own_settings(rest, source, error)
        if rest:
            known = sorted([*shared, *settings])
            raise error(f"{source} has unknown keys {sorted(rest)}; known: {known}")
        return cls(**{name: getattr(block, name) for name in shared}, settings=settings)

    def _own_settings(self, values: dict[str, Any], source: str, error: type[ValueError]) -> dict[str, Any]:
        """The settings of each re-ranker, taken out of `values`."""
        used, settings = (*self.steps, *self.compare), {}
        for name in dict.fromkeys((*RERANKERS.names, *used)):
            own = _taken(values, name.split("."))
            if own is None and name not in used:
                continue
            kind = _settings_class(name, source, error)
            if kind is None:
                continue
            if own is None:
                raise error(f"{source} lacks the keys {[name]}")
            try:
                parsed = parse_description(kind, own, f"{source}: {name}", error)
            except RerankError as wrong:
                raise error(f"{source}.{name}: {wrong}") from wrong
            if name in used or name in RERANKERS.built_in:
                settings[name] = parsed
        return settings

    def to_json(self) -> dict[str, Any]:
        """Every value; `from_description` of it gives an equal block."""
        values: dict[str, Any] = asdict(self)
        settings = values.pop("settings")
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        for name, own in settings.items():
            *outer, last = name.split(".")
            place = values
            for part in outer:
                place = place.setdefault(part, {})
            place[last] = own
        return values

    @property
    def longest(self) -> int:
        """Results that are sorted again, at most."""
        return DEEPEST if self.depth == "all" else self.depth

    def chains(self) -> dict[str, tuple[str, ...]]:
        """What an evaluation measures, the served chain first: name, e.g. `alpha_qe+probability` -> steps."""
        return {chain_name(self.steps): self.steps, **{step: (step,) for step in self.compare}}


def check_depth(depth: int | str, gallery: int) -> None:
    """Refuses `all` for a gallery of so many images that a shortlist cannot hold it.

    Raises:
        RerankError: naming both.
    """
    if depth == "all" and gallery > DEEPEST:
        raise RerankError(
            f"rerank.depth is all, and the gallery has {gallery:,} images: more than {DEEPEST:,} are not sorted again; "
            "set a number"
        )


def chain_name(steps: Sequence[str]) -> str:
    """As in reports: `attributes`, `alpha_qe+probability`."""
    return "+".join(steps)


def _settings_class(name: str, source: str, error: type[ValueError]) -> type[Any] | None:
    try:
        return reranker(name).settings
    except RerankError as unknown:
        raise error(f"{source} names a re-ranker that is not installed: {unknown}") from unknown


def _taken(values: dict[str, Any], path: Sequence[str]) -> Any:
    """Removes what stands at a path of nested mappings, and mappings that are empty then; None when there is nothing."""
    head, *inner = path
    if not inner or not isinstance(values.get(head), dict):
        return None if inner else values.pop(head, None)
    found = _taken(values[head], inner)
    if not values[head]:
        del values[head]
    return found
