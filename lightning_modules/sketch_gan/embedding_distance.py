"""The embedding term of a generator: how far an encoder's vector of a made photo is from that of the true photo.

  L_emb(x, y) = 1 - cos(e(x), e(y)),    in [0, 2]

e is that of the method `pretrained` without its colour histogram, which has no gradient, and without the map behind it: the
levels of a backbone, each averaged over the photo and put to length 1, so that the cosine is the mean over the levels. A
search compares these directions, while the perceptual term (Johnson et al. 2016) compares maps place by place. Photos have
the size that the pipeline's encoder sees, `base.image_size`. What `train_embedder` leaves is an ONNX graph, which torch has
no gradient of; hence the backbone that a training starts from.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from croquis.params.training_blocks import Backbone as BackboneParams
from croquis.params.training_blocks import Pooling, TrainGan
from lightning_modules.nets.backbones import Backbone, BackboneError, build_backbone
from lightning_modules.nets.perceptual import FrozenNet
from lightning_modules.nets.pooling import Pool

POOLING = Pooling(levels="all", kind="average", cells=1, normalise=True, histogram=0.0, flip=False)
SMALL_WIDTH = 32  # of the net `small`


class EmbeddingDistance(FrozenNet):
    """1 - cosine of what a frozen backbone sees in two photos.

    Args:
        backbone: that an encoder begins with.
        given: side of the photos that come, pixels.
        seen: side of the images that the backbone sees of them, pixels.
    """

    resize: Tensor

    def __init__(self, backbone: Backbone, given: int, seen: int) -> None:
        super().__init__(backbone)
        self._pool = Pool(POOLING, backbone.level_channels, own="average")
        self.register_buffer("resize", lanczos(given, seen), persistent=False)

    def vectors(self, images: Tensor) -> Tensor:
        """(B, 3, given, given) in [0, 1] -> float32 (B, D) of length 1."""
        sized = (self.resize @ images @ self.resize.T).clamp(0, 1)
        return F.normalize(self._pool(sized, self.backbone).float(), dim=1)

    def forward(self, images: Tensor, made: Tensor) -> Tensor:
        """Mean over images and what was made of them; the gradient flows to `made` only."""
        with torch.no_grad():
            wanted = self.vectors(images)
        return 1 - (wanted * self.vectors(made)).sum(dim=1).mean()


def lanczos(given: int, seen: int) -> Tensor:
    """(seen, given): the filter of `prepare_image` along one side, as a matrix; a product with it has the same gradient each
    time, which interpolation on a GPU has not."""
    unit = Image.fromarray(np.eye(given, dtype=np.float32))
    return torch.from_numpy(np.array(unit.resize((given, seen), Image.Resampling.LANCZOS)))


def embedding_distance(params: TrainGan, image_size: int) -> EmbeddingDistance:
    """The term of the net that `embedding_net` and `embedding_weights` name.

    Args:
        image_size: side of the images that the pipeline's encoder sees, pixels.

    Raises:
        BackboneError: when there is no such net for this size, or its weights cannot be had.
    """
    name, weights = params.embedding_net, params.embedding_weights
    block = BackboneParams(name=name, weights=weights, width=SMALL_WIDTH, freeze_bn=True, channels_last=False)
    try:
        return EmbeddingDistance(build_backbone(block, image_size), params.size, image_size)
    except BackboneError as error:
        raise BackboneError(f"train_gan.embedding_net and embedding_weights, read as {error}") from error
