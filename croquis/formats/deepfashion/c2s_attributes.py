"""The 303 attributes of DeepFashion Consumer-to-shop, in 18 groups; labels become `GROUP:NAME`, in lower case.

Names stand in two languages: a Chinese word, perhaps a remark in brackets, the English name, which may hold blanks, and
the number of the group. A group's number is the one that its own row ends with, or else the place of its row, counted
from 1 (from 0 where an attribute has the group 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, read_lines
from croquis.formats.deepfashion.label_tables import LabelTable, read_labels
from croquis.formats.errors import SourceError

FILES = ("list_attr_cloth.txt", "list_attr_type.txt", "list_attr_items.txt")


@dataclass(frozen=True)
class C2sAttributes:
    """The labels of items; `names` is how many attributes the files know, None where they are not there."""

    items: LabelTable = field(default_factory=LabelTable)
    names: int | None = None


def read_attributes(folder: Path) -> C2sAttributes:
    """The labels of all items; none where none of the three files is there.

    Raises:
        SourceError: when a file is malformed, or some of the three are missing.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if len(missing) == len(FILES):
        return C2sAttributes()
    if missing:
        raise SourceError(f"{folder} lacks {' and '.join(missing)}; unpack {', '.join(FILES)} together")
    attributes = [(line, *_attribute(line)) for line in read_lines(folder / FILES[0])]
    from_zero = any(group == 0 for *_, group in attributes)
    groups = _groups(read_lines(folder / FILES[1]), first=0 if from_zero else 1)
    names = [_label(line, groups, name, group) for line, name, group in attributes]
    return C2sAttributes(read_labels(folder / FILES[2], names), len(names))


def _attribute(line: AnnotationLine) -> tuple[str, int]:
    """English name and group number of e.g. `长袖 (remark) long sleeve 3`."""
    *words, group = line.text.split()
    return _english(line, words), line.integer(group)


def _english(line: AnnotationLine, words: Sequence[str]) -> str:
    """What stands behind the Chinese word and the remark in brackets that may follow it."""
    name = words[2:] if len(words) > 1 and words[1].startswith("(") else words[1:]
    if not name:
        raise line.error("has no English name")
    return " ".join(name).lower()


def _groups(lines: Sequence[AnnotationLine], first: int) -> dict[int, str]:
    rows = [line.text.split() for line in lines]
    if rows and all(words[-1].isdigit() for words in rows):
        return {int(words[-1]): _english(line, words[:-1]) for line, words in zip(lines, rows, strict=True)}
    pairs = zip(lines, rows, strict=True)
    return {number: _english(line, words) for number, (line, words) in enumerate(pairs, start=first)}


def _label(line: AnnotationLine, groups: Mapping[int, str], name: str, group: int) -> str:
    if group not in groups:
        raise line.error(
            f"has the group {group}, {FILES[1]} knows {min(groups, default=0)} to {max(groups, default=0)}"
        )
    return f"{groups[group]}:{name}"
