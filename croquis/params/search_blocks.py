"""Blocks of the stages that search, measure and register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, create_model, field_validator, model_validator

from croquis.evaluation.protocol import PAIRS, PROTOCOLS
from croquis.index.kinds import INDEX_KINDS, comparison_key, kinds_of
from croquis.nets.encoder import COMPARISONS, HEADS
from croquis.params.block import Block
from croquis.params.dataclass_block import block_keys, block_of, extended
from croquis.plugins import RERANKERS
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import reranker
from croquis.words.word_settings import WordSettings


def index_keys() -> type[Block]:
    """The keys of the block `index` that `croquis.index.kinds` knows."""
    coding = [head for head in HEADS if head != "dense"]
    keys: dict[str, Any] = {
        "kind": (Literal[tuple(kinds_of("dense"))], Field(description="of dense retrievers: flat is exact")),
        "codes": (
            Literal[tuple(kinds_of(coding[0]))],
            Field(description="of coding retrievers: all codes, or some lists"),
        ),
    }
    for kind in INDEX_KINDS:
        keys |= block_keys(kind.settings)
    about = "of {} codes: with the query as exact as the net gives it (asymmetric), or coded too (symmetric)"
    for head in coding:
        keys[comparison_key(head)] = (Literal[COMPARISONS], Field(description=about.format(head)))
    made: type[Block] = create_model("Index", __base__=Block, __module__=__name__, **keys)
    return made


WordKeys: Any = block_of(WordSettings)


# Any, here and below: mypy knows no class that is made of another one.
IndexKeys: Any = index_keys()


class Index(IndexKeys):  # type: ignore[misc]
    """The FAISS index: floats of dense retrievers, codes of the others; `ivf_lists` and `ivf_probes` serve both."""

    thumbnail: int = Field(ge=16, le=512, description="side of the thumbnails in the bundle, pixels")
    drawing_maps: list[Literal["painted", "straight"]] = Field(
        description="what gets a map of its own where val gains by it, behind retrievers of floats: what the generator "
        "paints of a drawing, and a drawing as it is"
    )
    words: WordKeys = Field(description="full text of the images, which queries of words search")


def own_settings(names: Iterable[str]) -> dict[str, type[Any]]:
    """Re-ranker -> its settings class, of those that have one."""
    kinds = {name: reranker(name).settings for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not None}


SharedKeys: Any = extended(block_of(RerankBlock, leave_out=["settings"]), own_settings(RERANKERS.built_in))


class Rerank(SharedKeys):  # type: ignore[misc]
    """Re-ranking of a shortlist, with the settings of all built-in re-rankers and of others that are used."""

    @field_validator("steps", "compare")
    @classmethod
    def known_and_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a step twice")
        for name in names:
            if not RERANKERS.knows(name):
                raise ValueError(RERANKERS.unknown(name))
        return names

    def __reduce__(self) -> tuple[Any, ...]:
        return Rerank.model_validate, (self.model_dump(),)  # pickle finds no class that is made while params are read

    @model_validator(mode="wrap")
    @classmethod
    def with_outside_settings(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Re-rankers of other packages bring their settings along: those that are used, and those installed of which the
        block holds settings."""
        if cls is not Rerank or not isinstance(values, dict):
            return handler(values)
        outside = own_settings(name for name in _named(values) if name not in RERANKERS.built_in)
        if not outside:
            return handler(values)
        whole: Any = extended(cls, outside).model_validate(values)
        return cast(Self, whole)


def _named(values: Mapping[str, Any]) -> list[str]:
    """Known re-rankers that a block uses or configures."""
    lists = [values.get("steps"), values.get("compare"), [name for name in RERANKERS.names if name in values]]
    named = [name for each in lists if isinstance(each, list) for name in each if isinstance(name, str)]
    return [name for name in dict.fromkeys(named) if RERANKERS.knows(name)]


class Evaluate(Block):
    """`evaluate`: how deep the split is searched, and how intervals are made."""

    depth: int = Field(
        ge=1,
        le=100_000,
        description="length of the ranked lists; where base.protocol counts categories, the protocol's own length counts",
    )
    bootstrap: int = Field(ge=10, le=100_000, description="resamples of the query items")
    chunk: int = Field(
        ge=1, le=65_536, description="pictures of queries held at a time; they are searched by thousands"
    )
    gallery_queries: int = Field(ge=1, le=200, description="queries drawn in each retrieval contact sheet")
    projection: Literal["tsne", "pca"] = Field(description="of the pictures; t-SNE's differ between processors")


def reported_measure(text: str) -> str:
    """Refuses what no protocol reports."""
    pairs = [pair.name for pair in PAIRS]
    metrics = list(dict.fromkeys(metric.name for protocol in PROTOCOLS.values() for metric in protocol.metrics))
    pair, _, metric = text.rpartition("/")
    if pair not in pairs or metric not in metrics:
        raise ValueError(f"must be PAIR/METRIC with a pair of {', '.join(pairs)} and a metric of {', '.join(metrics)}")
    return text


class Register(Block):
    """Where a champion comes from."""

    model_name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")
    select_by: Annotated[str, AfterValidator(reported_measure)] = Field(
        description="`PAIR/METRIC` on val, e.g. `consumer->shop/hit@1`"
    )
    floor: float = Field(ge=0.0, le=1.0, description="lowest value of that metric on val that may become champion")
    min_gain: float = Field(ge=0.0, le=1.0, description="gain over the champion that the bootstrap must be sure of")
    confidence: float = Field(gt=0.5, lt=1.0)
    max_category_drop: float = Field(ge=0.0, le=1.0)
    max_mode_drop: float = Field(ge=0.0, le=1.0, description="of photo, shop photo, sketch by generator, plain sketch")
    max_latency_ratio: float = Field(gt=0.0, le=1000.0)
    max_bytes_per_image: int = Field(ge=1, le=1_000_000, description="of the index, for each photo in it")
    max_model_megabytes: float = Field(gt=0.0, le=1_000_000.0, description="of encoder, generator and classifier")
