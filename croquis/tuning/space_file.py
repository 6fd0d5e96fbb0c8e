"""A search space of one's own: a YAML file that maps keys of params.yaml to what is searched.

    siamese.margin: {low: 0.05, high: 0.5, log: true}
    siamese.embedding_dim: {low: 64, high: 256, step: 64}
    siamese.negatives: {choices: [batch_hard, semi_hard]}

Whatever is wrong with it is told before any trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from croquis.params import Params
from croquis.params.loader import ParamsError, parse_params, read_yaml
from croquis.settings import SearchRange, SearchSpace
from croquis.tracking.record import flatten
from croquis.tuning.task import TuneError, said, with_settings

FORM = "{low: 0.05, high: 0.5, log: true}, {low: 32, high: 256, step: 32} or {choices: [random, batch_hard]}"


def read_space(path: Path, params: Params) -> SearchSpace:
    """Dotted key -> what the file says of it; the schema takes the bounds and choices.

    Raises:
        TuneError: one line that names the key and the fix.
    """
    try:
        values = read_yaml(path)
    except ParamsError as error:
        raise TuneError(" ".join(str(error).split())) from error
    if not isinstance(values, Mapping) or not values:
        raise TuneError(f"{path} must map keys of params.yaml to what is searched, e.g. siamese.margin: {FORM}")
    space = {}
    for key, each in values.items():
        try:
            present = _present(str(key), params)
            space[str(key)] = _parsed(each, present)
            _check(str(key), space[str(key)], params)
        except ValueError as error:
            raise TuneError(f"{path}: {key}: {error}") from error
    return space


def _present(key: str, params: Params) -> Any:
    try:
        return said(params, [key])[key]
    except KeyError:
        near = get_close_matches(key, flatten(params.model_dump(by_alias=True)), 1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise ValueError(f"params.yaml has no such key{hint}") from None


def _parsed(each: Any, present: Any) -> SearchRange | tuple[Any, ...]:
    """A range or choices.

    Raises:
        ValueError: saying what is wrong.
    """
    if isinstance(each, Mapping) and set(each) == {"choices"}:
        return _choices(each["choices"])
    if not isinstance(each, Mapping) or not {"low", "high"} <= set(each) <= {"low", "high", "log", "step"}:
        raise ValueError(f"must be like {FORM}")
    found = SearchRange(**each)
    for name, value in (("low", found.low), ("high", found.high), ("step", found.step)):
        if not _is_number(value) and not (name == "step" and value is None):
            raise ValueError(f"{name} is {value!r}, must be a number")
    if not isinstance(found.log, bool):
        raise ValueError(f"log is {found.log!r}, must be true or false")
    if not _is_number(present):
        raise ValueError(f"params.yaml says {present!r}, which is no number: name choices")
    if found.low >= found.high:
        raise ValueError(f"low is {found.low}, must be below high ({found.high})")
    if found.log and found.low <= 0:
        raise ValueError(f"low is {found.low}, must be above 0 with log: true")
    if found.step is not None:
        _check_step(found, found.step, present)
    return found


def _choices(choices: Any) -> tuple[Any, ...]:
    if not isinstance(choices, list) or not choices:
        raise ValueError(f"choices is {choices!r}, must be a list of values")
    if any(not isinstance(value, bool | int | float | str | None) for value in choices):
        raise ValueError("choices must be numbers, words, true, false or null")
    if any(value in choices[:place] for place, value in enumerate(choices)):
        raise ValueError("choices names a value twice")
    return tuple(choices)


def _check_step(found: SearchRange, step: float, present: Any) -> None:
    if found.log:
        raise ValueError("log and step exclude each other: keep one of them")
    if step <= 0 or (isinstance(step, float) and isinstance(found.low, int) and isinstance(found.high, int)):
        raise ValueError(f"step is {step}, must be above 0, and whole where low and high are")
    for name, value in (("high", found.high), ("what params.yaml says, which is tried first,", present)):
        steps = (value - found.low) / step
        if not math.isclose(steps, round(steps), abs_tol=1e-6):
            raise ValueError(f"{name} is {value}, must be low ({found.low}) and whole steps of {step}")


def _check(key: str, values: SearchRange | tuple[Any, ...], params: Params) -> None:
    """Refuses what the schema refuses of one value with all others as params.yaml says them."""
    for value in (values.low, values.high) if isinstance(values, SearchRange) else values:
        try:
            parse_params(with_settings(params, {key: value}), methods=True)
        except ParamsError as error:
            raise ValueError(str(error).splitlines()[-1].strip().removeprefix(f"{key} = ")) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
