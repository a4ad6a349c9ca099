"""Operators of oneDNN that torch has, but does not promise: used where they prove themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_TOLERANCE = 1e-5


def proven(name: str, errors: Callable[[Any], Iterable[Tensor]]) -> Any:
    """``torch.ops.mkldnn.NAME``; ``None`` unless it is there and agrees with torch.

    Args:
        name: of the operator.
        errors: differences between what the operator gives and what torch does, on small numbers.
    """
    try:
        operator = getattr(torch.ops.mkldnn, name)
        if not torch.backends.mkldnn.is_available():
            return None
        with torch.inference_mode():
            largest = [float(error.abs().max()) for error in errors(operator)]
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None
    return operator if all(error < _TOLERANCE for error in largest) else None


def is_traced() -> bool:
    """Whether torch wants to see its own operators: it compiles, or transforms functions."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def serves(x: Tensor) -> bool:
    """Whether this is the kind of number that these operators are used for."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not is_traced()
    )


def can_read(x: Tensor) -> bool:
    """Whether native code can read it besides, as it lies in memory."""
    return serves(x) and x.is_contiguous() and x.numel() > 0
