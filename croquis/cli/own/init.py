"""Writes a project for a folder of photos or a table of products. Settings are guessed from the files.

    croquis init photos                              a folder; names of folders and files say what is a product
    croquis init photos --table products.csv         a table of the photos in it, with products or categories
    croquis init products.parquet --profile photos   a table beside its photos

The project is a folder of its own with params.yaml and dvc.yaml; the photos stay where they are. In it `croquis repro` ends
with a champion, `croquis doctor` says what would fail, and params.yaml corrects what was guessed. Where neither products nor
categories are known, the queries are altered copies of the photos, and the figures say how surely a photo is found again.
"""

from __future__ import annotations

from pathlib import Path

import click

from croquis.cli.command_line import PATH, command, option
from croquis.projects.planning import ProjectPlan, plan_project
from croquis.projects.profiles import PROFILES
from croquis.projects.project_files import project_params, write_project
from croquis.refusals import RefusedError


def described(plan: ProjectPlan) -> str:
    """What was seen, what follows from it and how to correct it."""
    shape = plan.shape
    domains = " and ".join(name for name in shape.domains if name != "consumer" or not shape.views)
    counts = f"{shape.photos} photos, {shape.items} products, {shape.categories} categories, {domains}"
    right = "a photo of the same product" if shape.protocol == "instance" else "a photo of the same category"
    right = "the photo that an altered copy was made of" if shape.views else right
    lines = [counts, *(f"  {note}" for note in plan.notes)]
    lines.append(f"  a right answer: {right} (base.protocol: {shape.protocol}); chosen by {shape.select_by}")
    if shape.views:
        lines.append(
            "  nothing tells which products are alike, so the queries are altered copies (cut, mirrored, in other colours; "
            "ingest.folder.roles: views): the figures say how surely a photo is found again, not what a customer would like"
        )
    if shape.unanswered > 0:
        share = "under 1%" if shape.unanswered < 0.01 else f"{shape.unanswered:.0%}"
        lines.append(f"  {share} of the query photos have no right answer in the gallery: they will be set aside")
    off = [key.removeprefix("parts.") for key, value in plan.settings.items() if key.startswith("parts.") and not value]
    lines.append(f"  trains {', '.join(plan.settings['retrievers'])}" + (f"; without {', '.join(off)}" if off else ""))
    lines.append("  to correct a guess: ingest.folder in the project's params.yaml (docs/own-photos.md)")
    return "\n".join(lines)


@command(__doc__)
@click.argument("place", type=PATH)
@option(
    "--table", type=PATH, metavar="CSV|TSV|PARQUET", help="table of the photos in PLACE (default: the only one in it)"
)
@option(
    "--to", "target", type=PATH, metavar="PROJECT", help="folder of the project (default: PLACE's name and -search)"
)
@option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="quick",
    help="; ".join(f"{name}: {profile.says}" for name, profile in PROFILES.items()),
)
@option("--yes", is_flag=True, help="replace the params.yaml of a project that is there without asking")
def init_command(place: Path, table: Path | None, target: Path | None, profile: str, yes: bool) -> int:
    plan = plan_project(place, table, profile)
    target = (target or Path(f"{place.resolve().stem}-search")).resolve()
    text = project_params(plan.settings)
    print(described(plan))
    print(f"  profile {profile}: {PROFILES[profile].says}")
    print(f"  about {minutes(text, plan):.0f} min of `croquis repro` on this machine (an estimate)")
    check_target(target, yes)
    write_project(target, text, plan.table)
    print(f"{target} is written; next:\n  cd {target} && croquis repro")
    return 0


def minutes(text: str, plan: ProjectPlan) -> float:
    """The estimate, at least 1."""
    from croquis.params.loader import parse_params, parse_yaml
    from croquis.projects.time_estimate import estimated_minutes

    params = parse_params(parse_yaml(text, "params.yaml"), methods=True)
    return max(1.0, estimated_minutes(params, plan.shape, plan.photos))


def check_target(target: Path, yes: bool) -> None:
    """A folder of something else is refused; a project is replaced when the person says so."""
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / "params.yaml").is_file():
        raise RefusedError(f"{target} holds files and is no project: name another folder by --to")
    if not yes:
        click.confirm(f"{target} is a project: replace its params.yaml and dvc.yaml?", abort=True)
