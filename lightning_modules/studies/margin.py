"""Siamese with other margins, and on request other learning rates, negatives and embedding sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from croquis.params import Params
from croquis.tuning.task import TuneError
from lightning_modules.methods.siamese import METHOD
from lightning_modules.studies.training import TrainingTask

# What may be searched besides the margin, and its key in the block `siamese`, whose registry entry holds the ranges.
OPTIONS = {"learning_rate": "fit.learning_rate", "negatives": "negatives", "embedding_dim": "embedding_dim"}


def margin_task(params: Params, root: Path, epochs: int | None = None, also: Sequence[str] = ()) -> TrainingTask:
    """Searches `siamese.margin`.

    Args:
        epochs: length of a trial; None for a third of `siamese.fit.epochs`.
        also: names from `OPTIONS`.

    Raises:
        TuneError: without a catalogue, or on an unknown option.
    """
    unknown = [name for name in also if name not in OPTIONS]
    if unknown:
        raise TuneError(f"--also knows {', '.join(OPTIONS)}, not {', '.join(unknown)}")
    keys = ["margin", *(key for name, key in OPTIONS.items() if name in also)]
    return TrainingTask(
        params, root, {f"siamese.{key}": METHOD.space[key] for key in keys}, "siamese", epochs, "margin"
    )


STUDY = margin_task
