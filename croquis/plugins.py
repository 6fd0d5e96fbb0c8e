"""One registry per kind of part: methods, sources, re-rankers, studies, backbones. No part is named in a second list.

An entry is found by its name, in this order:

1. built in: a module of the kind's home package, e.g. `siamese` is `lightning_modules/methods/siamese.py`;
2. from another installed package, by an entry point of the kind's group, e.g. in that package's pyproject.toml
   `[project.entry-points."croquis.methods"] proxy = "fashion_proxy.method"`;
3. by its module's dotted name, e.g. `fashion_proxy.method`, which need only be importable.

In all three cases it is a module that holds the entry in a constant, e.g. `METHOD`. Names are listed without an import, so
that params.yaml can be checked where torch is not installed.
"""

from __future__ import annotations

import pkgutil
import sys
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from croquis.refusals import hint_of

Entry = TypeVar("Entry")


class PluginError(ValueError):
    """A part is not known, or its module does not hold an entry; the message says what is."""


class PluginRegistry(Generic[Entry]):
    """The parts of one kind.

    Args:
        kind: what one entry is, in messages, e.g. `method`.
        home: dotted name of the package whose modules are the built-in entries.
        constant: name of the module's constant that holds the entry, e.g. `METHOD`.
        group: entry points of other packages, e.g. `croquis.methods`.
    """

    def __init__(self, kind: str, home: str, constant: str, group: str) -> None:
        self.kind, self.home, self.constant, self.group = kind, home, constant, group

    @cached_property
    def built_in(self) -> tuple[str, ...]:
        """Names of the home package's modules; empty where that package is not installed."""
        try:
            spec = find_spec(self.home)
        except ModuleNotFoundError:  # its parent is not installed
            spec = None
        found = pkgutil.iter_modules(spec.submodule_search_locations or []) if spec else ()
        return tuple(sorted(module.name for module in found if not module.name.startswith("_")))

    @property
    def installed(self) -> dict[str, str]:
        """Name -> module of each entry point of the group."""
        return {point.name: point.module for point in sorted(declared_points(self.group, tuple(sys.path)))}

    @property
    def names(self) -> tuple[str, ...]:
        """All names but the dotted ones, built-in entries first."""
        return self.built_in + tuple(name for name in self.installed if name not in self.built_in)

    def knows(self, name: str) -> bool:
        """Whether a name may be used; where the home package is not installed, every name may."""
        if name in self.names or not self.built_in:
            return True
        return "." in name and _is_there(name)

    def module_of(self, name: str) -> str:
        """Dotted name of the module that holds the entry.

        Raises:
            PluginError: when there is none of that name.
        """
        if name in self.built_in:
            return f"{self.home}.{name}"
        if name in self.installed:
            return self.installed[name]
        if "." in name and _is_there(name):
            return name
        raise PluginError(self.unknown(name))

    def unknown(self, name: str) -> str:
        """One line for a name that is not known."""
        hint = hint_of(name, self.names) or "."
        return (
            f"there is no {self.kind} {name!r}{hint} Known: {', '.join(self.names)}; or the dotted name of a module "
            "that can be imported"
        )

    def entry(self, name: str) -> Entry:
        """The entry; its module is imported now.

        Raises:
            PluginError: when there is none of that name, or its module holds no entry.
        """
        module = import_module(self.module_of(name))
        found: Entry | None = getattr(module, self.constant, None)
        if found is None:
            raise PluginError(f"{module.__name__} is no {self.kind}: it has no constant {self.constant}")
        return found

    def summary(self, name: str) -> str:
        """The first line of the module's docstring."""
        return (import_module(self.module_of(name)).__doc__ or "").strip().partition("\n")[0]


@cache
def declared_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001 (what `entry_points` reads)
    """The entry points of a group. The metadata of every installed package are read for them: once per `sys.path`."""
    return tuple(entry_points(group=group))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


class TableRegistry(Generic[Entry]):
    """The parts of a kind that needs no module per entry: a dict from name to entry, in a module that imports fast.

    Args:
        module: dotted name of the module; where it is not installed, there are no entries.
        constant: name of the dict.
    """

    def __init__(self, module: str, constant: str) -> None:
        self._module, self._constant = module, constant

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Name -> entry."""
        try:
            module = import_module(self._module)
        except ModuleNotFoundError:
            return {}
        found: dict[str, Entry] = getattr(module, self._constant)
        return found


METHODS: PluginRegistry[Any] = PluginRegistry("method", "lightning_modules.methods", "METHOD", "croquis.methods")
SOURCES: PluginRegistry[Any] = PluginRegistry("source", "croquis.sources", "SOURCE", "croquis.sources")
RERANKERS: PluginRegistry[Any] = PluginRegistry(
    "re-ranker", "croquis.rerank.rerankers", "RERANKER", "croquis.rerankers"
)
STUDIES: PluginRegistry[Any] = PluginRegistry("study", "lightning_modules.studies", "STUDY", "croquis.studies")
BACKBONES: TableRegistry[Any] = TableRegistry("lightning_modules.nets.families", "BACKBONES")
