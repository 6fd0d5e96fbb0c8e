"""The registry of re-rankers is the only list of them, and one from another package works as a built-in one does."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from croquis.bundle import Bundle, BundleError
from croquis.params import ParamsError
from croquis.params.loader import parse_params, read_yaml
from croquis.params.write_back import changed_text
from croquis.plugins import RERANKERS
from croquis.rerank.reranker import needs_classifier, reranker
from croquis.search.local_retriever import LocalRetriever
from croquis.tuning.rerank_space import block_of, point_of, search_space, settings_of
from tests.support.catalogues.blob_catalogue import write_catalogue, write_histogram_bundle

MODULE = '''
"""Turns the shortlist round, once in `every`."""
from dataclasses import dataclass

import numpy as np

from croquis.rerank.overlap import RerankError
from croquis.rerank.reranker import Reranker
from croquis.settings import SearchRange, check_settings, setting


@dataclass(frozen=True)
class Turn:
    strength: float = setting("how much", 0.0, 2.0)

    def __post_init__(self) -> None:
        check_settings(self, RerankError)


class Turned:
    def __init__(self, strength):
        self.strength = strength

    def scores(self, asked, ranked):
        return self.strength * np.tile(np.arange(ranked.rows.shape[1], dtype=float), (len(ranked.rows), 1))

    def contributions(self, asked, query, rows):
        return None


RERANKER = Reranker(
    settings=Turn,
    make=lambda settings, known: Turned(settings.strength),
    needs_classifier=False,
    space={"strength": SearchRange(0.0, 2.0)},
)
'''
DOTTED, NAMED = "outside_rerank.turn", "turned_round"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package on the path that is also installed by an entry point."""
    package = tmp_path / "site/outside_rerank"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "turn.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    point = metadata.EntryPoint(NAMED, DOTTED, RERANKERS.group)
    monkeypatch.setattr("croquis.plugins.declared_points", lambda group, _: [point] if group == RERANKERS.group else [])
    yield
    reranker.cache_clear()
    for name in [name for name in sys.modules if name.startswith("outside_rerank")]:
        del sys.modules[name]


def values_with(name: str, strength: Any) -> dict[str, Any]:
    values = read_yaml("params.yaml")
    settings: dict[str, Any] = {"strength": strength}
    for part in reversed(name.split(".")):
        settings = {part: settings}
    values["rerank"] |= {"steps": [name], "compare": ["alpha_qe"], **settings}
    return values


def test_names_needs_and_settings_come_from_the_modules() -> None:
    assert set(RERANKERS.built_in) == {"attributes", "probability", "k_reciprocal", "alpha_qe"}
    assert needs_classifier(["alpha_qe", "probability"])
    assert not needs_classifier(["alpha_qe", "k_reciprocal"])
    block = parse_params(read_yaml("params.yaml")).rerank
    for name in RERANKERS.built_in:
        entry = reranker(name)
        assert hasattr(block, name) == (entry.settings is not None)
        if entry.settings is not None:
            assert list(type(getattr(block, name)).model_fields) == [each.name for each in fields(entry.settings)]
            assert set(entry.space) <= {each.name for each in fields(entry.settings)}


