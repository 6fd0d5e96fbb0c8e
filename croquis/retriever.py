"""`Retriever`: what answers photos and sketches with ranked products, and `Retriever.load`, which opens it from anywhere.

    >>> from croquis import Retriever
    >>> retriever = Retriever.load("models/bundles/siamese")
    >>> [hit.rank for hit in retriever.search("photo.jpg", k=3)]
    [1, 2, 3]
    >>> retriever.embed(["photo.jpg"]).dtype
    dtype('float32')

`croquis.search.local_retriever.LocalRetriever` answers in this process, `croquis.serving.remote_retriever.RemoteRetriever`
asks a server. The former fits `Retriever` by its methods and does not import it, so that the runtime is independent of
registries and servers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol, runtime_checkable

from croquis.refusals import hint_of
from croquis.search.interface import RetrieverError, Searches

__all__ = ["Retriever", "RetrieverError"]

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)")  # one letter before the colon is a drive of Windows
SCHEMES = ("models", "http", "https")
SOURCES = "a source is a bundle folder, models:/NAME@ALIAS, models:/NAME/VERSION, http://HOST:PORT or https://HOST"


@runtime_checkable
class Retriever(Searches, Protocol):
    """What answers photos and sketches with ranked products; may be used by several threads at once."""

    @classmethod
    def load(cls, source: str | Path, threads: int = 1) -> Retriever:
        """Opens a retriever.

        Args:
            source: a bundle folder, which is verified; `models:/NAME@ALIAS` or `models:/NAME/VERSION`, whose bundle MLflow
                keeps (MLFLOW_TRACKING_URI, or the project in the current folder); `http://HOST:PORT` or `https://HOST` of a
                search server (an API key is taken from CROQUIS_API_KEY).
            threads: threads of ONNX Runtime and FAISS for one query; a server has its own setting.

        Raises:
            RetrieverError: when the source is misspelt, not there or does not answer, or a package is missing.
            BundleError: when a file of the bundle is missing, changed or unexpected.
        """
        text = str(source)
        scheme = _scheme(text)
        if scheme is None:
            return _open_folder(Path(source), threads)
        if scheme == "models":
            return _open_folder(_registered(text), threads)
        return _open_server(text)


def _scheme(source: str) -> str | None:
    """What stands before `:/`; None for a folder.

    Raises:
        RetrieverError: when it is none of `SCHEMES`.
    """
    found = SCHEME.match(source)
    if found is None:
        misspelt = re.match(r"(models|https?):", source)
        if misspelt is None:
            return None
        raise RetrieverError(f"{source!r} lacks a slash after the colon: {SOURCES}")
    scheme = found[1]
    if scheme not in SCHEMES:
        hint = hint_of(scheme.lower(), SCHEMES)
        raise RetrieverError(f"{source!r} begins with {scheme}:, which is not known{hint or ';'} {SOURCES}")
    return scheme


def _open_folder(folder: Path, threads: int) -> Retriever:
    from croquis.bundle.manifest import MANIFEST_FILE  # a client of a server imports neither FAISS nor ONNX Runtime
    from croquis.search.local_retriever import LocalRetriever

    if not (folder / MANIFEST_FILE).is_file():
        state = f"holds no bundle (no {MANIFEST_FILE})" if folder.is_dir() else "does not exist"
        raise RetrieverError(f"the folder {folder} {state}; {_bundles_near(folder, MANIFEST_FILE)}")
    return LocalRetriever.load(folder, threads)


def _bundles_near(folder: Path, manifest: str) -> str:
    """The bundles inside a folder, or else beside it, for an error."""
    inside, beside = (sorted(file.parent for file in place.glob(f"*/{manifest}")) for place in (folder, folder.parent))
    bundles = inside or beside
    if not bundles:
        return "`croquis repro` builds bundles in models/bundles"
    hint = hint_of(folder.name, [bundle.name for bundle in bundles])
    return f"bundles {'in it' if inside else 'beside it'}: {', '.join(map(str, bundles))}{hint}"


def _registered(uri: str) -> Path:
    """The folder of a registered bundle, pulled where the registry is on another machine."""
    try:
        import mlflow  # noqa: F401  the store would take a missing package for a store that cannot be used

        from croquis.registry.bundle_options import ModelSourceError
        from croquis.serving.models.registry_source import RegistrySource

        try:
            return RegistrySource.open(uri).bundle_folder()
        except ModelSourceError as error:
            raise RetrieverError(str(error)) from error
    except ModuleNotFoundError as error:
        raise _missing(uri, error, "registry") from error


def _open_server(url: str) -> Retriever:
    try:
        from croquis.serving.remote_retriever import RemoteRetriever
    except ModuleNotFoundError as error:
        raise _missing(url, error, "serving") from error
    return RemoteRetriever.load(url)


def _missing(source: str, error: ModuleNotFoundError, extra: str) -> RetrieverError:
    return RetrieverError(f"{source} needs the package {error.name}: pip install 'croquis[{extra}]'")
