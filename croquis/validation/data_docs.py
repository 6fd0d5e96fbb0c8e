"""Makes Great Expectations' Data Docs readable without a network.

The pages as generated load styles, scripts, icons and a logo from seven hosts, and without them the index shows no
rows. Here they become a flat folder of plain pages: scripts and everything remote removed, one stylesheet inlined,
times and random ids dropped. The first page is our own: verdict, counts, what was set aside, near copies, drift, rules.
"""

from __future__ import annotations

import base64
import html
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from croquis.arrays import Uint8Image
from croquis.catalog.images import DecodeLimits, decode_image, encode_jpeg, prepare_image
from croquis.catalog.table import SPLITS, Catalog
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


# Of a rule's text about a pair: which picture the other one is.
_OTHER = re.compile(r"(?:looks like|same bytes as) (?P<name>.*?) (?:in \w+$|\((?:split|item_id|category) )")
_ROOM = re.compile(r'<img alt="" data-row="(\d+)">')
_CODE = re.compile(r"`([^`]+)`")
THUMBNAIL = 112  # pixels
SHOWN_OF_RULE, SHOWN_PAIRS, SHOWN_SHIFTS = 12, 24, 12


@dataclass(frozen=True)
class Overview:
    """What the first page is made of.

    Attributes:
        catalog: the ingested rows, with their pictures.
        decodable: row numbers of those that can be shown.
        outcomes: suite -> how its rules fared.
        rejected: row number -> reasons, `rule: what was found`, of the rows that were set aside.
        looks_like: rule, row number and text of each row that a rule found a copy of.
        report: of reports/validation.json.
        limits: of decoding.
    """

    catalog: Catalog
    decodable: frozenset[int]
    outcomes: Mapping[str, Sequence[RuleOutcome]]
    rejected: Mapping[int, Sequence[str]]
    looks_like: Sequence[tuple[str, int, str]]
    report: Mapping[str, Any]
    limits: DecodeLimits


