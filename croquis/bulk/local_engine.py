"""The engine `local`: processes of this machine, a shard at a time each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from croquis.bulk.places import EmbedError, open_place
from croquis.bulk.shard_embedder import ShardEmbedder, ShardJob, embed_shard
from croquis.bulk.shard_file import ShardRecord
from croquis.bulk.shards import Shard


def embed_local(job: ShardJob, shards: Sequence[Shard], jobs: int = 1) -> Iterator[ShardRecord]:
    """Embeds shards; the bytes are the same whatever `jobs` is.

    Args:
        jobs: processes; 1 is this one, which alone sees folders in its memory.

    Raises:
        EmbedError: also when a process was killed.
    """
    jobs = min(jobs, len(shards))
    if jobs == 1 or any(open_place(uri).private for uri in (job.source, job.to)):
        embedder = ShardEmbedder(job)
        yield from (embedder.embed(shard) for shard in shards)
        return
    context = multiprocessing.get_context("spawn")  # the threads of Arrow do not survive a fork
    with ProcessPoolExecutor(jobs, context, initializer=_start_process) as pool:
        try:
            for call in as_completed([pool.submit(embed_shard, job, shard) for shard in shards]):
                yield call.result()
        except BrokenProcessPool as error:
            raise EmbedError(
                "a process was killed, perhaps for want of memory: the finished shards are kept, and the same command goes "
                f"on; --jobs {jobs - 1} needs less"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_process() -> None:
    """Leaves Ctrl-C to the command, which lets the shards under way end, and ends with it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
