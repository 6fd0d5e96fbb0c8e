"""Makes a search of all photos, without training: a bundle that `croquis search` and `croquis serve` open.

    croquis index photos --to shop.bundle                     a folder
    croquis index products.csv --photos photos --to shop.bundle
    cat products.csv | croquis index - --photos photos --to shop.bundle
    croquis index photos --to shop.bundle --encoder last-level                  where photos are taken by phone
    croquis index photos --to shop.bundle --encoder openclip/ViT-B-32           words find photos by CLIP's text tower too
    croquis index photos --to shop.bundle --encoder models/bundles/siamese      by the nets of a trained bundle
    croquis index data/catalog --to shop.bundle --encoder models/bundles/dhd    a project's shop photos, val and test too
    croquis index data/catalog --to shop.bundle --encoder models/bundles/pretrained --refit

Broken files are left out; they and near copies are listed. A trained bundle gives its encoder, its kind of index (codes
included), its generator and its classifier; with --refit its net is trained and its map fitted once more, on the labels of
all splits. `shop.refit` of a project's params.yaml makes that the default there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from croquis.bundle import Bundle
from croquis.bundle.manifest import LARGEST_SIDE
from croquis.cli.command_line import PATH, Invocation, command, option
from croquis.projects.given_nets import given_nets, usual_encoder, with_draft
from croquis.projects.photo_search import Told, add_photos, index_photos, remove_photos
from croquis.projects.refitting import refitted, wants_refit
from croquis.projects.search_rows import Row, find_photos_at
from croquis.refusals import RefusedError

SHOWN = 5  # files of each kind in a report


def progress(label: str, invocation: Invocation) -> Any:
    """A bar on stderr over rows; none with -q or where stderr is no terminal."""

    def watch(rows: Sequence[Row]) -> Iterable[Row]:
        if invocation.verbosity < 0 or not sys.stderr.isatty():
            yield from rows
            return
        with click.progressbar(rows, label=label, file=sys.stderr, show_pos=True) as bar:
            yield from bar

    return watch


def report(told: Told, folder: Path) -> str:
    """Counts, broken files and near copies."""
    lines = [f"{folder}: {told.photos} photos of {told.products} products"]
    lines += ["  a map fitted on these photos stands behind the net"] if told.mapped else []
    lines += _listed("cannot be read and left out", [f"{name}: {why}" for name, why in told.broken.items()])
    lines += _listed("show the same photo", [f"{a} and {b}" for a, b in told.copies])
    return "\n".join(lines)


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = [f"    ... and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [f"  {len(names)} {what}:", *(f"    {name}" for name in names[:SHOWN]), *more]


@command(__doc__)
@click.argument("place", type=PATH)
@option("--to", "target", type=PATH, required=True, metavar="BUNDLE", help="folder that is written")
@option("--photos", type=PATH, metavar="FOLDER", help="folder of a table's photos (default: the table's folder)")
@option(
    "--encoder",
    metavar="NAME|BUNDLE",
    help="pretrained, last-level (photos by phone), histogram, openclip/NAME[=WEIGHTS] or a bundle (default: pretrained "
    "where it is installed)",
)
@option(
    "--refit/--no-refit", default=None, help="train a project's bundle again, with val and test (default: shop.refit)"
)
@option(
    "--draft",
    type=click.IntRange(0, LARGEST_SIDE),
    metavar="PIXELS",
    help="JPEG draft mode, as prepare.draft: pixels of the longer side that decoding keeps at least, e.g. 256 (default: "
    "the bundle's, or 0, in full)",
)
@click.pass_obj
def index_command(
    invocation: Invocation,
    place: Path,
    target: Path,
    photos: Path | None,
    encoder: str | None,
    refit: bool | None,
    draft: int | None,
) -> int:
    if target.exists() and not (target / "manifest.json").is_file():
        raise RefusedError(f"{target} is there and is no bundle: name another folder by --to")
    found = find_photos_at(place, photos)
    for note in found.notes:
        print(f"  {note}")
    again = wants_refit(refit, place, encoder)
    with tempfile.TemporaryDirectory() as scratch:
        nets = with_draft(given_nets(encoder or usual_encoder(), Path(scratch)), draft)
        nets = refitted(nets, place, Path(scratch)) if again else nets
        told = index_photos(found, nets, target, Path(scratch), progress(f"index by {nets.method}", invocation))
    print(report(told, target))
    if nets.refit is not None:
        done = (
            f"trained for {nets.refit.epochs} epoch{'s' * (nets.refit.epochs > 1)}" if nets.refit.epochs else "fitted"
        )
        print(f"  {done} on the {nets.refit.photos} labelled photos of all splits; figures are those of {encoder}")
    print(f"next:\n  croquis search {target} PHOTO\n  croquis serve {target}")
    return 0


ADD = """Adds photos to a bundle that `croquis index` made; photos of the same image_id are replaced.

    croquis add shop.bundle new-photos
    croquis add shop.bundle new.csv --photos photos
"""


@command(ADD)
@click.argument("bundle", type=PATH)
@click.argument("place", type=PATH)
@option("--photos", type=PATH, metavar="FOLDER", help="folder of a table's photos (default: the table's folder)")
@click.pass_obj
def add_command(invocation: Invocation, bundle: Path, place: Path, photos: Path | None) -> int:
    found = find_photos_at(place, photos)
    with tempfile.TemporaryDirectory() as scratch:
        told = add_photos(Bundle.load(bundle), found, Path(scratch), progress("add", invocation))
    print(report(told, bundle))
    return 0


REMOVE = """Takes products or single photos out of a bundle that `croquis index` made.

    croquis remove shop.bundle SKU-17 photos/old.jpg
"""


@command(REMOVE)
@click.argument("bundle", type=PATH)
@click.argument("names", nargs=-1, required=True, metavar="ITEM|IMAGE...")
def remove_command(bundle: Path, names: tuple[str, ...]) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        told = remove_photos(Bundle.load(bundle), names, Path(scratch))
    print(report(told, bundle))
    return 0
