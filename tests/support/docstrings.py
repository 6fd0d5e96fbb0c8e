"""Public names of the packages, read from the source, and which of them have a docstring of their own or of what they
implement."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.support.imports import ROOT, python_files

Function = ast.FunctionDef | ast.AsyncFunctionDef
OF_TYPING = {"Protocol", "ABC", "Generic"}
PARTS_OF_A_PROPERTY = ("setter", "deleter")
CALLED_BY_A_LIBRARY = (
    "command",
    "_store_command",
    "model_validator",
    "field_validator",
)  # decorators: help or rule instead


@dataclass(frozen=True)
class Name:
    """A public class, function or method, e.g. `croquis/files.py` and `read_json`."""

    file: str
    name: str
    node: Function | ast.ClassDef
    owner: ast.ClassDef | None = None

    @property
    def documented(self) -> bool:
        """Whether it has a docstring; a stub of one line may be described in that of its class instead."""
        if (ast.get_docstring(self.node) or "").strip():
            return True
        if self.owner is None or not is_stub(self.node):
            return False
        return re.search(rf"`{self.node.name}`|\b{self.node.name}:", ast.get_docstring(self.owner) or "") is not None

    def __str__(self) -> str:
        return f"{self.file}:{self.node.lineno} {self.name}"


@dataclass
class Code:
    """The classes and public names of some packages."""

    packages: tuple[str, ...]
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    names: list[Name] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in python_files(*self.packages):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            self.classes |= {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
            self.names += public_names(path, tree)

    @cached_property
    def protocols(self) -> list[ast.ClassDef]:
        return [node for node in self.classes.values() if "Protocol" in base_names(node)]

    def bases(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """Those that stand here."""
        found = [self.classes[base] for base in base_names(node) if base in self.classes.keys() - OF_TYPING]
        return [base for base in found if base is not node]  # a params block may have the name of its base

    def methods(self, node: ast.ClassDef) -> dict[str, Function]:
        """Those of a class and of its bases here, by name."""
        found: dict[str, Function] = {}
        for base in reversed(self.bases(node)):
            found |= self.methods(base)
        return found | {each.name: each for each in node.body if isinstance(each, Function)}

    def called_methods(self, node: ast.ClassDef) -> set[str]:
        """Those that are no property: a class may have an attribute instead."""
        return {name for name, each in self.methods(node).items() if not is_property(each)}

    def implements(self, name: Name) -> bool:
        """Whether a method does what is described elsewhere: in a base or a protocol here, or in another package's class."""
        if name.owner is None:
            return False
        own = set(self.methods(name.owner))
        protocols = [each for each in self.protocols if each is not name.owner and self.called_methods(each) <= own]
        models = [self.methods(each).get(name.node.name) for each in (*self.bases(name.owner), *protocols)]
        return any(model and ast.get_docstring(model) for model in models) or self.overrides_another_package(name)

    def overrides_another_package(self, name: Name) -> bool:
        """Whether a class of another package, such as LightningModule, has a method of that name."""
        assert name.owner is not None
        if not self.has_outside_base(name.owner):
            return False
        module = importlib.import_module(".".join(Path(name.file).with_suffix("").parts))
        mro = getattr(module, name.owner.name).__mro__[1:-1]
        return any(name.node.name in vars(each) for each in mro if each.__module__.split(".")[0] not in self.packages)

    def has_outside_base(self, node: ast.ClassDef) -> bool:
        here = self.bases(node)
        others = set(base_names(node)) - {base.name for base in here} - OF_TYPING
        return bool(others) or any(map(self.has_outside_base, here))


def public_names(path: Path, tree: ast.Module) -> Iterator[Name]:
    """Module-level classes, functions, and methods of the classes; none with an underscore in front."""
    file = path.relative_to(ROOT).as_posix()
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield Name(file, node.name, node)
            methods = (each for each in node.body if isinstance(each, Function) and not each.name.startswith("_"))
            yield from (Name(file, f"{node.name}.{each.name}", each, node) for each in methods if counts(each))
        elif counts(node):
            yield Name(file, node.name, node)


def counts(node: Function) -> bool:
    """Whether another module calls it by its name, and its docstring is not that of its property."""
    for each in node.decorator_list:
        called = each.func if isinstance(each, ast.Call) else each
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in (*PARTS_OF_A_PROPERTY, *CALLED_BY_A_LIBRARY, "overload"):
            return False
    return True


def is_property(node: Function) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id in ("property", "cached_property") for each in node.decorator_list
    )


def is_stub(node: ast.AST) -> bool:
    return isinstance(node, Function) and ast.unparse(node.body[-1]) == "..." and len(node.body) == 1


def base_names(node: ast.ClassDef) -> list[str]:
    """Their last names: `Module` for `nn.Module`, `Protocol` for `Protocol[T]`."""
    found = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in found]