def publish(generated: Path, folder: Path) -> None:
    """Replaces `folder` by a readable copy of the generated site: NAME.html and NAME.rules.html per suite."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for page in generated.glob("validations/*/**/*.html"):
        name = page.relative_to(generated / "validations").parts[0]
        _write(folder / f"{name}.html", readable(page.read_text(encoding="utf-8"), f"Validation: {name}"))
    for page in generated.glob("expectations/*.html"):
        _write(folder / f"{page.stem}.rules.html", readable(page.read_text(encoding="utf-8"), f"Rules: {page.stem}"))


def write_overview(folder: Path, found: Overview) -> None:
    """Writes index.html: the verdict first, then what a person has to look at; what is empty is left out or folded."""
    sections = (
        _verdict(found),
        _section("Images and items", _counts(found.report)),
        _section("Set aside", _set_aside(found), "groups"),
        _section("Near copies and shared files", _copies(found)),
        _section("Drift between the splits", _drift(found.report["profile"])),
        _section("Rules", _rules(found.outcomes)),
    )
    page = _frame("Validation", "\n".join(filter(None, sections)))
    _write(folder / "index.html", _with_pictures(page, found))


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


def _section(title: str, lines: Iterable[str], kind: str = "lines") -> str:
    """Empty where there is nothing to say."""
    body = "\n".join(lines)
    return f'<section><h2>{title}</h2>\n<div class="{kind}">{body}</div></section>' if body else ""


def _verdict(found: Overview) -> str:
    report = found.report
    broken = [outcome.rule.name for each in found.outcomes.values() for outcome in each if _stops(outcome)]
    counts = f"{report['accepted']} of {report['ingested']} images accepted, {report['quarantined']} set aside"
    if broken:
        return f'<p class="verdict bad">The catalogue cannot be used: {html.escape(", ".join(broken))}. {counts}.</p>'
    noticed = sum(bool(outcome.rows) for each in found.outcomes.values() for outcome in each)
    flags = f"{_rules_in_words(noticed)} flagged images" if noticed else "no rule flagged an image"
    return f'<p class="verdict good">The catalogue is used: {counts}; {flags}.</p>'


def _stops(outcome: RuleOutcome) -> bool:
    return outcome.rule.severity == "fail" and not outcome.passed


def _counts(report: Mapping[str, Any]) -> Iterator[str]:
    profile = report["profile"]
    cells = {tuple(name.split("/")): count for name, count in profile["images"].items()}
    kinds = sorted({cell[1:] for cell in cells})
    if not kinds:
        return
    yield _table(
        ["split", "items", *(f"{domain} {role}" for domain, role in kinds)],
        [
            [split, profile["items"].get(split, 0), *(cells.get((split, *kind), "") for kind in kinds)]
            for split in SPLITS
        ],
    )
    yield f"<p>{len(profile['categories'])} categories, {profile['attributes']['different']} attributes.</p>"


def _set_aside(found: Overview) -> Iterator[str]:
    """By rule, the most frequent first: thumbnails with what was found."""
    by_rule: dict[str, list[tuple[int, str]]] = {}
    for row, reasons in sorted(found.rejected.items()):
        for reason in reasons:
            rule, _, text = reason.partition(": ")
            by_rule.setdefault(rule, []).append((row, text))
    paired = {rule for rule, _, text in found.looks_like if _OTHER.search(text)}
    for rule, rows in sorted(by_rule.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        if rule in paired:
            yield f"<p><b>{html.escape(rule)}: {len(rows)}</b>, shown below beside what they are copies of</p>"
            continue
        more = f"; {SHOWN_OF_RULE} shown, all in flagged.csv" if len(rows) > SHOWN_OF_RULE else ""
        shown = "".join(_figure(found, row, text) for row, text in rows[:SHOWN_OF_RULE])
        summary = f"{html.escape(rule)}: {len(rows)}{more}"
        yield f'<details open><summary>{summary}</summary><div class="sheet">{shown}</div></details>'


def _copies(found: Overview) -> Iterator[str]:
    """Pairs side by side, by rule: the flagged picture and the one that it is a copy of."""
    rows = {name: row for row, name in reversed([*enumerate(found.catalog.column("image_id").tolist())])}
    pairs: dict[str, list[str]] = {}
    seen: set[tuple[str, frozenset[int]]] = set()
    for rule, row, text in found.looks_like:
        match = _OTHER.search(text)
        other = rows.get(match["name"]) if match else None
        if other is None or (rule, frozenset((row, other))) in seen:
            continue
        seen.add((rule, frozenset((row, other))))
        both = _figure(found, row, text) + _figure(found, other, "the other one")
        pairs.setdefault(rule, []).append(f'<div class="pair">{both}</div>')
    for rule, shown in pairs.items():
        more = f"; {SHOWN_PAIRS} shown, all in flagged.csv" if len(shown) > SHOWN_PAIRS else ""
        summary = f"{html.escape(rule)}: {len(shown)} {'pair' if len(shown) == 1 else 'pairs'}{more}"
        body = "".join(shown[:SHOWN_PAIRS])
        yield f'<details open><summary>{summary}</summary><div class="sheet">{body}</div></details>'


def _drift(profile: Mapping[str, Any]) -> Iterator[str]:
    distances = profile["category_drift_from_train"]
    if distances:
        yield "<p>How far the categories' shares are from those of train: 0 equal, 1 disjoint.</p>"
        rows = [
            [split, *(f"{found[name]:.3f}" for name in ("distance", "chance", "drift"))]
            for split, found in distances.items()
        ]
        yield _table(["split", "distance", "expected by chance", "beyond chance"], rows)
    totals = {split: sum(counts.get(split, 0) for counts in profile["categories"].values()) for split in SPLITS}
    shares = {
        name: [counts.get(split, 0) / totals[split] if totals[split] else 0.0 for split in SPLITS]
        for name, counts in profile["categories"].items()
    }
    yield from _folded("Share of each split's images by category", _share_table("category", shares))
    shifted = {name: found for name, found in profile["attributes"]["share_of_items"].items() if found["shift"] > 0}
    most = sorted(shifted.items(), key=lambda entry: (-entry[1]["shift"], entry[0]))[:SHOWN_SHIFTS]
    table = _share_table("attribute", {name: [found[split] for split in SPLITS] for name, found in most})
    yield from _folded("Attributes whose share of items shifts beyond chance", table)


def _share_table(what: str, shares: Mapping[str, Sequence[float]]) -> str:
    """A bar for each split; empty without rows."""
    largest = max((value for values in shares.values() for value in values), default=0.0) or 1.0
    rows = [
        [
            name,
            *(f'<span class="bar" style="width:{100 * value / largest:.0f}px"></span> {value:.1%}' for value in values),
        ]
        for name, values in shares.items()
    ]
    return _table([what, *SPLITS], rows, escaped=False) if rows else ""


def _folded(title: str, body: str) -> Iterator[str]:
    if body:
        yield f"<details><summary>{title}</summary>{body}</details>"


def _rules(outcomes: Mapping[str, Sequence[RuleOutcome]]) -> Iterator[str]:
    """What flagged something stands open, what holds everywhere is folded."""
    lines = [(suite, outcome) for suite, found in outcomes.items() for outcome in found]
    flagged = [line for line in lines if line[1].rows or not line[1].passed]
    if flagged:
        yield _rule_table(flagged)
    quiet = [line for line in lines if line not in flagged]
    yield from _folded(f"{_rules_in_words(len(quiet))} that flagged nothing", _rule_table(quiet) if quiet else "")


def _rules_in_words(count: int) -> str:
    return "1 rule" if count == 1 else f"{count} rules"


def _rule_table(lines: Sequence[tuple[str, RuleOutcome]]) -> str:
    names = ["", "rule", "severity", "flagged", "checks", "suite", "column"]
    return _table(names, [_cells(html.escape(suite), outcome) for suite, outcome in lines], escaped=False)


def _cells(suite: str, outcome: RuleOutcome) -> list[str]:
    rule, flagged = outcome.rule, len(outcome.rows)
    mark = f'<i class="{"fa-check-circle" if outcome.passed else "fa-times"}"></i>'
    links = f'<a href="{suite}.html">{suite}</a> (<a href="{suite}.rules.html">rules</a>)'
    texts = (rule.name, rule.severity, str(flagged or ""))
    return [mark, *map(html.escape, texts), _with_code(rule.checks), links, html.escape(rule.column)]


def _with_code(text: str) -> str:
    """Escaped, with Markdown's `code` rendered."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text))


