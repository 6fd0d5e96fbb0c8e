"""Whom an address stands for: a client of IPv6 has a whole network of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

UNKNOWN = "unknown"
CLIENT_BITS = 64  # of an IPv6 address: what one customer gets at least (RFC 6177)


def client_group(host: str | None) -> str:
    """The address of a client as limits count it: IPv6 by its /64, all that is no address together."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), CLIENT_BITS), strict=False))


def is_among(host: str | None, named: Iterable[str]) -> bool:
    """Whether an address is one of `named`, which are addresses and networks."""
    return any(ipaddress.ip_address(host) in ipaddress.ip_network(each) for each in named if host)
