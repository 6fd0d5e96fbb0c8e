"""Stages of a pipeline as forks of one process that has imported the heavy libraries: a fresh Python takes seconds to import
torch and MLflow, which is longer than a small stage then computes.

`with forked_stages() as programs:` gives a folder to put first on the PATH. What its `python` is asked to run as a module of
`stages` or as `dvc` is forked, with the caller's folder, environment, stdin and outputs; signals and the exit status are
passed on. All else is the real Python, and so is everything while the libraries are being imported. They are imported
before, the project's own code in each fork, from the folder that it works in.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Never

# Not onnxruntime: it begins a thread when it is imported, and a fork that lacks the thread does not end.
LIBRARIES = (
    "cv2", "dvc.cli.parser", "dvc.repo.reproduce", "faiss", "mlflow", "mlflow.store.tracking.sqlalchemy_store",
    "torchvision", "pytorch_lightning", "onnxscript.function_libs.torch_lib.ops",
    "torch.onnx._internal.exporter._core", "ruamel.yaml", "matplotlib.pyplot", "scipy.stats",
    "sklearn.decomposition", "great_expectations",
)  # fmt: skip
SOCKET = "socket"
# By its path: to import it as a module would import the project's own code.
SERVER = "import runpy, sys; runpy.run_path(sys.argv[1])['main'](*sys.argv[2:])"
CLIENT = """#!{python} -SE
import json, os, signal, socket, sys

def fresh():
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])

if sys.argv[1:2] != ["-m"] or sys.argv[2].partition(".")[0] not in ("dvc", "stages"):
    fresh()
asked = {{"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    try:
        server.connect({address!r})
    except OSError:
        fresh()
    text = json.dumps(asked).encode()
    socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(text)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: server.send(bytes([number])))
    status = int(server.recv(9) or 1)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextmanager
def forked_stages(variables: Mapping[str, str] | None = None, *, wait: bool = False) -> Iterator[Path]:
    """The folder with the `python` that has modules forked.

    Args:
        variables: environment variables that libraries read when they are imported, as every caller has them.
        wait: until the libraries are imported; else modules that are asked for until then run in a Python of their own.
    """
    from croquis.tracking.environment import SENSIBLE, SILENT  # here: the forks import the code of their own folder

    # Short: the path of a socket has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="forked-") as name:
        folder, address = Path(name), f"{name}/{SOCKET}"
        client = folder / "python"
        client.write_text(CLIENT.format(python=sys.executable, address=address))
        client.chmod(0o755)
        command = [sys.executable, "-c", SERVER, __file__, address, *LIBRARIES]
        silent = {**SENSIBLE, **os.environ, **SILENT, **(variables or {})}
        pipe = subprocess.PIPE
        # In a group of its own: Ctrl-C reaches a fork by its client, as it reaches any other program, and once.
        server = subprocess.Popen(command, cwd=folder, env=silent, stdin=pipe, stdout=pipe, text=True, process_group=0)
        try:
            if wait and server.stdout is not None and server.stdout.readline() != "ready\n":
                raise RuntimeError("the process that stages are forks of did not start; what it said stands above")
            yield folder
        finally:
            server.terminate()  # forks go on
            server.communicate()


def forks_stages(python: Path) -> bool:
    """Whether this is the `python` of a folder of `forked_stages`, of whatever process."""
    return python.is_file() and (python.parent / SOCKET).is_socket()


def main(address: str, *libraries: str) -> None:
    """Listens on the Unix socket `address` and forks a process for each caller, until standard input ends.

    Args:
        libraries: modules that are imported before, so that forks have them.
    """
    for library in libraries:
        with suppress(ImportError):  # then a stage imports it, or does without
            importlib.import_module(library)
    if threading.active_count() > 1:
        sys.exit(f"error: a fork would lose {threading.enumerate()}")
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
    """Runs what the client asks for in another fork, passes signals on, and tells the client the exit status."""
    length, outputs, *_ = socket.recv_fds(connection, 8, 3)
    text, missing = b"", int.from_bytes(length, "big")
    while len(text) < missing and (more := connection.recv(missing - len(text))):
        text += more
    ended, ends = socket.socketpair()
    ends.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ends.fileno())
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (connection, ended, ends):
            each.close()
        run(json.loads(text), outputs)
    for output in outputs:
        os.close(output)
    while ended not in select.select([connection, ended], [], [])[0]:
        for number in connection.recv(9) or [signal.SIGKILL]:  # a client that is gone was killed
            os.kill(pid, number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        connection.sendall(str(status).encode())
    os._exit(0)


def run(asked: Mapping[str, Any], outputs: Sequence[int]) -> Never:
    """Becomes what the client would have become."""
    for place, output in enumerate(outputs):
        os.dup2(output, place)
        os.close(output)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty() or bool(os.environ.get("PYTHONUNBUFFERED")))  # type: ignore[union-attr]
    sys.argv, sys.path[0] = asked["arguments"], asked["folder"]
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        finish(0)
    except SystemExit as end:
        finish(end.code)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        finish(-signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        finish(1)


def finish(code: object) -> Never:
    """Ends a fork as Python ends, but takes nothing apart: to free what all forks share would copy it first, which takes
    seconds. A negative code is the signal that it ends by."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code and code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code or 0)
