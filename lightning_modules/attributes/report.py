"""How well attributes are told: average precision, F1 of the decisions, and whether probabilities can be believed.

What is unknown of an image is left out everywhere. A mean over attributes is one over those that have a positive.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from lightning_modules.attributes.attribute_labels import AttributeLabels, Flags

Probabilities = npt.NDArray[np.floating]
BINS = 10
COLUMNS = ("attribute", "images", "positives", "threshold", "average_precision", "precision", "recall", "f1", "brier")


@dataclass(frozen=True)
class AttributeRow:
    """One line of the table; figures that are not defined (no positive, nothing predicted) are None."""

    attribute: str
    images: int
    positives: int
    threshold: float
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    brier: float | None


def average_precisions(probabilities: Probabilities, labels: AttributeLabels) -> npt.NDArray[np.float64]:
    """Area under the precision-recall curve of each attribute, (A,); NaN where no image has it."""
    found = np.full(labels.has.shape[1], np.nan)
    for column in np.flatnonzero(labels.has.any(axis=0)):
        known = labels.known[:, column]
        found[column] = average_precision_score(labels.has[known, column], probabilities[known, column])
    return found


def macro_average_precision(probabilities: Probabilities, labels: AttributeLabels) -> float:
    """Mean of `average_precisions`; 0 when no attribute has a positive."""
    found = average_precisions(probabilities, labels)
    return float(np.nanmean(found)) if not np.isnan(found).all() else 0.0


def f1_scores(decisions: Flags, labels: AttributeLabels) -> npt.NDArray[np.float64]:
    """Of each attribute, (A,); NaN where no image has it."""
    hits, false, missed = confusion(decisions, labels)
    return np.where(labels.has.any(axis=0), 2 * hits / np.maximum(2 * hits + false + missed, 1), np.nan)


def micro_f1(decisions: Flags, labels: AttributeLabels) -> float:
    """F1 of all decisions on all images taken together."""
    hits, false, missed = (float(each.sum()) for each in confusion(decisions, labels))
    return 2 * hits / max(2 * hits + false + missed, 1.0)


def confusion(decisions: Flags, labels: AttributeLabels) -> tuple[npt.NDArray[np.int64], ...]:
    """Right, wrong and missed positives of each attribute, (A,) each."""
    positive, negative = labels.has & labels.known, ~labels.has & labels.known
    return (decisions & positive).sum(0), (decisions & negative).sum(0), (~decisions & positive).sum(0)


def calibration_error(probabilities: Probabilities, labels: AttributeLabels) -> float:
    """Expected calibration error: mean gap of probability and frequency in ten bins of equal width, by counts."""
    found, has = probabilities[labels.known], labels.has[labels.known]
    places = np.minimum((found * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    gaps = np.bincount(places, weights=found, minlength=BINS) - np.bincount(places, weights=has, minlength=BINS)
    return float(np.abs(gaps).sum() / max(1, counts.sum()))


def figures(
    probabilities: Probabilities, decisions: Flags, labels: AttributeLabels, ranking: Probabilities | None = None
) -> dict[str, float]:
    """The means: average precision, F1, calibration error, and attributes per image, decided and true.

    Args:
        ranking: what average precision sorts by, where that is not `probabilities`: those of images that were calibrated in
            parts do not rank them all alike.
    """
    f1 = f1_scores(decisions, labels)
    found = {
        "macro_average_precision": macro_average_precision(probabilities if ranking is None else ranking, labels),
        "macro_f1": float(np.nanmean(f1)) if not np.isnan(f1).all() else 0.0,
        "micro_f1": micro_f1(decisions, labels),
        "calibration_error": calibration_error(probabilities, labels),
        "decided_per_image": float((decisions & labels.known).sum(axis=1).mean()),
        "true_per_image": float(labels.has.sum(axis=1).mean()),
    }
    return {name: round(value, 6) for name, value in found.items()}


def attribute_rows(
    names: Sequence[str],
    probabilities: Probabilities,
    decisions: Flags,
    labels: AttributeLabels,
    thresholds: Probabilities,
    ranking: Probabilities,
) -> list[AttributeRow]:
    """A line per attribute; `ranking` as in `figures`."""
    precisions, f1 = average_precisions(ranking, labels), f1_scores(decisions, labels)
    hits, false, missed = confusion(decisions, labels)
    rows = []
    for column, name in enumerate(names):
        known = labels.known[:, column]
        errors = (probabilities[known, column] - labels.has[known, column]) ** 2
        rows.append(
            AttributeRow(
                attribute=name,
                images=int(known.sum()),
                positives=int(hits[column] + missed[column]),
                threshold=round(float(thresholds[column]), 6),
                average_precision=_rounded(precisions[column]),
                precision=_ratio(hits[column], hits[column] + false[column]),
                recall=_ratio(hits[column], hits[column] + missed[column]),
                f1=_rounded(f1[column]),
                brier=_rounded(errors.mean()) if len(errors) else None,
            )
        )
    return rows


def table_csv(rows: Sequence[AttributeRow]) -> bytes:
    """The table as CSV, the hardest attribute first; undefined figures are empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    ordered = sorted(rows, key=lambda row: (row.average_precision is None, row.average_precision or 0.0, row.attribute))
    writer.writerows([getattr(row, name) for name in COLUMNS] for row in ordered)
    return stream.getvalue().encode()


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _ratio(part: int, whole: int) -> float | None:
    return round(float(part / whole), 6) if whole else None
