"""Learned codes against LSH, ITQ, PQ and OPQ at the same bits, on CIFAR-10: `python -m benchmarks.codes.hashing`.

The learned methods are trained as everywhere, exported, and measured from their bundles. The baselines are fitted on the
pooled features of the very net that a method has trained, the input of its code layer; on those of an image2vec net, which
has no code layer; and on those of the net before any training, which hold no label. With `--nets imagenet` the net stays as
ImageNet has taught it and the code layer alone learns, so that all codes are made of the very same features. Baselines may
learn from every image but the queries, without labels. Epochs are picked on val.
Writes reports/benchmarks/hashing-PROTOCOL.json and hashing-PROTOCOL-imagenet.json; with --render, the tables of
docs/methods.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.codes.baselines import BASELINES
from benchmarks.codes.cifar_pick import write_catalogue
from benchmarks.codes.code_settings import EPOCHS, LEARNED, NETS, REFERENCES, cell_settings, code_settings, told_by
from benchmarks.codes.code_tables import codes_table, shared_features_table
from benchmarks.common.benchmark_command import (
    PROJECT,
    BenchmarkError,
    Options,
    Values,
    add_options,
    chosen,
    listed,
    make_values,
    run_command,
)
from benchmarks.common.pretrained import SQUEEZENET, weights_file
from benchmarks.common.real_sets import merged
from benchmarks.common.recorded_results import Results
from benchmarks.common.runner import (
    SPLITS,
    Cell,
    digest,
    open_cell,
    open_data,
    pack,
    prepare_environment,
    run_cells,
    short_summary,
    timed,
)
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.protocol import PAIRS, Protocol, open_gallery
from croquis.evaluation.protocol import PROTOCOLS as ALL_PROTOCOLS
from croquis.nets.encoder import other_comparison
from croquis.registry.gating.gate_inputs import evaluation_settings
from croquis.search.local_retriever import LocalRetriever

PROTOCOLS = ("cifar10_a", "cifar10_c")
FULL_DATABASE = 50_000  # images that the 1,000 results of cifar10_c are taken of


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codes.hashing", description=__doc__)
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared/data", help="folder of the real sets")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS))
    parser.add_argument(
        "--nets", default=",".join(NETS), help="trained, or as ImageNet has taught them (cifar10_c only)"
    )
    parser.add_argument("--bits", default="16,32,64")
    parser.add_argument("--methods", default=",".join(LEARNED))
    parser.add_argument("--baselines", default=",".join(BASELINES))
    parser.add_argument("--scale", type=float, default=1.0, help="part of the pick that is used, proportions kept")
    add_options(parser, seeds="1,2,3")
    run_command(parser, arguments, measure_all)


def measure_all(given: argparse.Namespace, options: Options) -> None:
    learned = chosen(given.methods, LEARNED, "--methods")
    baselines = chosen(given.baselines, tuple(BASELINES), "--baselines")
    prepare_environment(options.scratch)
    nets_asked, protocols = chosen(given.nets, NETS, "--nets"), chosen(given.protocols, PROTOCOLS, "--protocols")
    asked = [(nets, protocol) for nets, protocol in EPOCHS if nets in nets_asked and protocol in protocols]
    if not asked:
        raise BenchmarkError(f"--nets {given.nets} goes with --protocols cifar10_c, not {given.protocols}")
    if any(nets == "imagenet" for nets, _ in asked):
        weights_file(given.shared, SQUEEZENET[1])  # missing ones are told before hours of other cells
    for nets, protocol in asked:
        names = [f"{method}@{int(bits)}" for bits in listed(given.bits) for method in (*REFERENCES[nets], *learned)]
        head = options.head(scale=given.scale)
        results = Results(options.reports / f"{report_name(nets, protocol)}.json", head, options.scratch)
        opened = partial(cell_of, options, nets, protocol, given.shared, given.scale, baselines)
        run_cells(options.seeds, names, results, options.fresh, opened, partial(measure, nets, baselines))
        table = codes_table if nets == "trained" else shared_features_table
        print(table({"settings": head, "cells": results.cells}))


def report_name(nets: str, protocol: str) -> str:
    """`hashing-cifar10_c` for nets that are trained, `hashing-cifar10_c-imagenet` for those that are not."""
    return f"hashing-{protocol}" if nets == "trained" else f"hashing-{protocol}-{nets}"


def cell_of(
    options: Options,
    nets: str,
    protocol: str,
    shared: Path,
    scale: float,
    baselines: Sequence[str],
    name: str,
    seed: int,
) -> Cell:
    """The workspace of METHOD@BITS; the nets without codes have one for all bits, since only their baselines have any."""
    method, bits = method_and_bits(name)
    values = make_values(options, seed, *cell_settings(nets, protocol, method, shared))
    values = merged(values, {method: code_settings(method, bits, values)})
    data = open_data(
        merged(values, {"base": {"seed": 0}}),  # who is in which part does not depend on the seed
        options.scratch,
        lambda folder: write_catalogue(shared, folder, protocol, scale),
        scale=scale,
    )
    cell = open_cell(values, method, data, options.scratch)
    blocks = told_by(nets, protocol, method)
    told = {"cell": cell.key, "bits": bits, "baselines": sorted(baselines), "measured": blocks}
    return replace(cell, name=name, key=digest(told))


def method_and_bits(name: str) -> tuple[str, int]:
    """`dhd@32` -> ("dhd", 32)."""
    method, _, bits = name.partition("@")
    return method, int(bits)


def measure(nets: str, baselines: Sequence[str], cell: Cell) -> Values:
    """The learned codes by both comparisons, the features below them as floats, and every baseline on those features."""
    from benchmarks.codes.feature_codes import Features, baseline_figures, component_figures, load_backbone
    from benchmarks.codes.kept_training import BACKBONE, train_and_keep, val_scores

    seconds = timed(cell, lambda: train_and_keep(cell))
    params, catalog = cell.params, Catalog.open(cell.folder / "data/catalog")
    protocol, blocks = ALL_PROTOCOLS[params.base.protocol], told_by(nets, params.base.protocol, cell.method)
    figures = {"pair": cell.pair, "train_seconds": seconds, "val_score": val_scores(cell), **learned(cell, catalog)}
    if "baselines" not in blocks:
        return figures
    backbone = load_backbone(params, cell.folder / "models" / cell.method / BACKBONE)
    names = average_precisions(catalog, protocol)
    features = Features.of(catalog, protocol, names, backbone, params.base.image_size)
    bits = method_and_bits(cell.name)[1]
    figures["components"] = component_figures(features)
    for block in [name for name in blocks if name.startswith("baselines")]:
        labelled_only = block == "baselines_labelled"
        figures[block] = {
            name: baseline_figures(features, name, bits, params.base.seed, labelled_only) for name in baselines
        }
        print(f"  {block}: {figures[block]}", flush=True)
    return figures


def average_precisions(catalog: Catalog, protocol: Protocol) -> list[str]:
    """The protocol's own; and with a depth, also the one that looks at the same share of this smaller database."""
    own = [protocol.average_precision]
    if protocol.depth is None:
        return own
    size = len(open_gallery(catalog, "test", protocol))
    scaled = f"map@{max(1, round(protocol.depth * size / FULL_DATABASE))}"
    return own if scaled in own else [*own, scaled]


