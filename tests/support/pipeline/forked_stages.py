"""Stages of a test's pipeline as forks of one process that has imported the heavy libraries: a fresh Python with torch and
MLflow needs several times as long to start as a small stage then computes.

`with forked_stages() as programs:` gives a folder to put first on the PATH. What its `python` is asked to run as one of
the `FORKED` modules is forked, with the caller's folder, environment, stdin and outputs; all else is the real Python. The
libraries are imported before, the project's own code in each fork, from the folder that it works in.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Never

STAGES = (
    "code",
    "ingest",
    "validate",
    "prepare",
    "sketch",
    "train_gan",
    "train_embedder",
    "train_classifier",
    "index",
    "evaluate",
    "compare",
    "register",
)
FORKED = tuple(f"stages.{name}" for name in STAGES)
# Not onnxruntime: it begins a thread when it is imported, and a fork that lacks the thread does not end.
LIBRARIES = (
    "cv2", "dvc.repo", "faiss", "great_expectations", "matplotlib.pyplot", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "onnxscript.function_libs.torch_lib.ops", "pytorch_lightning", "ruamel.yaml",
    "scipy.stats", "sklearn.decomposition", "torch.onnx._internal.exporter._core", "torchvision",
)  # fmt: skip
CLIENT = """#!{python} -SE
import json, os, socket, sys

if sys.argv[1:2] != ["-m"] or sys.argv[2] not in {forked!r}:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
asked = {{"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"!"], [0, 1, 2])
    server.sendall(json.dumps(asked).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(9) or 1))
"""


@contextmanager
def forked_stages() -> Iterator[Path]:
    from croquis.tracking.environment import SENSIBLE, SILENT  # here: the forks import the code of their own folder

    with tempfile.TemporaryDirectory(
        prefix="forked-"
    ) as name:  # short: the path of a socket has 107 characters at most
        folder, address = Path(name), f"{name}/socket"
        client = folder / "python"
        client.write_text(CLIENT.format(python=sys.executable, forked=FORKED, address=address))
        client.chmod(0o755)
        command = [sys.executable, __file__, address]
        silent = {**SENSIBLE, **os.environ, **SILENT}  # libraries read it when they are imported
        pipe = subprocess.PIPE
        server = subprocess.Popen(command, cwd=folder, env=silent, stdin=pipe, stdout=pipe, text=True)
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n", "the process that stages are forks of did not start"
            yield folder
        finally:
            server.communicate()  # it ends with its stdin


def main(address: str) -> None:
    for library in LIBRARIES:
        with suppress(ImportError):  # then a stage imports it, or does without
            importlib.import_module(library)
    assert threading.active_count() == 1, f"a fork would lose {threading.enumerate()}"
    gc.freeze()  # a collection in a fork would write to, and so copy, every page
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                serve(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def serve(connection: socket.socket) -> Never:
    """Runs what the client asks for in another fork, and tells it the exit status."""
    _, outputs, *_ = socket.recv_fds(connection, 1, 3)
    asked = json.loads(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
    pid = os.fork()
    if pid:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(str(status if status >= 0 else 128 - status).encode())
        os._exit(0)
    connection.close()
    for place, output in enumerate(outputs):
        os.dup2(output, place)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv, sys.path[0] = asked["arguments"], asked["folder"]
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        sys.exit()
    except SystemExit as end:
        finish(end.code)
    except BaseException:
        traceback.print_exc()
        finish(1)


def finish(code: object) -> Never:
    """Ends a fork as Python ends, but takes nothing apart: to free what all forks share would copy it first, which takes
    seconds."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    main(sys.argv[1])
