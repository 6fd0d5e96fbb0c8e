"""The settings of the code benchmark: its own for CIFAR, everything else from params.yaml."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.codes import code_settings, hashing
from benchmarks.common.benchmark_command import BenchmarkError, add_options, make_values, options_of
from benchmarks.common.real_sets import RealSetError, merged
from croquis.params.loader import parse_params


def asked(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, seeds="1")
    return options_of(parser.parse_args(arguments))


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("method", code_settings.LEARNED)
def test_a_method_has_as_many_bits_as_asked_for(method, bits):
    values = make_values(asked(), 1, code_settings.CIFAR)
    chosen = merged(values, {method: code_settings.code_settings(method, bits, values)})
    block = parse_params(chosen, methods=True).method(method)
    made = block.bits if hasattr(block, "bits") else block.subspaces * (block.codewords.bit_length() - 1)
    assert made == bits


def test_bits_that_subspaces_cannot_make_are_refused():
    with pytest.raises(BenchmarkError, match="subspaces of 4 bits, which do not make 18"):
        code_settings.code_settings("gpq", 18, make_values(asked(), 1))


def test_spq_sees_no_label_and_the_others_see_classes():
    values = make_values(asked(), 1, code_settings.CIFAR)
    assert values["spq"]["positives"] == "views"
    assert {code_settings.code_settings(name, 32, values)["labels"] for name in ("sgh", "dhd", "gpq")} == {"category"}
    assert "labels" not in values["spq"]


def test_without_labels_there_is_more_to_see_and_fewer_epochs_do():
    of_spq, of_dhd = (code_settings.length_of("trained", "cifar10_a", name)[name]["fit"] for name in ("spq", "dhd"))
    assert of_spq["epochs"] == of_spq["patience"] < of_dhd["epochs"]
    of_spq, of_dhd = (code_settings.length_of("trained", "cifar10_c", name)[name]["fit"] for name in ("spq", "dhd"))
    assert of_spq == of_dhd


class OpenedError(Exception):
    """Carries the params of the workspace that would have been opened."""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """(nets, protocol, name) -> the params of that cell."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/squeezenet1_1_imagenet_features.pth").touch()

    def open_cell(values, *_):
        raise OpenedError(values)

    def ask(nets, protocol, name):
        with pytest.raises(OpenedError) as found:
            hashing.cell_of(asked("--epochs-scale", "0.5"), nets, protocol, tmp_path, 1.0, ["lsh"], name, 1)
        return found.value.args[0]

    monkeypatch.setattr(hashing, "open_data", lambda *_, **_named: tmp_path)
    monkeypatch.setattr(hashing, "open_cell", open_cell)
    return ask


@pytest.mark.parametrize(("nets", "protocol"), code_settings.EPOCHS)
def test_the_protocols_have_lengths_of_their_own_which_scale(nets, protocol, opened):
    values = opened(nets, protocol, "dhd@32")
    assert values["dhd"]["fit"]["epochs"] == code_settings.EPOCHS[nets, protocol]["others"] // 2
    assert values["base"]["protocol"] == protocol


@pytest.mark.parametrize("method", code_settings.LEARNED)
def test_an_imagenet_net_stays_as_it_is_below_every_code_layer(method, opened):
    values = opened("imagenet", "cifar10_c", f"{method}@16")
    assert values["train_embedder"]["backbone"]["weights"].endswith("squeezenet1_1_imagenet_features.pth")
    assert values[method]["fit"]["backbone_rate"] == 0
    assert opened("trained", "cifar10_c", f"{method}@16")[method]["fit"]["backbone_rate"] > 0


def test_where_nets_stay_the_features_are_measured_once():
    blocks = {method: code_settings.told_by("imagenet", "cifar10_c", method) for method in ("untrained", "dhd")}
    assert blocks == {"untrained": ("codes", "components", "baselines"), "dhd": ("codes",)}
    assert "baselines_labelled" in code_settings.told_by("trained", "cifar10_a", "dhd")


def test_nets_that_stay_are_measured_under_one_protocol(tmp_path):
    with pytest.raises(BenchmarkError, match="--nets imagenet goes with --protocols cifar10_c"):
        hashing.main(["--nets", "imagenet", "--protocols", "cifar10_a", "--scratch", str(tmp_path)])


def test_missing_weights_are_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "run_cells", lambda *_: pytest.fail("a cell was begun"))
    with pytest.raises(RealSetError, match=r"squeezenet1_1_imagenet_features\.pth does not exist"):
        hashing.main(["--shared", str(tmp_path), "--scratch", str(tmp_path / "scratch")])


def test_the_two_kinds_of_nets_have_reports_of_their_own():
    names = {hashing.report_name(*each) for each in code_settings.EPOCHS}
    assert len(names) == len(code_settings.EPOCHS)
    assert "hashing-cifar10_c" in names  # the name that reports had before there were two kinds
