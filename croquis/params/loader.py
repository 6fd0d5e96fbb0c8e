"""Reads params.yaml, or fails naming the key, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from croquis.params.block import Block
from croquis.params.code_blocks import Dhd, Gpq, Sgh, Spq
from croquis.params.data_blocks import Ingest, Sketch, Validate
from croquis.params.search_blocks import Evaluate, Index, Register, Rerank
from croquis.params.source_blocks import Cifar10, ClassSet
from croquis.params.training_blocks import (
    Histogram,
    Image2vec,
    Joint,
    Siamese,
    TrainClassifier,
    TrainEmbedder,
    TrainGan,
    TripletGan,
    Untrained,
)

LARGEST_REPORTED_K = 50
# The average precision that each protocol reports, as in croquis.evaluation.protocol.
AVERAGE_PRECISION = {"instance": "map@r", "category": "map@all", "cifar10_a": "map@all", "cifar10_c": "map@1000"}
Method = Literal["histogram", "untrained", "image2vec", "siamese", "triplet_gan", "sgh", "dhd", "gpq", "spq", "joint"]


class ParamsError(ValueError):
    """params.yaml cannot be used; the message lists every problem."""


class Base(Block):
    """What every stage shares."""

    seed: int = Field(ge=0, le=2**31 - 1)
    image_size: int = Field(ge=16, le=1024, description="side of the square images that the nets see, pixels")
    threads: int = Field(ge=1, le=256)
    processes: int = Field(ge=1, le=256, description="of each training, on this machine; a batch is spread over them")
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    protocol: Literal["instance", "category", "cifar10_a", "cifar10_c"]


class Params(Block):
    """The whole of params.yaml; one attribute per block."""

    base: Base
    retrievers: list[Method] = Field(min_length=1)
    ingest: Ingest
    validate_: Validate = Field(alias="validate")
    sketch: Sketch
    train_gan: TrainGan
    train_embedder: TrainEmbedder
    histogram: Histogram
    untrained: Untrained
    image2vec: Image2vec
    siamese: Siamese
    triplet_gan: TripletGan
    sgh: Sgh
    dhd: Dhd
    gpq: Gpq
    spq: Spq
    joint: Joint
    train_classifier: TrainClassifier
    index: Index
    rerank: Rerank
    evaluate: Evaluate
    register_: Register = Field(alias="register")

    @field_validator("retrievers")
    @classmethod
    def no_repeats(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a method twice")
        return names

    @model_validator(mode="after")
    def blocks_agree(self) -> Self:
        if self.rerank.depth <= LARGEST_REPORTED_K:
            raise ValueError(
                f"rerank.depth is {self.rerank.depth}, must exceed the largest reported k ({LARGEST_REPORTED_K})"
            )
        if self.evaluate.depth < self.rerank.depth:
            raise ValueError(
                f"evaluate.depth is {self.evaluate.depth}, must be at least rerank.depth ({self.rerank.depth})"
            )
        metric = self.register_.select_by.rpartition("/")[2]
        reported = AVERAGE_PRECISION[self.base.protocol]
        if metric.startswith("map@") and metric != reported:
            raise ValueError(
                f"register.select_by names {metric}, but base.protocol {self.base.protocol} reports {reported}"
            )
        if 2**self.train_gan.depth > self.train_gan.size:
            raise ValueError(f"train_gan.depth is {self.train_gan.depth}: 2**depth exceeds train_gan.size")
        if self.triplet_gan.adversarial_weight and 3 * 2**self.triplet_gan.discriminator_layers > self.base.image_size:
            raise ValueError(
                f"triplet_gan.discriminator_layers is {self.triplet_gan.discriminator_layers}: too many for images of "
                f"base.image_size {self.base.image_size}, which must be at least 3 * 2**layers"
            )
        if self.ingest.rendered.val_share + self.ingest.rendered.test_share >= 0.9:
            raise ValueError("ingest.rendered.val_share + test_share must stay below 0.9")
        return self

    @model_validator(mode="after")
    def source_fits_protocol(self) -> Self:
        source = self.ingest.source
        block = getattr(self.ingest, source)
        if isinstance(block, ClassSet) and self.base.protocol not in block.fitting_protocols:
            split = f" with split {block.split}" if isinstance(block, Cifar10) else ""
            fitting = " or ".join(block.fitting_protocols)
            raise ValueError(
                f"base.protocol is {self.base.protocol}, which does not fit ingest.source {source}{split}: use {fitting}"
            )
        return self


def load_params(path: str | Path = "params.yaml") -> Params:
    """Reads and checks the file (YAML 1.2, as DVC reads it: `1e-4` is a number and `on` is a word).

    Raises:
        ParamsError: naming every key that is missing, unknown, of the wrong type or out of range.
    """
    return parse_params(read_yaml(path), str(path))


def read_yaml(path: str | Path) -> Any:
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist; run from the project root") from None


def parse_yaml(text: str, source: str) -> Any:
    """A value in YAML 1.2; `source` names it in errors."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ParamsError(f"{source} is not valid YAML: {error}") from error


def parse_params(values: Any, source: str = "params.yaml") -> Params:
    """Checks an already parsed mapping; `source` names it in errors."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem)}" for problem in error.errors())
        raise ParamsError(f"{source} has {error.error_count()} problem(s):\n{problems}") from None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or mend its spelling"
    if problem["type"] == "missing":
        return f"{key}: missing"
    of_a_block = problem["type"] == "value_error" and isinstance(
        problem["input"], dict
    )  # its message names key and value
    shown = "" if of_a_block else f" = {problem['input']!r}"
    return f"{key}{shown}: {problem['msg']}"
