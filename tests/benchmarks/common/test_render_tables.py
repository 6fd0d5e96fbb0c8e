"""Tables come from reports alone."""

from __future__ import annotations

import pytest

from benchmarks.codes.code_tables import codes_table, comparisons_table, components_table, shared_features_table
from benchmarks.common.render_tables import PAGES, render
from benchmarks.common.seed_interval import spread
from benchmarks.common.studies import PROJECT, BenchmarkError, Study, load_studies
from benchmarks.leaderboards.method_leaderboard import comparison, leaderboard
from croquis.files import write_json
from tests.support.benchmark_cells import HEAD, measured, rows_of

STUDY = Study(about="for tests", rows={name: {} for name in ("random", "hard", "worse", "absent")}, tables={})


def test_the_leaderboard_is_in_order_of_val_with_means_over_seeds():
    cells = {f"low/{seed}": measured(0.2 + seed / 100, seed) for seed in (1, 2, 3)}
    before = {"before_training": measured(0.1)["splits"]}
    cells |= {f"high/{seed}": measured(0.6, seed, train_seconds=None, **before) for seed in (1, 2, 3)}
    text = leaderboard({"settings": HEAD, "cells": cells}, STUDY)
    rows = rows_of(text)
    assert list(rows) == ["high", "low", "chance"]
    assert rows["low"][0] == str(spread([0.21, 0.22, 0.23]))
    assert rows["low"][3:] == ["± 0.100", "", str(spread([0.21, 0.22, 0.23])), "512", "250", "10", "5", "3"]
    assert rows["high"][4] == "0.100 ± 0.000"
    assert rows["high"][7] == "250"
    assert rows["high"][8] == ""
    assert "consumer->shop; 50 queries; 100 gallery images; seeds 1, 2, 3; code abc." in text


def test_a_caption_tells_what_was_changed():
    head = HEAD | {"epochs_scale": 0.1, "changes": {"base": {"image_size": 32}}, "share": 0.5}
    text = leaderboard({"settings": head, "cells": {"low/1": measured(0.2)}}, STUDY)
    assert "epochs x 0.1; share 0.5; `base.image_size: 32`" in text


def test_variants_are_compared_with_the_first_by_seed():
    cells = {f"random/{seed}": measured(0.1 * seed, seed) for seed in (1, 2, 3)}
    cells |= {f"hard/{seed}": measured(0.1 * seed + 0.2, seed) for seed in (1, 2, 3)}
    cells |= {f"worse/{seed}": measured(0.2, seed) for seed in (1, 2, 3)}
    rows = rows_of(comparison({"settings": HEAD, "cells": cells}, STUDY))
    assert list(rows) == ["random", "hard", "worse"]
    assert rows["random"][3] == ""
    assert rows["hard"][3] == "+0.200 ± 0.000 *"
    assert not rows["worse"][3].endswith("*")


def coded(value, baselines, comparison="symmetric", seed=1):
    other = {"symmetric": "asymmetric", "asymmetric": "symmetric"}.get(comparison)
    codes = {comparison: {"map@1000": value}} | ({other: {"map@1000": value + 0.05}} if other else {})
    cell = measured(value, seed, codes=codes, comparison=None if comparison == "floats" else comparison)
    cell["splits"]["test"]["metrics"]["map@1000"] = {"chance": 0.1}
    components = {"9": {"map@1000": value - 0.01}, "all": {"map@1000": value - 0.02}}
    return cell | {
        "baselines": {name: {"map@1000": each} for name, each in baselines.items()},
        "components": components,
    }


def test_learned_codes_are_set_against_the_best_baseline_on_the_same_net():
    cells = {f"dhd@16/{seed}": coded(0.5 + seed / 100, {"lsh": 0.3, "itq": 0.4}, seed=seed) for seed in (1, 2, 3)}
    cells |= {f"dhd@32/{seed}": coded(0.3, {"lsh": 0.6, "itq": 0.4}, seed=seed) for seed in (1, 2, 3)}
    cells |= {f"image2vec@16/{seed}": coded(0.7, {"lsh": 0.2}, "floats", seed) for seed in (1, 2, 3)}
    cells |= {f"untrained@16/{seed}": coded(0.1, {"lsh": 0.1, "itq": 0.05}, "floats", seed) for seed in (1, 2, 3)}
    rows = rows_of(codes_table({"settings": HEAD, "cells": cells}, STUDY))
    gain = spread([0.11, 0.12, 0.13])
    assert rows["**dhd**"] == ["its own", str(spread([0.51, 0.52, 0.53])), "0.300 ± 0.000"]
    assert rows["dhd above the best"] == ["dhd net", f"{gain:+} * (itq)", "-0.300 ± 0.000 * (lsh)"]
    gain = spread([0.41, 0.42, 0.43])
    assert rows["dhd above the best before training"] == ["untrained net", f"{gain:+} * (lsh)", ""]
    assert "dhd above the best of labelled images" not in rows
    assert rows["image2vec, floats"] == ["image2vec net", "0.680 ± 0.000", ""]
    compared = comparisons_table({"settings": HEAD, "cells": cells}, STUDY)
    assert "| dhd | asymmetric | 0.570 ±" in compared
    assert not {"image2vec", "untrained"} & set(compared.split())
    held = components_table({"settings": HEAD, "cells": cells}, STUDY)
    assert "| dhd net | 9 | 0.510 ±" in held
    assert "| dhd net | all | 0.500 ±" in held
    assert held.index("dhd net") < held.index("image2vec net")


