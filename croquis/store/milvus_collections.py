"""The collections that a store in Milvus consists of: their fields, their index, and rows to images and back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from croquis.catalog.product import LONGEST_ID, LONGEST_WORD, MOST_ATTRIBUTES
from croquis.store.milvus_link import KEY, MilvusLink, key_of
from croquis.store.vector_store import Stored, StoredImage, StoreError, StoreSpec, UnfitImageError

NOTES = "_notes"  # what the name of a collection of notes ends with
RECORD = "record"  # key of the note that holds the spec; all others are hashes
BYTES = 4  # of one character in UTF-8, at most: Milvus counts bytes
GRAPH = {"M": 32, "efConstruction": 100}
IMAGE_FIELDS = ("image_id", "item_id", "version", "category", "domain", "attributes", "seen")
# Of the collections, and of those before, without words; a version with another one must be made again.
LAYOUT, WORDLESS = 3, 2
MOST_TOKENS = 4096  # of an image's text: a list of Milvus holds no more, and what follows is not searched
LEAST_LIKELY = 26  # of 255: an attribute that the classifier finds less likely is not looked for
TOKEN_KEY = 12  # hex digits that stand for a token
LONGEST_TEXT = 65_535  # bytes: Milvus keeps no longer one


def make_images(link: MilvusLink, name: str, spec: StoreSpec, worded: bool = True) -> None:
    """Creates the empty collection of images; Milvus compares bits symmetrically.

    Args:
        worded: with the fields that words are searched by; versions of before have none.

    Raises:
        StoreError: when the engine lacks what the spec asks for.
    """
    if spec.head == "pq":
        raise StoreError(f"milvus:{link.address} keeps no product codes: use a FAISS store")
    if link.lite and spec.head == "binary":
        raise StoreError(
            f"milvus:{link.address} is Milvus Lite, which keeps no binary codes: use a Milvus server or a FAISS store"
        )
    schema = _schema(link)
    for field, length in (("image_id", LONGEST_ID + 17), ("item_id", LONGEST_ID), ("item_key", 32)):
        schema.add_field(field, link.types.VARCHAR, max_length=BYTES * length)
    schema.add_field("version", link.types.INT64)
    for field in ("category", "domain"):
        schema.add_field(field, link.types.VARCHAR, max_length=BYTES * LONGEST_WORD)
    words = {"element_type": link.types.VARCHAR, "max_length": BYTES * LONGEST_WORD, "max_capacity": MOST_ATTRIBUTES}
    schema.add_field("attributes", link.types.ARRAY, **words)
    if worded:  # see `words_of`
        hashes = {"element_type": link.types.VARCHAR, "max_length": TOKEN_KEY, "max_capacity": MOST_TOKENS}
        for field in ("tokens", "likely"):
            schema.add_field(field, link.types.ARRAY, **hashes)
        schema.add_field("length", link.types.INT64)
    for field in ("seen", "thumbnail"):  # JSON of what the classifier says and of the product's own columns; base64
        schema.add_field(field, link.types.VARCHAR, max_length=LONGEST_TEXT)
    if spec.head == "binary":
        schema.add_field("vector", link.types.BINARY_VECTOR, dim=-(-spec.dim // 8) * 8)
        link.make(name, schema, {"index_type": "BIN_FLAT", "metric_type": "HAMMING"})
        return
    schema.add_field("vector", link.types.FLOAT_VECTOR, dim=spec.dim)
    graph = {"index_type": "HNSW", "params": GRAPH} if spec.kind == "hnsw" else {"index_type": "FLAT"}
    # Of unit vectors the nearest are those of the highest cosine, and every score is worked out again from the vector.
    link.make(name, schema, {**graph, "metric_type": "L2"})


def make_notes(link: MilvusLink, name: str, spec: StoreSpec, worded: bool = True) -> None:
    """Creates the collection of notes with the record in it, which makes the version whole."""
    schema = _schema(link)
    schema.add_field("version", link.types.INT64)
    schema.add_field("text", link.types.VARCHAR, max_length=4096)
    schema.add_field("vector", link.types.FLOAT_VECTOR, dim=2)  # every collection must have one
    link.make(name + NOTES, schema, {"index_type": "FLAT", "metric_type": "L2"})
    record = {"layout": LAYOUT if worded else WORDLESS} | asdict(spec)
    link.write(name + NOTES, [note(RECORD, 0, json.dumps(record))])


def read_spec(link: MilvusLink, name: str) -> tuple[StoreSpec, bool]:
    """Who the vectors of a version belong to, and whether it keeps words.

    Raises:
        StoreError: when there is no record.
    """
    rows = (
        link.rows(name + NOTES, f'{KEY} == "{RECORD}"', ["text"]) if link.call("has_collection", name + NOTES) else []
    )
    if not rows:
        raise StoreError(f"{name} in milvus:{link.address} was never finished: drop it and create the version again")
    record = json.loads(rows[0]["text"])
    layout = record.pop("layout", 1)
    if layout not in (LAYOUT, WORDLESS):
        raise StoreError(f"{name} in milvus:{link.address} was made by another version of Croquis: create it again")
    return StoreSpec(**record), layout == LAYOUT


def note(key: str, version: int, text: str) -> dict[str, Any]:
    """A row of the collection of notes; its vector means nothing, but Milvus wants one."""
    return {KEY: key, "version": version, "text": text, "vector": [0.0, 0.0]}


def words_of(image: StoredImage, tokens: Sequence[str]) -> dict[str, Any]:
    """The fields that words are searched by: the tokens of an image's text in their order, hashed, so that expressions need
    no escapes; their number; and what the classifier finds likely, by its place among the attributes or, where only its
    decisions are kept, by name."""
    held = image.probabilities
    likely = [likely_name(name) for name in image.predicted]
    if held is not None:
        likely = [likely_place(place) for place, level in enumerate(held) if level >= LEAST_LIKELY]
    return {
        "tokens": [token_key(token) for token in tokens[:MOST_TOKENS]],
        "likely": likely[:MOST_TOKENS],
        "length": len(tokens),
    }


def token_key(token: str) -> str:
    """What stands for a token."""
    return key_of(token)[:TOKEN_KEY]


def likely_place(place: int) -> str:
    """What stands for the attribute at a place of the classifier's output."""
    return f"#{place}"


