"""A catalogue's photos as the squares that nets see, each decoded once for all stages and processes.

Beside the catalogue, in the folder `prepared`, lies one folder per catalogue, size and fit. It holds a memory-mapped array
of all squares, or, where those would not fit on the disk (`prepare.cache: false`), the photos' files one after the other, to
be decoded where they are used. A folder is whole or absent, and belongs to the catalogue by its fingerprint.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from croquis.arrays import Rows, Uint8Image
from croquis.catalog.drawings import crop_to_ink
from croquis.catalog.images import ImageError, decode_inside, prepare_file, prepare_image
from croquis.catalog.table import Catalog
from croquis.files import made_once, was_made

Fit = Literal["box", "ink"]
"""What of a picture is looked at: the part inside its box, or, of a line drawing, inside the box of its lines."""
Squares = npt.NDArray[np.uint8]  # (n, S, S, 3)
Progress = Callable[[int], object]
T = TypeVar("T")

FOLDER, ARRAY, FILES = "prepared", "squares.npy", "files.arrow"
IMAGES_WORTH_A_PROCESS = 2000  # fewer are decoded before another process has begun


class PreparedError(RuntimeError):
    """The photos cannot be prepared; the message names what is wrong and the fix."""


@dataclass(frozen=True)
class Preparation:
    """How photos are prepared, and where that is kept.

    Attributes:
        cache: keep the squares; else the files, to be decoded at each use.
        processes: that decode at the same time; None for one on each core.
        progress: told how many photos have been done since it was told last.
        draft: `decode_inside`'s.
    """

    cache: bool = True
    processes: int | None = None
    progress: Progress = field(default=lambda _: None, compare=False)
    draft: int = 0

    @property
    def cores(self) -> int:
        """Processes that decode: `processes`, else one for each core that this process may use."""
        return self.processes or len(os.sched_getaffinity(0))

    @property
    def loader_workers(self) -> int:
        """Processes that decode for a training: none where the squares are there."""
        return 0 if self.cache else self.cores


WHOLE = Preparation()


class PreparedPhotos(Protocol):
    """The squares of a whole catalogue, a row each.

    Attributes:
        size: side of the squares, pixels.
    """

    size: int

    def __len__(self) -> int: ...

    def take(self, rows: Rows) -> Squares:
        """The squares of some rows, uint8 (n, size, size, 3), in their order."""
        ...


class StoredPhotos:
    """Squares in a memory-mapped file: what is read lies in the page cache, which all processes share."""

    def __init__(self, folder: Path) -> None:
        self._squares: Squares = np.asarray(np.load(folder / ARRAY, mmap_mode="r"))
        self.size = self._squares.shape[1]

    def __len__(self) -> int:
        return len(self._squares)

    def take(self, rows: Rows) -> Squares:
        return self._squares[rows]


class DecodedPhotos:
    """Squares that are decoded when they are taken, from files in a memory-mapped table."""

    def __init__(self, folder: Path, size: int, fit: Fit, draft: int = 0) -> None:
        self.size = size
        self._fit = fit
        self._draft = draft
        with pa.memory_map(str(folder / FILES)) as source:
            self._table = pa.ipc.open_file(source).read_all()

    def __len__(self) -> int:
        return len(self._table)

    def take(self, rows: Rows) -> Squares:
        images, boxes = self._table.column("image"), self._table.column("bbox")
        squares = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            squares[place] = square_of(images[row].as_py(), self.size, boxes[row].as_py(), self._fit, self._draft)
        return squares


def open_photos(catalog: Catalog, size: int, fit: Fit = "box", how: Preparation = WHOLE) -> PreparedPhotos:
    """The photos of a catalogue at one size, prepared now unless an earlier call has done it.

    Raises:
        PreparedError: when the disk has no room, a photo cannot be decoded, or `how.draft` is less than the size.
    """
    check_draft(how.draft, size)
    folder, key = place_of(catalog, size, fit, how)
    if how.cache:
        return StoredPhotos(made_once(folder, key, lambda partial: _store_squares(catalog, size, fit, how, partial)))
    return DecodedPhotos(made_once(folder, key, lambda partial: _store_files(catalog, partial)), size, fit, how.draft)


def check_draft(draft: int, size: int) -> None:
    """Refuses a draft that would leave fewer pixels than are wanted.

    Raises:
        PreparedError: naming both.
    """
    if 0 < draft < size:
        raise PreparedError(
            f"prepare.draft is {draft}, and photos of {size} pixels are wanted: set it to {2 * size}, or to 0"
        )


def find_photos(catalog: Catalog, size: int, draft: int = 0) -> PreparedPhotos | None:
    """The squares of a catalogue's photos, decoded with that `draft`, if they are kept."""
    folder, key = place_of(catalog, size, "box", replace(WHOLE, draft=draft))
    return StoredPhotos(folder) if was_made(folder, key) else None


def place_of(catalog: Catalog, size: int, fit: Fit, how: Preparation) -> tuple[Path, dict[str, Any]]:
    """Folder and key of what `open_photos` makes."""
    if not how.cache:
        return place_beside(catalog, "files", images=len(catalog))
    kind = "" if fit == "box" else f"-{fit}"
    return place_beside(catalog, f"{size}{kind}", how.draft, images=len(catalog), size=size, fit=fit)