def learned(cell: Cell, catalog: Catalog) -> Values:
    """Figures of the exported bundle: val and test as it searches, and on test each average precision by comparison."""
    retriever = pack(cell)
    pairs = [pair for pair in PAIRS if pair.name == cell.pair]
    settings = evaluation_settings(cell.params)
    results = {split: evaluate_split(retriever, catalog, None, split, settings, pairs=pairs) for split in SPLITS}
    codes: dict[str, dict[str, float]] = {}
    for name in average_precisions(catalog, settings.protocol):
        result = results["test"]
        if name != settings.protocol.average_precision:
            shallow = replace(settings.protocol, depth=int(name.removeprefix("map@")))
            shallow_settings = replace(settings, protocol=shallow)
            result = evaluate_split(retriever, catalog, None, "test", shallow_settings, pairs=pairs)
        for comparison, path in comparisons(retriever).items():
            run = result.run(cell.pair, path)
            if run is not None:
                codes.setdefault(comparison, {})[name] = round(float(run.metrics[name].mean()), 6)
    return {
        "bytes_per_image": retriever.bundle.index.nbytes,
        "comparison": retriever.bundle.index.comparison,
        "splits": {split: short_summary(result, cell.pair) for split, result in results.items()},
        "codes": codes,
    }


def comparisons(retriever: LocalRetriever) -> dict[str, str]:
    """How codes are compared -> the path that the evaluation calls it by; floats have but one."""
    served = retriever.bundle.index.comparison
    if served is None:
        return {"floats": "encoder"}
    other = other_comparison(served)
    return {served: "encoder", other: f"encoder-{other}"}


if __name__ == "__main__":
    main()
