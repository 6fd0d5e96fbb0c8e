"""What the docs point at is there, and docs/architecture.md names every room."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.imports import PACKAGES, ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


def test_the_architecture_names_every_room():
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {path.parent.name for path in ROOT.glob("croquis/*/__init__.py")}
    assert not {room for room in rooms if f"**[{room}](../croquis/{room}/__init__.py)**" not in text}
    assert set(PACKAGES) <= set(re.findall(r"`(\w+)`", text))


def test_the_page_of_data_counts_the_rendered_catalogue_as_it_was_validated():
    profile = json.loads((ROOT / "reports/validation.json").read_text())["profile"]
    images = dict.fromkeys(("train", "val", "test"), 0)
    for group, count in profile["images"].items():
        images[group.partition("/")[0]] += count
    splits = " / ".join(f"{count:,}" for count in images.values())
    stated = f"| {sum(images.values()):,} | {sum(profile['items'].values())} | {splits} |"
    assert f"| `rendered` | rendered by the project {stated}" in (ROOT / "docs/data.md").read_text()