def place_beside(catalog: Catalog, name: str, draft: int = 0, **key: Any) -> tuple[Path, dict[str, Any]]:
    """Folder and key, for `made_once`, of what is made of a catalogue's photos.

    Args:
        name: end of the folder's name, but for a draft.
        draft: with which photos are decoded; in name and key where it is not 0.
        key: what else decides on the content.
    """
    end, drafted = (f"-draft{draft}", {"draft": draft}) if draft else ("", {})
    folder = catalog.folder.parent / FOLDER / f"{catalog.folder.name}-{name}{end}"
    return folder, {"catalog": catalog.fingerprint(), **key, **drafted}


def square_of(data: bytes, size: int, box: Sequence[int] | None, fit: Fit, draft: int = 0) -> Uint8Image:
    """What a net of the size `size` sees of a file, uint8 (size, size, 3)."""
    if fit == "ink":
        return prepare_image(crop_to_ink(decode_inside(data, None, draft=draft)), size)
    return prepare_file(data, size, box, draft)


@dataclass(frozen=True)
class Piece:
    """Photos of one shard.

    Attributes:
        shard: the Parquet file.
        rows: of the shard.
        start: place of the first of them in the outcome.
    """

    shard: Path
    rows: Rows
    start: int

    def photos(self) -> Iterator[tuple[str, bytes, Sequence[int] | None]]:
        """Image id, file and box of each."""
        table = pq.read_table(self.shard, columns=["image_id", "image", "bbox"])
        for row in self.rows.tolist():
            image_id, image, box = (column[row].as_py() for column in table.columns)
            yield image_id, image, box

    def each(self, look: Callable[[bytes, Sequence[int] | None], T]) -> Iterator[T]:
        """What `look` makes of file and box of each photo.

        Raises:
            PreparedError: naming the photo that cannot be decoded.
        """
        for image_id, image, box in self.photos():
            try:
                yield look(image, box)
            except ImageError as error:
                raise PreparedError(
                    f"{image_id}: {error}; run the stage validate again (dvc repro -f validate)"
                ) from None


def over_pieces(work: Callable[[Piece], T], catalog: Catalog, rows: Rows, how: Preparation) -> Iterator[T]:
    """What `work` makes of the pieces of some ascending rows, in their order, whatever the number of processes."""
    pieces = [Piece(shard, own, int(places[0])) for shard, own, places in catalog.pieces(rows)]
    processes = min(how.cores, len(pieces), -(-len(rows) // IMAGES_WORTH_A_PROCESS))
    if processes <= 1:
        yield from _told(map(work, pieces), pieces, how.progress)
        return
    context = multiprocessing.get_context("spawn")  # the threads of Arrow do not survive a fork
    with ProcessPoolExecutor(processes, context) as pool:
        try:
            yield from _told(pool.map(work, pieces), pieces, how.progress)
        finally:
            pool.shutdown(cancel_futures=True)


def _told(done: Iterator[T], pieces: Sequence[Piece], progress: Progress) -> Iterator[T]:
    for found, piece in zip(done, pieces, strict=True):
        progress(len(piece.rows))
        yield found


@dataclass(frozen=True)
class _IntoArray:
    """Fills the rows of a piece in an array file."""

    path: Path
    size: int
    fit: Fit
    draft: int

    def __call__(self, piece: Piece) -> None:
        squares = np.load(self.path, mmap_mode="r+")
        for place, square in enumerate(piece.each(self._square), piece.start):
            squares[place] = square

    def _square(self, data: bytes, box: Sequence[int] | None) -> Uint8Image:
        return square_of(data, self.size, box, self.fit, self.draft)


def _store_squares(catalog: Catalog, size: int, fit: Fit, how: Preparation, folder: Path) -> None:
    new_array(folder / ARRAY, (len(catalog), size, size, 3), np.dtype(np.uint8))
    rows = np.arange(len(catalog), dtype=np.int64)
    for _ in over_pieces(_IntoArray(folder / ARRAY, size, fit, how.draft), catalog, rows, how):
        pass


def new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """An array file of that shape, to be filled by `np.load(path, mmap_mode="r+")`.

    Raises:
        PreparedError: when the disk has no room for it.
    """
    wanted, free = int(np.prod(shape)) * dtype.itemsize, shutil.disk_usage(path.parent).free
    if wanted > free:
        raise PreparedError(
            f"{path.parent} needs {wanted / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: free some, or set prepare.cache "
            "to false, which decodes photos each time they are used"
        )
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _store_files(catalog: Catalog, folder: Path) -> None:
    schema = pa.schema([pa.field("image", pa.binary()), pa.field("bbox", pa.list_(pa.int32()))])
    with pa.OSFile(str(folder / FILES), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for shard, _, _ in catalog.pieces(np.arange(len(catalog), dtype=np.int64)):
            table = pq.read_table(shard, columns=schema.names)
            writer.write_table(table.select(schema.names).cast(schema))