def _table(names: Sequence[str], rows: Iterable[Sequence[object]], *, escaped: bool = True) -> str:
    """Cells are escaped, unless they are HTML already."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    shown = html.escape if escaped else str
    body = "\n".join("<tr>" + "".join(f"<td>{shown(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(found: Overview, row: int, text: str) -> str:
    """A thumbnail within the page, with the picture's name and what is said of it."""
    table = found.catalog.table
    name, split = (str(table[column][row].as_py()) for column in ("image_id", "split"))
    caption = f"<b>{html.escape(name)}</b> ({html.escape(split)})<br>{html.escape(text)}"
    return f"<figure>{_thumbnail(found, row)}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(found: Overview, row: int) -> str:
    """Room for a picture, which `_with_pictures` fills in."""
    return f'<img alt="" data-row="{row}">' if row in found.decodable else '<div class="none">no picture</div>'


def _with_pictures(page: str, found: Overview) -> str:
    """The page with its thumbnails in it; each shard of the catalogue is read once."""
    rows = sorted({int(row) for row in _ROOM.findall(page)})
    images = zip(rows, found.catalog.images(rows), strict=True)
    sources = {row: _source(decode_image(data, found.limits)) for row, data in images}
    return _ROOM.sub(lambda room: f'<img alt="" src="{sources[int(room[1])]}">', page)


def _source(image: Uint8Image) -> str:
    small = encode_jpeg(prepare_image(image, THUMBNAIL), 80)
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def _frame(title: str, body: str) -> str:
    style = files("croquis.validation").joinpath("data_docs.css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    header = f'<header><a href="index.html">Data Docs</a><h1>{html.escape(title)}</h1></header>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{header}\n{body}\n</body></html>\n'
