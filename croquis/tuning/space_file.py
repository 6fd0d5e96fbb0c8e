"""A search space of one's own: a YAML file that maps keys of params.yaml to what is searched.

    siamese.margin: {low: 0.05, high: 0.5, log: true}
    siamese.embedding_dim: {low: 64, high: 256, step: 64}
    siamese.negatives: {choices: [batch_hard, semi_hard]}

Whatever is wrong with it is told before any trial.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial

from croquis.params import Params
from croquis.params.loader import ParamsError, parse_params, read_yaml
from croquis.refusals import hint_of
from croquis.settings import Searched, SearchRange, SearchSpace
from croquis.tracking.record import flatten
from croquis.tuning.search_values import holding, suggest
from croquis.tuning.task import TuneError, said, with_settings

FORM = "{low: 0.05, high: 0.5, log: true}, {low: 32, high: 256, step: 32} or {choices: [a, b]}"


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
        raise TuneError(
            f"{path} must map keys of params.yaml to what is searched, e.g. siamese.margin: {{low: 0.1, high: 0.5}}"
        )
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
        hint = hint_of(key, flatten(params.model_dump(by_alias=True)))
        raise ValueError(f"params.yaml has no such key{hint}") from None


def _parsed(each: Any, present: Any) -> Searched:
    """A range or choices.

    Raises:
        ValueError: saying what is wrong.
    """
    if isinstance(each, Mapping) and set(each) == {"choices"}:
        return _choices(each["choices"])
    if not isinstance(each, Mapping) or not {"low", "high"} <= set(each) <= {"low", "high", "log", "step"}:
        raise ValueError(f"must be like {FORM}")
    found = SearchRange(**each)
    numbers = (found.low, found.high, *(() if found.step is None else (found.step,)))
    if not all(map(_is_number, numbers)) or not isinstance(found.log, bool):
        raise ValueError(f"low, high and step must be numbers, log true or false, not {dict(each)}")
    if not _is_number(present):
        raise ValueError(f"params.yaml says {present!r}, which is no number: name choices")
    if isinstance(found.step, float) and isinstance(found.low, int) and isinstance(found.high, int):
        raise ValueError(f"step is {found.step}, must be whole where low and high are")
    _draw(found, found.low)
    _draw(holding({"it": found}, {"it": present})["it"], present)
    return found


def _draw(values: Searched, value: Any) -> None:
    """Lets Optuna refuse a range that holds nothing, or not this value: trial 0 is what params.yaml says."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of what it would cut or overlook
        try:
            suggest(FixedTrial({"it": value}), "it", values)
        except UserWarning as warning:
            raise ValueError(str(warning).replace("of the parameter 'it'", "of params.yaml")) from warning


def _choices(choices: Any) -> tuple[Any, ...]:
    if not isinstance(choices, list) or not choices:
        raise ValueError(f"choices is {choices!r}, must be a list of values")
    if any(not isinstance(value, bool | int | float | str | None) for value in choices):
        raise ValueError("choices must be numbers, words, true, false or null")
    if any(value in choices[:place] for place, value in enumerate(choices)):
        raise ValueError("choices names a value twice")
    return tuple(choices)


def _check(key: str, values: Searched, params: Params) -> None:
    """Refuses what the schema refuses of one value with all others as params.yaml says them."""
    for value in (values.low, values.high) if isinstance(values, SearchRange) else values:
        try:
            parse_params(with_settings(params, {key: value}), methods=True)
        except ParamsError as error:
            raise ValueError(str(error).splitlines()[-1].strip().removeprefix(f"{key} = ")) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
