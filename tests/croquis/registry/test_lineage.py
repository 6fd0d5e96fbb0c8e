"""Lineage from the tags of versions, and back from a commit, a hash or a run."""

from __future__ import annotations

import json

import pytest

from croquis.registry.lineage import COMPLETE, Lineage, made_from
from croquis.registry.registry import RegisteredVersion

RUNS = {"ingest": "1" * 32, "train_embedder@siamese": "2" * 32, "train_embedder@gpq": "3" * 32}
TAGS = {
    "git.commit": "c" * 40,
    "git.dirty": "false",
    "dvc.lock_hash": "d" * 64,
    "data.hash": "e" * 32 + ".dir",
    "dvc.stage_keys": json.dumps({name: run * 2 for name, run in RUNS.items()}),
    "stage_runs": json.dumps(RUNS),
    "environment.lock_hash": "f" * 64,
}


def version(number: int, method: str, **tags: str) -> RegisteredVersion:
    return RegisteredVersion(number, str(number) * 64, method, {**TAGS, "method": method, **tags})


def test_only_stages_that_led_to_the_version_count() -> None:
    lineage = Lineage.of(version(7, "siamese").tags)
    assert lineage.missing == ()
    assert not lineage.dirty
    assert sorted(lineage.stage_runs) == sorted(lineage.stage_keys) == ["ingest", "train_embedder@siamese"]


def test_what_a_version_lacks_is_named() -> None:
    assert Lineage.of({}).missing == COMPLETE
    assert Lineage.of({**TAGS, "stage_runs": "{}"}).missing == ("stage_runs",)


def test_the_hashes_in_one_tag_say_the_same_as_a_tag_for_each() -> None:
    held = {name: value for name, value in TAGS.items() if not name.startswith("git.")}
    one = {"git.commit": TAGS["git.commit"], "git.dirty": "false", "lineage": json.dumps(held), "method": "siamese"}
    assert Lineage.of(one) == Lineage.of({**TAGS, "method": "siamese"})


def test_versions_are_found_by_everything_that_led_to_them() -> None:
    both = [version(7, "siamese"), version(8, "gpq", **{"git.commit": "a" * 40})]
    for name, numbers in {
        "c" * 40: [7],
        "a" * 7: [8],
        "d" * 64: [7, 8],
        "e" * 12: [7, 8],
        "f" * 64: [7, 8],
        RUNS["ingest"]: [7, 8],
        RUNS["train_embedder@siamese"]: [7],
        RUNS["train_embedder@gpq"] * 2: [8],
        "8" * 64: [8],
        "0" * 40: [],
    }.items():
        assert [found.number for found in made_from(both, name)] == numbers, name
    with pytest.raises(ValueError, match="'cccccc' is too short"):
        made_from(both, "cccccc")
