"""What an ONNX file may not have: weights in other files. Read as protocol buffers, without the package `onnx`.

ONNX Runtime follows the paths of external data, some versions out of the model's folder; a bundle is its manifest's files
and nothing beside them. Only the fields on the way to a tensor are looked into (onnx.proto3 of ONNX 1.18).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

DEEPEST = 60  # messages within messages; a loop in a loop has 10
MOST_FIELDS = 1_000_000  # of all messages that are looked into; a net of 1,000 operators has about 20,000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups (3, 4) are in no ONNX file
LONGEST_VARINT = 10  # bytes
DATA_LOCATION, EXTERNAL_DATA = 14, 13  # of a TensorProto

# Message -> number of a field -> the message that it holds.
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "TensorProto": {},
}


class GraphFileError(ValueError):
    """A file is no ONNX graph that stands alone; the message says why."""


def check_stands_alone(data: bytes) -> None:
    """Refuses a graph that takes a tensor from another file, wherever in it the tensor stands.

    Args:
        data: the whole `.onnx` file.

    Raises:
        GraphFileError: for such a graph, and for bytes that are no message of protocol buffers.
    """
    waiting, count = [("ModelProto", 0, len(data), 0)], 0
    while waiting:
        message, begin, end, depth = waiting.pop()
        if depth > DEEPEST:
            raise GraphFileError(f"it is nested more than {DEEPEST} messages deep")
        for number, kind, value, stop in _fields(data, begin, end):
            count += 1
            if count > MOST_FIELDS:
                raise GraphFileError(f"it has more than {MOST_FIELDS} fields")
            if message == "TensorProto" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value)):
                raise GraphFileError("it keeps weights in another file (external data); export it as one file")
            inner = MESSAGES[message].get(number)
            if inner is not None and kind == BYTES:
                waiting.append((inner, value, stop, depth + 1))


def _fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, value (of a varint; else the place where the content begins) and end of each field."""
    place = begin
    while place < end:
        tag, place = _varint(data, place, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise GraphFileError("it has a field without a number")
        if kind == VARINT:
            value, place = _varint(data, place, end)
            yield number, kind, value, place
            continue
        if kind == BYTES:
            length, place = _varint(data, place, end)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise GraphFileError(f"it has a field of wire type {kind}")
        if length > end - place:
            raise GraphFileError("it ends within a field")
        yield number, kind, place, place + length
        place += length


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        if place >= end:
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise GraphFileError("it has a number without an end")
