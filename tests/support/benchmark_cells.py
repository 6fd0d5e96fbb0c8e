"""Cells of benchmark reports with known figures, and the rows of the tables made of them."""

from __future__ import annotations

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
