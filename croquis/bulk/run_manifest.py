"""What a folder of vectors was made from: written before the first of them, and held against every later call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from croquis.bulk.places import EmbedError, FsspecFolder
from croquis.bulk.shards import Only, Shard
from croquis.bundle import Bundle

MANIFEST = "embeddings.json"
FORMAT = 1
SHOWN = 3  # shards that an error names


def manifest_of(bundle: Bundle, shards: Sequence[Shard], only: Only) -> dict[str, Any]:
    """The content of embeddings.json: whose encoder, and which images; not where they lay, nor when or by which engine."""
    encoder = bundle.manifest.encoder
    return {
        "format": FORMAT,
        "bundle": bundle.hash,
        "method": bundle.manifest.method,
        "encoder": {"head": encoder.head, "metric": encoder.metric, "dim": encoder.dim},
        "only": {name: sorted(values) for name, values in only.items()},
        "shards": [_described(shard) for shard in shards],
    }


def _described(shard: Shard) -> dict[str, Any]:
    """As JSON gives it back; `product` is left out where there is none."""
    values = asdict(shard) | {"columns": list(shard.columns), "product": dict(shard.product)}
    return values if shard.product else {name: value for name, value in values.items() if name != "product"}


def begin(to: FsspecFolder, manifest: dict[str, Any]) -> None:
    """Writes the manifest into a folder that has none, or checks that the one there is equal.

    Raises:
        EmbedError: when the folder holds something else, naming what differs.
    """
    there = to.names()
    if MANIFEST in there:
        differ = differences(to.read_json(MANIFEST), manifest)
        if differ:
            raise EmbedError(
                f"{to.uri} holds other vectors: {'; '.join(differ)}. Give a new folder to --to, or delete this one"
            )
    elif there:
        raise EmbedError(f"{to.uri} holds {next(iter(there))} and no {MANIFEST}: give a folder of its own to --to")
    else:
        to.write_json(MANIFEST, manifest)


def differences(there: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """What differs between two manifests, a line each."""
    lines = [
        f"{name} is {_short(there.get(name))} there, {_short(asked[name])} now"
        for name in ("format", "bundle", "encoder", "only")
        if there.get(name) != asked[name]
    ]
    before = {shard["name"]: shard for shard in there.get("shards", ())}
    after = {shard["name"]: shard for shard in asked["shards"]}
    changed = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    kinds = {"shards have changed": changed, "shards are new": sorted(after.keys() - before.keys())}
    kinds["shards are gone"] = sorted(before.keys() - after.keys())
    lines += [f"{len(names)} {what} ({_some(names)})" for what, names in kinds.items() if names]
    return lines


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
