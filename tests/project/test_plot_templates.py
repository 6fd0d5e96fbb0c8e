"""The templates below .dvc/plots, filled as DVC fills them and drawn with the libraries of our page of plots."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from dvc_render.vega import VegaRenderer
from ruamel.yaml import YAML

from croquis.cli.commands.plots import VEGA_LITE
from croquis.figures.method_rows import joined_rows
from croquis.params import load_params
from croquis.report_page.chart_specs import PALETTE
from tests.support.environment import REPOSITORY

TEMPLATES = REPOSITORY / ".dvc/plots"
METHODS = load_params(REPOSITORY / "params.yaml").retrievers
PIPELINE = YAML(typ="safe", pure=True).load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
PLOTS: dict[str, dict[str, Any]] = {
    name: plot for entry in PIPELINE["plots"] if isinstance(entry, dict) for name, plot in entry.items()
}
PAIRS = ("consumer->shop", "shop->shop")


def data(file: str, revision: str, pair: str) -> list[dict[str, Any]]:
    """Rows as `compare` writes them, with what DVC adds to each."""
    about = {"split": "test", "pair": pair, "path": "encoder"}
    points: list[dict[str, Any]] = [{"k": 1, "hit@k": 0.25}, {"k": 2, "hit@k": 0.5}]
    if "per_category" in file:
        points = [{"category": name, "hit@1": 0.5, "queries": 4} for name in ("coat", "dress")]
    tables = [[about | {"method": method} | point for point in points] for method in METHODS]
    return [row | {"rev": revision, "filename": file} for row in joined_rows(tables)]


def drawing(name: str, revisions: tuple[str, ...], pair: str) -> tuple[dict[str, Any], str]:
    """The filled template of a plot of dvc.yaml, and its SVG."""
    plot = PLOTS[name]
    ((file, y),) = plot["y"].items()
    rows = [row for revision in revisions for row in data(file, revision, pair)]
    properties = {key: plot[key] for key in ("template", "title", "x")} | {"y": y, "template_dir": str(TEMPLATES)}
    filled = VegaRenderer(rows, name, **properties).get_filled_template()
    return filled, html.unescape(vl_convert.vegalite_to_svg(filled, vl_version=VEGA_LITE))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", PLOTS)
def test_the_heading_is_the_measured_pair_and_the_legend_names_the_methods(name: str, pair: str) -> None:
    filled, svg = drawing(name, ("workspace",), pair)
    assert "DVC_METRIC" not in json.dumps(filled)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {PLOTS[name]["title"], f"{pair.replace('->', ' to ')}, test", *METHODS} <= set(texts)
    assert [text for text in texts if text in METHODS] == METHODS


@pytest.mark.parametrize("name", PLOTS)
def test_every_method_has_a_colour_of_its_own(name: str) -> None:
    """That of the page of results. Axes and texts are drawn in colours with names and short numbers."""
    _, svg = drawing(name, ("workspace",), PAIRS[0])
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set(PALETTE[: len(METHODS)])


@pytest.mark.parametrize("name", PLOTS)
def test_revisions_stand_side_by_side(name: str) -> None:
    _, svg = drawing(name, ("HEAD", "workspace"), PAIRS[0])
    for revision in ("HEAD", "workspace"):
        assert f">consumer to shop, test ({revision})<" in svg


def test_every_template_is_used_by_a_plot() -> None:
    assert {path.stem for path in Path(TEMPLATES).glob("*.json")} == {plot["template"] for plot in PLOTS.values()}


def test_dvc_yaml_lists_no_methods_in_its_plots() -> None:
    assert not [method for method in METHODS if method in json.dumps(PIPELINE["plots"])]
