"""What another module may call has a docstring: public classes, functions and methods of the two packages."""

from __future__ import annotations

import ast

import pytest

from tests.support.docstrings import Code, Name, is_stub, public_names
from tests.support.imports import ROOT


@pytest.mark.slow  # imports what derives from classes of other packages
def test_every_public_name_has_a_docstring_or_implements_what_has_one() -> None:
    code = Code(("croquis", "lightning_modules"))
    assert len(code.names) > 2500
    assert [str(name) for name in code.names if not name.documented and not code.implements(name)] == []


@pytest.mark.slow
def test_a_docstring_says_more_than_its_name() -> None:
    code = Code(("croquis", "lightning_modules"))
    assert [str(name) for name in code.names if repeats(name)] == []


def test_what_needs_a_docstring_of_its_own() -> None:
    tree = ast.parse(
        "class Shape:\n"
        "    '''`area` in pixels.'''\n"
        "    def area(self): ...\n"
        "    def side(self): ...\n"
        "    def turn(self): return 1\n"
        "    def _inner(self): return 1\n"
        "def cut(): return 1\n"
        "def _own(): return 1\n"
    )
    names = list(public_names(ROOT / "croquis/shape.py", tree))
    assert [name.name for name in names if not name.documented] == ["Shape.side", "Shape.turn", "cut"]
    assert [name.name for name in names if is_stub(name.node)] == ["Shape.area", "Shape.side"]


def repeats(name: Name) -> bool:
    """Whether a docstring has no word that the name has not."""
    said = (ast.get_docstring(name.node) or "").lower().strip(" .").split()
    plain = {"a", "an", "the", "of", "it", "its"}
    own = name.name.lower().replace("_", " ").replace(".", " ").split()
    return bool(said) and set(said) <= plain | set(own) | {f"{word}s" for word in own}
