"""Memory that a process has freed: kept because it will be wanted again, or given back."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

# Options of glibc's mallopt, from <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for good, instead of handing it back.

    The maps of a large batch are so big that glibc takes each from the system anew, page by
    zeroed page, and returns it a millisecond later. A training step is up to 1.2 times as fast
    without that, and its peak memory stays taken. It is a setting of the whole process, so that
    the library never changes it by itself: programs that train call this first.

    Returns:
        Whether the C library knows how; others than glibc do not.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    most = 1 << 30
    settings = {_MMAP_THRESHOLD: most, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 << 20}
    done = [mallopt(option, value) == 1 for option, value in settings.items()]
    return all(done)


def give_back_freed_memory() -> bool:
    """Hand all that this process has freed, or could, to the system; takes a tenth of a second.

    After photos have been encoded that is some 200 MB, room for a large one to be decoded.

    Returns:
        Whether the C library knows how; others than glibc do not.
    """
    trim = _of_glibc("malloc_trim")
    if trim is None:
        return False
    gc.collect()  # errors and the frames that they came from hold each other, and images
    trim(0)
    return True


def _of_glibc(name: str) -> Any | None:
    """A function of the C library; ``None`` where it is another one, like musl."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
