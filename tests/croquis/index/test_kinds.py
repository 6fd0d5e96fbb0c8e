"""The table of index kinds is the only list of them: params, study and stores derive from it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest

from croquis.index.build import build_index
from croquis.index.kinds import INDEX_KINDS, Hnsw, Ivf, IvfPq, chosen_settings, kinds_of
from croquis.index.vector_index import VectorIndexError
from croquis.nets.encoder import COMPARISONS, HEADS
from croquis.params.loader import ParamsError, parse_params, read_yaml
from croquis.params.search_blocks import Index
from croquis.store.vector_store import KINDS, StoreError, StoreSpec, spelt_codebooks
from croquis.tuning.tradeoff.tradeoff_study import suggest_index

VECTORS = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)


def test_the_block_of_params_is_made_of_the_table() -> None:
    keys = set(Index.model_fields)
    assert {each.name for kind in INDEX_KINDS for each in fields(kind.settings)} < keys
    assert set(get_args(Index.model_fields["kind"].annotation)) == set(kinds_of("dense"))
    for head in set(HEADS) - {"dense"}:
        assert set(get_args(Index.model_fields["codes"].annotation)) == set(kinds_of(head))
        assert get_args(Index.model_fields[f"{head}_comparison"].annotation) == COMPARISONS
    assert keys == set(read_yaml("params.yaml")["index"])


def test_the_comments_of_params_name_each_of_them() -> None:
    lines = Path("params.yaml").read_text().partition("\nindex:\n")[2].splitlines()
    for key, head in (("kind", "dense"), ("codes", "binary"), ("codes", "pq")):
        comment = next(line for line in lines if line.startswith(f"  {key}: ")).partition("#")[2]
        assert all(name in comment for name in kinds_of(head))


@pytest.mark.parametrize("kind", INDEX_KINDS, ids=lambda kind: f"{kind.head}-{kind.name}")
def test_the_shipped_params_choose_settings_for_every_kind(kind: Any) -> None:
    values = read_yaml("params.yaml")["index"] | {"kind": kind.name, "codes": kind.name}
    settings = chosen_settings(kind.head, values)
    assert type(settings) is kind.settings
    assert set(kind.space) <= {each.name for each in fields(kind.settings)}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("kind", "lsh", "index.kind = 'lsh': Input should be 'flat', 'hnsw' or 'ivfpq'"),
        ("hnsw_links", 2, "index.hnsw_links = 2: Input should be greater than or equal to 4"),
        ("pq_bits", 5, "index.pq_bits = 5: Input should be 4 or 8"),
        ("ivf_lists", "16", "index.ivf_lists = '16': Input should be a valid integer"),
        ("hnsw_link", 16, "index.hnsw_link: unknown key"),
    ],
)
def test_a_mistake_in_params_is_named(key: str, value: Any, told: str) -> None:
    values = read_yaml("params.yaml")
    values["index"][key] = value
    with pytest.raises(ParamsError) as error:
        parse_params(values)
    assert told in str(error.value)


def test_the_runtime_checks_the_same_ranges() -> None:
    for make in (lambda: Hnsw(2, 64), lambda: Ivf(0, 1), lambda: IvfPq(4, 4, 4, 5)):
        with pytest.raises(VectorIndexError, match="must be"):
            make()
    with pytest.raises(VectorIndexError, match="settings Ivf do not fit the head dense"):
        build_index(VECTORS, Ivf(4, 2), metric="l2")


@pytest.mark.parametrize("name", kinds_of("dense"))
def test_what_the_study_proposes_can_be_built(name: str) -> None:
    for seed in range(3):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        study.enqueue_trial({"kind": name})
        values = suggest_index(study.ask())
        assert values["kind"] == name
        settings = chosen_settings("dense", values)
        assert getattr(settings, "ivf_probes", 0) <= getattr(settings, "ivf_lists", 0)


def test_a_store_may_be_of_the_kinds_that_say_so() -> None:
    assert set(KINDS) == {kind.name for kind in INDEX_KINDS if kind.in_store}
    codebooks = spelt_codebooks(np.zeros((4, 16, 4), dtype=np.float32))
    for kind in INDEX_KINDS:
        given: dict[str, Any] = {} if kind.head == "dense" else {"comparison": "symmetric"}
        given |= {"codebooks": codebooks} if kind.head == "pq" else {}
        if kind.in_store:
            StoreSpec("0", kind.head, HEADS[kind.head][0], 16, kind.name, **given)
        else:
            with pytest.raises(StoreError, match="kind = "):
                StoreSpec("0", kind.head, HEADS[kind.head][0], 16, kind.name, **given)
    for head, metric, given, words in (
        ("dense", "hamming", {}, "metric = 'hamming' of the head 'dense'"),
        ("dense", "cosine", {"comparison": "symmetric"}, "comparison = 'symmetric' does not fit the head dense"),
        ("binary", "hamming", {}, "comparison = None does not fit the head binary"),
        ("pq", "l2", {"comparison": "symmetric"}, "comes without its codebooks"),
    ):
        with pytest.raises(StoreError, match=words):
            StoreSpec("0", head, metric, 16, **given)
    with pytest.raises(StoreError, match="the store code 4 parts of 4 numbers, the vectors have 20"):
        _ = StoreSpec("0", "pq", "l2", 20, comparison="symmetric", codebooks=codebooks).coding
