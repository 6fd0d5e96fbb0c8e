"""What the reports in git say: every learnt method is worth its training, and learned codes beat those of fixed rules."""

from __future__ import annotations

import pytest

from benchmarks.codes.code_tables import LEARNED as CODES
from benchmarks.codes.code_tables import UNTRAINED
from benchmarks.common.recorded_results import by_name
from benchmarks.common.studies import load_studies
from benchmarks.leaderboards.method_leaderboard import BEFORE
from croquis.files import read_json
from croquis.params import load_params

CELLS = by_name(read_json("reports/benchmarks/leaderboard-rendered.json")["cells"])
CODED = by_name(read_json("reports/benchmarks/hashing-cifar10_c-imagenet.json")["cells"])
FLOORS = ("histogram", "untrained")
LEARNT = [method for method in load_studies()["leaderboard-rendered"].all_rows if method not in FLOORS]
PAIR = "consumer->shop"


def hit_at_1(splits, split):
    return splits[split]["metrics"]["hit@1"]["value"]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("method", LEARNT)
def test_with_every_seed_it_is_above_its_own_net_before_training_and_above_the_histogram(method: str, split: str):
    assert len(CELLS[method]) >= 3
    for seed, cell in CELLS[method].items():
        found = hit_at_1(cell["splits"], split)
        assert found > hit_at_1(cell[BEFORE], split)
        assert found > hit_at_1(CELLS["histogram"][seed]["splits"], split)


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("method", CODES)
def test_with_every_seed_learned_codes_are_above_every_baseline_on_the_same_features(method: str, bits: int):
    cells, features = CODED[f"{method}@{bits}"], CODED[f"{UNTRAINED}@{bits}"]
    assert len(cells) >= 3
    for seed, cell in cells.items():
        for metric, value in cell["codes"][cell["comparison"]].items():
            assert value > max(found[metric] for found in features[seed]["baselines"].values())


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("method", [name for name in load_params().retrievers if name not in FLOORS])
def test_so_is_what_the_pipeline_has_trained(method: str, split: str):
    """Beside the histogram with its map, which codes, having none, do not reach (docs/benchmarks/rendered.md)."""
    floors = FLOORS if method not in CODES else ("untrained",)
    assert evaluated(method, split) > max(evaluated(name, split) for name in floors)


def evaluated(method: str, split: str) -> float:
    return read_json(f"reports/metrics/{method}.json")[split][PAIR]["hit@1"]
