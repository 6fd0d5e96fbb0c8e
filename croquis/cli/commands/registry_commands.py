"""Commands `registry status | promote | rollback | delete`: look at, carry out or take back a change of champion."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from croquis.bundle import Bundle
from croquis.cli.command_line import Invocation, command, option
from croquis.params import load_params
from croquis.registry import promotion
from croquis.registry.gating.verdict import AGAINST, PROMOTE, REASONS
from croquis.registry.promotion import AliasChange, plan_promotion, plan_rollback
from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion, Registry, RegistryError
from croquis.tracking.tracking_store import open_store

VERSION = option("--version", "number", type=int, metavar="N", help="a version; by default the challenger")


def project_registry(root: Path) -> Registry:
    """The registered model that params.yaml names, in the project's tracking store."""
    return Registry(open_store(root), load_params(root / "params.yaml").register_.model_name)


def apply(registry: Registry, number: int | None = None, force: bool = False) -> AliasChange:
    """Promotes once the gate's verdict, unless `force`, and a first query allow it.

    Raises:
        RegistryError: when the gate refused the version, judged it against another champion, or the champion changes
            meanwhile.
        SmokeError: when it does not load or answers wrongly; see `_check` for more.
    """
    change = plan_promotion(registry, number)
    obstacle = gate_obstacle(change)
    if obstacle and not force:
        raise RegistryError(f"{obstacle}, or use --force")
    _check(registry, change.champion)
    return promotion.promote(registry, change.champion.number, change)


def gate_obstacle(change: AliasChange) -> str | None:
    """Why the gate's verdict, as `register` left it on the version, does not allow a change; None if it does."""
    candidate, tags = change.champion, change.champion.tags
    if PROMOTE not in tags:
        return f"{candidate} has not been judged; run `dvc repro -f register` with its bundle in place"
    if tags[PROMOTE] != "true":
        return f"the gate refused {candidate}:\n{tags.get(REASONS, '')}\ntrain a better one"
    against = change.previous.bundle_hash if change.previous else ""
    if tags.get(AGAINST, "") != against:
        return (
            f"{candidate} was judged against bundle {tags.get(AGAINST, '')[:12] or 'none'}, "
            f"but the champion is now {change.previous or 'none'}; run `dvc repro -f register` with its bundle in place"
        )
    return None


def status_text(registry: Registry, number: int | None = None) -> str:
    """The aliases, and what `promote` and `rollback` would do."""
    held = [f"  {alias:<10} {registry.holder(alias) or 'none'}" for alias in (CHAMPION, CHALLENGER, PREVIOUS)]
    lines = [f"{registry.model} in {registry.store.shown}", *held]
    try:
        change = plan_promotion(registry, number)
        obstacle = gate_obstacle(change)
        lines += [
            f"promote would change {change}",
            *_indented(change.champion.tags.get(REASONS, "not judged yet")),
        ]
        lines += [f"promote would be refused: {obstacle}"] if obstacle else []
    except RegistryError as error:
        lines.append(f"promote would be refused: {error}")
    try:
        lines.append(f"rollback would change {plan_rollback(registry)}")
    except RegistryError as error:
        lines.append(f"rollback would be refused: {error}")
    return "\n".join(lines)


def changed_text(change: AliasChange, registry: Registry) -> str:
    """What changed, how running servers follow, and how to take it back."""
    return (
        f"{change}\n"
        "servers with --watch follow by themselves, others at POST /admin/reload or when they are started again\n"
        f"to take it back: croquis registry rollback\nmodel: models:/{registry.model}@{CHAMPION}"
    )


def _check(registry: Registry, version: RegisteredVersion) -> None:
    """The new champion has the registered files, loads and answers; a copy of it is queried.

    Raises:
        RegistryError, BundleError: when files are lost or are others than those that were registered.
        SmokeError: when it does not load or answers wrongly.
    """
    from croquis.serving.mlflow_model.smoke import smoke_load

    with TemporaryDirectory() as folder:
        model, bundle = registry.copied_model(version, Path(folder))
        smoke_load(str(model), Bundle.load(bundle), str(version))


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


@command("""Shows champion, challenger and previous champion, the gate's verdict, and what promote and rollback would change.

Nothing is changed.""")
@VERSION
@click.pass_obj
def status_command(invocation: Invocation, number: int | None) -> int:
    print(status_text(project_registry(invocation.project), number))
    return 0


@command("""Makes the challenger, or --version, the champion.

    croquis registry promote --dry-run
    croquis registry promote --version 3

The gate's verdict must allow it, and the model must load and answer a query.""")
@VERSION
@option("--force", is_flag=True, help="promote even though the gate refused it")
@option("--dry-run", is_flag=True, help="only show what would change, as `registry status` does")
@click.pass_obj
def promote_command(invocation: Invocation, number: int | None, force: bool, dry_run: bool) -> int:
    registry = project_registry(invocation.project)
    print(status_text(registry, number) if dry_run else changed_text(apply(registry, number, force), registry))
    return 0


@command("""Exchanges champion and previous champion, once the latter answers a query.""")
@click.pass_obj
def rollback_command(invocation: Invocation) -> int:
    registry = project_registry(invocation.project)
    change = plan_rollback(registry)
    _check(registry, change.champion)
    print(changed_text(promotion.rollback(registry, change), registry))
    return 0


@command("""Deletes version N, which must be neither champion nor previous champion.""")
@click.argument("number", metavar="N", type=int)
@click.pass_obj
def delete_command(invocation: Invocation, number: int) -> int:
    registry = project_registry(invocation.project)
    promotion.delete(registry, number)
    print(f"version {number} of {registry.model} is deleted; `dvc repro` of its commit makes it again")
    return 0