def likely_name(name: str) -> str:
    """What stands for an attribute by its name."""
    return token_key(f"attribute {name}")


def row_of(image: StoredImage, vector: Stored, thumbnail: bytes) -> dict[str, Any]:
    """An image as a row of its collection, without the fields of `words_of`.

    Raises:
        UnfitImageError: when the thumbnail is too large.
    """
    picture = base64.b64encode(thumbnail).decode()
    if len(picture) > LONGEST_TEXT:
        raise UnfitImageError(
            f"the thumbnail of {image.image_id!r} has {len(thumbnail)} bytes, Milvus keeps {LONGEST_TEXT * 3 // 4}: build "
            "the bundle with a lower index.thumbnail",
            image.item_id,
        )
    values = asdict(image) | {"attributes": list(image.attributes), "thumbnail": picture}
    held = values.pop("probabilities")
    seen = [values.pop("predicted"), None if held is None else held.hex(), values.pop("product")]
    values["seen"] = json.dumps(seen if image.product else seen[:2], ensure_ascii=False)
    if len(values["seen"].encode()) > LONGEST_TEXT:
        raise UnfitImageError(
            f"the columns of {image.item_id!r} and its attributes have {len(values['seen'].encode())} bytes, Milvus keeps "
            f"{LONGEST_TEXT}: send shorter texts",
            image.item_id,
        )
    stored = vector.tobytes() if vector.dtype == np.uint8 else vector
    return {KEY: key_of(image.image_id), "item_key": key_of(image.item_id), **values, "vector": stored}


def image_of(row: Mapping[str, Any]) -> StoredImage:
    """The reverse of `row_of`, without vector and thumbnail."""
    values = {name: row[name] for name in IMAGE_FIELDS if name != "seen"}
    predicted, held, *product = json.loads(row["seen"])
    seen: dict[str, Any] = {
        "predicted": tuple(predicted),
        "probabilities": None if held is None else bytes.fromhex(held),
    }
    seen["product"] = product[0] if product else {}
    return StoredImage(**values | {"attributes": tuple(row["attributes"])} | seen)


def vectors_of(rows: Sequence[Mapping[str, Any]], spec: StoreSpec) -> Stored:
    """The vectors of rows as stored, (n, ...)."""
    if spec.head == "dense":
        return np.array([row["vector"] for row in rows], dtype=np.float32).reshape(len(rows), spec.dim)
    width = -(-spec.dim // 8)
    return np.frombuffer(b"".join(map(_bytes, rows)), dtype=np.uint8).reshape(len(rows), width)


def _bytes(row: Mapping[str, Any]) -> bytes:
    """A search gives bytes, a query a list of one bytes."""
    value = row["vector"]
    return bytes(value[0] if isinstance(value, list) else value)


def _schema(link: MilvusLink) -> Any:
    schema = link.client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(KEY, link.types.VARCHAR, max_length=32, is_primary=True)
    return schema
