"""Command `promote`: look at, carry out or take back a change of champion; delete what nobody needs.

python -m croquis.cli.promote --dry-run               what would change, and the gate's verdict
python -m croquis.cli.promote --apply                 the challenger becomes champion
python -m croquis.cli.promote --apply --version 3     that version becomes champion
python -m croquis.cli.promote --rollback              champion and previous champion change places
python -m croquis.cli.promote --delete 2              removes a version that is neither
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from croquis.bundle import Bundle, BundleError
from croquis.params import ParamsError, load_params
from croquis.registry.promotion import AliasChange, delete, plan_promotion, plan_rollback, promote, rollback
from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion, Registry, RegistryError
from croquis.tracking.environment import project_root, quiet
from croquis.tracking.tracking_store import TrackingError, open_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when done, 1 when refused; the reason and the fix go to stderr."""
    quiet()
    asked = _parser().parse_args(arguments)
    if asked.version is not None and asked.delete is not None:
        return _refuse("--delete names its version itself: leave --version out")
    if asked.version is not None and asked.rollback:
        return _refuse("--rollback goes to the previous champion; to go to another version use --apply --version")
    from croquis.serving.mlflow_model.smoke import SmokeError

    try:
        root = project_root()
        params = load_params(root / "params.yaml")
        registry = Registry(open_store(root), params.register_.model_name)
        print(_carry_out(asked, registry))
    except (RegistryError, TrackingError, ParamsError, BundleError, SmokeError) as error:
        return _refuse(str(error))
    return 0


def _carry_out(asked: argparse.Namespace, registry: Registry) -> str:
    if asked.dry_run:
        return dry_run(registry, asked.version)
    if asked.delete is not None:
        delete(registry, asked.delete)
        return f"version {asked.delete} of {registry.model} is deleted; `dvc repro` of its commit makes it again"
    if asked.rollback:
        _smoke(registry, plan_rollback(registry).champion)
        return _done(rollback(registry), registry)
    return _done(apply(registry, asked.version, asked.force), registry)


def apply(registry: Registry, number: int | None = None, force: bool = False) -> AliasChange:
    """Promotes version `number`, by default the challenger, once the gate's verdict and a first query allow it.

    Raises:
        RegistryError: when the gate refused the version, judged it against another champion, or the champion changes
            meanwhile.
        SmokeError: when it does not load or answers wrongly.
    """
    change = plan_promotion(registry, number)
    obstacle = gate_obstacle(change)
    if obstacle and not force:
        raise RegistryError(f"{obstacle}, or use --force")
    _smoke(registry, change.champion)
    return promote(registry, change.champion.number, change)


def gate_obstacle(change: AliasChange) -> str | None:
    """Why the gate's verdict, as `register` left it on the version, does not allow a change; None if it does."""
    candidate, tags = change.champion, change.champion.tags
    if "gate.promote" not in tags:
        return f"{candidate} has not been judged; run `dvc repro -f register` with its bundle in place"
    if tags["gate.promote"] != "true":
        return f"the gate refused {candidate}:\n{tags.get('gate.reasons', '')}\ntrain a better one"
    against = change.previous.bundle_hash if change.previous else ""
    if tags.get("gate.against", "") != against:
        return (
            f"{candidate} was judged against bundle {tags.get('gate.against', '')[:12] or 'none'}, "
            f"but the champion is now {change.previous or 'nobody'}; run `dvc repro -f register` with its bundle in place"
        )
    return None


def dry_run(registry: Registry, number: int | None = None) -> str:
    """The aliases, and what --apply and --rollback would do; changes nothing."""
    held = [f"  {alias:<10} {registry.holder(alias) or 'none'}" for alias in (CHAMPION, CHALLENGER, PREVIOUS)]
    lines = [f"{registry.model} in {registry.store.uri}", *held]
    try:
        change = plan_promotion(registry, number)
        obstacle = gate_obstacle(change)
        lines += [
            f"--apply would change {change}",
            *_indented(change.champion.tags.get("gate.reasons", "not judged yet")),
        ]
        lines += [f"--apply would be refused: {obstacle}"] if obstacle else []
    except RegistryError as error:
        lines.append(f"--apply would be refused: {error}")
    try:
        lines.append(f"--rollback would change {plan_rollback(registry)}")
    except RegistryError as error:
        lines.append(f"--rollback would be refused: {error}")
    return "\n".join(lines)


def _smoke(registry: Registry, version: RegisteredVersion) -> None:
    from croquis.serving.mlflow_model.smoke import smoke_load

    bundle = Bundle.load(registry.bundle_folder(version.number))
    with registry.store.here():
        smoke_load(f"models:/{registry.model}/{version.number}", bundle)


def _done(change: AliasChange, registry: Registry) -> str:
    return (
        f"{change}\nrunning servers keep the version they started with: restart them (make serve)\n"
        f"to take it back: python -m croquis.cli.promote --rollback\nmodel: models:/{registry.model}@{CHAMPION}"
    )


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _refuse(reason: str) -> int:
    print(f"refused: {reason}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m croquis.cli.promote", description="Change the champion.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
    what.add_argument("--apply", action="store_true", help="make the challenger, or --version, the champion")
    what.add_argument("--rollback", action="store_true", help="exchange champion and previous champion")
    what.add_argument("--delete", type=int, metavar="N", help="delete a version that is neither champion nor previous")
    parser.add_argument("--version", type=int, metavar="N", help="a version of the registered model")
    parser.add_argument("--force", action="store_true", help="apply although the gate says no")
    return parser


if __name__ == "__main__":
    sys.exit(main())
