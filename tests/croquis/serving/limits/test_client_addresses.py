"""Who is asking: a header counts only where a named proxy sends it, and an address counts as its network."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from croquis.serving.app import create_app
from croquis.serving.limits.client_addresses import UNKNOWN, client_group
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Access, ServeOptions, Settings, SettingsError, access_from_environment

PROXIES = "10.0.0.1, 192.168.0.0/16,2001:db8:1::/48"


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("made-up", UNKNOWN),
        ("192.0.2.7 ", UNKNOWN),
        ("", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_an_address_counts_as_what_one_client_has(host: str | None, group: str) -> None:
    assert client_group(host) == group


def statuses(bundle: Path, proxies: str, peer: str, forwarded: list[str | None]) -> list[int]:
    """Answers to one request for each header, of clients that may ask twice."""
    access = access_from_environment({}, 0.001, 2, [], proxies)
    app = create_app({"champion": BundleSource(bundle)}, Settings(threads=1, access=access))
    with TestClient(app, client=(peer, 50_000)) as client:
        headers = [{} if each is None else {"X-Forwarded-For": each, "X-Real-IP": each} for each in forwarded]
        return [client.get("/catalogue/filters", headers=each).status_code for each in headers]


MADE_UP = ["192.0.2.1", "192.0.2.2, 192.0.2.3", "2001:db8::1", "made-up"]
ONE, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "expected"),
    [
        ("", "127.0.0.1", MADE_UP, [200, 200, 429, 429]),  # nobody is believed
        (PROXIES, "127.0.0.1", MADE_UP, [200, 200, 429, 429]),  # nor this machine, which is not named
        (PROXIES, "10.0.0.2", MADE_UP, [200, 200, 429, 429]),
        (PROXIES, "10.0.0.1", [ONE, ONE, ONE, OTHER], [200, 200, 429, 200]),
        (PROXIES, "192.168.3.4", [f"made-{n}, {ONE}" for n in range(4)], [200, 200, 429, 429]),
        (PROXIES, "10.0.0.1", [f"{OTHER}, {ONE}, 192.168.9.{n}" for n in range(3)], [200, 200, 429]),
        (PROXIES, "2001:db8:1::7", [f"{ONE}:{n}, 10.0.0.1" for n in range(1, 4)], [200, 200, 429]),
        (PROXIES, "10.0.0.1", [f"2001:db8:9::{n}" for n in range(1, 4)], [200, 200, 429]),  # one /64
        (PROXIES, "10.0.0.1", [f"made-up-{n}" for n in range(3)], [200, 200, 429]),
        (PROXIES, "10.0.0.1", [None, None, None, ONE], [200, 200, 429, 200]),
    ],
)
def test_the_rate_is_that_of_who_asked_the_proxies(
    bundle: Path, proxies: str, peer: str, forwarded: list[str | None], expected: list[int]
) -> None:
    assert statuses(bundle, proxies, peer, forwarded) == expected


@pytest.mark.parametrize(
    ("proxies", "words"),
    [
        ("proxy.example", "'proxy.example' is no address or network"),
        ("10.0.0.1/8", "host bits set"),
        ("*", "'\\*' is no address"),
        ("10.0.0.1,0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
    ],
)
def test_proxies_are_addresses(proxies: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        access_from_environment({}, 0, 5, [], proxies)


def test_nobody_is_believed_by_default() -> None:
    assert access_from_environment({}, 0, 5, [], ServeOptions().proxies) == Access(burst=5)
