"""Which attributes are learnt, who has them, what is unknown, and which of them shut each other out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from croquis.nets.classifier import group_columns

Flags = npt.NDArray[np.bool_]
Columns = npt.NDArray[np.int64]
Sets = Sequence[Sequence[str]]


@dataclass(frozen=True)
class AttributeLabels:
    """What is known of N images.

    Attributes:
        has: (N, A) whether the image has the attribute.
        known: (N, A) whether that is known; what is unknown counts neither in the loss nor in a metric.
    """

    has: Flags
    known: Flags

    def take(self, rows: npt.NDArray[np.generic]) -> AttributeLabels:
        """Those of some images, by numbers or by a mask."""
        return AttributeLabels(self.has[rows], self.known[rows])


def attribute_names(attributes: Sets, min_positives: int) -> list[str]:
    """Attributes that at least `min_positives` images have and at least one lacks, sorted."""
    counts = Counter(label for labels in attributes for label in set(labels))
    return sorted(name for name, count in counts.items() if min_positives <= count < len(attributes))


def exclusive_groups(attributes: Sets, names: Sequence[str]) -> list[str]:
    """Groups (`sleeve` of `sleeve:short`) of which no image has two values, and two values or more are learnt; sorted."""
    values = Counter(name.partition(":")[0] for name in names if ":" in name)
    several: set[str] = set()
    for labels in attributes:
        held = Counter(label.partition(":")[0] for label in set(labels) if ":" in label)
        several |= {group for group, count in held.items() if count > 1}
    return sorted(group for group, count in values.items() if count > 1 and group not in several)


def read_labels(attributes: Sets, unknown: Sequence[Sequence[str] | None], names: Sequence[str]) -> AttributeLabels:
    """Labels of images from their sets of attributes.

    Args:
        attributes: those that each image has.
        unknown: those that are not annotated for the image; None for none.
    """
    place = {name: column for column, name in enumerate(names)}
    has = np.zeros((len(attributes), len(names)), dtype=np.bool_)
    known = np.ones_like(has)
    for row, (held, open_) in enumerate(zip(attributes, unknown, strict=True)):
        has[row, [place[name] for name in held if name in place]] = True
        known[row, [place[name] for name in open_ or () if name in place]] = False
    return AttributeLabels(has, known | has)


@dataclass(frozen=True)
class Layout:
    """How A outputs fall into groups of which one value holds, and attributes that stand alone.

    Attributes:
        names: of the outputs.
        exclusive: names of the groups.
        groups: columns of each.
        single: the other columns.
    """

    names: tuple[str, ...]
    exclusive: tuple[str, ...]
    groups: tuple[Columns, ...]
    single: Columns

    @classmethod
    def of(cls, names: Sequence[str], exclusive: Sequence[str]) -> Layout:
        """The layout of names in their order; a group is the names that begin with it and a colon."""
        groups = tuple(group_columns(names, group) for group in exclusive)
        grouped = np.concatenate([*groups, np.empty(0, dtype=np.int64)])
        return cls(tuple(names), tuple(exclusive), groups, np.setdiff1d(np.arange(len(names)), grouped))

    @property
    def blocks(self) -> Columns:
        """The number of each column's group, (A,); a column that stands alone is a group of its own."""
        numbers = np.empty(len(self.names), dtype=np.int64)
        for number, columns in enumerate(self.groups):
            numbers[columns] = number
        numbers[self.single] = len(self.groups) + np.arange(len(self.single))
        return numbers

    def targets(self, labels: AttributeLabels, group: int) -> tuple[Columns, Flags]:
        """For each image the place of its value in a group (their number where it has none), and whether that is known.

        An image without a value, of which some are unknown, may have one of those: nothing is learnt from it.
        """
        has, known = labels.has[:, self.groups[group]], labels.known[:, self.groups[group]]
        value = np.where(has.any(axis=1), has.argmax(axis=1), has.shape[1])
        told = np.asarray(has.any(axis=1) | known.all(axis=1), dtype=np.bool_)
        return value.astype(np.int64), told


def shares(labels: AttributeLabels) -> npt.NDArray[np.float64]:
    """Of the images of which it is known, how many have each attribute, (A,); 0 where nothing is known."""
    return np.asarray(labels.has.sum(axis=0) / np.maximum(labels.known.sum(axis=0), 1), dtype=np.float64)
