"""Which code a stage runs, and a hash of it that comments and docstrings do not change.

The stage `code` writes these hashes, and every other stage of dvc.yaml depends on its own: a change of code runs the stages
that execute it again, and no others. `code` itself depends on the folders whole, so that every change is detected.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from croquis.files import read_json

CODE = Path("data/code")
PACKAGES = ("croquis", "lightning_modules", "stages")
OURS = tuple((name,) for name in PACKAGES)
# The public face only names what it can load, what reads params.yaml refuses or passes on values, and what writes to MLflow
# copies the outputs: none of it changes an output.
NOT_FOLLOWED = frozenset(
    {
        "croquis.__init__",
        "croquis.credentials",
        "croquis.params.__init__",
        "croquis.params.loader",
        "croquis.tracking.git",
        "croquis.tracking.mlflow_mirror",
        "croquis.tracking.mlflow_view",
        "croquis.tracking.restore",
        "croquis.tracking.stage_key",
        "croquis.tracking.tracking_store",
    }
)


def code_root(root: Path) -> Path:
    """The folder that holds `PACKAGES`: the project itself, or, of a project without code, where they are installed."""
    return root if (root / PACKAGES[0]).is_dir() else Path(__file__).resolve().parents[2]


def method_facts(root: Path) -> dict[str, dict[str, bool]]:
    """Method -> what `stages.code` found of it: `learns`, `learns_from_drawings`; read without importing torch."""
    facts: dict[str, dict[str, bool]] = read_json(root / CODE / "methods.json")
    return facts


def code_files(modules: Iterable[str], root: Path, not_followed: frozenset[str] = NOT_FOLLOWED) -> list[Path]:
    """Files that run when the modules are run: themselves, what they import, and so on, imports in functions included.

    A module of another package counts as well, without what it imports. Files beside the modules that are no Python, such as
    style sheets, belong to them.

    Args:
        modules: dotted names.
        root: folder that holds `PACKAGES`.
        not_followed: dotted names of modules that do not count.

    Returns:
        Paths, relative to `root` where they are below it, sorted.
    """
    found: set[Path] = set()
    waiting = [path for name in modules if (path := module_file(name, root)) is not None]
    while waiting:
        path = waiting.pop()
        if path in found or dotted(path, root) in not_followed:
            continue
        found.add(path)
        if _is_ours(path, root):
            beside = (each for each in path.parent.iterdir() if each.is_file() and each.suffix not in (".py", ".pyc"))
            found |= set(beside) if path.name != "__init__.py" else set()
            waiting += [*_imported(path, root), *_parents(path, root)]
    return sorted(path.relative_to(root) if _is_ours(path, root) else path for path in found)


def module_file(name: str, root: Path) -> Path | None:
    """The file of a module of ours or of another package; None when it is no file, e.g. a name within a module."""
    if name.partition(".")[0] in PACKAGES:
        path = root.joinpath(*name.split("."))
        return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec and spec.origin else None


def dotted(path: Path, root: Path) -> str:
    """`croquis/params/__init__.py` -> `croquis.params.__init__`; other packages' files keep their path."""
    return ".".join(path.relative_to(root).with_suffix("").parts) if _is_ours(path, root) else str(path)


def code_hash(files: Iterable[Path], root: Path) -> dict[str, str]:
    """SHA-256 of each file by its path; of Python files without comments, docstrings and blank lines."""
    return {_shown(path, root): _file_hash(root / path) for path in files}


def bare(source: str, tree: ast.Module | None = None) -> str:
    """Python source without comments, docstrings and blank lines: what can change what it does.

    Lines within strings stay as they are. Nothing of ours reads a docstring to write an output.

    Args:
        tree: the source, parsed, where that is at hand.

    >>> bare('x = 1  # one\\n')
    'x = 1'
    """
    lines: list[str | None] = list(source.splitlines())
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row, column = token.start
        kept = lines[row - 1] if row <= len(lines) else None
        if token.type == tokenize.COMMENT and kept is not None:
            lines[row - 1] = kept[:column].rstrip() or None
        elif token.type == tokenize.NL and kept is not None and not kept.strip():
            lines[row - 1] = None
    for start, end in _docstrings(source, tree or ast.parse(source)):
        lines[start - 1 : end] = [None] * (end - start + 1)
    return "\n".join(line for line in lines if line is not None)


def _docstrings(source: str, tree: ast.Module) -> Iterator[tuple[int, int]]:
    """First and last line of each string that stands alone as a statement, with nothing else on its lines."""
    lines = source.splitlines()
    for node in _statements(tree):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        first, last = node.lineno, node.end_lineno or node.lineno
        around = lines[first - 1].encode()[: node.col_offset] + lines[last - 1].encode()[node.end_col_offset or 0 :]
        if isinstance(node.value.value, str) and not around.partition(b"#")[0].strip():
            yield first, last


def _file_hash(path: Path) -> str:
    if path.suffix == ".py":
        return _read(path.read_text(encoding="utf-8"))[0]
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache  # most files belong to several stages
def _read(source: str) -> tuple[str, frozenset[str]]:
    """The hash of a Python file, and the dotted names that it imports: it is parsed once for both."""
    tree = ast.parse(source)
    return hashlib.sha256(bare(source, tree).encode()).hexdigest(), frozenset(_names(tree))


def _shown(path: Path, root: Path) -> str:
    """A path of ours as it is, one of another package as its last two parts: where it is installed says nothing."""
    return path.as_posix() if (root / path).is_relative_to(root) else "/".join(path.parts[-2:])


def _is_ours(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) and path.relative_to(root).parts[:1] in OURS


def _imported(path: Path, root: Path) -> Iterator[Path]:
    for name in _read(path.read_text(encoding="utf-8"))[1]:
        found = module_file(name, root) if name.partition(".")[0] in PACKAGES else None
        if found is not None:
            yield found


def _names(tree: ast.Module) -> Iterator[str]:
    """Dotted names that are imported; those under `if TYPE_CHECKING` do not run and do not count."""
    for node in _statements(tree, run=True):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST, run: bool = False) -> Iterator[ast.AST]:
    """All statements, nested ones included, without a look into expressions.

    Args:
        run: without those under `if TYPE_CHECKING`.
    """
    for block in ("body", "handlers", "cases", "orelse", "finalbody"):
        for node in getattr(tree, block, ()):
            if not (run and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
                yield node
                yield from _statements(node, run)


def _parents(path: Path, root: Path) -> Iterator[Path]:
    for folder in path.parents:
        if not _is_ours(folder, root):
            return
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
