"""Optuna's own plots of a study, as PNG files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.trial import TrialState

logger = logging.getLogger(__name__)

MOST_DRAWN = 600  # trials in a plot; more take minutes and are black
MOST_LINES = 150  # trials in a plot where each is a line across it
CONTOUR_PARAMS = 3
INCHES = {"contour": (14.0, 11.0), "slice": (15.0, 5.5), "parallel_coordinate": (13.0, 7.0)}
PLAIN_INCHES = (9.0, 5.5)


def draw_plots(study: optuna.Study, folder: Path) -> list[Path]:
    """Writes what a study allows of history, importance, slices, contour, parallel coordinates and curves."""
    import matplotlib

    matplotlib.use("Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its matplotlib plots experimental at each use
        return [path for name, draw in _plots(study) if (path := _save(name, draw, folder))]


def _plots(study: optuna.Study) -> Iterator[tuple[str, Callable[[], Any]]]:
    from optuna.visualization import matplotlib as plots

    shown = thinned(study)
    measured = shown.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not measured:
        return
    label = study.user_attrs.get("metric", "value")
    yield "history", lambda: plots.plot_optimization_history(study, target_name=label)
    yield "slice", lambda: plots.plot_slice(shown, target_name=label)
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        yield "curves", lambda: plots.plot_intermediate_values(study)
    params = sorted({name for trial in measured for name in trial.params})
    if len({trial.value for trial in measured}) < 2 or len(params) < 2:
        return
    importance = get_param_importances(shown)
    first = list(importance)[:CONTOUR_PARAMS]
    yield "importance", lambda: plots.plot_param_importances(shown, target_name=label)
    lines = thinned(study, MOST_LINES)
    yield "parallel_coordinate", lambda: plots.plot_parallel_coordinate(lines, target_name=label)
    yield "contour", lambda: plots.plot_contour(shown, params=first, target_name=label)


def thinned(study: optuna.Study, most: int = MOST_DRAWN) -> optuna.Study:
    """The study itself, or where it has more trials a copy in memory with evenly chosen ones, the best among them."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) <= most:
        return study
    chosen = {trials[i * len(trials) // most].number for i in range(most)} | {study.best_trial.number}
    copy = optuna.create_study(direction="maximize")
    copy.add_trials([trial for trial in trials if trial.number in chosen])
    return copy


def _save(name: str, draw: Callable[[], Any], folder: Path) -> Path | None:
    import matplotlib.pyplot as plt
    import numpy as np

    path = folder / f"{name}.png"
    try:
        axes = np.ravel(draw())
        figure = axes[0].figure
        figure.set_size_inches(*INCHES.get(name, PLAIN_INCHES))
        figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    except (ValueError, RuntimeError, IndexError) as error:  # a study can be too small or too even for one of them
        logger.warning("no %s plot: %s", name, error)
        return None
    finally:
        plt.close("all")
    return path
