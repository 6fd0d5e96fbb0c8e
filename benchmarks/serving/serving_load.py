"""How the search server answers under load, beside the bare work of a search and beside `mlflow models serve`.

    python -m benchmarks.serving.serving_load --bundle models/bundles/siamese --seconds 60 --clients 1,64
    python -m benchmarks.serving.serving_load --bundle ... --swap models/bundles/dhd     # reloads back and forth meanwhile
    python -m benchmarks.serving.serving_load --bundle ... --mlflow models:/fashion-retriever/1

`--rounds` repeats all of it in turn.
Each client waits for its answer and asks again, on one connection. Clients and server share the machine. Queries are
consumer photos of the catalogue.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from croquis.catalog.table import Catalog
from croquis.files import write_json
from croquis.search.local_retriever import LocalRetriever

REPORT = Path("reports/benchmarks/serving_load.json")
PHOTOS = 200
BARE_REPEATS = 3
SWAPS = 6
K = 20
COMPARED = ("per_second", "p50_ms", "p95_ms", "cpu_ms")
PATIENCE = 60.0  # seconds for one answer

Work = Callable[[], Coroutine[Any, Any, None]]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    catalog = Catalog.open(options.catalog)
    photos = list(catalog.images(catalog.select(domain="consumer")[:PHOTOS]))
    rounds = [one_round(options, photos) for _ in range(options.rounds)]
    report: dict[str, Any] = {
        "command": f"python -m benchmarks.serving.serving_load {' '.join(sys.argv[1:] if arguments is None else arguments)}",
        "machine": {"cpus": os.cpu_count(), "nice": os.nice(0)},
        "bare": bare_work(options.bundle, photos),
        "rounds": rounds,
        "medians": {name: spread([each[name] for each in rounds]) for name in rounds[0]},
        "server / mlflow": spread([ratios(each) for each in rounds]) if options.mlflow else {},
    }
    write_json(options.report, report)
    print(json.dumps(report, indent=2))


def one_round(options: argparse.Namespace, photos: Sequence[bytes]) -> dict[str, Any]:
    """The server, then MLflow's where it is asked for: summaries by number of clients."""
    found = {"server": measure_server(options, photos)}
    return found | ({"mlflow": measure_mlflow(options, photos)} if options.mlflow else {})


def ratios(found: dict[str, Any]) -> dict[str, Any]:
    """Of our server's numbers to MLflow's, by number of clients."""
    return {
        clients: {name: summary[name] / found["mlflow"][clients][name] for name in COMPARED}
        for clients, summary in found["server"].items()
    }


