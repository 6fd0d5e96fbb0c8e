"""A folder of images becomes a folder of vectors, by any engine; what is done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from croquis.bulk.places import EmbedError, FsspecFolder, open_place
from croquis.bulk.run_manifest import begin, manifest_of
from croquis.bulk.shard_embedder import ShardJob
from croquis.bulk.shard_file import ShardRecord, read_record
from croquis.bulk.shards import Only, Shard, find_shards
from croquis.bundle import Bundle

UNREADABLE = "unreadable.json"

Engine = Callable[[ShardJob, Sequence[Shard]], Iterator[ShardRecord]]
"""Embeds shards, each whole or not at all, and yields their records in any order."""
Progress = Callable[[int, int], None]
"""Told images that are done and images that there are, once at the start and after every shard."""


@dataclass(frozen=True)
class Embedding:
    """What a folder of vectors holds.

    Attributes:
        records: of its shards, in the order of their names.
        new: images with a vector that this call has embedded.
        missing: shards that calls with other parts have not embedded yet.
    """

    to: FsspecFolder
    records: tuple[ShardRecord, ...]
    new: int
    missing: int = 0

    @property
    def embedded(self) -> int:
        """Images of all shards that have a vector."""
        return sum(record.embedded for record in self.records)

    @property
    def left_out(self) -> int:
        """Images of all shards that `only` did not ask for."""
        return sum(record.left_out for record in self.records)

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """(image_id, reason), in the order of the shards."""
        return [each for record in self.records for each in record.unreadable]


def embed(
    bundle: Bundle,
    source: str,
    to: str,
    engine: Engine,
    only: Only | None = None,
    progress: Progress = lambda *_: None,
    part: tuple[int, int] = (1, 1),
) -> Embedding:
    """Embeds what is not embedded yet. Stopped at any moment, the same call goes on with the next shard.

    Two calls at a time do each other no harm: both write the same bytes. Where calls have a part each, the one that ends
    last finds all shards embedded, and finishes the folder.

    Args:
        bundle: whose encoder is used; the engine opens its folder again.
        source: folder of shards, or one of them, as fsspec names it.
        to: folder of the vectors, likewise.
        only: column -> values that are let through.
        part: (i, n): only every nth shard, from the ith on.

    Raises:
        EmbedError: when the images cannot be read, or `to` holds vectors of another bundle or other images.
    """
    images, vectors = open_place(source), open_place(to)
    chosen = {} if only is None else only
    shards = find_shards(images, chosen)
    begin(vectors, manifest_of(bundle, shards, chosen))
    job = ShardJob(bundle.folder.resolve(), bundle.hash, images.uri, vectors.uri, chosen)
    records = finished(vectors, shards, bundle.hash)
    own = shards[part[0] - 1 :: part[1]]
    left = [shard for shard in own if shard.name not in records]
    rows = {shard.name: shard.rows for shard in own}
    done, total, new = sum(rows.values()) - sum(shard.rows for shard in left), sum(rows.values()), 0
    progress(done, total)
    for record in engine(job, left) if left else ():
        records[record.name] = record
        done, new = done + rows[record.name], new + record.embedded
        progress(done, total)
    if len(own) < len(shards):
        records = finished(vectors, shards, bundle.hash)
    there = tuple(records[shard.name] for shard in shards if shard.name in records)
    whole = Embedding(vectors, there, new, len(shards) - len(there))
    if not whole.missing:
        vectors.write_json(UNREADABLE, [{"image_id": image, "reason": reason} for image, reason in whole.unreadable])
        vectors.remove_partials()
    return whole


def finished(to: FsspecFolder, shards: Sequence[Shard], bundle: str) -> dict[str, ShardRecord]:
    """Records of the shards whose vectors are there; a file that a machine's failure cut short counts as absent.

    Raises:
        EmbedError: when a file has the name of a shard and is of something else.
    """
    there, records = to.names(), {}
    for shard in shards:
        record = read_record(to, shard.name) if shard.name in there else None
        if record is not None:
            if not record.belongs_to(shard, bundle):
                raise EmbedError(f"{shard.name} in {to.uri} is not of this bundle and this shard: delete it")
            records[shard.name] = record
    return records
