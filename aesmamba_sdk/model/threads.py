"""Threads of torch: those of one thread of the program, without touching the others'."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

_alone = threading.local()
"""``.then``: while a thread computes alone, on how many it will compute afterwards."""


@cache
def openmp(function: str) -> Any:
    """A function of the OpenMP runtime that torch itself runs on; ``None`` where it has none.

    Both GNU's and LLVM's runtime serve. A look-up through an opened library also searches what
    that library was linked with, and so finds the very copy that torch calls.
    """
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        try:
            return getattr(ctypes.CDLL(str(folder / name)), function)
        except (OSError, AttributeError):
            continue
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes for the calling thread on that thread alone.

    Unlike ``torch.set_num_threads`` this leaves other threads, and those that start meanwhile, as
    they are. Where torch runs on no OpenMP nothing changes.
    """
    if getattr(_alone, "then", None) is not None:
        yield
        return
    set_threads = openmp("omp_set_num_threads")
    before = torch.get_num_threads()  # asked first: a thread's first question settles its number
    if set_threads is not None:
        set_threads(1)
    _alone.then = before
    try:
        yield
    finally:
        if set_threads is not None:
            set_threads(_alone.then)
        _alone.then = None


def use_threads(count: int) -> None:
    """``torch.set_num_threads``; within :func:`one_thread` the calling thread stays alone."""
    torch.set_num_threads(count)
    set_threads = openmp("omp_set_num_threads")
    if getattr(_alone, "then", None) is not None and set_threads is not None:
        _alone.then = count
        set_threads(1)
