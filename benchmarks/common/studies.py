"""What `benchmarks/studies.yaml` says: the set, rows and seeds of each study, and the params that these come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from benchmarks.common.real_sets import merged, real_set
from croquis import plugins
from croquis.params.block import Block
from croquis.params.loader import parse_params, parse_yaml, read_yaml
from croquis.refusals import RefusedError

PROJECT = Path(__file__).resolve().parents[2]
STUDIES = PROJECT / "benchmarks/studies.yaml"
PIPELINE = "pipeline"  # in the place of a set: what a finished pipeline has made
SHARED = "{shared}/"
IMAGES_PER_ITEM = 4

Values = dict[str, Any]


@cache
def shipped() -> Values:
    """params.yaml; it is cached, so callers must not change it."""
    values: Values = read_yaml(PROJECT / "params.yaml")
    return values


METHODS: tuple[str, ...] = tuple(shipped()["retrievers"])  # in the order of its tables


class BenchmarkError(RefusedError):
    """A benchmark cannot be run as asked; the message says what to change."""


class Row(Block):
    """One line of a study.

    Attributes:
        method: that is trained; by default the study's, or else the row's name.
        params: changes of params.yaml.
        once: nothing is drawn by chance in it, so that one seed will do.
        bundles: methods whose bundles it compares, of a finished pipeline or, where the study trains several, its own.
    """

    method: str = ""
    params: dict[str, Any] = Field(default={})
    once: bool = False
    bundles: list[str] = Field(default=[])


class Learning(Block):
    """How all methods that learn are trained: `fit` of their blocks, and images per batch; 0 leaves those as they are."""

    fit: dict[str, Any] = Field(default={})
    batch_size: int = 0


class Study(Block):
    """An entry of studies.yaml.

    Attributes:
        about: what it shows, in a line.
        set: `rendered`, a key of `real_sets.REAL_SETS`, or `pipeline`; `part` are arguments of the set.
        method: of all rows that name none.
        rows: all methods with photo queries, where there are none.
        params: changes of params.yaml for all rows; `{shared}/FILE` is a file below the folder of the real sets.
        full_length: no training stops early; which epoch is exported is still chosen on val.
        epochs_scale: factor on the epochs.
        same_data: the seed does not draw the data.
        data: `module:function` that makes data/catalog of a folder; see `cells.ingest_and_validate`.
        blocks: of params.yaml, beyond the method's own, that decide on the figures.
        measure: `module:function` from a cell to its figures.
        finished: it can be measured on a finished pipeline.
        tables: name -> `module:function` from report and study to Markdown.
        published: figures that others state.
        command: that measures it, where that is not the common runner.
    """

    about: str
    set: str = "rendered"
    part: dict[str, Any] = Field(default={})
    method: str = ""
    rows: dict[str, Row] = Field(default={})
    params: dict[str, Any] = Field(default={})
    learning: Learning = Learning()
    full_length: bool = False
    epochs_scale: float = Field(default=1.0, gt=0)
    seeds: list[int] = Field(default=[7])
    same_data: bool = False
    data: str = "benchmarks.common.cells:ingest_and_validate"
    blocks: list[str] = Field(default=[])
    measure: str = ""
    finished: bool = False
    tables: dict[str, str]
    published: dict[str, float] = Field(default={})
    command: str = ""

    @cached_property
    def all_rows(self) -> dict[str, Row]:
        return self.rows or {name: Row() for name in METHODS if plugins.METHODS.entry(name).add_drawings is None}

    def method_of(self, row: str) -> str:
        return self.all_rows[row].method or self.method or row

    def chosen(self, text: str | None) -> list[str]:
        """The rows that a comma-separated list names; all for None.

        Raises:
            BenchmarkError: naming those that there are not.
        """
        words = list(self.all_rows) if text is None else listed(text)
        unknown = [word for word in words if word not in self.all_rows]
        if unknown or not words:
            known = ", ".join(self.all_rows)
            raise BenchmarkError(f"--rows knows {known}, not {', '.join(unknown) or 'an empty list'}")
        return words


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        epochs_scale: factor on every method's epochs; the study's own for None.
        share: part of the items of a real set that is kept.
        changes: of params.yaml, above those of the study.
        shared: the folder of the real sets.
        root: a finished pipeline whose bundles and data are taken; nothing is trained then.
        reports: where the figures are kept, in git.
        scratch: where workspaces are, out of git.
        fresh: measure again what has been measured.
    """

    epochs_scale: float | None
    share: float
    changes: Values
    shared: Path
    root: Path | None
    reports: Path
    scratch: Path
    fresh: bool = False

    def head(self, study: Study) -> Values:
        """What a report says of how it was made; two calls that differ in it do not share a report."""
        return {"changes": self.changes, "epochs_scale": self.epochs_scale or study.epochs_scale, "share": self.share}


