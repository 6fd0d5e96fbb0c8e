"""studies.yaml: every entry can be run, and comes to params that fit the schema; no circle of imports below it."""

from __future__ import annotations

import pkgutil
import re
import shlex
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from benchmarks.codes.code_tables import LEARNED
from benchmarks.common.cells import plan_cell
from benchmarks.common.studies import BenchmarkError, Options, load_studies, parse_change, study_values
from benchmarks.common.study_command import parser
from croquis.params import ParamsError
from croquis.params.loader import read_yaml
from tests.support.imports import ROOT, imports, python_files

STUDIES = load_studies()
TRAINED = [name for name, study in STUDIES.items() if study.measure and study.set != "pipeline"]
WEIGHTS = ("mobilenet_v2_imagenet.pth", "squeezenet1_1_imagenet_features.pth")


@pytest.fixture
def options(tmp_path: Path):
    """Options with stand-ins for the real sets, which are not read; changes by keyword."""
    for name in ("inshop_luma", "c2s_grocery", "attr_products", "clothing_small", "sketch_qmul"):
        (tmp_path / "shared" / name).mkdir(parents=True)
    (tmp_path / "shared/weights").mkdir()
    for name in WEIGHTS:
        (tmp_path / "shared/weights" / name).touch()

    def made(**changes) -> Options:
        usual = {"epochs_scale": None, "share": 1.0, "changes": {}, "root": None, "reports": tmp_path}
        return Options(**(usual | {"shared": tmp_path / "shared", "scratch": tmp_path} | changes))

    return made


@pytest.mark.parametrize("name", STUDIES)
def test_what_a_study_names_is_there(name: str) -> None:
    study = STUDIES[name]
    for found in (study.data, *study.tables.values(), *([study.measure] if study.measure else [])):
        assert callable(pkgutil.resolve_name(found))
    assert study.tables
    assert bool(study.measure) != bool(study.command)


@pytest.mark.parametrize("name", TRAINED)
def test_its_rows_fit_the_schema(name: str, options) -> None:
    study = STUDIES[name]
    for row in list(study.all_rows)[:: max(1, len(study.all_rows) - 1)]:
        values = study_values(study, row, 3, options(epochs_scale=0.5))
        method = study.method_of(row)
        assert values["base"]["seed"] == 3
        fit = values[method].get("fit")
        if fit and study.full_length:
            assert fit["patience"] == fit["epochs"]
        if study.set not in ("rendered", "attr_products"):
            assert str(options().shared) in str(values)


def test_codes_have_the_bits_of_their_row_and_layers_stay_alone(options) -> None:
    for name in (each for each in STUDIES if each.startswith("hashing")):
        study, rows = STUDIES[name], [f"{method}@{bits}" for method in LEARNED for bits in (16, 64)]
        for row in rows:
            method, _, bits = row.partition("@")
            block = study_values(study, row, 1, options())[method]
            assert int(bits) == block.get("bits") or int(bits) == block["subspaces"] * 4 == block["subspaces"] * (
                block["codewords"].bit_length() - 1
            )
            assert (block["fit"]["backbone_rate"] == 0) == name.endswith("imagenet")


def test_leaderboards_have_every_method_that_is_asked_with_photos() -> None:
    rows = STUDIES["leaderboard-rendered"].all_rows
    assert [*rows, "joint"] == read_yaml("params.yaml")["retrievers"]
    with pytest.raises(BenchmarkError, match=r"--rows knows histogram, .* not resnet"):
        STUDIES["leaderboard-rendered"].chosen("siamese,resnet")
    with pytest.raises(BenchmarkError, match="an empty list"):
        STUDIES["negatives"].chosen(" ,")


def test_the_later_word_counts_and_the_shipped_ones_stay(options) -> None:
    shipped, study = read_yaml("params.yaml"), STUDIES["negatives"]
    asked = options(changes=parse_change("siamese.margin=0.3"), epochs_scale=0.001)
    values = study_values(study, "nearest", 5, asked)
    assert values["base"] == {**shipped["base"], "seed": 5}
    assert (values["siamese"]["margin"], values["siamese"]["negatives"]) == (0.3, "nearest")
    assert values["siamese"]["fit"]["epochs"] == values["dhd"]["fit"]["epochs"] == 1
    half = study_values(study, "random", 5, options())
    assert half["siamese"]["fit"]["epochs"] == round(shipped["siamese"]["fit"]["epochs"] / 2)
    with pytest.raises(ParamsError, match=r"siamese\.marign: unknown key"):
        study_values(study, "random", 1, options(changes=parse_change("siamese.marign=0.3")))
    with pytest.raises(BenchmarkError, match=r"'siamese\.margin' is not of the form"):
        parse_change("siamese.margin")


def test_missing_weights_are_named(options, tmp_path: Path) -> None:
    (tmp_path / "shared/weights" / WEIGHTS[0]).unlink()
    with pytest.raises(BenchmarkError, match=r"mobilenet_v2_imagenet\.pth does not exist; .*--shared"):
        study_values(STUDIES["leaderboard-inshop_luma"], "siamese", 7, options())


def test_mistakes_in_an_entry_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("mine: {about: some, tables: {}, sedes: [1]}\n")
    with pytest.raises(BenchmarkError, match=r"own\.yaml: mine\.sedes: Extra inputs"):
        load_studies(tmp_path / "own.yaml")


def test_a_workspace_is_named_by_what_decides_on_its_figures(options) -> None:
    study = STUDIES["leaderboard-rendered"]

    def plan(change: str = "base.seed=7", row: str = "siamese", seed: int = 7):
        return plan_cell(study, row, seed, options(changes=parse_change(change)))

    usual = plan()
    for change in ("register.floor=0.9", "dhd.bits=32", "train_gan.epochs=1", "ingest.idx.share=0.5"):
        assert (plan(change).folder, plan(change).data) == (usual.folder, usual.data)
    for change in ("siamese.margin=0.3", "train_embedder.domains=[shop]", "index.kind=hnsw"):
        assert plan(change).folder != usual.folder
        assert plan(change).data == usual.data
    for other in (plan(seed=8), plan("ingest.rendered.items=99"), plan("validate.min_side=30")):
        assert other.data != usual.data
    assert plan(row="image2vec").key != usual.key


def test_benchmarks_have_no_circle_of_imports() -> None:
    graph = {}
    for path in python_files("benchmarks"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found = {each.name for each in imports(path) if each.name.startswith("benchmarks.")}
        graph[name] = found | {each.rpartition(".")[0] for each in found}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the modules of the circle


def test_the_commands_of_the_docs_are_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path("docs").rglob("*.md"))
    told = re.findall(r"python -m (benchmarks[\w.]*)([^`#\\\n]*)", text)
    assert {name for name, _ in told} >= {"benchmarks", "benchmarks.scale.scale"}
    for name, arguments in told:
        assert pkgutil.resolve_name("benchmarks.__main__:main" if name == "benchmarks" else f"{name}:main")
        if name == "benchmarks":
            given = parser().parse_args(shlex.split(arguments))
            assert given.study in {None, "STUDY", *STUDIES}
