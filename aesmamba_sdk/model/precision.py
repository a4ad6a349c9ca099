"""Whether multiplying matrices in bfloat16 pays on this processor; on many it does not."""

from __future__ import annotations

import time

import torch

_SIDE, _ROUNDS = 512, 5


def bfloat16_gain() -> float:
    """How many times as fast as in float32 the CPU multiplies in bfloat16; measured, some 20 ms.

    Instructions for it say little: with AVX512_BF16 on both, one machine scored photos 1.3 to 1.8
    times as fast as in float32, and another multiplied at 0.55 of float32's rate.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(_SIDE, _SIDE, dtype=dtype)
        seconds[dtype] = min(_once(x) for _ in range(1 + _ROUNDS))  # the first one sets up
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _once(x: torch.Tensor) -> float:
    started = time.perf_counter()
    x @ x
    return time.perf_counter() - started
