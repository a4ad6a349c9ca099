"""Linear layers by oneDNN on a CPU in float32, in inference with what follows in the same pass.

Its matrix products are faster than those behind ``F.linear``, bias, GELU and residual sum cost
almost nothing while a result is in registers, and the gradient of the input gains as much as the
output. The operator is the one that ``torch.compile`` emits; torch has no public name for it, so
it is tried once and left alone where it is missing or says something else. Everywhere else (GPUs,
other types, autocast, layers that an adapter has replaced) the usual layers run.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from aesmamba_sdk.model.onednn import proven, serves

# Rows of the product that weights are packed for; other numbers gain nearly as much.
_PACKED_ROWS = 512
_packed = WeakTensorKeyDictionary()  # weight to its version and its packed copy


def pack(module: nn.Module) -> None:
    """Keep copies of all linear layers' weights in the order in which oneDNN reads them.

    For networks that only score from now on: products gain 5 %, and weights take twice the memory.
    A packed copy is dropped when torch notices that the weight has changed; it does not notice
    writes through ``.data``.
    """
    for layer in module.modules():
        if type(layer) is nn.Linear and serves(layer.weight) and _fused_linear() is not None:
            weight = layer.weight
            if not weight.is_inference():
                copy = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _PACKED_ROWS)
                _packed[weight] = _state(weight), copy


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``."""
    if not serves(x) or (fused := _fused_linear()) is None:
        return F.linear(x, weight, bias)
    y: Tensor
    if torch.is_grad_enabled():
        y = _Linear.apply(x, weight, bias, None)
    else:
        y = fused(x, weight, bias, "none", [], "")
    return y


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)`` of a linear layer, or of what has been put in its place."""
    if type(layer) is nn.Linear and serves(x):
        return project(x, _weight(layer), layer.bias)
    y: Tensor = layer(x)
    return y


def linear_gelu(layer: nn.Module, x: Tensor) -> Tensor:
    """GELU of ``layer(x)``."""
    if not _can_fuse(layer, x) or (fused := _fused_linear()) is None:
        return F.gelu(linear(layer, x))
    y: Tensor = fused(x, _weight(layer), layer.bias, "gelu", [], "none")
    return y


def linear_add(layer: nn.Module, x: Tensor, residual: Tensor) -> Tensor:
    """``residual + layer(x)``."""
    if type(layer) is not nn.Linear or not serves(x) or residual.dtype != x.dtype:
        return residual + linear(layer, x)
    if (fused := _fused_linear()) is None:
        return residual + linear(layer, x)
    y: Tensor
    if torch.is_grad_enabled():
        y = _Linear.apply(x, layer.weight, layer.bias, residual)
    else:
        y = fused.binary(x, residual, _weight(layer), layer.bias, "add")
    return y


def linear_report() -> str:
    """Which matrix product serves inference on the CPU, in words."""
    return "torch" if _fused_linear() is None else "oneDNN, fused"


class _Linear(torch.autograd.Function):
    """``F.linear``, and a residual sum where there is one; the gradient of the weight stays with
    torch, whose product is faster there."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        y: Tensor
        if residual is None:
            y = _fused_linear()(x, weight, bias, "none", [], "")
        else:
            y = _fused_linear().binary(x, residual, weight, bias, "add")
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = dy.contiguous()
        rows = dy.flatten(0, -2)
        wanted = ctx.needs_input_grad
        dx = _fused_linear()(dy, weight.t(), None, "none", [], "") if wanted[0] else None
        dweight = _transposed_product(rows, x.flatten(0, -2)) if wanted[1] else None
        dbias = rows.sum(0) if wanted[2] else None
        return dx, dweight, dbias, dy if wanted[3] else None


def _transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """``a.t() @ b``, the wide result computed as such: a tall one is up to 1.4 times as slow."""
    return a.t() @ b if a.shape[1] <= b.shape[1] else (b.t() @ a).t()


def _weight(layer: nn.Linear) -> Tensor:
    """The packed weight where there is one that is still true and may be used."""
    if torch.is_grad_enabled() or layer.weight not in _packed:
        return layer.weight
    state, packed = _packed[layer.weight]
    if state != _state(layer.weight):
        del _packed[layer.weight]
        return layer.weight
    found: Tensor = packed
    return found


def _state(weight: Tensor) -> tuple[int, int]:
    """What changes when the weight is written to, or moved."""
    return weight._version, weight.data_ptr()


def _can_fuse(layer: nn.Module, x: Tensor) -> TypeGuard[nn.Linear]:
    return type(layer) is nn.Linear and not torch.is_grad_enabled() and serves(x)


@cache
def _fused_linear() -> Any:
    """``mkldnn::_linear_pointwise``; ``None`` unless it is there and agrees with torch."""
    return proven("_linear_pointwise", _linear_errors)


def _linear_errors(fused: Any) -> list[Tensor]:
    x = torch.linspace(-2, 2, 3 * 16).view(3, 16)
    weight, bias = torch.linspace(-1, 1, 16 * 16).view(16, 16), torch.linspace(0, 1, 16)
    want = F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 3)
    return [
        fused(x, packed, bias, "none", [], "") - want,
        fused(x, weight, None, "none", [], "") + bias - want,
        fused(x, weight, bias, "gelu", [], "none") - F.gelu(want),
        fused.binary(x, x, weight, bias, "add") - (want + x),
    ]
