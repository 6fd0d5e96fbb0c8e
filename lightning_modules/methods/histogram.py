"""The first floor of every table: a colour and edge-orientation histogram. It learns nothing and needs no net."""

from __future__ import annotations

from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.params import Params


def fixed_encoder(params: Params) -> HistogramEncoder:
    return HistogramEncoder(size=params.base.image_size, **params.histogram.model_dump())
