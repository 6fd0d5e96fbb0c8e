"""Files and folders that are whole or absent: JSON with a fixed byte order, arrays, content hashes, output folders."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

KEY = "key.json"  # what a folder of `made_once` was made for


def write_json(path: str | Path, value: Any) -> None:
    """Writes sorted, indented JSON under a temporary name and renames it, so that no reader sees half a file.

    Raises:
        ValueError: when `value` holds a NaN or an infinity, which JSON has no word for.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def read_json(path: str | Path) -> Any:
    """The parsed JSON of a file.

    Raises:
        ValueError: when it is not JSON in UTF-8, or nested too deeply.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_array(path: str | Path, values: npt.NDArray[Any]) -> None:
    """Writes one array as a .npy file under a temporary name and renames it."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes `data` under a temporary name in the same folder and renames it."""
    with fresh_file(Path(path)) as partial:
        partial.write_bytes(data)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's content, read in pieces."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """The path of a file to be written beside `path`, which takes that name when the block ends without an error.

    An existing file is replaced; after an error it is still there, and the new one is gone. What a killed process left
    at the path that is given may be there: write over it.
    """
    partial = _partial(path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty sibling folder that takes the name `folder` when the block ends without an error.

    An existing folder is replaced; after an error it is still there, and the new one is gone.
    """
    partial = _partial(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def made_once(folder: Path, key: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` unless it is there and was made for `key`; of several processes one makes it.

    Args:
        key: plain values that decide on the content; kept in the folder.
        make: is given the folder to fill, which takes its name when all is written.
    """
    if not was_made(folder, key):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.lock").open("w") as lock:
            _wait_for(lock)
            if not was_made(folder, key):
                with fresh_folder(folder) as partial:
                    make(partial)
                    write_json(partial / KEY, key)
    return folder


def was_made(folder: Path, key: Mapping[str, Any]) -> bool:
    """Whether `made_once` has made a folder for this key."""
    return (folder / KEY).is_file() and read_json(folder / KEY) == key


def _wait_for(lock: IO[str]) -> None:
    """Holds the lock until the file is closed; the kernel frees that of a killed process."""
    import fcntl  # here: clients on Windows have no use for it

    fcntl.flock(lock, fcntl.LOCK_EX)


def _partial(path: Path) -> Path:
    """Hidden, and in the same folder, so that the renaming stays on one file system."""
    return path.with_name(f".{path.name}.partial")
