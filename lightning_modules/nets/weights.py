"""State dicts of other people's trainings: read whatever tool wrote them, and fitted to a net whose head is cut off."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

LFS = b"version https://git-lfs"
WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "module")  # keys of checkpoints that hold the state dict
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "features.")


class WeightsError(ValueError):
    """A file of weights cannot be used; the message names file, reason and fix."""


State = dict[str, Tensor]


def load_weights(
    net: nn.Module, path: Path, head: tuple[str, ...] = (), convert: Callable[[State], State] | None = None
) -> None:
    """Loads a state dict of torch or safetensors into `net`.

    A checkpoint that holds the state dict under a key such as `state_dict`, and names that begin with `module.` and the
    like, as wrappers write them, are unwrapped with a warning that says so.

    Args:
        head: beginnings of the names of what will be cut off: these may be absent, extra, or of another shape.
        convert: makes the names and shapes of this net of other spellings.

    Raises:
        WeightsError: when the file cannot be read, or does not fit.
    """
    state, said = _unwrapped(_read(path), path)
    wanted = net.state_dict()
    state, prefix = _without_prefix(state, wanted)
    state = state if convert is None else convert(state)
    said += [f"`{prefix}` at the begin of its names"] if prefix else []
    if said:
        warnings.warn(f"{path}: {' and '.join(said)} was taken off", stacklevel=2)
    cut = {name for name in {*state, *wanted} if name.startswith(head or ("\0",))}
    missing, extra = (sorted(set(one) - set(other) - cut) for one, other in ((wanted, state), (state, wanted)))
    shapes = [
        f"{name} is {tuple(state[name].shape)}, must be {tuple(wanted[name].shape)}"
        for name in sorted(set(state) & set(wanted) - cut)
        if state[name].shape != wanted[name].shape
    ]
    problems = [
        *([f"it lacks {len(missing)} of {len(wanted)} keys, e.g. {missing[:3]}"] if missing else []),
        *([f"it has {len(extra)} others, e.g. {extra[:3]}"] if extra else []),
        *shapes[:3],
    ]
    if problems:
        raise WeightsError(
            f"{path} does not fit {type(net).__name__}: {'; '.join(problems)}. Use the weights of this very net"
        )
    fitting = {name: state.get(name, value) if name not in cut else value for name, value in wanted.items()}
    net.load_state_dict(fitting)


def load_in_order(net: nn.Module, path: Path) -> None:
    """Loads a state dict of the same net under other names: the tensors fit one by one, in their order.

    Raises:
        WeightsError: when the file cannot be read, or number, kind (`weight`, `running_mean`, ...) or shape of any differs.
    """
    state, _ = _unwrapped(_read(path), path)
    wanted = net.state_dict()
    kinds = [
        [(name.rpartition(".")[2], tuple(value.shape)) for name, value in each.items()] for each in (state, wanted)
    ]
    if kinds[0] != kinds[1]:
        differing = sum(a != b for a, b in zip(*kinds, strict=False)) + abs(len(state) - len(wanted))
        raise WeightsError(
            f"{path} does not fit {type(net).__name__} in order: {differing} of {len(wanted)} tensors differ. "
            "Use the weights of this very net"
        )
    net.load_state_dict(dict(zip(wanted, state.values(), strict=True)))


def _read(path: Path) -> Any:
    """What a file holds, without running any of it."""
    if not path.is_file():
        raise WeightsError(
            f"{path} does not exist; name `none`, `pretrained`, `hub:OWNER/NAME` or the path of a state dict"
        )
    with path.open("rb") as stream:
        begin = stream.read(len(LFS))
    if begin == LFS:
        raise WeightsError(f"{path} is a pointer of Git LFS, not the weights; fetch the file by `git lfs pull`")
    if not begin:
        raise WeightsError(f"{path} is empty; fetch it again")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch raises depends on the byte that is wrong
        cause = _cause(error)
        raise WeightsError(f"{path} {cause}") from error


def _cause(error: Exception) -> str:
    text = str(error)
    if isinstance(error, SafetensorError):
        return f"is no whole file of safetensors ({text}); fetch it again"
    if "Weights only load failed" in text:
        return (
            "holds more than tensors, most likely a whole module, or is no file of torch; save the tensors alone where "
            "it was made: torch.save(model.state_dict(), PATH)"
        )
    return f"is cut off or no file of torch ({type(error).__name__}); fetch it again"


def _unwrapped(found: Any, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    said: list[str] = []
    while isinstance(found, Mapping):
        tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
        inner = next((name for name in WRAPPINGS if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            if not tensors:
                break
            return tensors, said
        said.append(f"the key `{inner}` around its state dict")
        found = found[inner]
    raise WeightsError(f"{path} holds a {type(found).__name__} without tensors by name; save model.state_dict()")


def _without_prefix(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The state dict without the prefix that all names of `wanted` have in it, and the prefix."""
    prefix, shorter = "", state
    while len(set(shorter) & set(wanted)) < len(set(wanted)) / 2:
        begin = next((begin for begin in PREFIXES if any(name.startswith(begin) for name in shorter)), None)
        if begin is None:
            return state, ""
        shorter = {name.removeprefix(begin): tensor for name, tensor in shorter.items() if name.startswith(begin)}
        prefix += begin
    return shorter, prefix
