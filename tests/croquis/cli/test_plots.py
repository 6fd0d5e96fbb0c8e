"""The page of `dvc plots show` without a network: no script of it comes from outside."""

import re
from pathlib import Path

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from croquis.cli.commands import plots
from croquis.report_page.results_page import vega_libraries


def page_of_dvc() -> str:
    return HTML().with_scripts(VegaRenderer.SCRIPTS).with_element("<div id='chart'></div>").embed()


def test_the_page_of_the_installed_dvc_loads_nothing_from_outside():
    before = page_of_dvc()
    assert "https://" in before
    after = plots.with_local_libraries(before)
    assert 'src="http' not in after
    assert after.count("<script") == 1
    assert 'src="vega.js"' in after
    assert "<div id='chart'></div>" in after


def test_another_page_is_refused_not_left_blank():
    with pytest.raises(plots.PlotsError, match="unknown way"):
        plots.with_local_libraries("<html><script src='https://elsewhere/vega.js'></script></html>")


@pytest.mark.slow
def test_the_libraries_offer_what_the_page_calls():
    assert set(re.findall(r"\b(\w+)\(", VegaRenderer.DIV)) == {"vegaEmbed"}
    libraries = vega_libraries(plots.VEGA_LITE)
    assert re.search(r"window\.vegaEmbed=(?!null)[\w$]+;$", libraries)


@pytest.mark.slow
def test_outside_a_project_the_message_says_what_to_do(tmp_path: Path):
    with pytest.raises(plots.PlotsError, match="dvc repro"):
        plots.draw_plots(tmp_path)