def test_codes_of_nets_that_stay_are_set_against_baselines_on_the_one_set_of_features():
    cells = {f"untrained@16/{seed}": coded(0.1, {"lsh": 0.2, "itq": 0.3}, "floats", seed) for seed in (1, 2, 3)}
    for method, value in (("spq", 0.35), ("dhd", 0.2)):
        for seed in (1, 2, 3):
            cells[f"{method}@16/{seed}"] = coded(value, {}, seed=seed)
            del cells[f"{method}@16/{seed}"]["baselines"], cells[f"{method}@16/{seed}"]["components"]
    rows = rows_of(shared_features_table({"settings": HEAD, "cells": cells}, STUDY))
    gains = [f"{method} above {name}" for method in ("dhd", "spq") for name in ("the best", "itq")]
    assert list(rows) == ["**dhd**", "**spq**", "itq", "lsh", "floats", *gains]
    assert rows["floats"] == ["0.080 ± 0.000"]
    assert rows["spq above the best"] == ["+0.050 ± 0.000 * (itq)"]
    assert rows["dhd above the best"] == ["-0.100 ± 0.000 * (itq)"]
    assert rows["dhd above itq"] == ["-0.100 ± 0.000 *"]


def test_baselines_that_learned_from_labelled_images_only_have_a_line_where_they_were_measured():
    cells = {
        f"dhd@16/{seed}": coded(0.5, {"lsh": 0.6}, seed=seed) | {"baselines_labelled": {"lsh": {"map@1000": 0.45}}}
        for seed in (1, 2, 3)
    }
    rows = rows_of(codes_table({"settings": HEAD, "cells": cells}, STUDY))
    assert rows["dhd above the best"][1] == "-0.100 ± 0.000 * (lsh)"
    assert rows["dhd above the best of labelled images"] == ["dhd net", "+0.050 ± 0.000 * (lsh)"]


def rendered(tmp_path):
    render(load_studies(), [tmp_path / "page.md"], tmp_path / "reports")


def test_only_what_is_between_the_markers_is_replaced(tmp_path):
    page = "# Methods\n\n<!-- table: negatives -->\nold\n<!-- /table -->\n\ntext\n\n"
    page += "<!-- table: ablation -->\n<!-- /table -->\n"
    (tmp_path / "page.md").write_text(page)
    cells = {f"random/{seed}": measured(0.5, seed) for seed in (1, 2)}
    write_json(tmp_path / "reports/negatives.json", {"settings": HEAD, "cells": cells})
    rendered(tmp_path)
    first = (tmp_path / "page.md").read_text()
    assert "old" not in first
    assert "| random | 0.500 ± 0.000" in first
    assert "Not measured yet: `python -m benchmarks ablation`." in first
    assert first.startswith("# Methods\n\n<!-- table: negatives -->\n")
    assert "\n\ntext\n\n" in first
    rendered(tmp_path)
    assert (tmp_path / "page.md").read_text() == first


def test_a_table_that_no_benchmark_makes_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("<!-- table: gains -->\n<!-- /table -->\n")
    with pytest.raises(BenchmarkError, match="there is no table 'gains'"):
        rendered(tmp_path)


def test_the_pages_have_every_table_and_are_up_to_date(tmp_path):
    """What stands in the pages is what the reports in git say."""
    studies, pages = load_studies(), [path.read_text() for path in PAGES]
    for name in (table for study in studies.values() for table in study.tables):
        assert "".join(pages).count(f"<!-- table: {name} -->") == 1
    copies = [tmp_path / path.name for path in PAGES]
    for path, page in zip(copies, pages, strict=True):
        path.write_text(page)
    render(studies, copies, PROJECT / "reports/benchmarks")
    assert [path.read_text() for path in copies] == pages, "run python -m benchmarks --render"
