"""The order of the files: a long file that starts last leaves the other workers idle."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# Whole pipelines, many processes, servers and browsers: the longest first.
LONGEST = (
    "project/test_pipeline.py",
    "project/test_tutorial.py",
    "project/test_rebuild.py",
    "deploy/test_team_server.py",
    "croquis/cli/own/test_init.py",
    "project/test_outside_plugins.py",
    "lightning_modules/training/test_distributed.py",
    "croquis/events/test_kills.py",
    "lightning_modules/methods/test_paper_sizes.py",
    "project/test_presets.py",
    "croquis/registry/test_promotion.py",
    "croquis/validation/test_corruption.py",
    "stages/test_register.py",
    "croquis/cli/test_platform.py",
    "croquis/tuning/test_shared_storage.py",
    "lightning_modules/nets/test_timm_net.py",
    "benchmarks/common/test_run_study.py",
    "realdata/test_real_sets.py",
    "croquis/tuning/test_study_job.py",
    "croquis/serving/test_chaos.py",
    "croquis/events/test_hosts.py",
    "croquis/serving/requests/test_hostile_bodies.py",
    "croquis/registry/test_two_workspaces.py",
    "croquis/registry/test_model_files.py",
    "lightning_modules/embedder/test_refit.py",
    "project/test_help.py",
)


def sort_items(items: list[pytest.Item]) -> None:
    """Files in the order of `LONGEST`, then those with slow tests, then the others; within a file all stays as it is.

    Of use to `--dist loadfile` with `--no-loadscope-reorder` only, which hands files out in the order of the items.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    place = {TESTS / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path, len(LONGEST)), item.path not in slow))
