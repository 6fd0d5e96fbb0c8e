"""Folders near or far, through fsspec: a local path, `file://`, `memory://`, `s3://`, `gs://`.

Options of a file system are fsspec's own, from the environment: FSSPEC_S3='{"anon": true}'.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec

PARTIAL = ".partial"


class EmbedError(RuntimeError):
    """Images cannot be embedded; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class FsspecFolder:
    """A folder, or one file in it.

    Attributes:
        uri: names the same place in another process, whatever folder that runs in.
        files: its fsspec file system.
        path: of the folder, in that file system.
        only: the name of the one file that is meant.
    """

    uri: str
    files: Any
    path: str
    only: str | None = None

    @property
    def private(self) -> bool:
        """Whether other processes cannot see it."""
        return "memory" in _protocols(self.files)

    def names(self) -> dict[str, int]:
        """Every file below, by its name within the folder, with its bytes; sorted; nothing where there is no folder.

        Raises:
            EmbedError: when the place cannot be listed.
        """
        try:
            self.files.invalidate_cache()
            found = self.files.find(self.path, detail=True)
        except (OSError, ValueError) as error:
            raise EmbedError(f"{self.uri} cannot be listed: {error}") from error
        sizes = {name.removeprefix(self.path).lstrip("/"): int(entry["size"]) for name, entry in found.items()}
        return {name: sizes[name] for name in sorted(sizes) if self.only in (None, name)}

    def open(self, name: str) -> Any:
        """A file for reading, in bytes."""
        return self.files.open(f"{self.path}/{name}", "rb")

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A stream that becomes the file when the block ends without an error; no other process writes to the same one.

        Who has finished everything clears away what others still write (`remove_partials`): then the file is there already.
        """
        target = PurePosixPath(self.path, name)
        partial = str(target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}"))
        self.files.makedirs(str(target.parent), exist_ok=True)
        try:
            with self.files.open(partial, "wb") as stream:
                yield stream
            try:
                self.files.mv(partial, str(target))
            except FileNotFoundError:
                if not self.files.exists(str(target)):
                    raise
        except BaseException:
            if self.files.exists(partial):
                self.files.rm(partial)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Sorted and indented; whole or absent."""
        with self.writing(name) as stream:
            stream.write((json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """The content of a file.

        Raises:
            EmbedError: when it is damaged.
        """
        with self.open(name) as stream:
            try:
                return json.loads(stream.read())
            except ValueError as error:
                raise EmbedError(f"{name} in {self.uri} is not JSON: {error}") from error

    def remove_partials(self) -> None:
        """What killed writers left behind; every file that is still being written must be there already."""
        for name in self.names():
            if PurePosixPath(name).name.startswith(".") and name.endswith(PARTIAL):
                self.files.rm(f"{self.path}/{name}")


def open_place(uri: str) -> FsspecFolder:
    """A file, or a folder that need not exist.

    Raises:
        EmbedError: when no installed file system knows the address, or it does not answer.
    """
    try:
        files, path = fsspec.core.url_to_fs(uri)
        named = files.unstrip_protocol(path) if "file" in _protocols(files) else uri
        if files.isfile(path):
            return FsspecFolder(named, files, str(PurePosixPath(path).parent), PurePosixPath(path).name)
    except ImportError as error:
        raise EmbedError(f"{uri}: {error}; install what it names (pip install s3fs, or gcsfs)") from error
    except (OSError, ValueError) as error:
        raise EmbedError(f"{uri} cannot be opened: {error}") from error
    return FsspecFolder(named, files, path.rstrip("/"))


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
