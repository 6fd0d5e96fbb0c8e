"""Starts the platform on this machine, for trials: a broker, a store, MLflow, and the search server with its event ingest.

    croquis platform up                                             the champion of this project
    croquis platform up --bundle models/bundles/siamese --folder /tmp/platform --broker tansu

The broker is nats-server, or Tansu for Kafka's protocol, whichever is installed. The store belongs to the search server's
process, which takes the events itself. It listens on 127.0.0.1 only and asks for no password. Ctrl-C or SIGTERM ends it all;
the store, and what NATS has, stays in the folder. Tansu keeps everything in memory.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from croquis.bundle import Bundle
from croquis.cli.child_processes import Children, Program, children, listens
from croquis.cli.command_line import PATH, Invocation, command, option
from croquis.cli.commands.serve import champion_uri
from croquis.cli.commands.store_versions import opened
from croquis.events.local_brokers import INSTALL, LocalBroker, find_broker
from croquis.params import load_params
from croquis.refusals import RefusedError
from croquis.registry.bundle_options import bundle_folder
from croquis.store.fill import fill
from croquis.store.vector_store import StoreError

HOST = "127.0.0.1"
TOPIC = "products"
STORES = {"faiss": "faiss:{}/store", "milvus-lite": "milvus:{}/store.db"}
BROKER_PORTS = {"nats": 4222, "tansu": 9092}
CLIENTS = {"nats": "nats", "tansu": "confluent_kafka"}  # Python packages
NEEDED = ("mlflow", "uvicorn")
MILVUS = ("pymilvus", "milvus_lite")
ANSWER = 5.0  # seconds that a health check waits


@dataclass(frozen=True)
class Platform:
    """What is started where.

    Attributes:
        served: `--bundle FOLDER` or `--model URI`, for the search server.
        folder: of stores, streams and logs; it exists.
        params: whose `validate` block has the rules of events.
        project: the folder whose runs MLflow shows.
        tracking_server: where runs and registry are already; empty when MLflow's server is started here.
    """

    broker: LocalBroker
    served: tuple[str, str]
    store: str
    folder: Path
    params: Path
    project: Path
    tracking_server: str
    port: int
    mlflow_port: int
    broker_port: int

    @property
    def stream(self) -> str:
        """URI of the topic with product events."""
        return self.broker.uri(HOST, self.broker_port, TOPIC)

    def programs(self) -> list[Program]:
        """In the order in which they are started."""
        croquis = [sys.executable, "-m", "croquis"]
        started = self.broker.command(HOST, self.broker_port, self.folder)
        pages = [*croquis, "ui", "--host", HOST, "--port", str(self.mlflow_port)]
        server = [*croquis, "serve", *self.served, "--store", self.store, "--ingest", self.stream]
        server += ["--params", str(self.params), "--host", HOST, "--port", str(self.port)]
        own = Program("mlflow", pages, healthy(f"http://{HOST}:{self.mlflow_port}/health"), self.project)
        return [
            Program("broker", started, lambda: listens(HOST, self.broker_port), self.folder),
            *([] if self.tracking_server else [own]),
            Program("server", server, healthy(f"http://{HOST}:{self.port}/readyz"), Path.cwd()),
        ]

    def table(self, running: Children) -> str:
        """A line for each part: what it is, its URL, its log."""
        server = f"http://{HOST}:{self.port}"
        rows = [
            ("broker", self.broker.kind, self.stream, "broker"),
            ("mlflow", "runs and registry", self.tracking_server or f"http://{HOST}:{self.mlflow_port}", "mlflow"),
            ("server", "search page", server, "server"),
            ("", "API", f"{server}/docs", "server"),
            ("ingest", "in the server", f"{server}/metrics", "server"),
            ("store", self.store.partition(":")[0], self.store, "server"),
        ]
        return "\n".join(f"{part:<7} {what:<18} {url:<42} {running.log_of(log)}" for part, what, url, log in rows)


@command(__doc__)
@option("--bundle", type=PATH, metavar="FOLDER", help="a bundle to serve")
@option("--model", metavar="URI", help="a registered model to serve (default: the champion)")
@option("--folder", type=PATH, default=Path("platform"), help="of the store, the streams and the logs")
@option("--broker", type=click.Choice(list(INSTALL)), help="(default: the first that is installed)")
@option("--store", type=click.Choice(list(STORES)), default="faiss", help="which engine keeps the vectors")
@option("--params", type=PATH, default=Path("params.yaml"), help="whose `validate` block has the rules of events")
@option("--port", default=8000, help="of the search server; 0, as for the others, for any free one")
@option("--mlflow-port", default=5000)
@option("--broker-port", type=int, help=f"(default: {BROKER_PORTS['nats']} of NATS, {BROKER_PORTS['tansu']} of Kafka)")
@click.pass_obj
def up_command(
    invocation: Invocation,
    bundle: Path | None,
    model: str | None,
    folder: Path,
    broker: str | None,
    store: str,
    params: Path,
    port: int,
    mlflow_port: int,
    broker_port: int | None,
) -> int:
    if bundle is not None and model is not None:
        raise click.UsageError("give only one of --bundle and --model")
    found = find_broker(broker)
    check_packages((*NEEDED, CLIENTS[found.kind], *(MILVUS if store == "milvus-lite" else ())))
    load_params(params)
    if bundle is None:
        model = model or champion_uri(invocation.project)
    served = ("--bundle", str(bundle)) if bundle is not None else ("--model", str(model))
    filled = Bundle.load(bundle_folder(bundle, model))
    broker_port = BROKER_PORTS[found.kind] if broker_port is None else broker_port
    ports = {"--port": port, "--mlflow-port": mlflow_port, "--broker-port": broker_port}
    free = [free_port(name, number) for name, number in ports.items()]
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    uri = STORES[store].format(folder.resolve())
    fill_once(uri, filled)
    in_project = (invocation.project / "dvc.yaml").is_file()
    project = invocation.project if in_project else folder.resolve()
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    platform = Platform(found, served, uri, folder.resolve(), params, project, tracking, *free)
    with children(folder / "logs") as running:
        return run(platform, running)


def run(platform: Platform, running: Children) -> int:
    """Starts the programs in their order, prints where each is, and watches them until Ctrl-C; the exit code."""
    for program in platform.programs():
        if not running.ending:
            print(f"starting {program.name} ...", flush=True)
            running.start(program)
    if not running.ending:
        print(f"{platform.table(running)}\n\ncroquis events feed --to {platform.stream}    sends a catalogue")
        print("Ctrl-C ends it", flush=True)
    running.watch()
    print("ending", flush=True)
    return 0


def check_packages(names: tuple[str, ...]) -> None:
    """Raises RefusedError, naming those that are not installed."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        raise RefusedError(f"not installed: {', '.join(absent)}; pip install 'croquis[pipeline,scale,serving]'")


def fill_once(uri: str, bundle: Bundle) -> None:
    """Gives the store a current version of the bundle's gallery, unless it has one of this bundle."""
    with opened(uri) as stores:
        if stores.current is not None:
            try:
                stores.open(bundle.hash)
                return
            except StoreError:
                print(f"{uri}: its current version is of another bundle, a new one is made")
        store = fill(stores, bundle)
        stores.publish(store.name)
        print(f"{store.name}: {store.count()} images, published")


def free_port(name: str, number: int) -> int:
    """The port itself, or any free one for 0; raises RefusedError when it is taken."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, number))
        except OSError as error:
            raise RefusedError(f"{name} {number} of {HOST} is taken: give another {name}") from error
        return int(taken.getsockname()[1])


def healthy(url: str) -> Callable[[], bool]:
    """Whether the URL answers with success; without a proxy, as it is of this machine."""

    def asked() -> bool:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=ANSWER):
                return True
        except OSError:  # urllib's errors are of this kind
            return False

    return asked
