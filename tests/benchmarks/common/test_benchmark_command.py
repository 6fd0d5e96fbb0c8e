"""Options of the benchmark commands, and the params that they lead to."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.common.benchmark_command import (
    BenchmarkError,
    add_options,
    chosen,
    make_values,
    options_of,
    parse_change,
)
from croquis.params import ParamsError
from croquis.params.loader import read_yaml


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, seeds="1,2")
    return options_of(parser.parse_args(list(arguments)))


def test_changes_are_read_as_yaml_and_nested():
    assert parse_change("siamese.margin=0.3") == {"siamese": {"margin": 0.3}}
    assert parse_change("retrievers=[histogram, siamese]") == {"retrievers": ["histogram", "siamese"]}
    both = options("--param", "base.seed=1", "--param", "base.threads=1").changes
    assert both == {"base": {"seed": 1, "threads": 1}}
    with pytest.raises(BenchmarkError, match=r"'siamese\.margin' is not of the form"):
        parse_change("siamese.margin")


def test_values_are_the_shipped_ones_with_overrides_changes_and_seed():
    shipped = read_yaml("params.yaml")
    values = make_values(options("--param", "siamese.margin=0.3"), 5, {"siamese": {"margin": 0.1, "centre": False}})
    assert values["base"] == {**shipped["base"], "seed": 5}
    assert values["siamese"] == {**shipped["siamese"], "margin": 0.3, "centre": False}
    assert values["image2vec"] == shipped["image2vec"]


def test_epochs_are_scaled_for_every_method_that_has_some():
    shipped, values = read_yaml("params.yaml"), make_values(options("--epochs-scale", "0.5"), 1)
    for method in ("siamese", "image2vec", "dhd"):
        assert values[method]["fit"]["epochs"] == round(shipped[method]["fit"]["epochs"] / 2)
    assert make_values(options("--epochs-scale", "0.001"), 1)["siamese"]["fit"]["epochs"] == 1
    with pytest.raises(BenchmarkError, match=r"--epochs-scale is 0\.0"):
        options("--epochs-scale", "0")


def test_mistakes_are_named():
    with pytest.raises(ParamsError, match=r"siamese\.marign: unknown key"):
        make_values(options("--param", "siamese.marign=0.3"), 1)
    with pytest.raises(BenchmarkError, match="--methods knows dhd, spq, not resnet"):
        chosen("dhd,resnet", ("dhd", "spq"), "--methods")
    with pytest.raises(BenchmarkError, match="an empty list"):
        chosen(" ,", ("dhd",), "--methods")
