"""Makes Great Expectations' Data Docs readable without a network.

The pages as generated load styles, scripts, icons and a logo from seven hosts, and without them the index shows no
rows. Here they become a flat folder of plain pages: scripts and everything remote removed, one stylesheet inlined,
times and random ids dropped, and an index of our own that lists the suites.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from croquis.validation.rule_kinds import RuleOutcome

_REMOVED = [
    re.compile(r"<script\b.*?</script>", re.DOTALL),
    re.compile(r"<style\b.*?</style>", re.DOTALL),
    re.compile(r"<link\b[^>]*>"),
    re.compile(r"<img\b[^>]*>", re.DOTALL),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL),
    re.compile(r"<nav\b.*?</nav>\s*(?:</div>\s*</nav>)?", re.DOTALL),
    re.compile(r'<div class="card mb-3">.*?<strong>Actions</strong>.*?(?=<div class="card )', re.DOTALL),
]
_UUID = re.compile(r"-?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-?\d{2}-?\d{2}T\d{2}:?\d{2}:?\d{2}(?:\.\d+)?Z?")
_VALIDATION_LINK = re.compile(r'href="[^"]*validations/([^/"]+)/[^"]*\.html"')
_SUITE_LINK = re.compile(r'href="[^"]*expectations/([^/"]+)\.html"')
_INDEX_LINK = re.compile(r'href="[^"]*index\.html"')


def publish(generated: Path, folder: Path, outcomes: Mapping[str, Sequence[RuleOutcome]]) -> None:
    """Replaces `folder` by a readable copy of the generated site: index.html, NAME.html and NAME.rules.html per suite.

    Args:
        outcomes: suite -> how its rules fared.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for page in generated.glob("validations/*/**/*.html"):
        name = page.relative_to(generated / "validations").parts[0]
        _write(folder / f"{name}.html", readable(page.read_text(encoding="utf-8"), f"Validation: {name}"))
    for page in generated.glob("expectations/*.html"):
        _write(folder / f"{page.stem}.rules.html", readable(page.read_text(encoding="utf-8"), f"Rules: {page.stem}"))
    _write(folder / "index.html", _index(outcomes))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def readable(page: str, title: str) -> str:
    """The page's content in a frame of ours; nothing in it points outside the folder."""
    body = page[page.find("<body") :]
    body = body[body.find(">") + 1 : body.rfind("</body>")]
    for pattern in _REMOVED:
        body = pattern.sub("", body)
    body = _VALIDATION_LINK.sub(r'href="\1.html"', body)
    body = _SUITE_LINK.sub(r'href="\1.rules.html"', body)
    body = _INDEX_LINK.sub('href="index.html"', body)
    body = _TIME.sub("", _UUID.sub("", body))
    return _frame(title, body)


def _index(outcomes: Mapping[str, Sequence[RuleOutcome]]) -> str:
    names = ("", "Rule", "Severity", "Flagged", "Checks", "Suite", "Column")
    head = "".join(f"<th>{name}</th>" for name in names)
    lines = [_cells(html.escape(suite), outcome) for suite, found in outcomes.items() for outcome in found]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return _frame("Validation", f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def _cells(suite: str, outcome: RuleOutcome) -> str:
    rule, flagged = outcome.rule, len(outcome.rows)
    mark = f'<i class="{"fa-check-circle" if outcome.passed else "fa-times"}"></i>'
    links = f'<a href="{suite}.html">{suite}</a> (<a href="{suite}.rules.html">rules</a>)'
    texts = (rule.name, rule.severity, str(flagged or ""), rule.checks)
    escaped = (html.escape(text) for text in texts)
    return "".join(f"<td>{cell}</td>" for cell in (mark, *escaped, links, html.escape(rule.column)))


def _frame(title: str, body: str) -> str:
    style = files("croquis.validation").joinpath("data_docs.css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    header = f'<header><a href="index.html">Data Docs</a><h1>{html.escape(title)}</h1></header>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{header}\n{body}\n</body></html>\n'
