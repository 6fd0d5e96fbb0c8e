"""What the DeepFashion benchmarks share beside their text files: photos on disk, lists of items, names of photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, read_lines
from croquis.formats.errors import SourceError, refuse


def photo_parts(line: AnnotationLine, name: str, pattern: str) -> tuple[str, ...]:
    """The parts of a photo's path, e.g. five for the pattern `img/GENDER/CATEGORY/ITEM/FILE`.

    Raises:
        SourceError: when the path has another form.
    """
    parts = PurePosixPath(name).parts
    if len(parts) != pattern.count("/") + 1 or parts[0] != "img" or ".." in parts:
        raise line.error(f"holds a path that is not {pattern}")
    return parts


def find_photos(root: Path, folder: str, names: Sequence[str]) -> list[Path]:
    """The files of photos named `img/...`, which lie below `folder` in `root` or in `root/Img`.

    Raises:
        SourceError: when the folder or any photo is not there.
    """
    bases = [base for base in (root / folder, root / "Img" / folder) if base.is_dir()]
    if not bases:
        raise SourceError(f"{root / folder} does not exist; unpack the photos there (also looked in {root / 'Img'})")
    files = [bases[0].joinpath(*PurePosixPath(name).parts[1:]) for name in names]
    missing = [f"{file} does not exist; unpack the archive again" for file in files if not file.is_file()]
    refuse(str(bases[0]), missing)
    return files


def check_items(path: Path, items: Iterable[str]) -> int | None:
    """Checks that the list of items (a count, then one id per line) holds all of `items`; returns its length.

    None where there is no such file.

    Raises:
        SourceError: naming items that the list lacks.
    """
    if not path.is_file():
        return None
    known = {line.fields(1)[0] for line in read_lines(path, header=False)}
    unknown = sorted(set(items) - known)
    refuse(str(path), [f"item {item} of the partition file is not listed" for item in unknown])
    return len(known)


def check_counts(what: str, found: dict[str, int | None], official: dict[str, int]) -> None:
    """Compares what the files hold with the official numbers; a count that is None was not there to be taken.

    Raises:
        SourceError: listing every number that differs.
    """
    wrong = [
        f"{name}: {found[name]}, the official release has {count}"
        for name, count in official.items()
        if found[name] is not None and found[name] != count
    ]
    refuse(f"{what}, although its length is that of the official release,", wrong)
