"""The unit of work of every engine: one shard of images becomes one file of vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.arrays import Uint8Image
from croquis.bulk.places import EmbedError, open_place
from croquis.bulk.shard_file import ShardRecord, rows_of, schema_of, writing_shard
from croquis.bulk.shards import Only, Shard, read_shard
from croquis.bundle import Bundle
from croquis.catalog.images import ImageError, prepare_file
from croquis.index.code_index import CodeIndex
from croquis.index.coding import Coding
from croquis.search.bundle_nets import Nets

Unreadable = tuple[str, str]


@dataclass(frozen=True)
class ShardJob:
    """What is embedded, by whose encoder, and where the vectors go; it travels to other processes.

    Attributes:
        bundle: the folder, at the same path wherever a shard is embedded.
        bundle_hash: of the bundle that is meant.
        source, to: folders as fsspec names them.
        only: column -> values; images with others are left out.
    """

    bundle: Path
    bundle_hash: str
    source: str
    to: str
    only: Only = field(hash=False)


class ShardEmbedder:
    """A bundle's encoder, opened once and used for shard after shard.

    Pictures are decoded, cropped, scaled and encoded as the stage `index` and the search server do it, on one thread. The
    batches of a shard are the same in every process, so that its file is the same to the byte on processors of one kind.

    Raises:
        BundleError, EmbedError: when the bundle is not whole, or not the one that is meant.
    """

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        bundle = Bundle.load(job.bundle)
        if bundle.hash != job.bundle_hash:
            raise EmbedError(
                f"{job.bundle} is the bundle {bundle.hash[:12]} here, not {job.bundle_hash[:12]}: copy it again"
            )
        self._nets = Nets(bundle)
        self._dim = bundle.manifest.encoder.dim
        self._coding = coding_of(bundle)
        self._source, self._to = open_place(job.source), open_place(job.to)

    def embed(self, shard: Shard) -> ShardRecord:
        """Writes the vectors of a shard, and returns what is known of them.

        Raises:
            EmbedError: when the shard cannot be read or the file not be written.
        """
        unreadable: list[Unreadable] = []
        schema = schema_of(shard, self._dim, None if self._coding is None else self._coding.code_bytes)
        with writing_shard(self._to, shard.name, schema) as file:
            for table in read_shard(self._source, shard, self._job.only):
                kept, pictures, refused = decode(table, self._nets.size, self._nets.draft)
                unreadable += refused
                if pictures:
                    vectors = self._nets.encode(pictures)
                    codes = None if self._coding is None else self._coding.encode(vectors)
                    file.add(rows_of(table.take(kept), schema, vectors, codes))
            left_out = shard.rows - file.rows - len(unreadable)
            done = ShardRecord(shard.name, shard.footer, self._job.bundle_hash, file.rows, left_out, tuple(unreadable))
            file.describe(done)
        return done


def embed_shard(job: ShardJob, shard: Shard) -> ShardRecord:
    """`ShardEmbedder.embed`, in a process of its own, which keeps the bundle open for later shards."""
    return _opened(job).embed(shard)


_opened = lru_cache(maxsize=1)(ShardEmbedder)


def decode(table: pa.Table, size: int, draft: int = 0) -> tuple[Any, list[Uint8Image], list[Unreadable]]:
    """Row numbers of what can be read, its squares of `size` pixels inside their boxes, and why the others cannot."""
    kept, pictures, unreadable = [], [], []
    boxes = table.column("bbox").to_pylist() if "bbox" in table.column_names else [None] * len(table)
    ids, files = table.column("image_id").to_pylist(), table.column("image").to_pylist()
    for row, (image_id, data, box) in enumerate(zip(ids, files, boxes, strict=True)):
        try:
            pictures.append(prepare_file(data or b"", size, box, draft))
            kept.append(row)
        except ImageError as error:
            unreadable.append((image_id, str(error)))
    return np.array(kept, dtype=np.int64), pictures, unreadable


def coding_of(bundle: Bundle) -> Coding | None:
    """How the index of a bundle codes vectors; None where it keeps floats."""
    if bundle.manifest.encoder.head == "dense":
        return None
    if not isinstance(bundle.index, CodeIndex):
        raise EmbedError(f"{bundle.folder} has the head {bundle.manifest.encoder.head}, but its index keeps no codes")
    return bundle.index.coding
