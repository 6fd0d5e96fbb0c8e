"""What all benchmark commands have in common: their options, and the params that they make of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.common.real_sets import merged
from croquis.params.loader import parse_params, read_yaml

PROJECT = Path(__file__).resolve().parents[2]
METHODS: tuple[str, ...] = tuple(read_yaml(PROJECT / "params.yaml")["retrievers"])  # in the order of its tables
PAGES = tuple(PROJECT / "docs" / name for name in ("methods.md", "scale.md", "sketch.md"))

Values = dict[str, Any]


class BenchmarkError(ValueError):
    """A benchmark cannot be run as asked; the message says what to change."""


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        seeds: each gives its own data (where they are drawn) and its own training.
        epochs_scale: factor on every method's epochs.
        changes: overrides of params.yaml that the person gave.
        reports: where the figures are kept, in git.
        scratch: where workspaces are, out of git.
        docs: the pages whose tables are written.
        render: only write the tables, measure nothing.
        fresh: measure again what has been measured.
    """

    seeds: tuple[int, ...]
    epochs_scale: float
    changes: Values
    reports: Path
    scratch: Path
    docs: tuple[Path, ...]
    render: bool
    fresh: bool

    def head(self, **more: Any) -> Values:
        """What a report says of how it was made; two calls that differ in it do not share a report."""
        return {"epochs_scale": self.epochs_scale, "changes": self.changes, **more}


def add_options(parser: argparse.ArgumentParser, seeds: str) -> None:
    parser.add_argument("--seeds", default=seeds, help="comma-separated (default %(default)s)")
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="factor on the epochs of params.yaml")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="BLOCK.KEY=VALUE",
        help="a change of params.yaml; may be repeated",
    )
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    parser.add_argument("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where workspaces are")
    parser.add_argument("--docs", type=Path, nargs="+", default=PAGES, help="the pages with the tables")
    parser.add_argument("--render", action="store_true", help="only write the tables of all reports into the pages")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")


def run_command(
    parser: argparse.ArgumentParser,
    arguments: list[str] | None,
    measure: Callable[[argparse.Namespace, Options], None],
) -> None:
    """Reads the command line, then measures, or only writes the tables."""
    given = parser.parse_args(arguments)
    options = options_of(given)
    if options.render:
        from benchmarks.common.render_tables import render

        render(options)
    else:
        measure(given, options)


def options_of(arguments: argparse.Namespace) -> Options:
    if arguments.epochs_scale <= 0:
        raise BenchmarkError(f"--epochs-scale is {arguments.epochs_scale}, must be above 0")
    changes: Values = {}
    for text in arguments.param:
        changes = merged(changes, parse_change(text))
    return Options(
        seeds=tuple(int(seed) for seed in listed(arguments.seeds)),
        epochs_scale=arguments.epochs_scale,
        changes=changes,
        reports=arguments.reports,
        scratch=arguments.scratch.resolve(),
        docs=tuple(arguments.docs),
        render=arguments.render,
        fresh=arguments.fresh,
    )


def listed(text: str) -> list[str]:
    """The words between the commas; `a,b` and `a, b` are the same."""
    return [word.strip() for word in text.split(",") if word.strip()]


def chosen(text: str, known: tuple[str, ...], option: str) -> list[str]:
    """As `listed`, all of them known.

    Raises:
        BenchmarkError: naming the others.
    """
    words = listed(text)
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise BenchmarkError(f"{option} knows {', '.join(known)}, not {', '.join(unknown) or 'an empty list'}")
    return words


def parse_change(text: str) -> Values:
    """`siamese.fit.epochs=3` as nested mappings; the value is read as YAML.

    >>> parse_change("siamese.fit.epochs=3")
    {'siamese': {'fit': {'epochs': 3}}}
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise BenchmarkError(f"--param {text!r} is not of the form BLOCK.KEY=VALUE, e.g. siamese.margin=0.3")
    found: Any = YAML(typ="safe", pure=True).load(value)
    for key in reversed(name.split(".")):
        found = {key: found}
    return dict(found)


def make_values(options: Options, seed: int, *overrides: Mapping[str, Any]) -> Values:
    """The shipped params.yaml with `overrides`, the person's changes, the seed, and every method's epochs scaled.

    Raises:
        params.ParamsError: when the outcome does not fit the schema.
    """
    values = read_yaml(PROJECT / "params.yaml")
    for override in (*overrides, options.changes, {"base": {"seed": seed}}):
        values = merged(values, override)
    for method in METHODS:
        if "fit" in values[method]:
            fit = values[method]["fit"]
            epochs = max(1, round(fit["epochs"] * options.epochs_scale))
            shorter = {"epochs": epochs, "validate_every": min(fit["validate_every"], epochs)}
            values = merged(values, {method: {"fit": shorter}})
    parse_params(values, "the benchmark's params", methods=True)
    return dict(values)
