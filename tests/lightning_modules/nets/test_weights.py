"""State dicts as tools write them: plain, wrapped, prefixed, with another head, in safetensors; and files that are none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DataParallel

from lightning_modules.nets.weights import WeightsError, load_weights


class Net(nn.Module):
    def __init__(self, classes: int = 5, inputs: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in net.state_dict().items() if not name.startswith("fc.")}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


WRAPPED: dict[str, Callable[[Net], Any]] = {
    "Lightning": lambda net: {
        "epoch": 3,
        "state_dict": {f"model.{name}": value for name, value in net.state_dict().items()},
    },
    "DataParallel": lambda net: DataParallel(net).state_dict(),
    "torch.compile": lambda net: {f"_orig_mod.{name}": value for name, value in net.state_dict().items()},
    "compiled in parallel": lambda net: {f"module._orig_mod.{name}": v for name, v in net.state_dict().items()},
    "checkpoint of a script": lambda net: {"model": net.state_dict(), "optimizer": {"lr": 1.0}, "epoch": 1},
    "checkpoint in a checkpoint": lambda net: {"model": {"state_dict": net.state_dict()}},
    "an encoder of a larger net": lambda net: {
        **{f"encoder.{name}": value for name, value in net.state_dict().items()},
        "decoder.weight": torch.zeros(2),
    },
}


@pytest.mark.parametrize("how", WRAPPED)
def test_wrapped_state_dicts_are_unwrapped_and_that_is_said(tmp_path: Path, how: str):
    trained, net = Net(), Net()
    torch.save(WRAPPED[how](trained), tmp_path / "w.pt")
    with pytest.warns(UserWarning, match=r"w\.pt: .* was taken off"):
        load_weights(net, tmp_path / "w.pt", head=("fc.",))
    assert same(net, trained)


@pytest.mark.parametrize("classes", [5, 1000])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_head_of_other_classes_does_not_decide(tmp_path: Path, name: str, classes: int):
    trained, net = Net(classes), Net()
    (save_file if name.endswith("safetensors") else torch.save)(trained.state_dict(), tmp_path / name)
    with warnings.catch_warnings(action="error"):
        load_weights(net, tmp_path / name, head=("fc.",))
    assert same(net, trained)


def test_a_head_may_be_absent_but_counts_where_it_is_kept(tmp_path: Path):
    trained = Net(7)
    torch.save(weights(trained), tmp_path / "headless.pt")
    load_weights(Net(), tmp_path / "headless.pt", head=("fc.",))
    torch.save(trained.state_dict(), tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match=r"fc\.bias is \(7,\), must be \(5,\)"):
        load_weights(Net(), tmp_path / "whole.pt")


def truncated(path: Path) -> None:
    torch.save(Net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-600])


def short_safetensors(path: Path) -> None:
    save_file(Net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-8])


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent.pt": (lambda _: None, "does not exist"),
    "empty.pt": (lambda path: path.write_bytes(b""), "is empty; fetch it again"),
    "pointer.pt": (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "module.pt": (
        lambda path: torch.save(Net(), path),
        r"a whole module, .*torch\.save\(model\.state_dict\(\), PATH\)",
    ),
    "list.pt": (lambda path: torch.save([1], path), "holds a list without tensors"),
    "numbers.pt": (lambda path: torch.save({"epoch": 1}, path), "holds a dict without tensors"),
    "cut.pt": (truncated, "is cut off or no file of torch .*; fetch it again"),
    "text.pt": (lambda path: path.write_text("<html>not found</html>"), "fetch it again|no file of torch"),
    "cut.safetensors": (short_safetensors, "is no whole file of safetensors"),
    "other.safetensors": (lambda path: save_file({"a": torch.zeros(1)}, path), "does not fit Net: it lacks"),
    "grey.pt": (lambda path: torch.save(Net(inputs=1).state_dict(), path), r"conv\.weight is \(4, 1, 3, 3\), must be"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_that_cannot_be_used_is_told_in_one_line_with_a_remedy(tmp_path: Path, name: str):
    write, message = UNUSABLE[name]
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(Net(), tmp_path / name, head=("fc.",))
    assert str(tmp_path / name) in str(caught.value)
    assert "weights_only=False" not in str(caught.value)
    assert "\n" not in str(caught.value)
