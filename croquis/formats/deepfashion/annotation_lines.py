"""The text files of the DeepFashion family: a count on line 1, column names on line 2, then rows.

Columns are separated by runs of blanks, and blanks may trail; numbers may be padded with zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from croquis.formats.errors import SourceError

COUNT = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class AnnotationLine:
    """One row of an annotation file and where it stands."""

    path: Path
    number: int
    text: str

    def fields(self, count: int, last_with_blanks: bool = False) -> list[str]:
        """The row's columns; with `last_with_blanks` the last one keeps its inner blanks.

        Raises:
            SourceError: when there are not exactly `count` columns.
        """
        parts = self.text.split(maxsplit=count - 1) if last_with_blanks else self.text.split()
        if len(parts) != count:
            raise self.error(f"has {len(parts)} columns, expected {count}")
        return [part.strip() for part in parts]

    def integer(self, text: str) -> int:
        """A whole number in base ten; `065` is 65."""
        try:
            return int(text, 10)
        except ValueError:
            raise self.error(f"holds {text!r} where a whole number is due") from None

    def error(self, problem: str) -> SourceError:
        """An error that names file, line and text, and what is wrong with it."""
        return SourceError(f"{self.path}, line {self.number} {problem}: {self.text[:120]!r}")


def read_lines(path: Path, header: bool = True) -> list[AnnotationLine]:
    """`iter_lines` as a list, for files that fit into memory with ease."""
    return list(iter_lines(path, header))


def iter_lines(path: Path, header: bool = True) -> Iterator[AnnotationLine]:
    """The rows below the count line and the header line, if the file has one; line 1 must state their number.

    Rows come one at a time, so that a table of a gigabyte can be read; the number is checked after the last one.

    Raises:
        SourceError: when the file is absent, is not UTF-8, or line 1 disagrees with the rows.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; unpack the data set's annotation files there")
    rows = 0
    try:
        with path.open(encoding="utf-8-sig") as stream:
            stated = stream.readline().strip()
            if not COUNT.fullmatch(stated):
                raise SourceError(f"{path}, line 1 must state the number of rows, it reads {stated[:120]!r}")
            if header:
                stream.readline()
            for number, text in enumerate(stream, start=3 if header else 2):
                if text.strip():
                    rows += 1
                    yield AnnotationLine(path, number, text.rstrip("\n"))
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text: {error}") from error
    if int(stated) != rows:
        problem = f"line 1 states {int(stated)} rows, the file holds {rows}"
        raise SourceError(f"{path}: {problem}; it is cut off or was edited: fetch it again or correct the count")
