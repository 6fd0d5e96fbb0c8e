"""Runs rules over frames with Great Expectations and builds its Data Docs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig

from croquis.params.data_blocks import Validate
from croquis.validation.data_docs import publish
from croquis.validation.rule_kinds import Broken, Rule, RuleOutcome


class Suites:
    """Great Expectations, held in memory; every suite that runs adds a page to one documentation site."""

    def __init__(self, site: Path) -> None:
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._context.add_data_docs_site("site", _site_config(site))
        self._frames = self._context.data_sources.add_pandas("frames")
        self.outcomes: dict[str, list[RuleOutcome]] = {}

    def run(self, name: str, rules: Sequence[Rule], frame: pd.DataFrame, settings: Validate) -> list[RuleOutcome]:
        """Tests every rule on `frame`, whose index holds row numbers.

        Of a rule about lines Great Expectations sees a column of the rule's name: what was found in the lines that break it,
        else null.

        Raises:
            RuntimeError: when Great Expectations could not evaluate a rule, with its message.
        """
        found = {rule.name: _found(frame[rule.column], rule.broken, settings) for rule in rules if rule.broken}
        frame = frame.assign(**found)
        batch = self._frames.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        suite = self._context.suites.add(gx.ExpectationSuite(name=name, expectations=_expectations(rules, settings)))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[self._context.validation_definitions.add(definition)],
            result_format="COMPLETE",
        )
        run = self._context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
        results = next(iter(run.run_results.values())).results
        by_name = {result.expectation_config.meta["rule"]: result for result in results}
        self.outcomes[name] = [_outcome(rule, by_name[rule.name]) for rule in rules]
        return self.outcomes[name]

    def build_site(self) -> None:
        """Renders the pages of every suite that has run: once, for each rendering does all of them."""
        self._context.build_data_docs(site_names=["site"])


@contextmanager
def open_suites(docs: Path) -> Iterator[Suites]:
    """Suites whose Data Docs land in the folder `docs` when the block ends, readable without a network."""
    with tempfile.TemporaryDirectory() as folder:
        suites = Suites(Path(folder))
        yield suites
        suites.build_site()
        publish(Path(folder), docs)


def _site_config(site: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site.resolve())},
    }


def _expectations(rules: Sequence[Rule], settings: Validate) -> list[Any]:
    expectations = []
    for rule in rules:
        if rule.broken:
            expectation = gxe.ExpectColumnValuesToBeNull(column=rule.name, mostly=1 - rule.tolerated(settings))
        else:
            expectation = getattr(gxe, rule.expectation)(column=rule.column, **rule.arguments(settings))
        expectation.meta = {"rule": rule.name, "severity": rule.severity}
        expectation.notes = f"{rule.name} ({rule.severity}): {_with_thresholds(rule.checks, settings)}"
        expectations.append(expectation)
    return expectations


def _found(column: pd.Series, broken: Broken, settings: Validate) -> pd.Series:
    """The values that break a rule; None for the others."""
    return column.astype(object).where(broken(column.to_numpy(), settings), None)


def _with_thresholds(checks: str, settings: Validate) -> str:
    """What a rule checks, with the number behind each name of a param."""
    return re.sub(r"`validate\.(\w+)`", lambda name: f"{name[0]} ({getattr(settings, name[1])})", checks)


def _outcome(rule: Rule, result: Any) -> RuleOutcome:
    for failure in _failures(result.exception_info or {}):
        raise RuntimeError(f"rule {rule.name} could not be evaluated: {failure}")
    rows = tuple(sorted(int(row) for row in result.result.get("unexpected_index_list") or ()))
    observed, missing = result.result.get("observed_value"), result.result.get("partial_missing_list")
    found = f"no {', '.join(map(str, missing))}" if missing else None if observed is None else str(observed)
    return RuleOutcome(rule, bool(result.success), rows, found)


def _failures(info: dict[str, Any]) -> list[str]:
    """Messages of errors inside Great Expectations, which nests them per metric in some cases."""
    single = [info] if "raised_exception" in info else [entry for entry in info.values() if isinstance(entry, dict)]
    return [str(entry.get("exception_message")) for entry in single if entry.get("raised_exception")]
