"""Searches a bundle by a photo, and prints a ranked table.

croquis search shop.bundle photo.jpg
croquis search shop.bundle photo.jpg --k 20 --html result.html      a page with the pictures
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import click

from croquis.catalog.images import encode_jpeg
from croquis.cli.command_line import PATH, command, option
from croquis.files import write_bytes
from croquis.search.answer import Answer, Hit
from croquis.search.local_retriever import LocalRetriever

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;margin:2em}}ol{{display:flex;flex-wrap:wrap;gap:1em;list-style:none;padding:0}}
li{{width:160px;font-size:13px;overflow-wrap:anywhere}}img{{width:160px;height:160px;object-fit:contain}}</style></head>
<body><h1>{title}</h1><p><img alt="the query" src="{query}"></p><ol>
{hits}
</ol></body></html>
"""


def ranked_table(hits: Sequence[Hit]) -> str:
    """Rank, score, product, category and photo of each hit, in columns."""
    cells = [("rank", "score", "item", "category", "image")]
    cells += [(str(hit.rank), f"{hit.score:.3f}", hit.item_id, hit.category, hit.image_id) for hit in hits]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]) for row in cells
    )


def sheet(retriever: LocalRetriever, answer: Answer, title: str) -> str:
    """A page that needs no other file: the query and the hits with their thumbnails."""
    items = retriever.bundle.items
    places = {name: row for row, name in enumerate(items.table["image_id"].to_pylist())}
    hits = "\n".join(
        f'<li><img alt="{escape(hit.image_id)}" src="{_inline(items.thumbnail(places[hit.image_id]))}"><br>{hit.rank}. '
        f"<b>{escape(hit.item_id)}</b> {escape(hit.category)}<br>{hit.score:.3f}</li>"
        for hit in answer.hits
    )
    return PAGE.format(title=escape(title), query=_inline(encode_jpeg(answer.picture)), hits=hits)


def _inline(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@command(__doc__)
@click.argument("bundle", type=PATH)
@click.argument("photo", type=PATH)
@option("--k", type=click.IntRange(1, 1000), default=10, help="results")
@option("--html", type=PATH, metavar="FILE", help="write a page with the pictures too")
def search_command(bundle: Path, photo: Path, k: int, html: Path | None) -> int:
    retriever = LocalRetriever.load(bundle)
    answer = retriever.answer(photo, k)
    print(ranked_table(answer.hits))
    if html is not None:
        write_bytes(html, sheet(retriever, answer, f"{photo.name} in {bundle.name}").encode())
        print(f"{html} is written")
    return 0
