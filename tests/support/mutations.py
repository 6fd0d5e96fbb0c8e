"""Valid files with a few bytes changed, and how many examples a property is tried on.

`CROQUIS_FUZZ_SECONDS=600 pytest tests/croquis/test_parsers.py -k NAME` draws anew for ten minutes.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("CROQUIS_FUZZ_SECONDS", "0"))
EXAMPLES = 40
Test = TypeVar("Test", bound=Callable[..., Any])
ODD = [
    *(b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\0\0\0\0"),
    *(b"-1", b"1e999", b"NaN", b'"', b"[", b"{", b"\n", "\u00b2".encode()),
]


@st.composite
def mutated(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """One of `files` with up to six places overwritten, filled in, taken out or repeated, or cut off."""
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(data)))
        piece = draw(st.one_of(st.sampled_from(ODD), st.binary(min_size=1, max_size=8)))
        kind = draw(st.sampled_from(["over", "in", "out", "again", "cut"]))
        span = slice(begin, begin + draw(st.integers(1, 40)))
        if kind == "over":
            data[begin : begin + len(piece)] = piece
        elif kind == "in":
            data[begin:begin] = piece
        elif kind == "out":
            del data[span]
        elif kind == "again":
            data[begin:begin] = data[span] * draw(st.integers(1, 20))
        elif begin > 8:
            del data[begin:]
    return bytes(data)


def tried(most: int) -> Callable[[Test], Test]:
    """A test with `@given` below it runs on `most` examples, the same ones each time, or on other ones for
    `CROQUIS_FUZZ_SECONDS`."""
    how = settings(
        max_examples=1000 if SECONDS else most,
        derandomize=not SECONDS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Test) -> Test:
        once = how(test)

        @functools.wraps(once)
        def run(*arguments: object, **named: object) -> None:
            end = time.monotonic() + SECONDS
            once(*arguments, **named)
            while time.monotonic() < end:
                once(*arguments, **named)

        return run if SECONDS else once  # type: ignore[return-value]

    return decorate


def holds_for(strategy: st.SearchStrategy[bytes], check: Callable[[bytes], object]) -> None:
    """Runs `check` on examples of the strategy, as many as `tried` says."""

    @tried(EXAMPLES)
    @given(strategy)
    def run(data: bytes) -> None:
        check(data)

    run()
