"""Who may import whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pipeline.import_closure import PACKAGES, imports

ALLOWED = {
    "params": set(),
    "retrieval": set(),
    "sources": {"params", "retrieval"},
    "embedding": {"retrieval"},
    "validation": {"params", "retrieval"},
    "figures": {"retrieval"},
    "lightning_modules": {"figures", "params", "retrieval"},
    "tracking": {"retrieval"},
    "serving": {"retrieval", "tracking"},
    "tuning": {"lightning_modules", "params", "retrieval", "tracking"},
    "stages": set(PACKAGES),
}
ALLOWED_MORE = {Path("serving/ingest"): {"params", "sources", "validation"}}  # the server imports it for --ingest only


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str):
    wrong = {
        f"{path} imports {module}"
        for path in Path(package).rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] not in {package} | ALLOWED[package] | ALLOWED_MORE.get(path.parent, set())
    }
    assert not wrong
