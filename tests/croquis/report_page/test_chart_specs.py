"""The ten colours that methods have: as ten people with and without colour blindness see them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from croquis.report_page.chart_specs import PALETTE

Colours = npt.NDArray[np.float64]
# Linear RGB to what is seen, of the strongest degree (Machado, Oliveira and Fernandes 2009).
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# Of matplotlib's and Vega's first ten colours, the closest two are 0.007 apart in protanopia.
USUAL = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]


def linear(colours: tuple[str, ...] | list[str]) -> Colours:
    values = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def closest(colours: tuple[str, ...] | list[str], sight: str) -> float:
    """The smallest distance of two colours in OKLab."""
    seen = np.clip(linear(colours) @ SIGHT[sight].T, 0, 1)
    places = np.cbrt(seen @ TO_CONES.T) @ TO_OKLAB.T
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    return float(gaps[~np.eye(len(colours), dtype=bool)].min())


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_of_the_ten_colours_differ(sight: str) -> None:
    assert len(PALETTE) == 10
    assert closest(PALETTE, sight) > 0.1


def test_the_measure_finds_colours_that_are_alike() -> None:
    assert closest(USUAL, "protanopia") < 0.01


@pytest.mark.parametrize("sight", SIGHT)
def test_the_first_five_differ_more_than_all(sight: str) -> None:
    assert closest(PALETTE[:5], sight) > 0.13


def test_every_colour_stands_out_from_white_and_from_black() -> None:
    luminance = linear(PALETTE) @ np.array([0.2126, 0.7152, 0.0722])
    assert (1.05 / (luminance + 0.05)).min() > 1.8
    assert ((luminance + 0.05) / 0.05).min() > 3
