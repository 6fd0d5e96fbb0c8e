"""Values that are made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value that the first caller makes and all later ones share, also across threads.

    `functools.cached_property` has no lock since Python 3.12: a burst of first requests would open a net many times.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: list[T] = []

    def get(self) -> T:
        """The value, made by the first caller; others wait meanwhile. After an error the next caller tries again."""
        if not self._value:
            with self._lock:
                if not self._value:
                    self._value.append(self._make())
        return self._value[0]
