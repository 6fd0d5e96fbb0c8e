"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped, unsigned bytes only.

Two zero bytes, the type (0x08 for unsigned bytes), the number of dimensions, one big-endian 32-bit size for each, then
the values, last dimension fastest. A file is opened by its content: gzip is recognised whatever its name is.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from croquis.formats.errors import SourceError

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
CHUNK = 1 << 20


@dataclass(frozen=True)
class IdxFile:
    """A file whose header and length have been checked."""

    path: Path
    shape: tuple[int, ...]

    def entries(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The entries along the first dimension, one at a time."""
        size = math.prod(self.shape[1:])
        with _stream(self.path) as stream:
            stream.read(_header_length(len(self.shape)))
            for _ in range(self.shape[0]):
                yield np.frombuffer(stream.read(size), dtype=np.uint8).reshape(self.shape[1:])

    def values(self) -> npt.NDArray[np.uint8]:
        """All of it, of shape `shape`."""
        with _stream(self.path) as stream:
            stream.read(_header_length(len(self.shape)))
            return np.frombuffer(stream.read(), dtype=np.uint8).reshape(self.shape)


def open_idx(path: Path, dimensions: tuple[int, ...]) -> IdxFile:
    """Checks a file from its first to its last byte, holding little of it in memory.

    Args:
        path: the file.
        dimensions: the numbers of dimensions that are accepted.

    Raises:
        SourceError: when it is absent, no IDX file, of another type or dimension, cut off, or too long.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; correct the names under ingest.idx in params.yaml")
    with _stream(path) as stream:
        shape = _shape(path, stream, dimensions)
        stated, found = math.prod(shape), 0
        while found <= stated and (chunk := stream.read(CHUNK)):
            found += len(chunk)
    if found != stated:
        sizes = " x ".join(map(str, shape))
        held = f"{found} or more" if found > stated else found
        raise SourceError(f"{path} states {sizes} = {stated} bytes and holds {held}; it is cut off or damaged")
    return IdxFile(path, shape)


def _shape(path: Path, stream: BinaryIO, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise SourceError(f"{path} is no IDX file: it begins with {magic.hex(' ') or 'nothing'}, not with 00 00 08")
    if magic[2] != UNSIGNED_BYTE:
        raise SourceError(f"{path} holds {TYPES[magic[2]]} values; only unsigned bytes (type 08) are read")
    if magic[3] not in dimensions:
        wanted = " or ".join(f"idx{number}" for number in dimensions)
        raise SourceError(f"{path} has {magic[3]} dimension(s), {wanted} is due; are images and labels swapped?")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise SourceError(f"{path} ends within its header; it is cut off")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise SourceError(f"{path} states the empty size {' x '.join(map(str, shape))}")
    return shape


def _header_length(dimensions: int) -> int:
    return 4 + 4 * dimensions


@contextmanager
def _stream(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
    opened = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115
    with opened as stream:
        try:
            yield cast(BinaryIO, stream)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(f"{path} is a damaged gzip file: {error}; fetch it again") from error
