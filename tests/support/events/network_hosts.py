"""Hosts with a network between them, on one machine: network namespaces of Linux on a bridge, made by iproute2 as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Host:
    """A network namespace with an address; this process reaches it, and it reaches the others.

    Attributes:
        namespace: its name.
        address: e.g. `10.231.7.2`.
        cable: the end of its link that is plugged into the bridge.
    """

    namespace: str
    address: str
    cable: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command that is to run there."""
        return ("ip", "netns", "exec", self.namespace)

    def cut_off(self) -> None:
        _ip("link", "set", self.cable, "down")

    def join(self) -> None:
        _ip("link", "set", self.cable, "up")


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts; skips the test where they cannot be made. Their processes must have ended before the block does."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    number = os.getpid()
    bridge, network = f"cq{number}", f"10.231.{number % 256}"
    if _run("link", "add", bridge, "type", "bridge").returncode != 0:
        pytest.skip(f"no network can be made here: {_run('link', 'add', bridge, 'type', 'bridge').stderr.strip()}")
    made: list[Host] = []
    try:
        _ip("address", "add", f"{network}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for place in range(count):
            host = Host(f"{bridge}-{place}", f"{network}.{place + 2}", f"{bridge}c{place}")
            _ip("netns", "add", host.namespace)
            made.append(host)
            inside = ("-netns", host.namespace)
            _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            _ip("link", "set", host.cable, "master", bridge, "up")
            _ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip(*inside, "link", "set", device, "up")
        yield made
    finally:
        for host in made:
            _ip("netns", "del", host.namespace)
        _ip("link", "del", bridge)


def _ip(*words: str) -> None:
    done = _run(*words)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