def spread(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median, least and greatest of each number, by number of clients."""
    return {
        clients: {
            name: [round(float(of([each[clients][name] for each in rounds])), 3) for of in (np.median, np.min, np.max)]
            for name in COMPARED
        }
        for clients in rounds[0]
    }


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.serving_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("--bundle", type=Path, required=True)
    asked.add_argument("--swap", type=Path, help="another bundle, to change to and back during the load")
    asked.add_argument("--mlflow", metavar="URI", help="measure `mlflow models serve` of this model too")
    asked.add_argument("--catalog", type=Path, default=Path("data/catalog"))
    asked.add_argument("--clients", default="1,64", help="comma-separated numbers of clients (default %(default)s)")
    asked.add_argument("--seconds", type=float, default=60.0)
    asked.add_argument("--rounds", type=int, default=1, help="of all that is measured, in turn (default %(default)s)")
    asked.add_argument("--workers", type=int, default=1, help="the server's --workers (default %(default)s)")
    asked.add_argument("--batch", type=int, default=1, help="the server's --batch (default %(default)s)")
    asked.add_argument("--report", type=Path, default=REPORT)
    return asked


def bare_work(bundle: Path, photos: Sequence[bytes]) -> dict[str, float]:
    """Milliseconds of one query at a time in this process: medians of each step and of their sum; the mean of CPU time."""
    retriever = LocalRetriever.load(bundle)
    retriever.warm_up()
    begun = time.process_time()
    answers = [retriever.answer(photo, K) for _ in range(BARE_REPEATS) for photo in photos]
    cpu = (time.process_time() - begun) * 1000 / len(answers)
    steps = {f"{step}_ms": [a.seconds[step] * 1000 for a in answers] for step in answers[0].seconds}
    medians = {step: round(float(np.median(values)), 3) for step, values in steps.items()}
    sums = np.sum(list(steps.values()), axis=0)
    return medians | {"sum_ms": round(float(np.median(sums)), 3), "cpu_ms": round(cpu, 3)}


async def load(
    port: int, requests: Sequence[dict[str, Any]], clients: int, seconds: float, meanwhile: Work | None = None
) -> dict[str, Any]:
    """Asks `127.0.0.1:port` in a closed loop; milliseconds and requests per second, JSON-able.

    Args:
        requests: what is posted in turn, as `httpx.Request` takes it.
        meanwhile: runs beside the load.

    Raises:
        ExceptionGroup: of OSError or IncompleteReadError, when a request fails.
    """
    lasted: list[float] = []
    statuses: Counter[str] = Counter()
    turns, begun = itertools.cycle([wire_bytes(port, request) for request in requests]), time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < begun + seconds:
            writer.write(next(turns))
            status = await asyncio.wait_for(answered(reader), PATIENCE)
            lasted.append(time.perf_counter() - start)
            statuses[status] += 1
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
        if meanwhile is not None:
            group.create_task(meanwhile())
    rate = len(lasted) / (time.perf_counter() - begun)
    quantiles = {f"p{p}_ms": round(float(np.percentile(lasted, p)) * 1000, 2) for p in (50, 95, 99)}
    counts = {"requests": len(lasted), "statuses": dict(sorted(statuses.items()))}
    return counts | {"per_second": round(rate, 1)} | quantiles


def wire_bytes(port: int, request: dict[str, Any]) -> bytes:
    """A request as it goes over the wire, made once: the client shares the processor with the server."""
    sent = {name: value for name, value in request.items() if name != "url"}
    made = httpx.Request("POST", f"http://127.0.0.1:{port}{request['url']}", **sent)
    head = b"".join(b"%s: %s\r\n" % header for header in made.headers.raw)
    return b"POST %s HTTP/1.1\r\n%s\r\n%s" % (made.url.raw_path, head, made.read())


async def answered(reader: asyncio.StreamReader) -> str:
    """The status of an answer, whose body is read."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(re.findall(r"content-length: (\d+)", head)[0]))
    return head.split()[1]


def measure_server(options: argparse.Namespace, photos: Sequence[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    requests = [{"url": "/search", "files": {"image": photo}} for photo in photos]
    for clients in map(int, options.clients.split(",")):
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder), options) as server:
            swaps: list[bool] = []
            before = server.cpu_seconds()
            meanwhile = server.swapping(options, swaps) if options.swap else None
            summary = asyncio.run(load(server.port, requests, clients, options.seconds, meanwhile))
            cpu = (server.cpu_seconds() - before) * 1000 / summary["requests"]
            found[f"{clients} clients"] = summary | {"cpu_ms": round(cpu, 3), "swaps": sum(swaps)}
    return found


def measure_mlflow(options: argparse.Namespace, photos: Sequence[bytes]) -> dict[str, Any]:
    records = [{"image": base64.b64encode(photo).decode()} for photo in photos]
    bodies = [{"dataframe_records": [record], "params": {"k": K}} for record in records]
    requests = [{"url": "/invocations", "json": body} for body in bodies]
    found: dict[str, Any] = {}
    with mlflow_serving(options.mlflow) as (pid, port):
        for clients in map(int, options.clients.split(",")):
            before = sum(map(process_seconds, family(pid)))
            summary = asyncio.run(load(port, requests, clients, options.seconds))
            cpu = (sum(map(process_seconds, family(pid))) - before) * 1000 / summary["requests"]
            found[f"{clients} clients"] = summary | {"cpu_ms": round(cpu, 3)}
    return found


class Serving:
    """A server on a link that may be pointed to another bundle."""

    def __init__(self, link: Path, pid: int, port: int, token: str) -> None:
        self.link, self.port, self._pid, self._token = link, port, pid, token

    def cpu_seconds(self) -> float:
        """Of the server so far, its processes together: contention with the clients does not lengthen it much."""
        return sum(map(process_seconds, family(self._pid)))

    def swapping(self, options: argparse.Namespace, swaps: list[bool]) -> Work:
        """Work beside the load: to the other bundle and back, evenly over the time."""

        async def swap() -> None:
            address, head = f"http://127.0.0.1:{self.port}/admin/reload", {"Authorization": f"Bearer {self._token}"}
            async with httpx.AsyncClient(headers=head, timeout=PATIENCE) as http:
                for number in range(SWAPS):
                    await asyncio.sleep(options.seconds / (SWAPS + 1))
                    point(self.link, (options.swap, options.bundle)[number % 2])
                    answer = await http.post(address)
                    swaps.append(answer.raise_for_status().json()[0]["changed"])

        return swap


def point(link: Path, bundle: Path) -> None:
    """Makes `link` lead to `bundle`, in one step."""
    fresh = link.with_name("next")
    fresh.symlink_to(bundle.resolve())
    fresh.replace(link)


def family(pid: int) -> list[int]:
    """A process and all that it has started, however indirectly."""
    pids = [pid]
    for each in pids:
        pids.extend(map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split()))
    return pids


def process_seconds(pid: int) -> float:
    """CPU time of a process and its threads."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(folder: Path, options: argparse.Namespace) -> Iterator[Serving]:
    link, token = folder / "bundle", secrets.token_hex()
    point(link, options.bundle)
    command = [sys.executable, "-m", "croquis", "serve", "--bundle", str(link), "--port", "0"]
    command += ["--batch", str(options.batch), "--workers", str(options.workers)]
    environment = {**os.environ, "CROQUIS_ADMIN_TOKEN": token}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Serving(link, process.pid, int(re.findall(r"http://127\.0\.0\.1:(\d+)", line)[0]), token)
        finally:
            process.terminate()


@contextlib.contextmanager
def mlflow_serving(uri: str) -> Iterator[tuple[int, int]]:
    """`mlflow models serve`; MLFLOW_TRACKING_URI must say where the registry is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/ping", timeout=5)
                    break
                time.sleep(0.25)
            yield process.pid, port
        finally:
            for pid in family(process.pid)[::-1]:
                os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    main()
