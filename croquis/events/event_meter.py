"""What an ingest process counts and times, in Prometheus's text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from croquis.events.handler import BatchOutcome

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OUTCOMES = ("applied", "stale", "rejected")


class IngestMeter:
    """The metrics of one process; rates are what Prometheus makes of the counters."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.events = Counter("croquis_ingest_events", "Events that are done, by outcome.", ["outcome"], registry=own)
        self.images = Counter("croquis_ingest_images", "Pictures that were embedded.", registry=own)
        self.failures = Counter(
            "croquis_ingest_failures", "Calls that failed and are tried again.", ["of"], registry=own
        )
        self.steps = Histogram(
            "croquis_ingest_step_seconds",
            "Parts of a batch: check, encode, store.",
            ["step"],
            buckets=SECONDS,
            registry=own,
        )
        self.lag = Gauge(
            "croquis_ingest_lag", "Events that wait in the stream, those under way included.", registry=own
        )
        self.under_way = Gauge(
            "croquis_ingest_under_way", "Events fetched and not committed: never above --batch.", registry=own
        )
        self.connected = Gauge("croquis_ingest_connected", "1 while the stream answers, else 0.", registry=own)
        for outcome in OUTCOMES:
            self.events.labels(outcome)

    def add(self, done: BatchOutcome) -> None:
        """Counts a batch: events by outcome, images, and the seconds of each step."""
        for outcome, count in done.counts.items():
            self.events.labels(outcome).inc(count)
        self.images.inc(done.images)
        for step, seconds in done.seconds.items():
            self.steps.labels(step).observe(seconds)
