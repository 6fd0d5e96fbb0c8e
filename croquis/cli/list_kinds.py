"""Lists what there is of a kind, each with a line that says what it is.

croquis list              the kinds
croquis list methods
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click

from croquis.cli.command_line import command
from croquis.refusals import RefusedError

Listed = Iterable[tuple[str, str]]


def kinds() -> dict[str, Callable[[], Listed]]:
    """Kind -> what gives name and one line of each of its entries."""
    return {
        "methods": methods,
        "sources": sources,
        "indexes": indexes,
        "rerankers": rerankers,
        "backbones": backbones,
        "metrics": metrics,
        "rules": rules,
    }


def list_kind(kind: str | None = None) -> int:
    """Prints the entries of a kind, or the kinds.

    Raises:
        RefusedError: when there is no such kind.
    """
    known = kinds()
    if kind is None:
        print("\n".join(known))
        return 0
    if kind not in known:
        near = get_close_matches(kind, known, 1)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise RefusedError(f"{kind!r} is no kind; kinds are {', '.join(known)}{hint}")
    entries = list(known[kind]())
    width = max((len(name) for name, _ in entries), default=0)
    print("\n".join(f"{name:<{width}}  {says}".rstrip() for name, says in entries))
    return 0


def methods() -> Listed:
    from croquis.params.loader import Method

    return ((name, headline(f"lightning_modules.methods.{name}")) for name in get_args(Method))


def sources() -> Listed:
    from croquis.params.data_blocks import Ingest

    for name, field in Ingest.model_fields.items():
        doc = getattr(field.annotation, "__doc__", None)
        if doc is not None and name not in ("source", "shard_rows"):
            yield name, doc.strip().splitlines()[0]


def indexes() -> Listed:
    from croquis.params.search_blocks import Index

    fields = Index.model_fields
    for setting, kept in (("kind", "floats"), ("codes", "codes")):
        for name in get_args(fields[setting].annotation):
            yield f"{setting}: {name}", f"of retrievers that keep {kept}"


def rerankers() -> Listed:
    from croquis.params.search_blocks import Rerank, RerankStep

    for name in get_args(RerankStep):
        field = Rerank.model_fields.get(name)
        yield name, (field.annotation.__doc__ or "").strip() if field and field.annotation else "by shared attributes"


def backbones() -> Listed:
    from croquis.params.training_blocks import BackboneName, TorchvisionName

    known = get_args(TorchvisionName)
    return ((name, "of torchvision" if name in known else "of this project") for name in get_args(BackboneName))


def metrics() -> Listed:
    from croquis.evaluation import metrics as functions
    from croquis.params.loader import AVERAGE_PRECISION

    named = {f"hit@{k}": functions.hit_at_k for k in functions.REPORTED_K}
    averages = dict.fromkeys(AVERAGE_PRECISION.values(), functions.named_average_precision)
    others = {"precision@5": functions.precision_at_k, "mrr": functions.reciprocal_rank}
    return (
        (name, (function.__doc__ or "").partition("\n")[0]) for name, function in (named | others | averages).items()
    )


def rules() -> Listed:
    from croquis.validation.rules import ALL_RULES

    return ((rule.name, f"{rule.severity}: {rule.checks}") for rule in ALL_RULES)


def headline(module: str) -> str:
    """The first line of a module's docstring, without importing it; empty where it is not installed."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    doc = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return (doc or "").partition("\n")[0]


@command(__doc__)
@click.argument("kind", required=False)
def list_command(kind: str | None) -> int:
    return list_kind(kind)
