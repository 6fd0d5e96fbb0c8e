"""Commands `registry rebuild | lineage | card`: a version made again, where it comes from, what it was measured to do."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from croquis.cli.command_line import PATH, Invocation, command, option
from croquis.cli.commands.registry_commands import project_registry
from croquis.registry.lineage import Lineage, made_from
from croquis.registry.model_card import CARD_FILE
from croquis.registry.rebuild import ALL, MODELS, rebuild_version
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry, RegistryError

IDENTICAL, DIFFERENT = 0, 2


def lineage_text(version: RegisteredVersion) -> str:
    """What a version was made of: bundle, commit, dvc.lock, data, and the stages behind it."""
    lineage = Lineage.of(version.tags)
    dirty = "  with files that differed from it" if lineage.dirty else ""
    lines = [
        str(version),
        f"  bundle       {version.bundle_hash}",
        f"  commit       {lineage.commit or 'unknown'}{dirty}",
        f"  dvc.lock     {lineage.lock_hash or 'unknown'}",
        f"  data         {lineage.data_hash or 'unknown'}",
        f"  environment  {lineage.environment or 'unknown'}",
        f"  pipeline run {version.run_id or 'unknown'} (params.yaml, dvc.lock, pipeline.txt, environment.json)",
        *(f"  {name:<28} run {lineage.stage_runs.get(name, 'unknown'):<32} key {key[:12]}"
          for name, key in lineage.stage_keys.items()),
    ]  # fmt: skip
    return "\n".join([*lines, *([f"  lacks {', '.join(lineage.missing)}"] if lineage.missing else [])])


def made_from_text(registry: Registry, name: str) -> str:
    """The versions that came from something, a line each.

    Args:
        name: a commit, hash, stage key or run, or its first 7 characters or more.

    Raises:
        RegistryError: when there is none, or the name is shorter.
    """
    try:
        found = made_from(registry.versions(), name)
    except ValueError as error:
        raise RegistryError(str(error)) from error
    if not found:
        raise RegistryError(f"no version of {registry.model} came from {name!r}")
    return "\n".join(str(version) for version in found)


def card_text(registry: Registry, version: RegisteredVersion) -> str:
    """The whole card, from the version's pipeline run."""
    with TemporaryDirectory() as folder:
        return registry.run_file(version, CARD_FILE, Path(folder)).read_text(encoding="utf-8")


@command("""Makes the bundle of a registered version again, in a git worktree, and compares it byte for byte.

    croquis registry rebuild fashion-retriever@champion              from DVC's cache or remote, else by computing
    croquis registry rebuild fashion-retriever/3 --compute models    trains and packs again, on the restored data
    croquis registry rebuild fashion-retriever/3 --compute all       the whole way from the source

The worktree stands at the version's commit, with the dvc.lock and params.yaml that the version was made by, and reads your
own files from this working tree's data/source, as they are now. Nothing of this working tree or of the registry changes;
DVC's cache gains only what is pulled. Exit code 0: byte-identical, 2: something differs, 1: refused.""")
@click.argument("name", metavar="MODEL@ALIAS")
@option("--compute", type=click.Choice([MODELS, ALL]), help="compute what DVC could restore: nets, or everything")
@option("--keep", type=PATH, metavar="FOLDER", help="keep the worktree in FOLDER")
@click.pass_obj
def rebuild_command(invocation: Invocation, name: str, compute: str | None, keep: Path | None) -> int:
    registry = project_registry(invocation.project)
    rebuilt = rebuild_version(registry, registry.named(name), invocation.project, compute, keep)
    print(rebuilt)
    return DIFFERENT if rebuilt.differences else IDENTICAL


@command("""Where a version comes from, or which versions came from something.

    croquis registry lineage fashion-retriever@champion    commit, dvc.lock, data, params, stage runs, environment
    croquis registry lineage 00e6450                       versions of a commit; so too by run id, stage key or any hash

NAME is MODEL@ALIAS, MODEL/NUMBER, or the beginning of a commit, run id, key or hash.""")
@click.argument("name")
@click.pass_obj
def lineage_command(invocation: Invocation, name: str) -> int:
    registry = project_registry(invocation.project)
    print(lineage_text(registry.named(name)) if "@" in name or "/" in name else made_from_text(registry, name))
    return 0


@command("""Prints the model card of a version: what it is, what it was measured to do, and where it comes from.

    croquis registry card                        the champion's
    croquis registry card fashion-retriever/3

It is Markdown.""")
@click.argument("name", required=False, metavar="[MODEL@ALIAS]")
@click.pass_obj
def card_command(invocation: Invocation, name: str | None) -> int:
    registry = project_registry(invocation.project)
    print(card_text(registry, registry.named(name or f"{registry.model}@{CHAMPION}")), end="")
    return 0
