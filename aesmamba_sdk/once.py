"""Properties that several threads may ask for at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, TypeVar

T = TypeVar("T")


def opened_once(opening: Callable[[Any], T]) -> cached_property[T]:
    """A ``cached_property`` that one thread alone computes, under the object's ``_opening`` lock.

    It is kept before the lock is let go: ``cached_property`` keeps it after, without a lock of its
    own from Python 3.12 on.
    """
    name = opening.__name__

    @wraps(opening)
    def once(owner: Any) -> T:
        with owner._opening:
            if name not in owner.__dict__:
                owner.__dict__[name] = opening(owner)
            opened: T = owner.__dict__[name]
            return opened

    return cached_property(once)