def test_the_docs_and_the_comments_of_params_name_each_of_them() -> None:
    table = Path("docs/methods.md").read_text()
    line = next(line for line in Path("params.yaml").read_text().splitlines() if line.startswith("  steps: "))
    for name in RERANKERS.built_in:
        assert f"| `{name}` |" in table
        assert name in line.partition("#")[2]


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", [DOTTED, NAMED])
def test_one_from_outside_goes_from_params_to_a_search(tmp_path: Path, name: str) -> None:
    params = parse_params(values_with(name, 1))
    catalog = write_catalogue(tmp_path)
    plain = write_histogram_bundle(tmp_path, catalog)
    query = next(catalog.images(catalog.select(split="test", role="query", domain="consumer")[:1].tolist()))
    before = LocalRetriever.load(plain).search(query, k=60)
    folder = write_histogram_bundle(tmp_path, catalog, rerank=params.rerank.model_dump())
    bundle = Bundle.load(folder)
    assert bundle.manifest.rerank.steps == (name,)
    assert bundle.manifest.rerank.settings[name].strength == 1.0
    depth = min(params.rerank.depth, len(before))
    after = LocalRetriever.load(folder).search(query, k=60, rerank=True)
    assert [hit.image_id for hit in after[:depth]] == [hit.image_id for hit in before[:depth]][::-1]


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", [DOTTED, NAMED])
def test_one_from_outside_is_tuned(name: str) -> None:
    params = parse_params(values_with(name, 0.5))
    space = search_space(params, 1000)
    assert set(space) == {"depth", "enabled", f"{name}.strength"}
    point = point_of(params.rerank)
    assert point[f"{name}.strength"] == 0.5
    settings = settings_of({**point, f"{name}.strength": 1.25}, params.rerank.steps)
    assert block_of(params.rerank, settings).settings[name].strength == 1.25


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", [DOTTED, NAMED])
def test_equal_params_are_equal_and_can_be_sent_to_another_process(name: str) -> None:
    params = parse_params(values_with(name, 0.5))
    assert params == parse_params(values_with(name, 0.5))
    assert params != parse_params(values_with(name, 0.6))
    assert pickle.loads(pickle.dumps(params)) == params


@pytest.mark.usefixtures("outside")
def test_what_is_tuned_is_written_back() -> None:
    text = Path("params.yaml").read_text()
    text = text.replace("  steps: [probability]", f"  steps: [{DOTTED}]\n  outside_rerank: {{turn: {{strength: 1.0}}}}")
    assert "strength: 0.75" in changed_text(text, {f"rerank.{DOTTED}.strength": 0.75})


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("strength", "told"),
    [
        (3.0, "strength = 3.0: Input should be less than or equal to 2"),
        ("1", "strength = '1': Input should be a valid number"),
    ],
)
@pytest.mark.parametrize("name", [DOTTED, NAMED])
def test_its_settings_are_checked_as_strictly(name: str, strength: Any, told: str) -> None:
    with pytest.raises(ParamsError) as error:
        parse_params(values_with(name, strength))
    assert f"rerank.{name}.{told}" in str(error.value)


@pytest.mark.usefixtures("outside")
def test_missing_and_unknown_settings_are_named() -> None:
    values = values_with(DOTTED, 1.0)
    del values["rerank"]["outside_rerank"]["turn"]
    with pytest.raises(ParamsError, match=r"rerank\.outside_rerank\.turn: missing"):
        parse_params(values)
    values = values_with(DOTTED, 1.0)
    values["rerank"]["outside_rerank"]["turn"]["speed"] = 1
    with pytest.raises(ParamsError, match=r"rerank\.outside_rerank\.turn\.speed: unknown key"):
        parse_params(values)


def test_one_that_is_not_installed_is_named() -> None:
    values = values_with("absent_rerank.turn", 1.0)
    with pytest.raises(ParamsError, match=r"there is no re-ranker 'absent_rerank\.turn'"):
        parse_params(values)
    values = values_with("probabilty", 1.0)
    with pytest.raises(ParamsError, match=r"did you mean probability\?"):
        parse_params(values)


@pytest.mark.usefixtures("outside")
def test_a_bundle_whose_reranker_is_not_installed_names_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_histogram_bundle(
        tmp_path, write_catalogue(tmp_path), rerank=parse_params(values_with(NAMED, 1.0)).rerank.model_dump()
    )
    monkeypatch.setattr("croquis.plugins.declared_points", lambda group, path: [])  # noqa: ARG005
    reranker.cache_clear()
    with pytest.raises(BundleError, match=f"not installed: there is no re-ranker '{NAMED}'") as error:
        Bundle.load(folder)
    assert "\n" not in str(error.value)
