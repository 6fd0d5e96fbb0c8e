"""Stage `evaluate@METHOD`: measures an exported bundle on val and test, and draws what it found.

Writes reports/evaluation/METHOD.json (everything) and METHOD.queries.parquet (per query), reports/metrics/METHOD.json
(the headline), and under reports/plots/ the data of DVC's plots and pictures. Equal inputs give equal bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.metrics import headline_metrics as short_metrics
from croquis.evaluation.metrics import metric_called
from croquis.evaluation.protocol import PROTOCOLS
from croquis.evaluation.results import NO_RERANK, SplitResult, headline
from croquis.figures.curves import category_rows, hit_rows
from croquis.figures.evaluation_pictures import gallery_sheets, overview_pictures
from croquis.files import fresh_folder, write_bytes, write_json
from croquis.params import Params, load_params
from croquis.registry.gating.gate_inputs import evaluation_settings
from croquis.search.local_retriever import LocalRetriever
from croquis.tracking.stage_run import stage_run
from stages import run_stage

SPLITS = ("val", "test")
REPORTED = "test"

Results = Mapping[str, SplitResult]
Summaries = Mapping[str, dict[str, Any]]


def main(method: str, root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    with stage_run("evaluate", method, params=used_params(params), root=root) as run:
        retriever = LocalRetriever.load(root / "models/bundles" / method, threads=params.base.threads)
        results = measure(retriever, params, root)
        summaries = {split: result.summary() for split, result in results.items()}
        head = {
            "method": method,
            "protocol": PROTOCOLS[params.base.protocol].to_json(),
            "bundle": retriever.bundle.hash,
        }
        write_reports(root / "reports", head, results, summaries)
        for name, picture in write_plots(root / "reports/plots", method, retriever, results, summaries, params):
            write_bytes(run.artifacts / name, picture)
        for name, value in headline_metrics(summaries):
            run.metric(name, value)
    print(table(method, summaries))


def used_params(params: Params) -> dict[str, Any]:
    """The params that decide on the numbers; those of the re-ranking come with the bundle."""
    base = {"seed": params.base.seed, "threads": params.base.threads, "protocol": params.base.protocol}
    sketch = {"edges": params.sketch.edges, "size": params.sketch.size}
    return {"base": base, "evaluate": params.evaluate.model_dump(), "sketch": sketch}


def measure(retriever: LocalRetriever, params: Params, root: Path) -> dict[str, SplitResult]:
    """Both splits; sketches are asked where the pipeline made any."""
    settings = evaluation_settings(params)
    catalog, sketches = Catalog.open(root / "data/catalog"), Catalog.open_if_any(root / "data/sketches")
    return {split: evaluate_split(retriever, catalog, sketches, split, settings) for split in SPLITS}


def write_reports(reports: Path, head: Mapping[str, Any], results: Results, summaries: Summaries) -> None:
    """`head` names the method, its bundle and the protocol."""
    method = head["method"]
    write_json(reports / f"evaluation/{method}.json", {"schema_version": 2, **head, "splits": summaries})
    write_json(reports / f"metrics/{method}.json", short_list(summaries))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables([result.table() for result in results.values()]), sink, compression="zstd")
    write_bytes(reports / f"evaluation/{method}.queries.parquet", sink.getvalue().to_pybytes())


def write_plots(
    plots: Path, method: str, retriever: LocalRetriever, results: Results, summaries: Summaries, params: Params
) -> Iterator[tuple[str, bytes]]:
    """Writes DVC's plots of the reported split, and hands every picture on with a file name for the tracker."""
    result, asked = results[REPORTED], params.evaluate
    write_json(plots / f"hit_at_k/{method}.json", hit_rows(result, method))
    write_json(plots / f"per_category/{method}.json", category_rows(result, method))
    with fresh_folder(plots / "gallery" / method) as folder:
        for name, picture in gallery_sheets(method, retriever, result, asked.gallery_queries).items():
            write_bytes(folder / f"{name}.png", picture)
            yield f"gallery/{name}.png", picture
    overview = overview_pictures(method, retriever, result, summaries[REPORTED], asked.projection, params.base.seed)
    for name, picture in overview.items():
        write_bytes(plots / name / f"{method}.png", picture)
        yield f"{name}.png", picture


def short_list(summaries: Summaries) -> dict[str, dict[str, dict[str, float]]]:
    """What `dvc metrics show` has room for: the reported split's runs, and the first pair of the others."""
    short = {}
    for split, summary in summaries.items():
        named = headline(summary)
        kept = named if split == REPORTED else dict(list(named.items())[:1])
        short[split] = {run: {name: found[name] for name in short_metrics(found)} for run, found in kept.items()}
    return short


def headline_metrics(summaries: Summaries) -> Iterator[tuple[str, float]]:
    """`test/consumer->shop/hit@1` and its like, for the tracker."""
    for split, summary in summaries.items():
        for run, found in headline(summary).items():
            for name, value in found.items():
                yield f"{split}/{run}/{name}", value


def table(method: str, summaries: Summaries) -> str:
    """A line per run with the interval of hit@1 and the level of chance."""
    reported = next(iter(summaries.values()))["runs"][0]["metrics"]
    shown = [name for name in reported if metric_called(name).printed]
    lines = [f"{method:<38}{'queries':>8}" + "".join(f"{name:>9}" for name in shown) + "   hit@1 95 %     chance"]
    for split, summary in summaries.items():
        for run in summary["runs"]:
            name = f"{split} {run['pair']} {run['path']}" + (f" +{run['rerank']}" if run["rerank"] != NO_RERANK else "")
            found, first = run["metrics"], run["metrics"]["hit@1"]
            values = "".join(f"{found[metric]['value']:>9.3f}" for metric in shown)
            interval = f"{first['low']:.3f}-{first['high']:.3f}"
            lines.append(f"{name:<38}{run['queries']:>8}{values}   {interval}  {first['chance']:>9.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__, "METHOD"))
