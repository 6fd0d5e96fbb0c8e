"""What is counted and timed, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from croquis.serving.models.loaded_model import LoadedModel
from croquis.serving.worker_processes import several

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
OTHER = "other"  # label of all methods and paths that are not known: a client may make up any number of them
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Cosines lie in [-1, 1]; Hamming distances and squared L2 distances count downwards from 0.
SCORES = (-256, -128, -64, -32, -16, -8, -4, -2, -1, -0.5, 0, *(number / 10 for number in range(1, 10)), 0.95, 0.99, 1)


class Meter:
    """The server's metrics; each app has its own, so that several may live in one process."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Counter("croquis_requests", "Answered requests.", ["method", "route", "status"], registry=own)
        self.latency = Histogram(
            "croquis_request_seconds", "From the first byte to the last.", ["route"], buckets=SECONDS, registry=own
        )
        self.steps = Histogram("croquis_step_seconds", "Parts of a search.", ["step"], buckets=SECONDS, registry=own)
        self.waiting = Gauge(
            "croquis_queue_waiting", "Queries that wait for a worker.", multiprocess_mode="livesum", registry=own
        )
        self.running = Gauge(
            "croquis_queue_running", "Queries that a worker is busy with.", multiprocess_mode="livesum", registry=own
        )
        self.refused = Counter("croquis_refused", "Requests refused before any work.", ["reason"], registry=own)
        self.connections = Gauge("croquis_connections", "Open connections.", multiprocess_mode="livesum", registry=own)
        self.dropped = Counter(
            "croquis_dropped_connections",
            "Connections closed to make room, or as no head came or no answer was taken.",
            ["reason"],
            registry=own,
        )
        self.scores = Histogram(
            "croquis_best_score", "Best score of a search.", ["model"], buckets=SCORES, registry=own
        )
        self.reloads = Counter("croquis_reloads", "Changes of a served model.", ["outcome"], registry=own)
        self.changes = Counter("croquis_catalogue_changes", "Changes of the catalogue.", ["kind"], registry=own)
        self.task_running = Gauge(
            "croquis_task_running",
            "1 while a background task works, 0 while it fails or stalls.",
            ["task"],
            multiprocess_mode="livemin",
            registry=own,
        )
        self.task_ends = Counter("croquis_task_ends", "Unexpected ends of a background task.", ["task"], registry=own)
        self.checked = Gauge(
            "croquis_models_checked_seconds",
            "When the models were last looked up, in seconds since 1970.",
            multiprocess_mode="livemin",
            registry=own,
        )
        self._models = Gauge(
            "croquis_model_info",
            "1 for each loaded model.",
            ["label", "name", "version", "bundle"],
            multiprocess_mode="livemax",
            registry=own,
        )

        self._stores = Gauge(
            "croquis_store_info",
            "1 for the version of the store that a model searches.",
            ["label", "store"],
            multiprocess_mode="livemax",
            registry=own,
        )
        self._shown: list[Gauge] = []
        self._others: list[CollectorRegistry] = []

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Counts a request; `route` is a template, None where no route took it."""
        route = route or OTHER
        self.requests.labels(method if method in METHODS else OTHER, route, str(status)).inc()
        self.latency.labels(route).observe(seconds)

    def join(self, other: CollectorRegistry) -> None:
        """Shows what another part of the process counts, too."""
        self._others.append(other)

    def set_models(self, models: Mapping[str, LoadedModel]) -> None:
        """Shows which models and stores are loaded; what was shown before is 0 or gone."""
        for shown in self._shown:
            shown.set(0)
        if not several():  # the files of several processes keep what was shown once
            self._models.clear()
            self._stores.clear()
        named = {label: model.identity for label, model in models.items()}
        self._shown = [
            self._models.labels(label, each.name, each.version, each.bundle) for label, each in named.items()
        ]
        self._shown += [
            self._stores.labels(label, each.store) for label, each in named.items() if each.store is not None
        ]
        for shown in self._shown:
            shown.set(1)

    def add_steps(self, seconds: Mapping[str, float]) -> None:
        """Counts the time of each step of a search, in seconds."""
        for step, value in seconds.items():
            self.steps.labels(step).observe(value)

    def text(self) -> bytes:
        """All figures in Prometheus's text format; of several processes the sums."""
        own = self._registry
        if several():
            own = CollectorRegistry()
            MultiProcessCollector(own)  # type: ignore[no-untyped-call]
        return b"".join(generate_latest(registry) for registry in (own, *self._others))
