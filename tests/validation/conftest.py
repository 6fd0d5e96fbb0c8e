"""The small catalogue and the stage fixtures of tests/stages."""

from __future__ import annotations

from tests.stages.conftest import Outcome, build_rows, catalogue_rows, fake_run, make_rows, project, run_stage

__all__ = ["Outcome", "build_rows", "catalogue_rows", "fake_run", "make_rows", "project", "run_stage"]
