"""Reads params.yaml, or fails naming the key, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, create_model, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from croquis.catalog.prepared_photos import Preparation
from croquis.evaluation.metrics import REPORTED_K
from croquis.evaluation.protocol import PROTOCOLS
from croquis.params.block import Block, OneOf, entries_in, field_name, lifted, with_blocks
from croquis.params.data_blocks import Ingest, Prepare, Sketch, Validate
from croquis.params.search_blocks import Evaluate, Index, Register, Rerank
from croquis.params.training_blocks import TrainClassifier, TrainEmbedder, TrainGan
from croquis.plugins import METHODS, SOURCES, PluginError
from croquis.rerank.reranker import needs_classifier, without_classifier


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
    protocol: Annotated[str, OneOf(PROTOCOLS)]


class Parts(Block):
    """What is made beside photo retrievers; the stages of a part that is off end at once."""

    sketch: bool = Field(description="drawings of photos, and the queries by sketch")
    attributes: bool = Field(description="the attribute classifier")
    gan: bool = Field(description="the sketch generator, and methods that train a GAN; needs `sketch`")
    codes: bool = Field(description="methods that keep hash or product codes")


class Shop(Block):
    """The search of all products that `croquis index data/catalog` makes; no stage reads it."""

    refit: bool = Field(
        description="train the nets of a trained bundle again before, on the labels of val and test too"
    )


class Params(Block):
    """The whole of params.yaml: one attribute per block, and one per method (`siamese`, ...), which `with_blocks` adds."""

    base: Base
    parts: Parts
    retrievers: list[str] = Field(min_length=1, description="methods that are trained and compared")
    ingest: Ingest
    validate_: Validate = Field(alias="validate", description="pydantic keeps the name `validate` for itself")
    prepare: Prepare
    sketch: Sketch
    train_gan: TrainGan
    train_embedder: TrainEmbedder
    train_classifier: TrainClassifier
    trainer: dict[str, Any] = Field(
        description="further arguments of Lightning's Trainer for all trainings; callbacks, loggers, plugins by import path"
    )
    index: Index
    rerank: Rerank
    evaluate: Evaluate
    register_: Register = Field(alias="register", description="`register` is a method of pydantic's models")
    shop: Shop

    @property
    def preparation(self) -> Preparation:
        """How the photos of the catalogue are prepared."""
        return Preparation(self.prepare.cache, self.prepare.processes or None, draft=self.prepare.draft)

    def method(self, name: str) -> Any:
        """The block of a method, an instance of its `METHOD.params` if the params were loaded with `methods=True`.

        Args:
            name: of the method, or the dotted name of its module: a module need not know by which of the two it was named.

        Raises:
            ParamsError: when params.yaml has no block of that name.
        """
        for each in (name, *(entry for entry, module in METHODS.installed.items() if module == name)):
            if hasattr(self, field_name(each)):
                return getattr(self, field_name(each))
        raise ParamsError(f"params.yaml has no block {name}, which the method of that name needs: add it")

    def __reduce__(self) -> tuple[Any, ...]:
        """As values and the methods whose blocks are checked: the class is made again where they arrive."""
        kept = {each.alias or name: each.annotation for name, each in type(self).model_fields.items()}
        values = self.model_dump(by_alias=True, serialize_as_any=True)
        checked = [name for name in values if kept[name] is not Any and METHODS.knows(name) and name not in _KEYS]
        return parse_params, (values, "params.yaml", checked)

    @field_validator("retrievers")
    @classmethod
    def known_and_distinct(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a method twice")
        for name in names:
            if not METHODS.knows(name):
                raise ValueError(METHODS.unknown(name))
        return names

    @model_validator(mode="after")
    def blocks_agree(self) -> Self:
        whole = self.rerank.depth == "all"
        if not whole and self.rerank.depth <= max(REPORTED_K):
            raise ValueError(
                f"rerank.depth is {self.rerank.depth}, must exceed the largest reported k ({max(REPORTED_K)})"
            )
        if not whole and self.evaluate.depth < self.rerank.depth:
            raise ValueError(
                f"evaluate.depth is {self.evaluate.depth}, must be at least rerank.depth ({self.rerank.depth})"
            )
        metric = self.register_.select_by.rpartition("/")[2]
        reported = PROTOCOLS[self.base.protocol].average_precision
        if metric.startswith("map@") and metric != reported:
            raise ValueError(
                f"register.select_by names {metric}, but base.protocol {self.base.protocol} reports {reported}"
            )
        if 0 < self.prepare.draft < self.base.image_size:
            raise ValueError(
                f"prepare.draft is {self.prepare.draft}, must be 0 or at least base.image_size ({self.base.image_size}); "
                f"{2 * self.base.image_size} loses next to nothing"
            )
        if self.parts.gan and not self.parts.sketch:
            raise ValueError(
                "parts.gan is true, and the generator learns from drawings: set parts.sketch too, or parts.gan: false"
            )
        if not self.parts.sketch and self.register_.select_by.startswith("sketch"):
            raise ValueError(
                f"register.select_by is {self.register_.select_by}, and parts.sketch is false: nothing asks by sketch"
            )
        if not self.parts.attributes and self.rerank.enabled and needs_classifier(self.rerank.steps):
            raise ValueError(
                "rerank.enabled is true, its steps need the attribute classifier, and parts.attributes is false: set it to "
                f"true, or rerank.steps to some of {', '.join(without_classifier())}"
            )
        self.refuse_map_of_labels("train_embedder.map.kind", self.train_embedder.map.kind)
        return self

    def refuse_map_of_labels(self, key: str, kind: str) -> None:
        """Refuses a map of labels where items are asked for.

        Args:
            key: of params.yaml, which names the `kind` of a map.

        Raises:
            ValueError: naming the key and the fix.
        """
        if kind == "labels" and PROTOCOLS[self.base.protocol].relevance == "item":
            raise ValueError(
                f"{key} is labels, and base.protocol {self.base.protocol} asks for items, not for categories: take "
                "within_item or best, or another base.protocol"
            )

    @model_validator(mode="after")
    def source_fits_protocol(self) -> Self:
        fitting = SOURCES.entry(self.ingest.source).fitting_protocols
        if fitting is None:
            return self
        allowed = fitting(self.ingest.block)
        if self.base.protocol not in allowed:
            split = getattr(self.ingest.block, "split", None)
            raise ValueError(
                f"base.protocol is {self.base.protocol}, which does not fit ingest.source {self.ingest.source}"
                f"{f' with split {split}' if split else ''}: use {' or '.join(allowed)}"
            )
        return self


def load_params(path: str | Path = "params.yaml", methods: bool | Collection[str] = False) -> Params:
    """Reads and checks the file (YAML 1.2, as DVC reads it: `1e-4` is a number and `on` is a word).

    Args:
        methods: whose blocks are checked, too, for which their modules and torch are imported: all, or those named. The
            others stay the mappings that they are.

    Raises:
        ParamsError: naming every key that is missing, unknown, of the wrong type or out of range.
    """
    return parse_params(read_yaml(path), str(path), methods)


def read_yaml(path: str | Path) -> Any:
    """The values of a YAML file.

    Raises:
        ParamsError: when it is not there or is not valid YAML.
    """
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist; run from the project root") from None


def parse_yaml(text: str, source: str) -> Any:
    """A value in YAML 1.2; `source` names it in errors."""
    try:
        return deepcopy(_parsed(text))
    except YAMLError as error:
        raise ParamsError(f"{source} is not valid YAML: {error}") from error


@lru_cache(maxsize=8)  # a process reads the same params.yaml several times
def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def parse_params(values: Any, source: str = "params.yaml", methods: bool | Collection[str] = False) -> Params:
    """Checks an already parsed mapping; `source` names it in errors, `methods` as in `load_params`."""
    values, named = _renamed(values, source), _retrievers(values)
    values = lifted(values, named)
    try:
        model, checked = _model(values, named, methods)
        params = model.model_validate(values)
        problems = _disagreements(params, checked)
    except PluginError as error:
        problems = [str(error)]
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
    if problems:
        raise ParamsError("\n  ".join([f"{source} has {len(problems)} problem(s):", *problems]))
    return params


def _renamed(values: Any, source: str) -> Any:
    """Refuses names of version 0.1 with the new ones."""
    ingest = values.get("ingest") if isinstance(values, dict) else None
    if isinstance(ingest, dict) and (ingest.get("source") == "embedded" or "embedded" in ingest):
        raise ParamsError(
            f"{source}: ingest.embedded is called ingest.rendered since 0.2 ('embedded' means a vector here): "
            "rename the block, and `ingest.source: embedded` to `rendered`"
        )
    return values


def _retrievers(values: Any) -> list[str]:
    found = values.get("retrievers") if isinstance(values, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _model(values: Any, named: list[str], methods: bool | Collection[str]) -> tuple[type[Params], list[str]]:
    """`Params` with the blocks of all sources and methods that `values` hold, and the methods whose blocks are checked."""
    ingest = values.get("ingest") if isinstance(values, dict) else None
    source = [ingest["source"]] if isinstance(ingest, dict) and isinstance(ingest.get("source"), str) else []
    if isinstance(values, dict):
        values["ingest"] = lifted(ingest, source)
    present = entries_in(ingest, SOURCES, [name for name in source if SOURCES.knows(name)])
    if METHODS.built_in:
        blocks = entries_in(values, METHODS, [name for name in named if METHODS.knows(name)])
    else:  # without lightning_modules a method's block cannot be told from a misspelt key
        blocks = [name for name in values if name not in _KEYS] if isinstance(values, dict) else []
    wanted = (blocks if methods else ()) if isinstance(methods, bool) else methods
    checked = [name for name in blocks if name in wanted and METHODS.built_in]
    return _with_entries(tuple(present), tuple(blocks), tuple(checked)), checked


@lru_cache(maxsize=32)
def _with_entries(sources: tuple[str, ...], methods: tuple[str, ...], checked: tuple[str, ...]) -> type[Params]:
    ingest = with_blocks(Ingest, {name: SOURCES.entry(name).params for name in sources})
    model = with_blocks(Params, {name: METHODS.entry(name).params if name in checked else Any for name in methods})
    return create_model("Params", __base__=model, __module__=__name__, ingest=(ingest, ...))


def _disagreements(params: Params, methods: Iterable[str]) -> list[str]:
    """What the methods' own checks refuse, and methods whose part is off."""
    found = []
    for name in methods:
        entry = METHODS.entry(name)
        check = entry.check
        if name in params.retrievers:
            found += [
                f"retrievers names {name}, which needs parts.{part}: take it out, or set parts.{part}: true"
                for part in entry.needs
                if not getattr(params.parts, part)
            ]
        try:
            if check is not None:
                check(params)
        except ValueError as error:
            found.append(str(error))
    return found


_KEYS = {field.alias or name for name, field in Params.model_fields.items()}


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or fix the spelling"
    if problem["type"] == "missing":
        return f"{key}: missing"
    # The message of a check over a whole block names key and value.
    of_a_block = problem["type"] == "value_error" and isinstance(problem["input"], dict)
    shown = "" if of_a_block else f" = {problem['input']!r}"
    return f"{key}{shown}: {problem['msg']}"
