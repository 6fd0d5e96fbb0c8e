"""Searches a bundle by photos, by words, or by both, and prints a ranked table of products.

croquis search shop.bundle photo.jpg
croquis search shop.bundle front.jpg back.jpg           several photos of one product
croquis search shop.bundle --text "red dress"           words of titles, brands, categories, ...
croquis search shop.bundle photo.jpg --text red         both rankings, fused as in the API (docs/serving.md)
croquis search shop.bundle photo.jpg --filters '{"product": {"price": {"max": 50}}}'
croquis search shop.bundle photo.jpg --k 20 --html result.html      a page with the pictures
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import click

from croquis.catalog.images import encode_jpeg
from croquis.catalog.product import MOST_PICTURES
from croquis.catalog.product_columns import Value
from croquis.cli.command_line import PATH, command, option
from croquis.files import write_bytes
from croquis.refusals import RefusedError
from croquis.search.answer import Answer, Hit
from croquis.search.grouping import AnswerForm
from croquis.search.local_retriever import LocalRetriever
from croquis.search.pictures import Picture, open_picture
from croquis.search.query import COMBINATIONS, GROUPS, MOST_PER_ITEM, Combine, GroupBy
from croquis.search.shown_columns import shown_columns

WIDEST = 40  # characters of a title in the table
WEB = ("http://", "https://")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;margin:2em}}ol{{display:flex;flex-wrap:wrap;gap:1em;list-style:none;padding:0}}
li{{width:160px;font-size:13px;overflow-wrap:anywhere}}img{{width:160px;height:160px;object-fit:contain}}</style></head>
<body><h1>{title}</h1><p>{queries}</p><ol>
{hits}
</ol></body></html>
"""


def ranked_table(hits: Sequence[Hit]) -> str:
    """Rank, score, product, category, title and price where a hit has them, and photo of each hit, in columns."""
    shown = [shown_columns(hit.product) for hit in hits]
    own = [name for name in ("title", "price") if any(name in each for each in shown)]
    cells = [("rank", "score", "item", "category", *own, "image")]
    for hit, columns in zip(hits, shown, strict=True):
        words = [_words(columns.get(name, ""))[:WIDEST] for name in own]
        cells.append((str(hit.rank), f"{hit.score:.3f}", hit.item_id, hit.category, *words, hit.image_id))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def sheet(retriever: LocalRetriever, answer: Answer, photos: Sequence[Path], text: str | None) -> str:
    """A page that needs no other file: the query and the hits with their thumbnails, titles, prices and links."""
    items = retriever.bundle.items
    seen = "".join(f'<img alt="the query" src="{_inline(_jpeg(each))}">' for each in photos)
    asked = ", ".join([*(photo.name for photo in photos[:1]), *([] if text is None else [text])])
    title = f"{asked} in {retriever.bundle.folder.name}"
    hits = "\n".join(_card(hit, items.thumbnail(items.row(hit.image_id))) for hit in answer.hits)
    return PAGE.format(title=escape(title), queries=seen, hits=hits)


def _card(hit: Hit, thumbnail: bytes) -> str:
    own = shown_columns(hit.product)
    name = escape(_words(own.get("title", hit.item_id)))
    link = _words(own.get("link", ""))
    if link.startswith(WEB):
        name = f'<a href="{escape(link)}" rel="noopener noreferrer">{name}</a>'
    more = [own.get("price"), own.get("brand"), hit.item_id if "title" in own else None, hit.category]
    told = " · ".join(escape(_words(each)) for each in more if each is not None)
    picture = f'<img alt="{escape(hit.image_id)}" src="{_inline(thumbnail)}">'
    return f"<li>{picture}<br>{hit.rank}. <b>{name}</b><br>{told}<br>{hit.score:.3f}</li>"


def _words(value: Value) -> str:
    """On one line; `49.50` for a number with a fraction."""
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.0f}" if value.is_integer() else f"{value:.2f}"
    return " ".join(str(value).split())


def _jpeg(picture: Picture) -> bytes:
    return encode_jpeg(open_picture(picture))


def _inline(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def read_filters(text: str | None) -> dict[str, Any] | None:
    """The JSON object of `--filters`.

    Raises:
        RefusedError: when it is no JSON; what is in it the search checks.
    """
    if text is None:
        return None
    try:
        filters: dict[str, Any] = json.loads(text)
    except ValueError as error:
        example = '\'{"category": "bag", "product": {"price": {"max": 50}}}\''
        raise RefusedError(f"--filters is not JSON ({error}): write e.g. {example}") from error
    return filters


@command(__doc__)
@click.argument("bundle", type=PATH)
@click.argument("photos", type=PATH, nargs=-1, metavar="[PHOTO]...")
@option("--text", metavar="WORDS", help="words that are searched too, or alone")
@option("--k", type=click.IntRange(1, 1000), default=10, help="results")
@option("--group-by", type=click.Choice(GROUPS), default="item", help="products, or single photos")
@option("--max-per-item", type=click.IntRange(1, MOST_PER_ITEM), default=1, help="photos of each product")
@option(
    "--combine", type=click.Choice(COMBINATIONS), default="max", help="of several photos, the best score or the mean"
)
@option("--filters", metavar="JSON", help="as in the API, see docs/serving.md")
@option("--html", type=PATH, metavar="FILE", help="write a page with the pictures too")
def search_command(
    bundle: Path,
    photos: tuple[Path, ...],
    text: str | None,
    k: int,
    group_by: GroupBy,
    max_per_item: int,
    combine: Combine,
    filters: str | None,
    html: Path | None,
) -> int:
    asked = read_filters(filters)
    if len(photos) > MOST_PICTURES:
        raise RefusedError(f"{len(photos)} photos are too many, a query has at most {MOST_PICTURES} of one product")
    if not photos and text is None:
        raise RefusedError('nothing to search for: name a photo, or give words, e.g. --text "red dress"')
    form = AnswerForm(group_by, max_per_item, combine)
    retriever = LocalRetriever.load(bundle)
    answer = retriever.answer(list(photos) or None, k, filters=asked, form=form, text=text)
    none = "nothing passes the filters" if photos else "no product that passes the filters has one of the words"
    print(ranked_table(answer.hits) if answer.hits else none)
    if html is not None:
        write_bytes(html, sheet(retriever, answer, photos, text).encode())
        print(f"{html} is written")
    return 0
