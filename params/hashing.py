"""Blocks of the hashing methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from params.block import Block
from params.training import Fit, StrongAugment

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
