"""What SQLite allows of one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

_MOST_VARIABLES = 900  # the oldest limit on parameters is 999

T = TypeVar("T")


def in_parts(keys: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """The keys, as many at a time as one statement takes."""
    every = tuple(keys)
    for start in range(0, len(every), _MOST_VARIABLES):
        yield every[start : start + _MOST_VARIABLES]
