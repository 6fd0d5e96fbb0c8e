"""A server that honours the API of the search page: what it is asked is kept, what it answers can be changed by a test."""

from __future__ import annotations

import email.message
import email.parser
import email.policy
import io
import json
import mimetypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image, ImageOps

from tests.support.environment import REPOSITORY
from tests.support.serving.fake_answers import COLOURS, PRODUCTS, filter_values, item, jpeg, search, similar, version

PAGE = REPOSITORY / "croquis/serving/page"
CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"


@dataclass
class Asked:
    """One search: the fields of its form, its first picture cropped, the model's label, and all pictures."""

    fields: dict[str, str]
    picture: np.ndarray
    model: str | None
    pictures: list[np.ndarray] = field(default_factory=list)


@dataclass
class World:
    """What the tests look at and change.

    Attributes:
        asked: searches in order.
        trouble: called per search with its number; a (status, problem, headers) is answered in place of results.
        hold: when cleared, searches wait.
        url: where the page is.
        modes: that the models were made for.
        colours: that the champion's generator has words for; None where it takes none.
    """

    asked: list[Asked] = field(default_factory=list)
    trouble: Callable[[int], tuple[int, dict[str, Any], dict[str, str]] | None] = lambda _: None
    hold: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    modes: list[str] = field(default_factory=lambda: ["photo", "sketch", "sketch-direct"])
    colours: dict[str, str] | None = None


def start(world: World) -> ThreadingHTTPServer:
    """Listens on a free port of the loopback, in threads that end with the process."""
    handler = type("Bound", (Handler,), {"world": world})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Handler(BaseHTTPRequestHandler):
    world: World

    def log_message(self, *_: Any) -> None:
        """Nothing: tests print what matters."""

    def do_GET(self) -> None:
        path, query = self._parts()
        if path == "/" or path.startswith("/page/"):
            return self._page("index.html" if path == "/" else path.removeprefix("/page/"))
        if path == "/version":
            return self._json(version(self.world.modes, self.world.colours))
        if path == "/catalogue/filters":
            return self._json(filter_values())
        head, _, rest = path.lstrip("/").partition("/")
        found = [product for product in PRODUCTS if product.item_id == rest.removesuffix("/image")]
        if not found:
            return self._problem(404, {"title": "Not Found", "detail": f"{rest} is no product"}, {})
        if head == "items" and rest.endswith("/image"):
            return self._send(200, jpeg(COLOURS[found[0].colour]), "image/jpeg", {})
        if head == "items":
            return self._json(item(found[0]))
        return self._json(similar(found[0], int(query.get("k", "20")), json.loads(query.get("filters", "{}"))))

    def do_POST(self) -> None:
        _, query = self._parts()
        fields, pictures = read_form(self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"])))
        picture = pictures[0] if pictures else np.full((64, 64, 3), 128, np.uint8)  # words alone
        self.world.asked.append(Asked(fields, picture, query.get("model"), pictures))
        self.world.hold.wait(20)
        trouble = self.world.trouble(len(self.world.asked))
        if trouble is not None:
            return self._problem(*trouble)
        return self._json(search(fields, picture, query.get("model") or "champion"))

    def _parts(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return unquote(parts.path), {name: values[-1] for name, values in parse_qs(parts.query).items()}

    def _page(self, name: str) -> None:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._send(200, (PAGE / Path(name).name).read_bytes(), kind, {"Content-Security-Policy": CSP})

    def _json(self, body: Any) -> None:
        self._send(200, json.dumps(body).encode(), "application/json", {})

    def _problem(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        whole = {"type": "about:blank", "status": status, "field": None, "limit": None} | body
        self._send(status, json.dumps(whole).encode(), "application/problem+json", headers)

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], list[np.ndarray]]:
    """The text fields of a multipart form, and its pictures, upright and cropped, uint8 (H, W, 3)."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = [(str(part.get_param("name", header="content-disposition")), part) for part in message.iter_parts()]
    fields = {name: _payload(part).decode() for name, part in parts if name != "image"}
    files = [_payload(part) for name, part in parts if name == "image"]
    images = [ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB") for data in files]
    if "crop" in fields:
        left, top, right, bottom = (int(side) for side in fields["crop"].split(","))
        images = [image.crop((left, top, right, bottom)) for image in images]
    return fields, [np.asarray(image) for image in images]


def _payload(part: email.message.Message) -> bytes:
    found = part.get_payload(decode=True)
    assert isinstance(found, bytes)
    return found
