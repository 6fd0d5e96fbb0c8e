"""Search a fashion catalogue by photo or by sketch, and measure how good the search is.

    from croquis import Catalog, Retriever, evaluate

    retriever = Retriever.load("models/bundles/siamese")  # or models:/NAME@ALIAS, or http://HOST:PORT
    hits = retriever.search("photo.jpg", k=10)
    print(evaluate(retriever, Catalog.open("data/catalog")))

Importing the package imports nothing else: each name is looked up when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from croquis.catalog.table import Catalog
    from croquis.evaluation.evaluate_retriever import evaluate
    from croquis.retriever import Retriever

    __version__: str

__all__ = ["Catalog", "Retriever", "__version__", "evaluate"]

_MODULES = {
    "Catalog": "croquis.catalog.table",
    "Retriever": "croquis.retriever",
    "evaluate": "croquis.evaluation.evaluate_retriever",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'croquis' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """Of the installed package; of pyproject.toml in a checkout that is not installed; else `unknown`."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    try:
        return version("croquis")
    except PackageNotFoundError:
        checkout = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(checkout.read_text())["project"]["version"]) if checkout.is_file() else "unknown"
