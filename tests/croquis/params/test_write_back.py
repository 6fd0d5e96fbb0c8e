"""The best of a study in params.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from croquis.params import ParamsError, load_params
from croquis.params.write_back import changed_text, place, write_back

SHIPPED = Path("params.yaml").read_text()


def lines_that_differ(old: str, new: str) -> list[tuple[str, str]]:
    assert len(old.splitlines()) == len(new.splitlines())
    return [(a, b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]


@pytest.mark.slow
def test_only_the_lines_of_the_settings_change_and_comments_stay(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    before = load_params(path, methods=True)
    overlap = "jaccard" if before.rerank.overlap != "jaccard" else "idf"
    settings = {"siamese.margin": 0.3127, "siamese.fit.learning_rate": 0.00005, "rerank.overlap": overlap}
    shown = write_back(path, settings, write=True)
    changed = lines_that_differ(SHIPPED, path.read_text())
    assert len(changed) == 3
    assert [new.partition("#")[2] for _, new in changed] == [old.partition("#")[2] for old, _ in changed]
    after = load_params(path, methods=True)
    assert (after.siamese.margin, after.siamese.fit.learning_rate, after.rerank.overlap) == (0.3127, 0.00005, overlap)
    assert after.image2vec == before.image2vec
    assert f"-  margin: {before.siamese.margin}\n+  margin: 0.3127\n" in shown
    assert list(tmp_path.iterdir()) == [path]


def test_without_write_the_file_stays_and_the_diff_is_shown(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    assert "+  margin: 0.3127" in write_back(path, {"siamese.margin": 0.3127}, write=False)
    assert path.read_text() == SHIPPED


def test_settings_that_stand_there_already_change_nothing(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    block = load_params(path).rerank
    assert write_back(path, {"rerank.depth": block.depth, "rerank.alpha": float(block.alpha)}, write=True) == ""
    assert path.read_text() == SHIPPED


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), [
    ("siamese.margin", 7.5), ("rerank.overlap", "most"), ("rerank.depth", 20), ("rerank.enabled", 1),
])  # fmt: skip
def test_what_the_schema_refuses_is_not_written(tmp_path, key, value):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    with pytest.raises(ParamsError, match=key):
        write_back(path, {key: value}, write=True)
    assert path.read_text() == SHIPPED


def test_an_unknown_key_is_an_error():
    with pytest.raises(KeyError):
        changed_text(SHIPPED, {"siamese.margins": 0.3})


@pytest.mark.slow
def test_lists_and_mappings_change_in_their_line_and_null_stays_spelt():
    settings = {"retrievers": ["siamese"], "validate.disabled": ["whole_file"], "ingest.folder.splits": {"dev": "val"}}
    text = changed_text(SHIPPED, settings)
    assert "    test: null\n" in changed_text(text, {"ingest.idx.test": None})
    changed = lines_that_differ(SHIPPED, text)
    assert len(changed) == 3
    assert [new.partition("#")[2] for _, new in changed] == [old.partition("#")[2] for old, _ in changed]
    back = {key: lookup(SHIPPED, key) for key in settings}
    assert changed_text(text, back) == SHIPPED


def lookup(text: str, key: str) -> object:
    target, name = place(YAML(typ="safe", pure=True).load(text), key)
    return target[name]
