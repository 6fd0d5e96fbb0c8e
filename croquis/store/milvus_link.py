"""The connection to Milvus: a server, or a file that Milvus Lite serves within this process. What differs stays in here.

Needs `pip install .[scale]`. Expressions are put together from texts that cannot end a string early: keys of images and
products are hashes, and words are escaped (pymilvus 3.0 does not escape the ids that `get` and `delete` are given, so those
calls are not used with anything else).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from croquis.store.vector_store import StoreError

TIMEOUT = 60.0  # seconds for one call; several calls of the client wait for ever by default
BUILDING = 600.0  # seconds for an index: DISKANN and AUTOINDEX of 2.3.5 did not return within nine minutes
CONSISTENCY = ("strong", "session", "bounded", "eventually")
AT_A_TIME = 1000  # rows in one call: far below the 64 MB of a message
KEY = "key"


class MilvusLink:
    """One connection, shared by the stores of one address; the client may be used by several threads.

    Args:
        address: `http://HOST:PORT` of a server, or a file whose name ends with `.db` for Milvus Lite.
        token: of a server that asks for one, `USER:PASSWORD`.

    Raises:
        StoreError: when pymilvus is not installed, or the address does not answer.
    """

    def __init__(self, address: str, token: str = "") -> None:
        self.lite = not address.startswith(("http://", "https://"))
        if self.lite and not address.endswith(".db"):
            raise StoreError(f"milvus:{address} is neither http://HOST:PORT nor a file whose name ends with .db")
        self.address = str(Path(address).resolve()) if self.lite else address
        try:
            from pymilvus import DataType, MilvusClient
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise StoreError(f"milvus:{address} needs pymilvus: pip install '.[scale]'") from error
        self.types: Any = DataType
        new = self.lite and not Path(self.address).exists()
        if self.lite:
            Path(self.address).parent.mkdir(parents=True, exist_ok=True)
        try:
            self.client: Any = MilvusClient(uri=self.address, token=token, timeout=TIMEOUT)
            if new:
                Path(self.address).chmod(0o700)  # a folder; not readable by other users of the machine
        except (MilvusException, OSError) as error:
            held = "; another process may use it: Milvus Lite serves one" if self.lite else ""
            raise StoreError(f"milvus:{address} does not open: {error}{held}") from error
        self._failure: Any = MilvusException

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A method of the client, by name, never without a time limit.

        Raises:
            StoreError: when it fails.
        """
        try:
            return getattr(self.client, name)(*arguments, **({"timeout": TIMEOUT} | options))
        except self._failure as error:
            raise StoreError(f"milvus:{self.address}: {name} failed: {error}") from error

    def make(self, collection: str, schema: Any, index: Mapping[str, Any]) -> None:
        """Creates a collection with one index over the field `vector`, ready to be searched."""
        self.call("create_collection", collection, schema=schema)
        wanted = self.client.prepare_index_params()
        wanted.add_index("vector", **index)
        self.call("create_index", collection, wanted, timeout=BUILDING)
        self.call("load_collection", collection, timeout=BUILDING)

    def rows(self, collection: str, condition: str, fields: Sequence[str], level: str = "strong") -> list[Any]:
        """The rows that meet an expression, at most 16,384, which is what Milvus gives at once."""
        options = {"output_fields": list(fields), "consistency_level": level.capitalize(), "limit": 16_384}
        return list(self.call("query", collection, filter=condition, **options))

    def count(self, collection: str, condition: str, level: str = "strong") -> int:
        """Rows of a collection that fulfil a condition in Milvus's language.

        Args:
            level: of consistency, e.g. `strong`, which sees every write that has ended.
        """
        options = {"output_fields": ["count(*)"], "consistency_level": level.capitalize()}
        return int(self.call("query", collection, filter=condition, **options)[0]["count(*)"])

    def write(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Upserts rows whose keys differ from one another: of equal ones Lite keeps the last and the server the first."""
        for start in range(0, len(rows), AT_A_TIME):
            self.call("upsert", collection, list(rows[start : start + AT_A_TIME]))

    def remove(self, collection: str, keys: Sequence[str]) -> None:
        """By key only: what 2.3.5 deletes by another condition is gone some time later."""
        for start in range(0, len(keys), AT_A_TIME):
            self.call("delete", collection, filter=one_of(KEY, keys[start : start + AT_A_TIME]))

    def close(self) -> None:
        """Ends the connection; the lock of a Lite file, which the client keeps, is given up too."""
        self.client.close()
        if self.lite:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.address)


def key_of(text: str) -> str:
    """32 hex digits that stand for an id of any characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def one_of(field: str, words: Iterable[str]) -> str:
    """The expression that a field has one of the words."""
    return f"{field} in [{', '.join(map(quoted, words))}]"


def any_in(field: str, words: Iterable[str]) -> str:
    """The expression that a list holds one of the words."""
    return f"array_contains_any({field}, [{', '.join(map(quoted, words))}])"


def all_in(field: str, words: Iterable[str]) -> str:
    """The expression that a list holds all of the words."""
    return f"array_contains_all({field}, [{', '.join(map(quoted, words))}])"


def quoted(word: str) -> str:
    """A text as Milvus's expressions write it; both engines know these two escapes, and not all of JSON's."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
