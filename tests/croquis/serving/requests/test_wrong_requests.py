"""Every wrong request is answered by a problem that names the field and the limit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from croquis.serving.server_settings import Limits, Settings
from tests.support.serving.live_server import Serve, as_file
from tests.support.tiny_retriever import photo


def check_problem(response: Any, status: int, field: str | None, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "field", "limit"}
    assert body["status"] == status
    assert body["type"].startswith("urn:croquis:problem:")
    assert body["field"] == field
    assert words in body["detail"]
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"k": "0"}, "k", "k = '0': should be greater than or equal to 1"),
        ({"k": "101"}, "k", "less than or equal to 100"),
        ({"k": "ten"}, "k", "should be a valid integer"),
        ({"k": "１０"}, "k", "should be a valid integer"),
        ({"k": "9" * 50}, "k", "less than or equal to 100"),
        ({"k": ["3", "4"]}, "k", "should be a valid integer"),
        ({"mode": "painting"}, "mode", "should be 'photo', 'sketch' or 'sketch-direct'"),
        ({"filters": "{"}, "filters", "is not JSON"),
        ({"filters": "[" * 100_000}, "body", "cannot be read"),
        ({"filters": "[" * 60_000}, "filters", "is not JSON"),
        ({"filters": "[]"}, "filters", "must be an object"),
        ({"filters": '{"price": 1}'}, "filters", "is not a filter; known: category, attributes, colour, domain"),
        ({"filters": '{"category": [1]}'}, "filters.category", "must be a word or a list of words"),
        ({"filters": '{"category": ["spaceship"]}'}, "filters.category", "is not known; known: coat, dress"),
        ({"filters": '{"colour": ["\\ud800"]}'}, "filters", "is not JSON"),
        ({"rerank": "perhaps"}, "rerank", "should be a valid boolean"),
        ({"timings": "2"}, "timings", "should be a valid boolean"),
        ({"crop": "1,2,3"}, "crop", "should have at least 4 items"),
        ({"crop": "1,2,nan,4"}, "crop", "should be less than or equal to 999999"),
        ({"crop": "30,30,10,10"}, "crop", "holds no pixel of the 32 x 32 image"),
        ({"crop": "500,500,600,600"}, "crop", "holds no pixel of the 32 x 32 image"),
        ({"shade": "red"}, "body", "'shade' is not a field of this request"),
        ({"image": "!"}, "image", "is not base64 of a picture file"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, fields: dict[str, Any], field: str, words: str) -> None:
    response = client.post("/search", files={"image": photo()}, data=fields)
    check_problem(response, 422, field, words)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "image", "image: Field required"),
        ({"image": None}, "image", "image: Field required"),
        ({"image": 5}, "image", "should be a valid bytes"),
        ({"image": "not base64!"}, "image", "is not base64 of a picture file: character 11 is '!'"),
        ({"image": "good", "k": True}, "k", "k = True: must be a whole number"),
        ({"image": "good", "k": 2.5}, "k", "should be a valid integer"),
        ({"image": "good", "k": float("nan")}, "k", "should be a finite number"),
        ({"image": "good", "mode": ["photo"]}, "mode", "should be 'photo'"),
        ({"image": "good", "crop": {"x1": 1}}, "crop", "should be a valid list"),
        ({"image": "good", "crop": [1, 2, 3, None]}, "crop", "should be a valid number"),
        ({"image": "good", "filters": 3}, "filters", "must be an object"),
        ({"image": "good", "\ud800": 3}, "body", "is not JSON"),
        ({f"field {number}": 3 for number in range(50)}, "body", "fields are too many, at most 20"),
        ([1], "body", "must be a JSON object"),
    ],
)
def test_a_wrong_json_body_is_named(client: TestClient, body: Any, field: str, words: str) -> None:
    if isinstance(body, dict) and body.get("image") == "good":
        body["image"] = base64.b64encode(photo()).decode()
    response = client.post("/search", content=json.dumps(body), headers={"content-type": "application/json"})
    check_problem(response, 422, field, words)


def charset(name: str) -> dict[str, str]:
    return {"content-type": f"multipart/form-data; boundary=b; charset={name}"}


UTF_7 = charset("utf-7")
JSON_BODY = {"content-type": "application/json"}


def one_field(name: str, value: str) -> bytes:
    """A form; in UTF-7, `+2AA-` is half a character, which UTF-8 cannot hold."""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--'.encode()


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        (b"{", {"content-type": "application/json"}, 422, "is not JSON"),
        (b"\xff\xfe", {"content-type": "application/json"}, 422, "is not JSON"),
        (b"[" * 200_000, {"content-type": "application/json"}, 422, "is not JSON"),
        (b"image=x", {"content-type": "application/x-www-form-urlencoded"}, 415, "send multipart/form-data"),
        (b"x", {}, 415, "send multipart/form-data"),
        (b"x", {"content-type": "multipart/form-data"}, 422, "body"),
        (b"x", {"content-type": "multipart/form-data; boundary=b"}, 422, ""),
        (b"--b\r\n\r\n\r\n--b--", {"content-type": "multipart/form-data; boundary=b"}, 422, ""),
        (one_field("+2AA-", "1"), UTF_7, 422, "body = "),
        (one_field("filters", "+2AA-"), UTF_7, 422, "image: Field required"),
        (one_field("k", "1"), charset("punycode"), 415, "charset"),
        (one_field("k", "1"), charset('"PunyCode"'), 415, "charset"),
        (one_field("k", "1"), charset("idna"), 415, "charset"),
        (one_field("k", "1"), charset("zlib_codec"), 415, "charset"),
        (one_field("k", "1"), charset("UTF-8"), 422, "image: Field required"),
        (b'{"k":[' + b"[]," * 50_000 + b"1]}", JSON_BODY, 422, "more than 50000 values"),
        (b"{" + b",".join(b'"%d":0' % number for number in range(60_000)) + b"}", JSON_BODY, 422, "more than 50000"),
        (b'{"filters":{"category":[' + b'{"":{}},' * 30_000 + b"1]}}", JSON_BODY, 422, "more than 50000 values"),
    ],
)
def test_a_body_of_another_kind_is_refused(
    client: TestClient, content: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    response = client.post("/search", content=content, headers=headers)
    assert response.status_code == status, response.text
    assert words in response.json()["detail"]


def damaged(kind: str) -> bytes:
    return as_file(Image.effect_noise((64, 64), 50).convert("RGB"), kind)[:900]


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
FRAMES = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]


@pytest.mark.parametrize(
    ("image", "status", "words"),
    [
        (b"", 422, "should have at least 1 byte"),
        (b"GET / HTTP/1.1", 415, "the file is none of JPEG, PNG, WEBP, BMP, GIF"),
        (SVG, 415, "the file is none of"),
        (as_file(Image.new("RGB", (8, 8)), "TIFF"), 415, "the file is none of"),
        (as_file(Image.new("RGB", (8, 8)), "ICO"), 415, "the file is none of"),
        (b"%PDF-1.7 %%EOF", 415, "the file is none of"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "the file is none of"),
        (damaged("JPEG"), 422, "truncated or damaged"),
        (damaged("PNG"), 422, "truncated or damaged"),
        (damaged("WEBP"), 422, "truncated or damaged"),
        (as_file(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), 422, "animated"),
        (as_file(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), 422, "animated"),
        (as_file(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), 422, "animated"),
        (lambda: as_file(Image.new("1", (5000, 5000))), 413, "5000 x 5000 pixels, the limit is 12500000"),
        (lambda: as_file(Image.new("1", (30_000, 30_000))), 413, "12500000"),
    ],
    ids=lambda value: "large" if callable(value) else str(value)[:24],
)
def test_a_file_that_is_no_usable_picture_is_refused(
    client: TestClient, image: bytes | Callable[[], bytes], status: int, words: str
) -> None:
    sent = image() if callable(image) else image
    check_problem(client.post("/search", files={"image": sent}), status, "image", words)


def test_pictures_that_are_odd_but_whole_are_answered(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x9286] = "x" * 60_000  # UserComment
    exif[0x0112] = 6
    plain = Image.effect_noise((40, 30), 60).convert("RGB")
    for image in (
        as_file(plain, "JPEG", exif=exif),
        as_file(plain.convert("CMYK"), "JPEG"),
        as_file(plain.convert("RGBA")),
        as_file(plain.convert("P"), "GIF"),
        as_file(Image.new("I;16", (20, 20), 40_000)),
        as_file(plain, "PNG") + b"<script>alert(1)</script>PK\x03\x04",  # more than one kind of file at once
        as_file(Image.new("RGB", (1, 1))),
        as_file(Image.new("RGB", (9000, 1))),
    ):
        response = client.post("/search", files={"image": image})
        assert response.status_code == 200, response.text
        assert b"<script>" not in response.content


@pytest.mark.parametrize("form", ["lines", "data URL", "URL alphabet", "no padding"])
def test_base64_as_programs_write_it_is_read(client: TestClient, form: str) -> None:
    picture = photo()
    plain = base64.b64encode(picture).decode()
    text = {
        "lines": base64.encodebytes(picture).decode(),
        "data URL": f"data:image/jpeg;base64,{plain}",
        "URL alphabet": base64.urlsafe_b64encode(picture).decode(),
        "no padding": plain.rstrip("="),
    }[form]
    answers = [client.post("/search", json={"image": each, "k": 3}) for each in (plain, text)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["results"] == answers[1].json()["results"]


def test_a_part_without_filename_is_told(client: TestClient) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    for content in (photo(), photo() + bytes(2**20)):
        response = client.post(
            "/search",
            content=head + content + b"\r\n--b--",
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert response.status_code == 422
        assert "needs a filename" in response.text


def test_sizes_are_limited_before_anything_is_read(serve: Serve) -> None:
    client = serve(Settings(threads=1, limits=Limits(image_bytes=5000, pixels=2000)))
    small = as_file(Image.new("RGB", (40, 40)))
    assert client.post("/search", files={"image": small}).status_code == 200
    many = client.post("/search", files={"image": as_file(Image.new("RGB", (50, 41)))})
    check_problem(many, 413, "image", "50 x 41 pixels, the limit is 2000 pixels")
    noise = as_file(Image.effect_noise((100, 100), 90))
    check_problem(client.post("/search", files={"image": noise}), 413, "image", "the limit is 5000")
    encoded = {"image": base64.b64encode(noise).decode()}
    check_problem(client.post("/search", json=encoded), 413, "image", "the limit is 5000")
    check_problem(client.post("/search", files={"image": b"x" * 200_000}), 413, "body", "is larger than 72202 bytes")

    def pieces() -> Any:
        for _ in range(100):
            yield b"x" * 10_000

    kind = {"content-type": "application/json"}
    check_problem(client.post("/search", content=pieces(), headers=kind), 413, "body", "is larger than 72202 bytes")


def test_routes_and_methods_that_are_not_there(client: TestClient) -> None:
    check_problem(client.get("/nothing"), 404, None, "Not Found")
    check_problem(client.get("/search"), 405, None, "Method Not Allowed")


def test_a_fault_of_ours_does_not_show_its_inside(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("croquis.search.local_retriever.LocalRetriever.answer", lambda *_, **__: 1 / 0)
    response = client.post("/search", files={"image": photo()})
    check_problem(response, 500, None, "the server failed; its log says why")
    assert "ZeroDivision" not in response.text
    monkeypatch.undo()
    assert client.post("/search", files={"image": photo()}).status_code == 200
