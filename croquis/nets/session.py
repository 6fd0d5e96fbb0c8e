"""One way to open an ONNX graph: CPU, a fixed number of threads, the same bits every time, and no telemetry.

ONNX Runtime 1.31 writes a device id into the home folder and reports home, unless the environment says otherwise when it
is imported. Everything here imports it from this module (`croquis.tracking.environment` silences the other libraries).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from croquis.files import read_json
from croquis.nets.graph_files import check_stands_alone
from croquis.strict_json import parse_description

SILENT = {"ORT_DISABLE_TELEMETRY": "1"}
os.environ.update(SILENT)

import onnxruntime as onnxruntime  # noqa: E402 (explicit re-export)

Tensor = npt.NDArray[np.float32]
MOST_MEMORY = 4_000_000_000  # bytes of the tensors of all graphs of a process; 256 images at once take ours 0.2 GB


def _bound_memory() -> None:
    """A graph that asks for more fails, instead of the machine. The environment of the runtime is one for a process."""
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY}))


_bound_memory()


class ModelError(ValueError):
    """A model folder or its ONNX graph is not what its description says."""


class OnnxGraph:
    """A graph with one float32 input and one output that is asked for by name; safe to call from several threads.

    Args:
        path: the `.onnx` file, weights inside.
        input_name: the input, (B, channels, S, S) with a dynamic batch.
        output_name: the output.
        size: S, checked on every call.
        channels: of the input, checked too.
        threads: threads within one operator.

    Raises:
        ModelError: when the file is no ONNX graph, takes weights from other files, or lacks either name.
    """

    def __init__(
        self, path: str | Path, *, input_name: str, output_name: str, size: int, threads: int = 1, channels: int = 3
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self._input_name = input_name
        self._output_name = output_name
        self._session = _open(self.path, threads)
        _check_name(self.path, "input", input_name, [node.name for node in self._session.get_inputs()])
        _check_name(self.path, "output", output_name, [node.name for node in self._session.get_outputs()])

    @property
    def input_shape(self) -> list[int | str | None]:
        """The input's shape as the graph states it; dynamic axes are names."""
        shapes = {node.name: list(node.shape) for node in self._session.get_inputs()}
        return shapes[self._input_name]

    @property
    def output_shape(self) -> list[int | str | None]:
        """The output's shape as the graph states it; dynamic axes are names."""
        shapes = {node.name: list(node.shape) for node in self._session.get_outputs()}
        return shapes[self._output_name]

    def run(self, images: Tensor) -> Tensor:
        """Runs (B, channels, S, S) float32 through the graph.

        Raises:
            ModelError: naming the shape or type that came and the one that is needed, or why the graph fails.
        """
        wanted = (self.channels, self.size, self.size)
        if images.ndim != 4 or images.shape[1:] != wanted or images.dtype != np.float32:
            raise ModelError(
                f"{self.path.name} takes float32 (B, {', '.join(map(str, wanted))}), got {images.dtype} {images.shape}"
            )
        return self._outputs(images, "images")

    def _outputs(self, batch: npt.NDArray[Any], what: str) -> Tensor:
        try:
            (output,) = self._session.run([self._output_name], {self._input_name: np.ascontiguousarray(batch)})
        except Exception as error:  # as in `_open`
            raise ModelError(f"{self.path} fails on {what} of {batch.shape}: {error}") from error
        return np.asarray(output, dtype=np.float32)


class Description(Protocol):
    """What every description of a net says: `file`, that of its graph, and `size`, the side of its images in pixels."""

    @property
    def file(self) -> str: ...

    @property
    def size(self) -> int: ...


D = TypeVar("D", bound=Description)


class DescribedNet(Generic[D]):
    """A graph that a JSON file beside it describes.

    Class attributes:
        kind: the dataclass of the description.
        filename: the JSON file's name.
        stage: the pipeline stage that writes both.
        input_name, output_name: of the graph.

    Args:
        folder: holds the graph, and the description unless `described` is given.

    Raises:
        ModelError: when the description or the graph is wrong.
    """

    kind: type[D]
    filename: ClassVar[str]
    stage: ClassVar[str]
    input_name: ClassVar[str]
    output_name: ClassVar[str]

    def __init__(self, folder: str | Path, threads: int = 1, described: D | None = None) -> None:
        self.described = described or self.describe(folder)
        self.size = self.described.size
        self._graph = OnnxGraph(
            Path(folder) / self.described.file,
            input_name=self.input_name,
            output_name=self.output_name,
            size=self.size,
            threads=threads,
            channels=self.channels,
        )

    @property
    def channels(self) -> int:
        """Of the input."""
        return 3

    @classmethod
    def describe(cls, folder: str | Path) -> D:
        """Reads and checks the description in `folder`.

        Raises:
            ModelError: naming the key that is missing, unknown or of the wrong type.
        """
        source = Path(folder) / cls.filename
        if not source.is_file():
            raise ModelError(f"{source} does not exist; run the stage that writes it (dvc repro {cls.stage})")
        return parse_description(cls.kind, read_json(source), str(source), ModelError)


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise ModelError(f"{path} does not exist; run the stage that exports it (dvc repro)")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    options.add_session_config_entry("session.use_env_allocators", "1")  # see `_bound_memory`
    # Idle threads that spin steal the processor from other requests (and from FAISS).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # the runtime's own format is not checked
    try:
        graph = path.read_bytes()  # read once: what is checked is what is opened
        check_stands_alone(graph)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own unrelated classes per kind of damage
        raise ModelError(f"{path} is not an ONNX graph that this runtime can open: {error}") from error


def _check_name(path: Path, kind: str, name: str, found: Sequence[str]) -> None:
    if name not in found:
        raise ModelError(f"{path} has no {kind} {name!r}; its {kind}s are {list(found)}")
