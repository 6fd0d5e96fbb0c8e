"""Blocks of the stages that search, measure and register."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from croquis.params.block import Block


class Index(Block):
    """The FAISS index: floats of dense retrievers, codes of the others; `ivf_lists` and `ivf_probes` serve both."""

    kind: Literal["flat", "hnsw", "ivfpq"] = Field(description="of dense retrievers; hnsw and ivfpq are approximate")
    hnsw_links: int = Field(ge=4, le=128)
    hnsw_ef_search: int = Field(ge=1, le=10_000)
    ivf_lists: int = Field(ge=1, le=65_536)
    ivf_probes: int = Field(ge=1, le=65_536)
    pq_subspaces: int = Field(ge=1, le=256)
    pq_bits: Literal[4, 8]
    codes: Literal["flat", "ivf"] = Field(description="of coding retrievers: compare all codes, or those of some lists")
    binary_comparison: Literal["asymmetric", "symmetric"] = Field(
        description="bits with the query's real numbers (inner product), or with its bits (Hamming distance)"
    )
    pq_comparison: Literal["asymmetric", "symmetric"] = Field(
        description="codewords with the query's real numbers, or with its own codewords (squared distance)"
    )
    thumbnail: int = Field(ge=16, le=512, description="side of the thumbnails in the bundle, pixels")


RerankStep = Literal["attributes", "probability", "k_reciprocal", "alpha_qe"]


class KReciprocal(Block):
    """Zhong et al. 2017, on the shortlist."""

    neighbours: int = Field(ge=1, le=1000, description="k1 of the paper: photos among each other's k1 nearest")
    expansion: int = Field(ge=1, le=1000, description="k2 of the paper: photos whose neighbour sets are averaged")
    distance_weight: float = Field(ge=0.0, le=1.0, description="lambda: the plain distance's share")


class AlphaQe(Block):
    """Radenovic et al. 2019, on the shortlist."""

    neighbours: int = Field(ge=1, le=1000, description="results that join the query")
    power: float = Field(ge=0.0, le=100.0, description="alpha of the paper: results weigh cosine ** power")


class Rerank(Block):
    """Re-ranking of a shortlist; by attributes it is alpha * standing + beta * overlap."""

    enabled: bool = Field(description="for a query that does not say")
    steps: list[RerankStep] = Field(min_length=1, description="one after the other")
    compare: list[RerankStep] = Field(description="further steps that `evaluate` measures, each alone")
    depth: int = Field(ge=2, le=10_000)
    alpha: float = Field(ge=0.0, le=100.0)
    beta: float = Field(ge=0.0, le=100.0)
    standing: Literal["rank", "score"] = Field(
        description="what alpha weighs: minus the rank (the paper), or the score in [-1, 0]"
    )
    overlap: Literal["count", "jaccard", "idf"]
    gallery_attributes: Literal["predicted", "catalogue"]
    k_reciprocal: KReciprocal
    alpha_qe: AlphaQe

    @field_validator("steps", "compare")
    @classmethod
    def no_repeats(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a step twice")
        return names


class Evaluate(Block):
    depth: int = Field(
        ge=1,
        le=100_000,
        description="length of the ranked lists; where base.protocol counts categories, the protocol's own length counts",
    )
    bootstrap: int = Field(ge=10, le=100_000, description="resamples of the query items")
    chunk: int = Field(ge=1, le=65_536, description="queries searched at a time")
    gallery_queries: int = Field(ge=1, le=200, description="queries drawn in each retrieval contact sheet")
    projection: Literal["tsne", "pca"]


class Register(Block):
    """Where a champion comes from."""

    model_name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")
    select_by: str = Field(
        pattern=r"^(consumer|shop|sketch)->shop/(hit@(1|5|10|20|50)|precision@5|map@(r|all|1000)|mrr)$",
        description="`PAIR/METRIC` on val, e.g. `consumer->shop/hit@1`",
    )
    floor: float = Field(ge=0.0, le=1.0, description="lowest value of that metric on val that may become champion")
    min_gain: float = Field(ge=0.0, le=1.0, description="gain over the champion that the bootstrap must be sure of")
    confidence: float = Field(gt=0.5, lt=1.0)
    max_category_drop: float = Field(ge=0.0, le=1.0)
    max_mode_drop: float = Field(ge=0.0, le=1.0, description="of photo, shop photo, sketch by generator, plain sketch")
    max_latency_ratio: float = Field(gt=0.0, le=1000.0)
    max_bytes_per_image: int = Field(ge=1, le=1_000_000, description="of the index, for each photo in it")
    max_model_megabytes: float = Field(gt=0.0, le=1_000_000.0, description="of encoder, generator and classifier")
