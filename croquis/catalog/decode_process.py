"""A process that decodes pictures for another one: `main` in a Python of its own, asked over pipes.

It holds nothing but the picture, so that the caller may kill it at any time; it ends with its input. Its arguments are
how many bytes of memory it may take, and how many seconds one picture may take: it keeps to them even if the caller is
gone. Each message is a length of eight bytes and as many bytes; a question is limits, box and draft as JSON, then the file;
an answer is JSON, then the pixels.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np

from croquis.arrays import Uint8Image
from croquis.catalog import image_errors
from croquis.catalog.image_errors import ImageError
from croquis.catalog.images import DecodeLimits, decode_inside

LENGTH = struct.Struct(">Q")
ERRORS = {name: kind for name, kind in vars(image_errors).items() if isinstance(kind, type)}
LONGEST_HEAD = 65_536
READY = b"ready"
LATER = 2.0  # seconds after which it ends by itself, beyond those after which it is killed


def ask(
    pipes: tuple[IO[bytes], IO[bytes]],
    data: bytes,
    limits: DecodeLimits,
    bbox: Sequence[int] | None = None,
    draft: int = 0,
) -> Uint8Image:
    """What `decode_inside` gives or raises, from the process behind `pipes` (its output, its input).

    Raises:
        EOFError: when the process ends before it has answered.
        OSError: when it takes no question.
    """
    answers, questions = pipes
    box = None if bbox is None else [int(value) for value in bbox]
    write(questions, json.dumps({"limits": asdict(limits), "bbox": box, "draft": draft}).encode())
    write(questions, data)
    head = json.loads(read(answers, LONGEST_HEAD))
    if "error" in head:
        raise ERRORS[head["error"]](head["text"])
    pixels: Uint8Image = np.frombuffer(read(answers, 3 * limits.max_pixels), dtype=np.uint8).reshape(head["shape"])
    return pixels


def main(memory: int, seconds: float) -> None:
    """Answers until the input ends.

    Args:
        memory: bytes that it may use beside what it has at its start.
        seconds: that one picture may take; it keeps to them even if the caller is gone.
    """
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    _limit_memory(memory)
    write(answers, READY)
    while True:
        try:
            asked = json.loads(read(questions, LONGEST_HEAD))
            limits = DecodeLimits(**asked["limits"])
            data = bytes(read(questions, limits.max_bytes))
        except EOFError:
            return
        _end_after(seconds + LATER)
        try:
            image = decode_inside(data, asked["bbox"], limits, asked["draft"])
        except ImageError as error:
            write(answers, json.dumps({"error": type(error).__name__, "text": str(error)}).encode())
        else:
            write(answers, json.dumps({"shape": image.shape}).encode())
            write(answers, image.data.cast("B"))
        _end_after(0)


def write(stream: IO[bytes], content: bytes | memoryview) -> None:
    """Sends one message: its length, then its bytes."""
    stream.write(LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read(stream: IO[bytes], most: int) -> bytearray:
    """The next message.

    Raises:
        EOFError: when the stream ends before it does, or it is longer than `most` bytes.
    """
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    if length > most:
        raise EOFError
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], length: int) -> bytearray:
    content = bytearray(length)
    if stream.readinto(content) < length:  # type: ignore[attr-defined]  # of a buffered reader
        raise EOFError
    return content


def _end_after(seconds: float) -> None:
    """By a signal, which ends the process whatever it does; 0 for not any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(most: int) -> None:
    """On Linux; elsewhere only time is limited."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        whole = pages * resource.getpagesize() + most
        resource.setrlimit(resource.RLIMIT_AS, (whole, whole))
    except (ImportError, OSError, ValueError):
        return
