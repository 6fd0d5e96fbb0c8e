"""Every picture of an evaluation, as PNG bytes by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from croquis.arrays import Uint8Image
from croquis.evaluation.results import NO_RERANK, RunResult, SplitResult
from croquis.figures.curves import category_chart, hit_chart, main_run
from croquis.figures.embedding_map import embedding_map
from croquis.figures.rerank_sheet import rerank_sheet
from croquis.figures.retrieval_sheet import retrieval_sheet
from croquis.figures.tiles import png_bytes
from croquis.search.bundle_nets import Nets
from croquis.search.local_retriever import LocalRetriever

# Which runs get a contact sheet, under which name.
SHEETS = (
    ("consumer", "consumer->shop", "encoder"),
    ("shop", "shop->shop", "encoder"),
    ("sketch-gan", "sketch->shop", "gan"),
    ("sketch-direct", "sketch->shop", "direct"),
    ("sketch-edges", "sketch->shop", "edges"),
)


def gallery_sheets(method: str, retriever: LocalRetriever, result: SplitResult, queries: int) -> dict[str, bytes]:
    """A contact sheet for each domain of queries, and for each path of a sketch; `reranked` explains the re-ranking."""
    sheets: dict[str, bytes] = {}
    for name, pair, path in SHEETS:
        run = result.run(pair, path)
        if run is None:
            continue
        generate = first_painted(retriever.nets) if path == "gan" else None
        title = f"{method}, {result.split}: {pair} ({path})"
        sheets[name] = png_bytes(retrieval_sheet(run, result.gallery, queries, title, generate))
    reranked = first_reranked(result)
    if reranked is not None:
        title = f"{method}, {result.split}: {reranked.name}"
        sheets["reranked"] = png_bytes(rerank_sheet(reranked, result.gallery, queries, title))
    return sheets


def first_painted(nets: Nets) -> Callable[[Sequence[Uint8Image]], list[Uint8Image]]:
    """What the generator paints for each sketch, of several photos the first."""
    return lambda sketches: nets.generate(sketches)[:: nets.samples]


def first_reranked(result: SplitResult) -> RunResult | None:
    """The main pair's run after the bundle's own re-ranking; None where nothing is re-ranked."""
    main = main_run(result)
    same = (run for run in result.runs if (run.pair, run.path) == (main.pair, main.path))
    return next((run for run in same if run.rerank != NO_RERANK), None)


def overview_pictures(
    method: str,
    retriever: LocalRetriever,
    result: SplitResult,
    summary: dict[str, Any],
    projection: Literal["tsne", "pca"],
    seed: int,
) -> dict[str, bytes]:
    """`curves` (hit@k of every run), `categories` (bars with intervals) and `projection` (t-SNE or PCA).

    Args:
        summary: `result.summary()`.
        seed: of the projection.
    """
    main = main_run(result)
    title = f"{method}, {result.split}"
    return {
        "curves": hit_chart(result, method),
        "categories": category_chart(summary["runs"][result.runs.index(main)], method, result.split),
        "projection": embedding_map(main, result.gallery, retriever.encode_photos, title, projection, seed),
    }
