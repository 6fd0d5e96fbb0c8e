"""Attribute tables of the DeepFashion family: a row per item or image, a column of 1, -1 or 0 per attribute.

The largest holds 289,222 rows of 1,000 values. It is read line by line, each as an int8 vector, and of each only the
names of the attributes that are there (1) and of those that are unknown (0) are kept; the others are absent (-1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, iter_lines

Labels = npt.NDArray[np.int8]

BLANK, DIGIT, MINUS, OTHER = range(4)
KINDS = np.full(256, OTHER, dtype=np.intp)
KINDS[[ord(" "), ord("\t"), ord("\r")]] = BLANK
KINDS[[ord("0"), ord("1")]] = DIGIT
KINDS[ord("-")] = MINUS
FOLLOWS = np.zeros((4, 4), dtype=np.bool_)
"""Which kind of character may stand behind which: a value is a digit alone or behind a minus."""
FOLLOWS[BLANK, [BLANK, DIGIT, MINUS]] = True
FOLLOWS[DIGIT, BLANK] = FOLLOWS[MINUS, DIGIT] = True


@dataclass(frozen=True)
class LabelTable:
    """Item or image -> names of attributes.

    Attributes:
        has: those that it has; every row of the table is a key.
        unknown: those of which the table does not say whether it has them; only rows with such are keys.
    """

    has: dict[str, list[str]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)


def read_labels(path: Path, names: Sequence[str]) -> LabelTable:
    """Reads a table of items or images.

    Raises:
        SourceError: naming the line that has not one value for each of `names`, or another value than 1, -1 and 0.
    """
    has: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    alike: dict[bytes, list[str]] = {}  # many rows leave the same attributes open
    for key, labels in iter_labels(path, len(names)):
        has[key], pattern = positives(labels, names), labels == 0
        if pattern.any():
            known = alike.setdefault(np.packbits(pattern).tobytes(), named(pattern, names))
            both = set(known) & set(has[key])  # a name may stand in two columns
            unknown[key] = [name for name in known if name not in both] if both else known
    return LabelTable(has, unknown)


def positives(labels: Labels, names: Sequence[str]) -> list[str]:
    """Names of the columns that hold 1, each once, in order.

    Args:
        labels: int8 (names,) of 1, -1 and 0.
    """
    return named(labels == 1, names)


def named(chosen: npt.NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """Names of the chosen columns, (names,) bool, each once, in order."""
    return list(dict.fromkeys(names[place] for place in np.flatnonzero(chosen).tolist()))


def iter_labels(path: Path, count: int) -> Iterator[tuple[str, Labels]]:
    """The first column of each row and its labels, int8 (count,)."""
    for line in iter_lines(path):
        key, *rest = line.text.split(maxsplit=1)
        yield key, parse_labels(line, "".join(rest), count, before=1)


def parse_labels(line: AnnotationLine, text: str, count: int, before: int = 0) -> Labels:
    """`text`, blanks and the values 1, -1 and 0, as int8 (count,); `before` columns of the line stand before it.

    Raises:
        SourceError: naming the line.
    """
    raw = np.frombuffer(f" {text} ".encode(), dtype=np.uint8)
    kinds = KINDS[raw]
    if not FOLLOWS[kinds[:-1], kinds[1:]].all():
        raise line.error("holds a value other than 1, -1 and 0")
    places = np.flatnonzero(kinds == DIGIT)
    labels: Labels = (raw[places] == ord("1")).astype(np.int8)
    labels[kinds[places - 1] == MINUS] *= -1
    if len(labels) != count:
        raise line.error(f"has {before + len(labels)} columns, expected {before + count}")
    return labels
