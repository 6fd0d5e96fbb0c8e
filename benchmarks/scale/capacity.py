"""From measured constants to machines: memory, cores and cost of a catalogue of a size, by arithmetic and by simulation.

A search is parted over shards, a core each, that all look at a query at once; as many such teams as hold the limit of
latency share the queries. How many that takes is simulated: queries come at random moments (Poisson), wait for a free team
in the order in which they came, and last as long as the slowest shard, whose time is drawn from the measured ones. What the
network adds is left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt

import numpy as np

from croquis.arrays import Floats

GIB = 2**30
MONTH = 730.0  # hours
SIMULATED = 20_000  # queries
MOST_SHARDS = 4096


class CapacityError(ValueError):
    """No number of machines meets the demand with this index."""


@dataclass(frozen=True)
class Demand:
    """What is asked of the platform.

    Attributes:
        images: in the gallery.
        queries: per second.
        limit_ms: that 99 of 100 searches may last, waiting included.
        rebuild_hours: in which the whole catalogue is embedded again, after a new champion.
    """

    images: int
    queries: float = 100.0
    limit_ms: float = 200.0
    rebuild_hours: float = 24.0


@dataclass(frozen=True)
class Machine:
    """One kind of machine, and what it costs; the prices are assumptions, put in your own.

    Attributes:
        fill: part that is planned with, of memory and of the cores that encode; cores that search are simulated.
    """

    cores: int = 16
    memory_gib: float = 128.0
    core_hour: float = 0.04
    gib_hour: float = 0.005
    fill: float = 0.7

    @property
    def month(self) -> float:
        return MONTH * (self.cores * self.core_hour + self.memory_gib * self.gib_hour)


@dataclass(frozen=True)
class CapacityLine:
    """Milliseconds of one search of one core among n images: start + slope * f(n), where f is the `growth`.

    Attributes:
        spread: measured times of single searches over their median.
    """

    growth: str
    start: float
    slope: float
    spread: tuple[float, ...]

    def at(self, images: float) -> float:
        return self.start + self.slope * _shape(self.growth, images)

    def largest(self, limit_ms: float) -> float:
        """Images among which one core searches within the limit; infinite where no number is too many."""
        if self.slope <= 0:
            return float("inf")
        room = (limit_ms - self.start) / self.slope
        if room <= 0:
            return 0.0
        return {"linear": room, "root": room**2, "log": float(np.exp(min(room, 700.0)))}[self.growth]


@dataclass(frozen=True)
class Need:
    """What meets a demand.

    Attributes:
        shards: that search a query together, a core each.
        teams: of so many shards.
        encoding: cores that decode and encode the queries.
        p99_ms: of the simulated searches.
        copies: of the gallery in memory, one in each group of machines that holds all shards.
        memory_gib: of all copies.
        machines: for all of it, none of them spare.
        rebuild_cores: busy for the demand's `rebuild_hours` after a new champion.
        month: price of the machines; the rebuilds are not in it.
    """

    shards: int
    teams: int
    encoding: int
    p99_ms: float
    copies: int
    memory_gib: float
    machines: int
    rebuild_cores: int
    month: float


def fit(growth: str, medians: dict[int, float], spread: Sequence[float]) -> CapacityLine:
    """The line through measured medians (images -> ms), by least squares; neither part below 0."""
    sizes = sorted(medians)
    x, y = np.array([_shape(growth, n) for n in sizes]), np.array([medians[n] for n in sizes])
    slope, start = np.polyfit(x, y, 1) if len(sizes) > 1 else (y[0] / x[0], 0.0)
    if start < 0:  # through zero
        slope, start = float(x @ y / (x @ x)), 0.0
    if slope < 0:
        slope, start = 0.0, float(y.mean())
    return CapacityLine(growth, float(start), float(slope), tuple(spread))


def plan(
    demand: Demand, line: CapacityLine, bytes_per_image: float, query_ms: float, images_per_s: float, machine: Machine
) -> Need:
    """Shards, doubled until they are fast enough, teams that hold the limit, and the machines for them.

    Args:
        line: time of a search of one core.
        bytes_per_image: in memory, vectors and what stands beside them.
        query_ms: one core's decoding and encoding of a query.
        images_per_s: one core's embedding of the catalogue.

    Raises:
        CapacityError: when not even 4,096 shards hold the limit.
    """
    shards, teams, p99 = _teams(demand, line)
    encoding = ceil(demand.queries * query_ms / 1000 / machine.fill)
    cores = shards * teams + encoding
    copies = ceil(teams / machine.cores)  # the teams of one copy share its memory: a core of each on every machine
    memory = copies * demand.images * bytes_per_image / GIB
    by_cores, by_memory = cores / machine.cores, memory / (machine.fill * machine.memory_gib)
    machines = max(1, ceil(by_cores), ceil(by_memory))
    return Need(
        shards=shards,
        teams=teams,
        encoding=encoding,
        p99_ms=p99,
        copies=copies,
        memory_gib=memory,
        machines=machines,
        rebuild_cores=ceil(demand.images / images_per_s / 3600 / demand.rebuild_hours),
        month=machines * machine.month,
    )


def simulate(rate: float, teams: int, services: Floats, seed: int = 0) -> float:
    """The 99th percentile, ms, of waiting and service together.

    Args:
        rate: queries per second.
        services: ms of each query, in the order in which they come.
    """
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1000 / rate, len(services)))
    free = [0.0] * teams
    lasted = np.empty(len(services))
    for number, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        ends = max(arrival, heapq.heappop(free)) + service
        heapq.heappush(free, ends)
        lasted[number] = ends - arrival
    return float(np.percentile(lasted, 99))


def services(line: CapacityLine, images: float, shards: int, seed: int = 1) -> Floats:
    """Times of searches that wait for the slowest of the shards, (SIMULATED,) ms."""
    rng, slowest = np.random.default_rng(seed), np.zeros(SIMULATED)
    for _ in range(shards):
        np.maximum(slowest, rng.choice(line.spread, SIMULATED), out=slowest)
    return slowest * line.at(images / shards)


def _teams(demand: Demand, line: CapacityLine) -> tuple[int, int, float]:
    shards = 1
    while np.percentile(times := services(line, demand.images, shards), 99) > demand.limit_ms / 2:
        if shards >= MOST_SHARDS:
            raise CapacityError(
                f"{demand.images:,} images: {shards} shards need {np.percentile(times, 99):.0f} ms of {demand.limit_ms:g}"
            )
        shards *= 2
    teams = max(1, ceil(demand.queries * times.mean() / 1000))
    while (p99 := simulate(demand.queries, teams, times)) > demand.limit_ms:
        teams += max(1, teams // 20)
    return shards, teams, p99


def _shape(growth: str, images: float) -> float:
    return {"linear": float(images), "root": sqrt(images), "log": log(images)}[growth]
