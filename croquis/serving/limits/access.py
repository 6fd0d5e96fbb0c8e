"""Who may ask: API keys, the admin token, and so many requests per second."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from croquis.serving.answers.problems import Problem
from croquis.serving.limits.client_addresses import client_group
from croquis.serving.limits.http_meter import Meter
from croquis.serving.server_settings import ADMIN_TOKEN_VARIABLE, Access

KEY_HEADER = "X-API-Key"
KEY_SCHEME = APIKeyHeader(
    name=KEY_HEADER, auto_error=False, description="API key of a client, where the server has keys."
)
TOKEN_SCHEME = HTTPBearer(auto_error=False, description="Admin token of the server, for changes and reloads.")
SentKey = Annotated[str | None, Security(KEY_SCHEME)]
SentToken = Annotated[HTTPAuthorizationCredentials | None, Security(TOKEN_SCHEME)]
ADMIN = "(admin)"  # in the log
PERSONAL = "personal"  # in the state of a request whose answer depends on the client
MOST_CLIENTS = 10_000  # whose use is remembered


class AccessControl:
    """Checks keys and rates.

    Args:
        access: the rules.
        meter: counts refusals.
        clock: seconds that never run backwards.
    """

    def __init__(self, access: Access, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = {name: _digest(key) for name, key in access.keys.items()}
        self._admin = None if access.admin_token is None else _digest(access.admin_token)
        self._rate, self._burst = access.rate, float(access.burst)
        self._meter = meter
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def client(self, request: Request, key: SentKey = None) -> str:
        """The name of the client: of its key, or its address where no keys are needed.

        Raises:
            Problem: 401 without a valid key, 429 when it asks too often.
        """
        request.state.personal = True
        name = self._named(key or "") if self._names else client_group(request.client.host if request.client else None)
        request.state.client_name = name
        if self._rate:
            self._take(name)
        return name

    async def admin(self, request: Request, token: SentToken = None) -> None:
        """Lets through who has the admin token, as `Authorization: Bearer TOKEN`.

        Raises:
            Problem: 403 when the server has no token, 401 when the request has not the right one.
        """
        request.state.personal = True
        if self._admin is None:
            detail = f"this server has no admin token: start it with one in {ADMIN_TOKEN_VARIABLE}"
            raise Problem(403, "admin-off", detail)
        if not hmac.compare_digest(_digest(token.credentials if token else ""), self._admin):
            self._meter.refused.labels("admin").inc()
            headers = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "unauthorised", "send Authorization: Bearer with the admin token", headers=headers)
        request.state.client_name = ADMIN

    def _named(self, key: str) -> str:
        sent = _digest(key)
        # Every key is compared, so that the time does not tell which one was close.
        found = [name for name, digest in self._names.items() if hmac.compare_digest(sent, digest)]
        if not found:
            self._meter.refused.labels("key").inc()
            raise Problem(401, "unauthorised", "send a valid key in the header X-API-Key", field=KEY_HEADER)
        return found[0]

    def _take(self, name: str) -> None:
        """Takes one token from the client's bucket, which fills at `rate` up to `burst`."""
        now = self._clock()
        left, since = self._left.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[name] = (left - 1 if allowed else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        if not allowed:
            self._meter.refused.labels("rate").inc()
            seconds = max(1, math.ceil((1 - left) / self._rate))
            limit = f"{self._rate:g} requests per second, {self._burst:g} at once"
            headers = {"Retry-After": str(seconds)}
            raise Problem(429, "too-many-requests", f"try again in {seconds} s", limit=limit, headers=headers)


def _digest(secret: str) -> bytes:
    """Equal lengths whatever was sent, as the comparison takes time by length."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
