"""Registries find a part by its built-in name, an entry point or a dotted name, and list names without an import."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from croquis.params.loader import parse_params, read_yaml
from croquis.plugins import METHODS, RERANKERS, SOURCES, PluginError, PluginRegistry

GROUP = "croquis.things"


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginRegistry[str]:
    """A registry over a package of two modules, one module of another package by entry point, and one by its name."""
    for name, text in {
        "home_of_things/__init__.py": "",
        "home_of_things/first.py": '"""The first thing.\n\nMore of it.\n"""\nTHING = "one"\n',
        "home_of_things/second.py": 'THING = "two"\n',
        "home_of_things/_hidden.py": 'THING = "none"\n',
        "more_things/__init__.py": "",
        "more_things/third.py": 'THING = "three"\n',
        "more_things/fourth.py": 'THING = "four"\n',
        "more_things/empty.py": "",
        "more_things/broken.py": "import no_such_package\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [
        metadata.EntryPoint("third", "more_things.third", GROUP),
        metadata.EntryPoint("first", "more_things", GROUP),
    ]
    monkeypatch.setattr("croquis.plugins.declared_points", lambda group, _: points if group == GROUP else [])
    for name in [name for name in sys.modules if name.startswith(("home_of_things", "more_things"))]:
        monkeypatch.delitem(sys.modules, name)
    return PluginRegistry("thing", "home_of_things", "THING", GROUP)


def test_names_are_listed_without_an_import(things: PluginRegistry[str]):
    assert things.names == ("first", "second", "third")
    assert "home_of_things.first" not in sys.modules
    assert "more_things.third" not in sys.modules


@pytest.mark.parametrize(
    ("name", "module", "entry"),
    [
        ("second", "home_of_things.second", "two"),
        ("third", "more_things.third", "three"),
        ("more_things.fourth", "more_things.fourth", "four"),
        ("first", "home_of_things.first", "one"),  # a built-in entry goes before an entry point of its name
    ],
)
def test_each_way_leads_to_the_entry(things: PluginRegistry[str], name: str, module: str, entry: str):
    assert things.knows(name)
    assert things.module_of(name) == module
    assert things.entry(name) == entry


def test_the_summary_is_the_first_line(things: PluginRegistry[str]):
    assert things.summary("first") == "The first thing."
    assert things.summary("second") == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("secnd", "there is no thing 'secnd'; did you mean second? Known: first, second, third; or the dotted name of a "
                  "module that can be imported"),
        ("xyz", "there is no thing 'xyz'. Known: first, second, third; or the dotted name of a module that can be imported"),
        ("more_things.absent", "there is no thing 'more_things.absent'. Known: "),
        ("absent.module", "there is no thing 'absent.module'. Known: "),
        ("..", "there is no thing '..'. Known: "),
        ("_hidden", "there is no thing '_hidden'. Known: "),
    ],
)  # fmt: skip
def test_a_name_that_is_not_known_is_told_with_those_that_are(things: PluginRegistry[str], name: str, told: str):
    assert not things.knows(name)
    with pytest.raises(PluginError) as error:
        things.entry(name)
    assert str(error.value).startswith(told)


def test_a_module_without_the_constant_is_named(things: PluginRegistry[str]):
    with pytest.raises(PluginError, match=r"^more_things\.empty is no thing: it has no constant THING$"):
        things.entry("more_things.empty")


def test_an_error_in_a_module_is_not_taken_for_its_absence(things: PluginRegistry[str]):
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        things.entry("more_things.broken")


@pytest.mark.parametrize("home", ["absent_package", "absent_package.things"])
def test_where_the_home_package_is_not_installed_every_name_may_be_used(home: str):
    registry: PluginRegistry[str] = PluginRegistry("thing", home, "THING", GROUP)
    assert registry.built_in == ()
    assert registry.knows("anything")
    with pytest.raises(PluginError, match="there is no thing 'anything'"):
        registry.entry("anything")


def test_every_built_in_entry_says_in_a_line_what_it_is():
    for registry in (METHODS, SOURCES, RERANKERS):
        assert all(registry.summary(name) for name in registry.built_in)


def test_the_registries_list_their_names_without_torch():
    script = (
        "import sys\nfrom croquis.plugins import METHODS, RERANKERS, SOURCES\n"
        "assert METHODS.names and SOURCES.names and RERANKERS.names\n"
        "print([name for name in ('torch', 'lightning_modules.methods.spq', 'pydantic') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_method_s_block_is_found_by_the_name_of_its_module(monkeypatch: pytest.MonkeyPatch):
    """So that a module need not know by which of its names params.yaml calls it."""
    point = metadata.EntryPoint("outside", "more_methods.outside", METHODS.group)
    monkeypatch.setattr("croquis.plugins.declared_points", lambda group, _: [point] if group == METHODS.group else [])
    params = parse_params({**read_yaml("params.yaml"), "outside": {"scale": 3}})
    assert params.method("outside") == params.method("more_methods.outside") == {"scale": 3}
