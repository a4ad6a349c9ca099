"""Whether bfloat16 pays on this processor."""

from __future__ import annotations

import logging
import time

import torch

from aesmamba_sdk.model.config import Precision

logger = logging.getLogger(__name__)

_PAYS = 1.5  # gain of the products alone below which whole encoders gain little or lose
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


def warn_if_slow(precision: Precision, device: torch.device) -> None:
    """Say it where bfloat16, asked for on a processor, may not be faster there."""
    if precision == "bfloat16" and device.type == "cpu" and (gain := bfloat16_gain()) < _PAYS:
        logger.warning(
            "this processor multiplies in bfloat16 at %.2f of the rate of float32: scoring may be "
            "faster in float32",
            gain,
        )


def _once(x: torch.Tensor) -> float:
    started = time.perf_counter()
    x @ x
    return time.perf_counter() - started
