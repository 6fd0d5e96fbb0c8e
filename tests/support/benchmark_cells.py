"""Cells of benchmark reports with known figures, and the rows of the tables made of them."""

from __future__ import annotations

import os
import signal
import time

from tests.support.catalogues import blob_catalogue

HEAD = {"epochs_scale": 1.0, "changes": {}, "share": 1.0}


def measured(value, seed=1, **more):
    """A cell whose every figure is `value`."""
    estimate = {"value": value, "low": value - 0.1, "high": value + 0.1, "chance": 0.01}
    metrics = dict.fromkeys(("hit@1", "hit@5", "hit@10", "map@r", "mrr"), estimate)
    split = {"gallery": {"images": 100}, "queries": 50, "items": 20, "metrics": metrics}
    cell = {"key": "k", "seed": seed, "commit": "abc", "train_seconds": 10.0, "epochs": 5, "bytes_per_image": 512}
    return cell | {"query_ms": 4.0, "pair": "consumer->shop", "splits": {"val": split, "test": split}} | more


def rows_of(text):
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines[2:]}


def make_world(folder, _options):
    """The data of a toy study."""
    blob_catalogue.write_catalogue(folder)


def toy_figures(cell):
    """Figures of a toy study, by the seed; `dies/2` is killed the first time, after its neighbours."""
    scratch = cell.folder.parents[1]
    seed = cell.params.base.seed
    with (scratch / "measured.log").open("a") as log:
        log.write(f"{cell.label}\n")
    if cell.name == "together":
        meet(scratch, seed)
    if cell.label == "dies/2" and not (scratch / "died").exists():
        (scratch / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.name != "no bundle":
        (cell.folder / "models/bundles").mkdir(parents=True, exist_ok=True)
    return measured(0.1 * seed, seed)


def meet(scratch, seed):
    """Ends when two seeds are under way at once."""
    (scratch / f"here-{seed}").touch()
    deadline = time.monotonic() + 1200
    while len(list(scratch.glob("here-*"))) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError("no other seed came")
        time.sleep(0.05)
