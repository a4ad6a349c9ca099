"""Copies of weights in the order in which a matrix product reads them, as long as they are true.

For networks that only score from now on: weights take twice the memory. A copy is dropped when
torch notices that the weight has changed; it does not notice writes through ``.data``.
"""

from __future__ import annotations

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_copies = WeakTensorKeyDictionary()  # weight to order, state and copy


def keep(weight: Tensor, order: str, copy: Tensor) -> None:
    """Keep ``copy``, the weight in that order, instead of any other."""
    _copies[weight] = order, _state(weight), copy


def find(weight: Tensor, order: str) -> Tensor | None:
    """The weight's copy in that order; ``None`` without one, or when it is out of date."""
    if weight not in _copies:
        return None
    kept, state, copy = _copies[weight]
    if state != _state(weight):
        del _copies[weight]
        return None
    return copy if kept == order else None


def _state(weight: Tensor) -> tuple[int, int]:
    """What changes when the weight is written to, or moved."""
    return weight._version, weight.data_ptr()