def load_studies(path: Path = STUDIES) -> dict[str, Study]:
    """All studies by name.

    Raises:
        BenchmarkError: naming study and key of what does not fit; keys that begin with a dot hold what studies share.
    """
    found = {}
    for name, entry in read_yaml(path).items():
        if not name.startswith("."):
            try:
                found[name] = Study(**entry)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, (name, *first["loc"])))
                raise BenchmarkError(f"{path.name}: {place}: {first['msg']}") from error
    return found


def study_values(study: Study, row: str, seed: int, options: Options) -> Values:
    """The shipped params.yaml with what set, study, row and person change of it, and the seed.

    Raises:
        ParamsError: when the outcome does not fit the schema.
        RealSetError: when files of the set are not there.
    """
    changes = (set_params(study, options), study.params, learning_params(study.learning), study.all_rows[row].params)
    values = make_values(seed, *(with_files(change, options.shared) for change in changes), options.changes)
    return with_length(values, options.epochs_scale or study.epochs_scale, study.full_length)


def make_values(seed: int, *changes: Mapping[str, Any]) -> Values:
    """The shipped params.yaml with changes, the later above the earlier, and the seed."""
    values = shipped()
    for change in (*changes, {"base": {"seed": seed}}):
        values = merged(values, change)
    parse_params(values, "the benchmark's params", methods=True)
    return dict(values)


def set_params(study: Study, options: Options) -> Values:
    """The params under which the pipeline reads the set."""
    if study.set == "rendered":  # its sketches ask nothing here, and the other pictures stay the same without them
        return {"ingest": {"source": "rendered", "rendered": {"sketches": False}}}
    return real_set(study.set, options.shared, options.scratch / "sets", options.share, **study.part)


def learning_params(learning: Learning) -> Values:
    """In the words of each method's block; those that draw items take four images of each."""
    values: Values = {}
    for name in (name for name in METHODS if "fit" in shipped()[name]):
        values[name] = {"fit": learning.fit}
        if learning.batch_size and "items_per_batch" in shipped()[name]:
            items = learning.batch_size // IMAGES_PER_ITEM
            values[name] |= {"items_per_batch": items, "images_per_item": IMAGES_PER_ITEM}
        elif learning.batch_size:
            values[name] |= {"batch_size": learning.batch_size}
    return values


def with_length(values: Values, scale: float, full_length: bool) -> Values:
    """Every method's epochs times `scale`, and none of them left out where `full_length`."""
    for method in (name for name in METHODS if "fit" in values[name]):
        fit = values[method]["fit"]
        epochs = max(1, round(fit["epochs"] * scale))
        changed = {"epochs": epochs, "validate_every": min(fit["validate_every"], epochs)}
        changed |= {"patience": epochs} if full_length else {}
        values = merged(values, {method: {"fit": changed}})
    return values


def with_files(values: Any, shared: Path) -> Any:
    """`values` with whole paths in the place of `{shared}/FILE`.

    Raises:
        BenchmarkError: when a file is not there.
    """
    if isinstance(values, Mapping):
        return {key: with_files(value, shared) for key, value in values.items()}
    if not isinstance(values, str) or not values.startswith(SHARED):
        return values
    path = (shared / values.removeprefix(SHARED)).resolve()
    if not path.is_file():
        raise BenchmarkError(f"{path} does not exist; name the folder of the real sets by --shared")
    return str(path)


def listed(text: str) -> list[str]:
    """The words between the commas; `a,b` and `a, b` are the same."""
    return [word.strip() for word in text.split(",") if word.strip()]


def parse_change(text: str) -> Values:
    """`siamese.fit.epochs=3` as nested mappings; the value is read as YAML.

    >>> parse_change("siamese.fit.epochs=3")
    {'siamese': {'fit': {'epochs': 3}}}
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise BenchmarkError(f"--param {text!r} is not of the form BLOCK.KEY=VALUE, e.g. siamese.margin=0.3")
    found: Any = parse_yaml(value, "--param")
    for key in reversed(name.split(".")):
        found = {key: found}
    return dict(found)
