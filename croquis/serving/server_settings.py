"""How the server is set: what it accepts, how much it does at once, and who may ask."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from croquis.catalog.images import DecodeLimits

PAGE = Path(__file__).resolve().parent / "page"
BODY_WINDOW = 10.0  # seconds; a phone that changes its cell is still for some of them
MULTIPART_OVERHEAD = 65_536  # bytes of a body beside the picture: boundaries, names, the other fields
API_KEYS_VARIABLE = "CROQUIS_API_KEYS"
ADMIN_TOKEN_VARIABLE = "CROQUIS_ADMIN_TOKEN"
SHORTEST_SECRET = 16
WATCH_STORE = 5.0  # seconds; a version that is published is searched as soon


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and what is allowed."""


@dataclass(frozen=True)
class Limits:
    """What a request may hold.

    Attributes:
        image_bytes: largest picture file.
        pixels: largest width x height, as the file's header states it.
        waiting_bytes: bodies that are held at a time, all requests together.
        body_seconds: how long a client may take to send its body.
        body_rate: bytes per second of a body that must come at least, in each `BODY_WINDOW` seconds.
        decode_seconds: how long a picture may take to decode.
        work_seconds: how long a search may wait for a worker, and how long it may take then.
    """

    image_bytes: int = 10_000_000
    pixels: int = 12_500_000
    waiting_bytes: int = 96_000_000
    body_seconds: float = 120.0
    body_rate: int = 8_000
    decode_seconds: float = 10.0
    work_seconds: float = 30.0

    @property
    def decode(self) -> DecodeLimits:
        """Limits of a picture file."""
        return DecodeLimits(self.image_bytes, self.pixels)

    @property
    def body_bytes(self) -> int:
        """Largest body: a picture as base64, and the other fields."""
        return self.image_bytes * 4 // 3 + MULTIPART_OVERHEAD


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections are open, and how long one may wait for its client.

    Attributes:
        most: in all; fewer where `ulimit -n` leaves no room for as many.
        per_address: of one client address, named proxies excepted; None for half of those that there may be.
        head_seconds: for the head of a request to come, and for an answer that is not taken to move on.
        keep_alive_seconds: how long a connection whose request is answered is kept for another.
        backlog: connections that the kernel holds until they are accepted.
    """

    most: int = 512
    per_address: int | None = None
    head_seconds: float = 10.0
    keep_alive_seconds: int = 5
    backlog: int = 128


@dataclass(frozen=True)
class Access:
    """Who may ask, and how often.

    Attributes:
        keys: name of a client -> its key; without keys every client may search.
        admin_token: of `/admin/...`, which is off without one.
        rate: requests per second of one client, 0 for any number.
        burst: requests that a client may send at once after a pause.
        origins: web origins that browsers may call from (CORS).
        proxies: addresses and networks whose X-Forwarded-For is believed.
    """

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    admin_token: str | None = field(default=None, repr=False)
    rate: float = 0.0
    burst: int = 20
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True)
class IngestSettings:
    """Product events that the server itself takes into its store.

    Attributes:
        stream: URI of the stream.
        params: file whose `validate` block has the rules' thresholds.
        images: folder that paths of pictures in events are relative to; None when events carry them.
        batch: events that are embedded and written together.
    """

    stream: str
    params: Path = Path("params.yaml")
    images: Path | None = None
    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise SettingsError(f"ingest_batch = {self.batch}, must be at least 1")


@dataclass(frozen=True)
class Settings:
    """Everything but the models.

    Attributes:
        threads: queries that are worked on at a time.
        queue: queries that may wait for a thread; one more is answered 429.
        batch: queries that one run of a net may answer; threads beyond the CPUs wait for one another to fill it.
        watch_seconds: how often the models are looked up again, 0 for never.
        load_seconds: that pulling, verifying and trying one model may take.
        page: folder of the web page.
        start_decoders: start the processes that decode at once, and keep them running; else when one is needed.
        changes: folder of a FAISS store that requests change; None when they cannot.
        store: URI of the store whose current version is searched; None for each bundle's own images.
        catalogue: name of the catalogue in it.
        ingest: what brings products into that store from within this process; None for nothing.
    """

    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    queue: int = 128
    batch: int = 1
    watch_seconds: float = 0.0
    load_seconds: float = 60.0
    page: Path = PAGE
    start_decoders: bool = False
    changes: Path | None = None
    store: str | None = None
    catalogue: str = "catalogue"
    ingest: IngestSettings | None = None
    limits: Limits = Limits()
    connections: ConnectionLimits = ConnectionLimits()
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        per_address = self.connections.per_address
        for name, value, least in (
            ("threads", self.threads, 1),
            ("queue", self.queue, 0),
            ("batch", self.batch, 1),
            ("watch_seconds", self.watch_seconds, 0),
            ("load_seconds", self.load_seconds, 1),
            ("rate", self.access.rate, 0),
            ("burst", self.access.burst, 1),
            ("connections", self.connections.most, 1),
            ("connections_per_address", 1 if per_address is None else per_address, 1),
        ):
            if not value >= least:
                raise SettingsError(f"{name} = {value}, must be at least {least}")
        if self.store and self.changes:
            raise SettingsError("--changes keeps a store of its own; products of a --store are changed by events")
        if self.ingest and not self.store:
            raise SettingsError("--ingest needs --store: where the products go")


@dataclass(frozen=True)
class ServeOptions:
    """What `croquis serve` is told; of `model` and `bundle` one is given.

    Attributes:
        model: models:/NAME@ALIAS or models:/NAME/NUMBER of the registry.
        also, also_bundle: further models, labelled by alias, number or folder.
        workers: processes; None for one, or for as many as there are CPUs where nothing keeps them to one.
        threads: queries that a process works on at a time; None for the CPUs, or `batch` if that is more.
        watch: seconds between two looks at models and store; None for `WATCH_STORE` with a store, else never.
        ingest: URI of a stream of product events that go into the store.
        proxies: addresses and networks with commas between them.
        grace: seconds for requests that run when the server is ended.
    """

    model: str | None = None
    bundle: Path | None = None
    also: Sequence[str] = ()
    also_bundle: Sequence[Path] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int | None = None
    threads: int | None = None
    batch: int = 1
    queue: int = Settings.queue
    watch: float | None = None
    load_seconds: float = Settings.load_seconds
    changes: Path | None = None
    store: str | None = None
    catalogue: str = Settings.catalogue
    ingest: str | None = None
    ingest_images: Path | None = None
    ingest_batch: int = IngestSettings.batch
    params: Path = IngestSettings.params
    rate: float = Access.rate
    burst: int = Access.burst
    cors: Sequence[str] = ()
    proxies: str = ""
    connections: int = ConnectionLimits.most
    connections_per_address: int | None = None
    max_image_bytes: int = Limits.image_bytes
    max_pixels: int = Limits.pixels
    page: Path = PAGE
    grace: int = 30


def access_from_environment(
    environment: Mapping[str, str], rate: float, burst: int, origins: list[str], proxies: str = ""
) -> Access:
    """Keys and token from the environment, where `ps` does not show them.

    Args:
        environment: `CROQUIS_API_KEYS` holds `name=key` pairs with commas between them, `CROQUIS_ADMIN_TOKEN` a token.

    Raises:
        SettingsError: when a pair has another form, a name comes twice, a secret is shorter than 16 characters, or a
            proxy is no address.
    """
    keys: dict[str, str] = {}
    for pair in filter(None, environment.get(API_KEYS_VARIABLE, "").split(",")):
        name, separator, key = (part.strip() for part in pair.partition("="))
        if not separator or not name or name in keys:
            raise SettingsError(
                f"{API_KEYS_VARIABLE} must hold name=key pairs with commas between them, each name once"
            )
        keys[name] = _secret(API_KEYS_VARIABLE, key)
    token = environment.get(ADMIN_TOKEN_VARIABLE)
    admin = None if token is None else _secret(ADMIN_TOKEN_VARIABLE, token)
    return Access(keys, admin, rate, burst, tuple(origins), _proxies(proxies))


def _proxies(text: str) -> tuple[str, ...]:
    named = tuple(filter(None, (part.strip() for part in text.split(","))))
    for part in named:
        try:
            everybody = ipaddress.ip_network(part).prefixlen == 0
        except ValueError as error:
            raise SettingsError(f"proxies: {part!r} is no address or network such as 10.0.0.0/8: {error}") from None
        if everybody:
            raise SettingsError(f"proxies: {part} is everybody: any client could name itself; give your proxies only")
    return named


def _secret(variable: str, value: str) -> str:
    if len(value) < SHORTEST_SECRET or not value.isascii() or not value.isprintable():
        raise SettingsError(f"a secret in {variable} is shorter than {SHORTEST_SECRET} printable ASCII characters")
    return value
