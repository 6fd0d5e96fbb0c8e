"""Blocks of the methods that learn hash codes or product quantisers."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from croquis.params.block import Block
from croquis.params.training_blocks import Fit, StrongAugment

Bits = Literal[16, 32, 64, 128]
ClassLabels = Literal["item", "category"]


class Sgh(Block):
    """Similarity Guided Hashing, a reconstruction."""

    bits: Bits
    labels: ClassLabels
    centre: bool = Field(description="batch-normalise before the LayerNorm; for nets from scratch")
    temperature: float = Field(gt=0.0, le=10.0, description="of the pairwise term")
    self_weight: float = Field(ge=0.0, le=100.0)
    pair_weight: float = Field(ge=0.0, le=100.0)
    quantisation_weight: float = Field(ge=0.0, le=100.0)
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=64)
    views: StrongAugment
    fit: Fit


class Dhd(Block):
    """Deep Hash Distillation."""

    bits: Bits
    labels: ClassLabels
    centre: bool = Field(description="batch-normalise before the LayerNorm; for nets from scratch")
    temperature: float = Field(gt=0.0, le=10.0, description="of the hash proxies")
    distillation_weight: float = Field(ge=0.0, le=100.0)
    quantisation_weight: float = Field(ge=0.0, le=100.0)
    quantisation_sigma: float = Field(gt=0.0, le=10.0, description="width of the Gaussian estimators")
    teacher_share: float = Field(ge=0.0, le=1.0, description="factor on all probabilities of the teacher's view (s_T)")
    batch_size: int = Field(ge=2, le=4096)
    views: StrongAugment
    fit: Fit


class ProductCodes(Block):
    """The shape of the codebooks; an image takes subspaces * log2(codewords) bits."""

    subspaces: int = Field(ge=1, le=256, description="sub-vectors of an image, each with a codebook of its own")
    codewords: Literal[16, 256] = Field(description="per codebook: 4 or 8 bits per sub-vector")
    subspace_dim: int = Field(ge=1, le=256, description="numbers per sub-vector")

    @property
    def bits(self) -> int:
        """Bits of one image's code."""
        return self.subspaces * int(math.log2(self.codewords))


class Gpq(ProductCodes):
    """Generalized Product Quantization, semi-supervised."""

    labels: ClassLabels
    centre: bool = Field(description="batch-normalise before the sub-vectors' norm; for nets from scratch")
    assignment_sharpness: float = Field(gt=0.0, le=1000.0, description="alpha of the soft assignment")
    classifier_scale: float = Field(gt=0.0, le=100.0, description="beta of the classifier's logits")
    classification_weight: float = Field(ge=0.0, le=100.0)
    entropy_weight: float = Field(ge=0.0, le=100.0, description="0 leaves unlabelled images out")
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=1024)
    unlabelled_per_batch: int = Field(ge=2, le=4096)
    fit: Fit


class Spq(ProductCodes):
    """Self-supervised Product Quantization."""

    centre: bool = Field(description="batch-normalise the features, and start codewords at their length; from scratch")
    quantiser_sharpness: float = Field(gt=0.0, le=1000.0, description="tau_q, factor on squared distances")
    temperature: float = Field(gt=0.0, le=10.0)
    negatives: Literal["paper", "reference"] = Field(
        description="quantised vectors of the other view only, or all rows as the official code has it"
    )
    positives: Literal["views", "item"] = Field(
        description="two views of one image, or (ours, not unsupervised) of two photos of one item"
    )
    batch_size: int = Field(ge=2, le=4096)
    views: StrongAugment
    fit: Fit
