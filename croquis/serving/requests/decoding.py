"""From the bytes of a request to pixels, within limits, and with bounded memory however many workers decode."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from croquis.arrays import Uint8Image
from croquis.catalog.decode_workers import SMALL, DecodeWorkers, memory_for
from croquis.catalog.images import BoxError, CostlyImageError, DecodeLimits, OversizedImageError, decode_inside
from croquis.serving.answers.problems import Problem
from croquis.serving.background.watched_task import WatchedTask
from croquis.serving.server_settings import Limits

WORKERS = 2
LOOK_SECONDS = 1.0  # how often those that have ended are started again
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
RETURNED_BYTES = 1 << 20


class PictureDecoder:
    """Decodes small pictures at once, and others in processes that are killed when one takes too long; safe to use from
    several threads.

    Args:
        limits: of what is accepted at all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits.decode
        bounds = min(limits.image_bytes, SMALL.max_bytes), min(limits.pixels, SMALL.max_pixels), SMALL.max_work
        self._small = DecodeLimits(*bounds)
        self._workers = DecodeWorkers(WORKERS, limits.decode_seconds, memory_for(limits.pixels))

    @contextlib.contextmanager
    def picture(self, data: bytes, bbox: tuple[int, int, int, int] | None, draft: int = 0) -> Iterator[Uint8Image]:
        """What is inside the crop box of a picture file, uint8 (H, W, 3), for the length of the block.

        Args:
            data, bbox, draft: as `croquis.catalog.images.decode_inside` has them.

        Raises:
            ImageError: when the file is no picture that we accept.
            Problem: when the crop box holds no pixel of it.
        """
        with contextlib.ExitStack() as stack:
            try:
                try:
                    inside = decode_inside(data, bbox, self._small, draft)  # looks at parts and header first
                except (OversizedImageError, CostlyImageError):
                    inside = stack.enter_context(self._workers.decoded(data, self._limits, bbox, draft))
            except BoxError as error:
                limit = "x1 < x2 and y1 < y2, in pixels of the upright picture"
                raise Problem(422, "invalid-field", str(error), field="crop", limit=limit) from None
            yield inside

    def keep(self, task: WatchedTask) -> None:
        """Keeps the processes running until the task is to end, so that no large picture waits for one."""
        while not task.ending.is_set():
            self._workers.start()
            task.well()
            task.ending.wait(LOOK_SECONDS)

    def close(self) -> None:
        """Ends the processes."""
        self._workers.close()


def give_memory_back() -> None:
    """Makes glibc return every block over a megabyte to the system when it is freed.

    By default the threshold grows with the blocks that were freed, up to 32 MB, and what lies below it stays with the
    process in as many heaps as there are threads.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # of another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)
