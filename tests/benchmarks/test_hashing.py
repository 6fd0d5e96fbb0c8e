"""The settings of the code benchmark: its own for CIFAR, everything else from params.yaml."""

from __future__ import annotations

import argparse

import pytest

from benchmarks import hashing
from benchmarks.command import BenchmarkError, add_options, make_values, options_of
from benchmarks.real_sets import merged
from params.loader import parse_params


def asked(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, seeds="1")
    return options_of(parser.parse_args(arguments))


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("method", hashing.LEARNED)
def test_a_method_has_as_many_bits_as_asked_for(method, bits):
    values = make_values(asked(), 1, hashing.CIFAR)
    block = getattr(parse_params(merged(values, {method: hashing.code_settings(method, bits, values)})), method)
    made = block.bits if hasattr(block, "bits") else block.subspaces * (block.codewords.bit_length() - 1)
    assert made == bits


def test_bits_that_subspaces_cannot_make_are_refused():
    with pytest.raises(BenchmarkError, match="subspaces of 4 bits, which do not make 18"):
        hashing.code_settings("gpq", 18, make_values(asked(), 1))


def test_spq_sees_no_label_and_the_others_see_classes():
    values = make_values(asked(), 1, hashing.CIFAR)
    assert values["spq"]["positives"] == "views"
    assert {hashing.code_settings(name, 32, values)["labels"] for name in ("sgh", "dhd", "gpq")} == {"category"}
    assert "labels" not in values["spq"]


class OpenedError(Exception):
    """Carries the params of the workspace that would have been opened."""


def test_without_labels_there_is_more_to_see_and_fewer_epochs_do():
    of_spq, of_dhd = (hashing.length_of(name, "cifar10_a")[name]["fit"] for name in ("spq", "dhd"))
    assert of_spq["epochs"] == of_spq["patience"] < of_dhd["epochs"]
    assert hashing.length_of("spq", "cifar10_c")["spq"] == hashing.length_of("dhd", "cifar10_c")["dhd"]


@pytest.mark.parametrize("protocol", hashing.PROTOCOLS)
def test_the_protocols_have_lengths_of_their_own_which_scale(protocol, tmp_path, monkeypatch):
    def open_cell(values, *_):
        raise OpenedError(values)

    monkeypatch.setattr(hashing, "open_data", lambda *_, **_named: tmp_path)
    monkeypatch.setattr(hashing, "open_cell", open_cell)
    with pytest.raises(OpenedError) as opened:
        hashing.cell_of(asked("--epochs-scale", "0.5"), protocol, tmp_path, 1.0, ["lsh"], "dhd@32", 1)
    values = opened.value.args[0]
    assert values["dhd"]["fit"]["epochs"] == hashing.EPOCHS[protocol]["others"] // 2
    assert values["base"]["protocol"] == protocol
