"""`python -m tests.support.engines` against an apt-get, a sudo and installed programs of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from croquis.events import local_brokers
from tests.support import engines

ALL = ["postgresql", "nats-server", "chromium"]
# Notes how it was called; `install` puts the package there from the try on that the file `works` names.
APT_GET = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >> {calls}
for package; do :; done
[ "$package" = update ] && exit 0
echo "about to fetch $package"
[ "$(grep -c " $package$" {calls})" -ge "$(cat {works})" ] || {{ echo "no route to the mirror"; exit 100; }}
if [ "$package" = postgresql ]; then
  for name in initdb pg_ctl createdb; do mkdir -p {servers}/15/bin && touch {servers}/15/bin/$name; done
else
  printf '#!/bin/sh\\n' > {programs}/$package && chmod +x {programs}/$package
fi
"""


class Machine:
    """A machine on which no engine is installed."""

    def __init__(self, folder: Path) -> None:
        self.servers, self.programs = folder / "postgresql", folder / "programs"
        self.calls, self.works = folder / "calls", folder / "works"
        self.programs.mkdir()
        for name in ("env", "grep", "cat", "mkdir", "touch", "chmod"):
            (self.programs / name).symlink_to(f"/usr/bin/{name}")
        names = {name: getattr(self, name) for name in ("servers", "programs", "calls", "works")}
        self.program("apt-get", APT_GET.format(**names))
        self.calls.touch()
        self.works.write_text("1")

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def installs(self) -> list[str]:
        return [line.split()[-1] for line in self.calls.read_text().splitlines() if " install " in line]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(found.programs))
    monkeypatch.setattr(engines, "SERVERS", found.servers)
    monkeypatch.setattr(local_brokers, "SYSTEM_PROGRAMS", str(found.programs))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return found


Say = pytest.CaptureFixture[str]


def test_what_is_missing_is_installed_quietly_and_once(machine: Machine, capsys: Say) -> None:
    assert engines.main({}) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"postgresql: {machine.servers}/15/bin",
        f"nats-server: {machine.programs}/nats-server",
        f"chromium: {machine.programs}/chromium",
    ]
    assert machine.installs() == ALL
    lines = machine.calls.read_text().splitlines()
    assert all(line.startswith("noninteractive -qq ") for line in lines)
    assert sum("--no-install-recommends" in line for line in lines) == 3
    assert engines.main({}) == 0
    assert machine.installs() == ALL


def test_any_browser_of_the_family_will_do_and_the_newest_server_is_taken(machine: Machine) -> None:
    for name in ("google-chrome", "nats-server"):
        machine.program(name, "#!/bin/sh\n")
    for version, names in (("9", engines.PROGRAMS), ("15", engines.PROGRAMS), ("17", ("initdb",))):
        (machine.servers / version / "bin").mkdir(parents=True)
        for name in names:
            (machine.servers / version / "bin" / name).touch()
    assert engines.main({}) == 0
    assert machine.installs() == []
    assert engines.postgresql() == machine.servers / "15/bin"


def test_an_installation_that_fails_is_tried_once_more(machine: Machine, capsys: Say) -> None:
    machine.works.write_text("2")
    assert engines.main({}) == 0
    assert machine.installs() == [name for name in ALL for _ in range(2)]
    assert "apt-get install chromium ended with 100, try 1 of 2" in capsys.readouterr().out
    assert engines.chromium() == machine.programs / "chromium"


def test_what_cannot_be_installed_fails_with_the_words_of_apt_get(machine: Machine, capsys: Say) -> None:
    machine.works.write_text("3")
    assert engines.main({}) == 1
    said = capsys.readouterr()
    assert "about to fetch" not in said.out
    assert "about to fetch chromium\nno route to the mirror" in said.err
    assert "skip its tests by ENGINES_MAY_MISS=postgresql" in said.err
    assert machine.installs() == [name for name in ALL for _ in range(2)]


def test_only_what_may_be_missing_is_passed_over(machine: Machine, capsys: Say) -> None:
    machine.works.write_text("3")
    assert engines.main({"ENGINES_MAY_MISS": "chromium"}) == 1
    said = capsys.readouterr()
    assert "chromium is missing, its tests are skipped" in said.out
    assert "postgresql is missing" in said.err
    assert engines.main({"ENGINES_MAY_MISS": " ".join(ALL)}) == 0
    assert engines.main({"ENGINES_MAY_MISS": "chrome"}) == 1
    assert "names chrome; it may name postgresql, nats-server, chromium" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sudo", "code", "said"),
    [
        (None, 1, "neither root nor sudo without a password"),
        ('#!/bin/sh\necho "a password is required"\nexit 1\n', 1, "neither root nor sudo without a password"),
        ('#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n', 0, ""),
    ],
)
def test_without_root_only_a_sudo_that_asks_nothing_installs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: Say, sudo: str | None, code: int, said: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (machine.programs / "true").symlink_to("/usr/bin/true")
    if sudo:
        machine.program("sudo", sudo)
    assert engines.main({}) == code
    assert said in capsys.readouterr().err
    assert bool(machine.installs()) == (code == 0)


def test_without_apt_get_it_says_so(machine: Machine, capsys: Say) -> None:
    (machine.programs / "apt-get").unlink()
    assert engines.main({}) == 1
    assert "postgresql is missing: apt-get is not here" in capsys.readouterr().err


def test_the_tests_that_need_an_engine_look_for_it_here(machine: Machine) -> None:
    """Where it is absent they are skipped, with the way to have it."""
    from tests.support import postgres

    with pytest.raises(pytest.skip.Exception, match="no PostgreSQL here: make engines"):
        postgres.binaries()
    (machine.servers / "16/bin").mkdir(parents=True)
    for name in engines.PROGRAMS:
        (machine.servers / "16/bin" / name).touch()
    assert postgres.binaries() == machine.servers / "16/bin"


def test_ci_provides_the_engines_before_the_tests() -> None:
    script = Path(".ci/run").read_text()
    assert 0 < script.index(" make engines &\n") < script.index('\nwait "$engines"\n') < script.index("\nmake test\n")
