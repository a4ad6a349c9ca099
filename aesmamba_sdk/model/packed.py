"""Copies of weights in the order in which something reads them, as long as they are true.

For networks that only score from now on: weights take twice the memory. A copy is dropped when
torch notices that the weight has changed; it does not notice writes through ``.data``.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, UntypedStorage
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True)
class _Copy:
    """A weight in some order.

    Attributes:
        memory: the weight's: while it is held, no other weight takes its address.
    """

    order: str
    copy: Tensor
    version: int
    address: int
    memory: UntypedStorage


_copies = WeakTensorKeyDictionary()  # weight to its copy


def keep(weight: Tensor, order: str, copy: Tensor) -> None:
    """Keep ``copy``, the weight in that order, instead of any other."""
    memory = weight.untyped_storage()
    _copies[weight] = _Copy(order, copy, weight._version, weight.data_ptr(), memory)


def find(weight: Tensor, order: str) -> Tensor | None:
    """The weight's copy in that order; ``None`` without one, or when it is out of date."""
    kept: _Copy | None = _copies.get(weight)
    if kept is None:
        return None
    if (kept.version, kept.address) != (weight._version, weight.data_ptr()):
        _copies.pop(weight, None)
        return None
    return kept.copy if kept.order == order else None
