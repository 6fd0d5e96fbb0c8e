"""Waits for a web server that a test has started."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request


def answer(url: str, server: subprocess.Popen[bytes] | subprocess.Popen[str]) -> bytes:
    """What the server says, once it has started."""
    deadline = time.monotonic() + 120
    while True:
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return bytes(response.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
