"""Around every request: an id, security headers, one line of log, and the counters."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from croquis.serving.answers.problems import CLIENT_CLOSED, of_fault
from croquis.serving.limits.access import PERSONAL
from croquis.serving.limits.http_meter import Meter

logger = logging.getLogger("croquis.serving.access")

REQUEST_ID = "x-request-id"
KNOWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of answers that are no page: a browser that is led to one runs nothing and shows it nowhere else.
HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
# Of answers that depend on the client: no cache on the way may give them to others.
PRIVATE = [(b"cache-control", b"private, no-store")]
LONGEST_METHOD, LONGEST_PATH = 20, 300  # characters in the log


class RequestLogMiddleware:
    """ASGI middleware; a header that the answer sets itself is kept. What fails within is answered here, so that it is
    counted, logged once, and has the headers of every answer.

    The log names method, path, status, time, client and request id: no picture, no query string, no key. What comes from
    outside is cut, and JSON writes what is not printable as an escape.
    """

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, answered = time.perf_counter(), CLIENT_CLOSED, False
        sent = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = sent if KNOWN_ID.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})

        async def send_guarded(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                held = {name for name, _ in message["headers"]}
                private = PRIVATE if PERSONAL in scope["state"] else []
                wanted = [*HEADERS, *private, (REQUEST_ID.encode(), request_id.encode())]
                message["headers"] = [*message["headers"], *(each for each in wanted if each[0] not in held)]
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:
            if answered:
                raise
            await of_fault(Request(scope), error)(scope, receive, send_guarded)
        finally:
            self._record(scope, status, time.perf_counter() - begun, request_id)

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        self._meter.answered(scope["method"], getattr(scope.get("route"), "path", None), status, seconds)
        entry: dict[str, Any] = {
            "method": scope["method"][:LONGEST_METHOD],
            "path": scope["path"][:LONGEST_PATH],
            "status": status,
            "ms": round(seconds * 1000, 2),
            "client": scope["state"].get("client_name"),
            "request_id": request_id,
        }
        logger.info("%s", json.dumps(entry))
