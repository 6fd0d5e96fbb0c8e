"""Pieces of HTML: tables, charts, rows of pictures, and panels of which the page shows one at a time."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from croquis.evaluation.protocol import JudgedGallery, Queries
from croquis.report_page.thumbnails import Thumbnails

HIT, MISS = "hit", "miss"
esc = html.escape


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first cell of a row is its heading and stays in sight when a phone scrolls the table."""
    head = "".join(f"<th>{esc(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th>{esc(str(first))}</th>{''.join(f'<td>{esc(str(cell))}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def chart(name: str, title: str, spec: Mapping[str, Any]) -> str:
    """A place for a chart, which the page's script draws."""
    return (
        f'<figure class="chart"><figcaption>{esc(title)}</figcaption><div id="chart-{name}" class="canvas"></div>'
        f'<script type="application/json" data-chart="{name}">{as_json(spec)}</script></figure>'
    )


def side_by_side(charts: Iterable[str]) -> str:
    """Charts beside each other where the screen is wide enough."""
    return f'<div class="pair">{"".join(charts)}</div>'


def as_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def section(name: str, title: str, parts: Iterable[str]) -> str:
    """A section of the page with a heading; empty parts are left out. `name` is the anchor, the parts are HTML."""
    body = "\n".join(filter(None, parts))
    return f'<section id="{name}"><h2>{esc(title)}</h2>\n{body}\n</section>'


def said(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{esc(text)}</p>"


def selects(controls: Mapping[str, Sequence[str]], panels: Mapping[str, str], empty: str) -> str:
    """Panels by the values of lists to choose from.

    Args:
        controls: label -> values; of several controls the first values that make a panel are chosen.
        panels: values, joined by `|` -> content; the order of the values does not matter.
        empty: shown for values that have no panel.
    """
    first = next(iter(panels), "").split("|")
    lists = "".join(
        f"<label>{esc(label)} <select>{_options(values, first[place] if place < len(first) else '')}</select></label>"
        for place, (label, values) in enumerate(controls.items())
    )
    return _switch(f'<div class="controls">{lists}</div>', panels, empty)


def _options(values: Sequence[str], chosen: str) -> str:
    return "".join(f"<option{' selected' if value == chosen else ''}>{esc(value)}</option>" for value in values)


def tabs(panels: Mapping[str, str]) -> str:
    """Panels behind tabs, the first of them shown."""
    buttons = "".join(
        f'<button type="button" role="tab" data-value="{esc(name)}" aria-selected="{"true" if place == 0 else "false"}">'
        f"{esc(name)}</button>"
        for place, name in enumerate(panels)
    )
    return _switch(f'<div class="tabs" role="tablist">{buttons}</div>', panels, "")


def _switch(controls: str, panels: Mapping[str, str], empty: str) -> str:
    shown = "".join(
        f'<div class="panel" data-key="{esc(key)}"{"" if place == 0 else " hidden"}>{content}</div>'
        for place, (key, content) in enumerate(panels.items())
    )
    note = f'<p class="empty"{"" if not panels else " hidden"}>{esc(empty)}</p>'
    return f'<div class="switch">{controls}<div class="panels">{shown}{note}</div></div>'


class PictureRows:
    """Rows of pictures: a query, and gallery photos that a method answers it with.

    Args:
        queries, gallery: whose pictures are shown.
        pictures: where they are kept.
    """

    def __init__(self, queries: Queries, gallery: JudgedGallery, pictures: Thumbnails) -> None:
        self._queries, self._gallery, self._pictures = queries, gallery, pictures
        self._places = {name: place for place, name in enumerate(queries.image_ids.tolist())}
        self._labels = queries.labels(gallery.protocol)
        self._answers = gallery.labels(gallery.protocol)

    def row(self, query: str, lists: Iterable[str], note: str) -> str:
        """A query with lines of answers."""
        place = self._places[query]
        number, category = self._pictures.number(self._queries, place), str(self._queries.categories[place])
        shown = f'<img data-p="{number}" alt="query: {esc(category)}" title="{esc(query)}">'
        caption = f"<b>{esc(category)}</b><br>{esc(note)}"
        figure = f'<figure class="query">{shown}<figcaption>{caption}</figcaption></figure>'
        return f'<div class="row" data-query="{esc(query)}">{figure}<div class="lists">{"".join(lists)}</div></div>'

    def line(self, query: str, rows: Iterable[int], label: str = "", notes: Sequence[str] = ()) -> str:
        """Gallery photos in a line, each marked as right or wrong for the query; `notes` stand below them."""
        right = self._labels[self._places[query]]
        found = []
        for place, row in enumerate(rows):
            kind = HIT if self._answers[row] == right else MISS
            found.append(self.photo(row, kind, notes[place] if place < len(notes) else ""))
        head = f'<span class="label">{esc(label)}</span>' if label else ""
        return f'<div class="line">{head}{"".join(found)}</div>'

    def photo(self, row: int, kind: str, note: str = "") -> str:
        """A gallery photo in the frame of a right or wrong answer."""
        number = self._pictures.number(self._gallery, row)
        category, name = str(self._gallery.categories[row]), str(self._gallery.image_ids[row])
        word = "right" if kind == HIT else "wrong"
        image = f'<img data-p="{number}" alt="{word}: {esc(category)}" title="{esc(name)}, {esc(category)}">'
        caption = f"<figcaption>{esc(note)}</figcaption>" if note else ""
        return f'<figure class="{kind}">{image}{caption}</figure>'

    def right_photos(self, query: str) -> list[int]:
        """Rows of the gallery that are right answers, the query itself left out."""
        right = self._labels[self._places[query]]
        return [
            row for row in (self._answers == right).nonzero()[0].tolist() if str(self._gallery.image_ids[row]) != query
        ]


def panels_of(entries: Iterable[tuple[str, Iterator[str]]]) -> dict[str, str]:
    """Panels by name; those without content are left out."""
    found = {name: "".join(rows) for name, rows in entries}
    return {name: content for name, content in found.items() if content}
