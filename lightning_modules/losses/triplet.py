"""The triplet loss, and the ways to choose its positives and negatives inside a batch.

Loss (Schroff et al. 2015; Gajic & Baldrich 2018): L(a, p, n) = max(0, m + d(a, p) - d(a, n)).
"""

from __future__ import annotations

import torch
from torch import Tensor

from croquis.params.training_blocks import InBatchNegatives, Positives

FAR = 1e9


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances, (A, D) and (B, D) -> (A, B); rounding may leave a tiny negative number for 0."""
    return a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances, (A, D) and (B, D) -> (A, B); differentiable at 0 (the gradient there is 0)."""
    squared = squared_distances(a, b)
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


def triplet_losses(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(0, margin + positive - negative), element by element."""
    return torch.relu(margin + positive - negative)


def allowed_positives(same_item: Tensor, crossing: Tensor) -> Tensor:
    """Which pairs may be anchor and positive: of one item, and of two domains where the anchor has such a partner.

    Args:
        same_item: (B, B) bool.
        crossing: (B, B) bool, whether the two images are of different domains.

    Returns:
        (B, B) bool, false on the diagonal.
    """
    pairs = same_item & ~torch.eye(len(same_item), dtype=torch.bool, device=same_item.device)
    across = pairs & crossing
    return torch.where(across.any(dim=1, keepdim=True), across, pairs)


def anchors_and_positives(
    distances: Tensor, items: Tensor, shop: Tensor, positives: Positives, negatives: str
) -> tuple[Tensor, Tensor]:
    """Rows of the anchor and of the positive of every triplet; two (pairs,) tensors.

    Args:
        distances: (B, B) between the images of a batch.
        items: (B,) item numbers.
        shop: (B,) bool, whether an image is of the domain shop; or numbers of domains, where there are more than two.
        positives: `crossing` pairs an anchor with images of the other domain where the batch has such of its item;
            `all` pairs it with every other image of its item.
        negatives: `batch_hard` leaves each anchor its farthest positive only.
    """
    same_item, crossing = items.unsqueeze(0) == items.unsqueeze(1), shop.unsqueeze(0) != shop.unsqueeze(1)
    pairs = allowed_positives(same_item, crossing if positives == "crossing" else torch.ones_like(crossing))
    if negatives == "batch_hard":
        pairs = hardest_positives(distances, pairs)
    anchors, others = pairs.nonzero(as_tuple=True)
    return anchors, others


def category_term(distances: Tensor, items: Tensor, categories: Tensor, shop: Tensor, margin: float) -> Tensor:
    """Mean triplet loss of pairs of one category and two items, with semi-hard negatives of another category; a scalar.

    Pairs cross between domains where the batch has such, as in `anchors_and_positives`. Without any pair the term is 0.

    Args:
        distances: (B, B) between the images of a batch.
        items: (B,) item numbers.
        categories: (B,) category numbers.
        shop: (B,) as there.
        margin: of the triplets.
    """
    same = categories.unsqueeze(0) == categories.unsqueeze(1)
    akin = same & (items.unsqueeze(0) != items.unsqueeze(1))
    pairs = allowed_positives(akin, shop.unsqueeze(0) != shop.unsqueeze(1))
    anchors, others = pairs.nonzero(as_tuple=True)
    positive = distances[anchors, others]
    negative = in_batch_negatives("semi_hard", distances[anchors], ~same[anchors], positive)
    return triplet_losses(positive, negative, margin).sum() / max(1, len(anchors))


def in_batch_negatives(strategy: InBatchNegatives, distances: Tensor, other_item: Tensor, positive: Tensor) -> Tensor:
    """Distance to the negative of each pair of anchor and positive; (pairs,).

    A pair that the batch has no negative for is given one so far away that its loss is 0.

    Args:
        distances: (pairs, B) from each pair's anchor to the batch.
        other_item: (pairs, B) bool, which images show another item.
        positive: (pairs,) distance to the positive.
    """
    alone = ~other_item.any(dim=1)
    match strategy:
        case "batch_hard":
            found = batch_hard_negatives(distances, other_item)
        case "semi_hard":
            found = semi_hard_negatives(distances, other_item, positive)
        case "random":
            found = random_negatives(distances, other_item | alone.unsqueeze(1))
    return found.masked_fill(alone, FAR)


def hardest_positives(distances: Tensor, positives: Tensor) -> Tensor:
    """The farthest positive of each anchor that has one (Hermans et al. 2017); (B, B) bool with at most one per row."""
    farthest = distances.masked_fill(~positives, -torch.inf).argmax(dim=1, keepdim=True)
    return torch.zeros_like(positives).scatter(1, farthest, True) & positives


def batch_hard_negatives(distances: Tensor, other_item: Tensor) -> Tensor:
    """The nearest image of another item (Hermans et al. 2017); (N, B) -> (N,)."""
    return distances.masked_fill(~other_item, FAR).amin(dim=1)


def semi_hard_negatives(distances: Tensor, other_item: Tensor, positive: Tensor) -> Tensor:
    """The nearest negative that is farther than the positive (Schroff et al. 2015), else the farthest one; (N,).

    The second half is TensorFlow Addons' rule (`triplet_semihard_loss`): Schroff et al. say nothing of an anchor that has no
    negative beyond its positive.
    """
    farther = other_item & (distances > positive.unsqueeze(1))
    nearest = distances.masked_fill(~farther, FAR).amin(dim=1)
    farthest = distances.masked_fill(~other_item, -FAR).amax(dim=1)
    return torch.where(farther.any(dim=1), nearest, farthest)


def random_negatives(distances: Tensor, other_item: Tensor) -> Tensor:
    """A random image of another item; (N, B) -> (N,)."""
    chosen = torch.multinomial(other_item.float(), 1)
    return distances.gather(1, chosen).squeeze(1)


def collapse_figures(embeddings: Tensor, losses: Tensor) -> dict[str, Tensor]:
    """What tells a collapsed embedding: mean cosine of the batch near 1, a spread near 0, no or only active triplets.

    Vectors that are centred before they are normalised cannot all point one way, but still lie along one line; then their
    effective rank is near 1.

    Args:
        embeddings: (B, D).
        losses: (triplets,).

    Returns:
        `mean_cosine` over the pairs of the batch, `embedding_std` (mean over dimensions), `active_triplets` (share), and
        `effective_rank` in [1, min(B, D)].
    """
    with torch.no_grad():
        count = len(embeddings)
        unit = torch.nn.functional.normalize(embeddings, dim=1)
        cosine = ((unit @ unit.T).sum() - count) / (count * (count - 1))
        return {
            "mean_cosine": cosine,
            "embedding_std": embeddings.std(dim=0).mean(),
            "active_triplets": (losses > 0).float().mean(),
            "effective_rank": effective_rank(embeddings),
        }


def effective_rank(vectors: Tensor) -> Tensor:
    """exp of the entropy of the singular values over their sum (Roy & Vetterli 2007; RankMe, Garrido et al. 2023).

    How many directions (B, D) vectors use: 1 when they lie along one line through 0, min(B, D) when all weigh the same; nan
    where a number is not finite.
    """
    if not torch.isfinite(vectors).all():
        return torch.full((), torch.nan, device=vectors.device)
    values = torch.linalg.svdvals(vectors.float())
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()
