"""Probabilities that can be believed, and the thresholds that turn them into decisions; both are fitted on val.

Calibration is Platt's (1999): every attribute's logit becomes `scale * logit + offset`. The values of an exclusive group
share their scale, which makes it the temperature and bias ("vector") scaling of Guo et al. (2017). Fitted is the maximum a
posteriori with a unit normal prior on log(scale) and offset, so that a rare attribute is not carried away by five photos.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from croquis.nets.classifier import decided
from lightning_modules.attributes.attribute_labels import AttributeLabels, Layout
from lightning_modules.attributes.outputs import Outputs, target_matrix

Array = npt.NDArray[np.float64]
FOLDS = 5
STEPS = 200


def fit_calibration(logits: Array, labels: AttributeLabels, layout: Layout) -> tuple[Array, Array]:
    """(scale, offset), both (A,), of logits (N, A)."""
    outputs, blocks = Outputs(layout).double(), torch.from_numpy(layout.blocks)
    given, targets = torch.from_numpy(logits.astype(np.float64)), target_matrix(layout, labels).double()
    log_scale = torch.zeros(int(blocks.max()) + 1, dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(len(layout.names), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_scale, offset], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        found = outputs.log_probabilities(log_scale.exp()[blocks] * given + offset)
        prior = (log_scale.square().sum() + offset.square().sum()) / 2
        loss = negative_log_likelihood(found, targets, layout) + prior
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return log_scale.detach().exp()[blocks].numpy(), offset.detach().numpy()


def negative_log_likelihood(log_probabilities: Tensor, targets: Tensor, layout: Layout) -> Tensor:
    """Summed over images, groups and single attributes; unknown ones (-1 in `target_matrix`) add nothing."""
    total = log_probabilities.new_zeros(())
    for number, group in enumerate(layout.groups):
        values, value = log_probabilities[:, group], targets[:, number].long()
        none = torch.log1p(-values.exp().sum(dim=1).clamp(max=1 - 1e-9))
        chosen = torch.cat([values, none[:, None]], dim=1).gather(1, value.clamp(min=0)[:, None])[:, 0]
        total = total - (chosen * (value >= 0)).sum()
    single, wanted = log_probabilities[:, layout.single], targets[:, len(layout.groups) :]
    other = torch.log1p(-single.exp().clamp(max=1 - 1e-9))
    return total - (torch.where(wanted > 0, single, other) * (wanted >= 0)).sum()


def calibrated(logits: Array, scale: Array, offset: Array, layout: Layout) -> Array:
    """Probabilities (N, A)."""
    scaled = torch.from_numpy(scale * logits.astype(np.float64) + offset)
    return np.asarray(Outputs(layout).double().log_probabilities(scaled).exp().numpy(), dtype=np.float64)


def common_threshold(probabilities: Array, labels: AttributeLabels) -> float:
    """The probability from which on to believe an attribute, the same for all, that gives the best micro F1.

    Candidates are the predicted probabilities themselves. Of calibrated ones the best cut is half of the F1 that it
    gives (Lipton et al. 2014), well inside the range; a threshold for each attribute by its own F1 would instead call
    every photo an attribute that the classifier cannot tell, which is the best F1 that guessing has.
    """
    found = np.where(labels.known, probabilities, -1.0).ravel()
    order = np.argsort(-found, kind="stable")
    order = order[found[order] >= 0]
    hits = np.cumsum(labels.has.ravel()[order])
    if not len(order) or hits[-1] == 0:
        return 0.5
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
    best = int(np.argmax(f1))
    below = found[order[best + 1]] if best + 1 < len(order) else 0.0
    return float((found[order[best]] + below) / 2)


def item_folds(items: npt.NDArray[np.generic], folds: int = FOLDS) -> Iterator[npt.NDArray[np.bool_]]:
    """Masks of the images held out in each fold; all photos of an item are in one."""
    numbers = np.unique(items, return_inverse=True)[1] % folds
    for fold in range(folds):
        if (numbers == fold).any():
            yield numbers == fold


def held_out(
    logits: Array, labels: AttributeLabels, items: npt.NDArray[np.generic], layout: Layout
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Probabilities and decisions (N, A) of each image, calibrated and cut by what the photos of *other* items say.

    Fitted and measured on the same images, figures would flatter.
    """
    probabilities, decisions = np.zeros(logits.shape), np.zeros(logits.shape, dtype=np.bool_)
    for out in item_folds(items):
        rest = labels.take(~out) if (~out).any() else labels
        base = logits[~out] if (~out).any() else logits
        scale, offset = fit_calibration(base, rest, layout)
        threshold = common_threshold(calibrated(base, scale, offset, layout), rest)
        probabilities[out] = calibrated(logits[out], scale, offset, layout)
        decisions[out] = decided(
            probabilities[out].astype(np.float32), np.full(len(layout.names), threshold), layout.groups
        )
    return probabilities, decisions
