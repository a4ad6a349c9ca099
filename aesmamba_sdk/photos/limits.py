"""How large a photo may be, and how many may be decoded at once, so that memory stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.memory import give_back_freed_memory

MAX_SIDE = 512
"""Longest side in pixels a loaded photo keeps: over twice what the networks look at.

A JPEG of 24 megapixels decodes at 1/8 of its scale for it. From 1024 pixels, scores of enlarged
photos rank alike (SRCC 0.998)."""
MAX_PIXELS = 175_000_000
"""Larger photos are refused from their header, before anything is decoded."""
MAX_BYTES = 400 * 2**20
"""As are those whose pixels need more memory than this: 104 megapixels at 4 bytes each, while a
JPEG that decodes at a smaller scale never comes near."""
_AT_ONCE = 128 * 2**20


def check_size(size: tuple[int, int], pixel: float, name: str) -> int:
    """Bytes that decoding takes.

    Args:
        size: width and height in pixels.
        pixel: bytes that decoding takes for one.

    Raises:
        PhotoError: the photo is empty, or above one of the limits.
    """
    pixels = size[0] * size[1]
    if not pixels:
        raise PhotoError(f"{name} has no pixels: {size[0]}x{size[1]}", code="photo_empty")
    if pixels > MAX_PIXELS:
        raise PhotoError(
            f"{name} has {size[0]}x{size[1]} pixels; at most {MAX_PIXELS // 10**6} megapixels "
            "are accepted. Save a smaller copy.",
            code="photo_too_large",
        )
    if pixels * pixel > MAX_BYTES:
        raise PhotoError(
            f"{name}, {size[0]}x{size[1]} pixels, needs {pixels * pixel / 2**20:.0f} MiB to be "
            f"decoded; at most {MAX_BYTES / 2**20:.0f} MiB are taken. Save a smaller copy.",
            code="photo_too_large",
        )
    return int(pixels * pixel)


class Room:
    """Memory that threads share: many small photos are decoded at once, large ones one by one.

    Args:
        size: in bytes. What is larger than the whole waits until the room is empty, and gets what
            the process had taken for other things and freed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Hold so many bytes for the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + amount <= self._size)
            self._taken += amount
        try:
            if amount > self._size:
                give_back_freed_memory()
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()


decoding = Room(_AT_ONCE)
"""Of all threads that decode in this process."""
