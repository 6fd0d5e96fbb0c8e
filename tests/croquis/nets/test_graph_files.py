"""Weights outside of the file are found wherever a tensor may stand, whatever ONNX Runtime thinks of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from croquis.nets import graph_files
from croquis.nets.graph_files import MESSAGES, GraphFileError, check_stands_alone
from croquis.nets.session import ModelError, OnnxGraph
from tests.support import tiny_retriever as tiny


def outside(location: str = "../../secret.bin") -> TensorProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def node_with(**attribute: object) -> NodeProto:
    node = NodeProto(op_type="If", input=["x"], output=["y"])
    node.attribute.append(AttributeProto(name="body", **attribute))  # type: ignore[arg-type]
    return node


def graph_with(*nodes: NodeProto, initializers: tuple[TensorProto, ...] = ()) -> GraphProto:
    return GraphProto(node=nodes, initializer=initializers)


def sparse(**part: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(**part)  # type: ignore[arg-type]


PLACES: dict[str, Callable[[TensorProto], ModelProto]] = {
    "an initializer": lambda t: ModelProto(graph=graph_with(initializers=(t,))),
    "an attribute": lambda t: ModelProto(graph=graph_with(node_with(t=t))),
    "a list of an attribute": lambda t: ModelProto(graph=graph_with(node_with(tensors=[TensorProto(), t]))),
    "a graph within": lambda t: ModelProto(graph=graph_with(node_with(g=graph_with(initializers=(t,))))),
    "graphs within": lambda t: ModelProto(
        graph=graph_with(node_with(graphs=[GraphProto(), graph_with(node_with(g=graph_with(node_with(t=t))))]))
    ),
    "sparse values": lambda t: ModelProto(graph=GraphProto(sparse_initializer=[sparse(values=t)])),
    "sparse indices": lambda t: ModelProto(graph=graph_with(node_with(sparse_tensor=sparse(indices=t)))),
    "sparse tensors": lambda t: ModelProto(graph=graph_with(node_with(sparse_tensors=[sparse(values=t)]))),
    "a function": lambda t: ModelProto(functions=[onnx.FunctionProto(node=[node_with(t=t)])]),
    "a default of a function": lambda t: ModelProto(
        functions=[onnx.FunctionProto(attribute_proto=[AttributeProto(name="a", t=t)])]
    ),
    "what trains": lambda t: ModelProto(
        training_info=[onnx.TrainingInfoProto(algorithm=graph_with(initializers=(t,)))]
    ),
    "what begins a training": lambda t: ModelProto(
        training_info=[onnx.TrainingInfoProto(initialization=graph_with(node_with(t=t)))]
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_in_another_file_is_found_in_every_place(place: str) -> None:
    inside = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1], float_data=[1.0])
    check_stands_alone(PLACES[place](inside).SerializeToString())
    with pytest.raises(GraphFileError, match="external data"):
        check_stands_alone(PLACES[place](outside()).SerializeToString())


@pytest.mark.parametrize("sign", ["data_location", "external_data"])
def test_either_sign_is_enough(sign: str) -> None:
    tensor = outside()
    tensor.ClearField("external_data" if sign == "data_location" else "data_location")
    with pytest.raises(GraphFileError, match="external data"):
        check_stands_alone(PLACES["an initializer"](tensor).SerializeToString())


def test_every_way_to_a_tensor_is_looked_along() -> None:
    """The table against the definition of ONNX itself."""
    found: dict[str, dict[int, str]] = {}
    waiting = [ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name not in found:
            inner = {field.number: field.message_type for field in message.fields if field.message_type}
            found[message.name] = {number: each.name for number, each in inner.items()}
            waiting += inner.values()
    leads = {"TensorProto"}
    while more := {name for name, inner in found.items() if leads & set(inner.values())} - leads:
        leads |= more
    expected = {name: {number: each for number, each in found[name].items() if each in leads} for name in leads}
    assert expected == {name: dict(inner) for name, inner in MESSAGES.items()}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x3a\xff\xff\xff\xff\x0f", "ends within"),
        (b"\x3a", "without an end"),
        (b"\x08" + b"\xff" * 11, "without an end"),
        (b"\x02\x00", "without a number"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0d\0", "ends within"),
        (b"ORTM0000", "wire type"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(GraphFileError, match=words):
        check_stands_alone(data)


def test_depth_and_number_of_fields_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = GraphProto()
    for _ in range(30):
        graph = graph_with(node_with(g=graph))
    with pytest.raises(GraphFileError, match="deep"):
        check_stands_alone(ModelProto(graph=graph).SerializeToString())
    monkeypatch.setattr(graph_files, "MOST_FIELDS", 100)
    with pytest.raises(GraphFileError, match="more than 100 fields"):
        check_stands_alone(b"\x08\0" * 101)


def test_no_session_is_opened_on_such_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny.save_generator(tmp_path) / "generator.onnx"
    names = {"input_name": "sketches", "output_name": "photos", "size": tiny.SKETCH_SIZE}
    OnnxGraph(file, **names)
    model = onnx.load(file)
    model.graph.initializer.append(outside(str(tmp_path / "secret")))
    file.write_bytes(model.SerializeToString())
    monkeypatch.setattr("croquis.nets.session.onnxruntime.InferenceSession", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(ModelError, match=r"generator.onnx is not an ONNX graph .*: it keeps weights in another file"):
        OnnxGraph(file, **names)


@pytest.mark.parametrize("numbers", [2**45, 2**38, 1_100_000_000])
def test_a_graph_that_asks_for_more_memory_than_a_process_may_take_fails(numbers: int, tmp_path: Path) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [numbers])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sketches", "sum"], ["photos"]),
    ]
    tiny.save_graph(tmp_path / "g.onnx", nodes, "sketches", "photos", 8, ["batch", 3, 8, 8], [shape])
    with pytest.raises(ModelError, match=r"g\.onnx"):
        OnnxGraph(tmp_path / "g.onnx", input_name="sketches", output_name="photos", size=8).run(
            np.zeros((1, 3, 8, 8), dtype=np.float32)
        )
