"""Linear layers on a CPU in float32, in inference with what stands before and behind them.

With packed weights the native library runs a layer norm, the layers, GELU and the residual sum in
one pass (:mod:`~aesmamba_sdk.model.chain`). Otherwise oneDNN does, layer by layer: its products are
faster than those behind ``F.linear``, bias, GELU and residual sum cost almost nothing while a
result is in registers, and in training the gradient of the input gains as much as the output. The
operator is the one that ``torch.compile`` emits; torch has no public name for it, so it is tried
once and left alone where it is missing or says something else. Everywhere else (GPUs, other types,
autocast, layers that an adapter has replaced) the usual layers run.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from aesmamba_sdk.model import chain, packed
from aesmamba_sdk.model.chain import Links
from aesmamba_sdk.model.norm import layer_norm
from aesmamba_sdk.model.onednn import proven, serves

# Rows of the product that weights are packed for; other numbers gain nearly as much.
_PACKED_ROWS = 512
_ONEDNN = "oneDNN"
# Rows of a product, by columns of its result, for which a copy of that is worth it.
_ROWS_WORTH_A_COPY = 8


def pack(layer: nn.Linear) -> None:
    """Keep a copy of the weight in the order in which products read it."""
    if not chain.pack(layer.weight) and _fused_linear() is not None:
        reorder = torch.ops.mkldnn._reorder_linear_weight
        packed.keep(layer.weight, _ONEDNN, reorder(layer.weight.detach(), _PACKED_ROWS))


def project(x: Tensor, weight: Tensor) -> Tensor:
    """(..., inner) to its product with all rows of a weight, (..., inner), that is no layer's."""
    y = chain.project(x, weight)
    return _project(x, weight.flatten(0, -2), None) if y is None else y


def linear(
    layer: nn.Module,
    x: Tensor,
    *,
    norm: nn.Module | None = None,
    residual: Tensor | None = None,
    in_place: bool = False,
) -> Tensor:
    """``residual + layer(norm(x))`` of a linear layer, or of what has been put in its place.

    Args:
        norm: a layer norm over the last axis; without it, ``x`` as it is.
        residual: without it, nothing is added.
        in_place: ``x`` may be overwritten, where that is faster.
    """
    if (y := chain.run(x, Links(layer, norm=norm, residual=residual))) is not None:
        return y
    if norm is not None:
        x = layer_norm(norm, x, multiplied=True, in_place=in_place)
    return _linear(layer, x) if residual is None else _linear_add(layer, x, residual)


def mlp(
    widen: nn.Module,
    narrow: nn.Module,
    x: Tensor,
    *,
    norm: nn.Module | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """``residual + narrow(GELU(widen(norm(x))))``, as :func:`linear` does it."""
    if (y := chain.run(x, Links(widen, narrow, norm, residual))) is not None:
        return y
    if norm is not None:
        x = layer_norm(norm, x, multiplied=True)
    if torch.is_grad_enabled() and _both_plain(widen, narrow, x, residual):
        out: Tensor = _Mlp.apply(x, widen.weight, widen.bias, narrow.weight, narrow.bias, residual)
        return out
    return linear(narrow, _linear_gelu(widen, x), residual=residual)


def linear_report() -> str:
    """Which matrix product serves inference on the CPU, in words."""
    return chain.chain_report() or ("torch" if _fused_linear() is None else "oneDNN, fused")


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear``."""
    if not serves(x) or (fused := _fused_linear()) is None:
        return F.linear(x, weight, bias)
    y: Tensor
    if torch.is_grad_enabled():
        y = _Linear.apply(x, weight, bias, None)
    else:
        y = fused(x, weight, bias, "none", [], "")
    return y


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    if type(layer) is nn.Linear and serves(x):
        return _project(x, _weight(layer), layer.bias)
    y: Tensor = layer(x)
    return y


def _linear_gelu(layer: nn.Module, x: Tensor) -> Tensor:
    if type(layer) is not nn.Linear or torch.is_grad_enabled() or not serves(x):
        return F.gelu(_linear(layer, x))
    if (fused := _fused_linear()) is None:
        return F.gelu(_linear(layer, x))
    y: Tensor = fused(x, _weight(layer), layer.bias, "gelu", [], "none")
    return y


def _linear_add(layer: nn.Module, x: Tensor, residual: Tensor) -> Tensor:
    if type(layer) is not nn.Linear or not serves(x) or residual.dtype != x.dtype:
        return residual + _linear(layer, x)
    if (fused := _fused_linear()) is None:
        return residual + _linear(layer, x)
    y: Tensor
    if torch.is_grad_enabled():
        y = _Linear.apply(x, layer.weight, layer.bias, residual)
    else:
        y = fused.binary(x, residual, _weight(layer), layer.bias, "add")
    return y


class _Linear(torch.autograd.Function):
    """``F.linear``, and a residual sum where there is one; the gradient of the weight stays with
    torch, whose product is faster there."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias, residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy, wanted = dy.contiguous(), ctx.needs_input_grad
        dx = _gradient(dy, weight) if wanted[0] else None
        return dx, *_weight_gradients(dy, x, wanted[1:3]), dy if wanted[3] else None


class _Mlp(torch.autograd.Function):
    """Two linear layers with GELU between them, and a residual sum where there is one: the
    gradient goes through GELU as it is computed."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        narrow: Tensor,
        narrow_bias: Tensor | None,
        residual: Tensor | None,
    ) -> Tensor:
        hidden, active = chain.widen(x, weight, bias) or _widen(x, weight, bias)
        ctx.save_for_backward(x, weight, hidden, active, narrow)
        return _product(active, narrow, narrow_bias, residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, hidden, active, narrow = ctx.saved_tensors
        dy, wanted = dy.contiguous(), ctx.needs_input_grad
        narrowed = _weight_gradients(dy, active, wanted[3:5])
        rest = *narrowed, dy if wanted[5] else None
        if not any(wanted[:3]):
            return None, None, None, *rest
        dhidden = chain.gradient(dy, narrow, hidden)
        if dhidden is None:
            dhidden = torch.ops.aten.gelu_backward(_gradient(dy, narrow), hidden)
        dx = _gradient(dhidden, weight) if wanted[0] else None
        return dx, *_weight_gradients(dhidden, x, wanted[1:3]), *rest


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    y: Tensor
    if residual is None:
        y = _fused_linear()(x, weight, bias, "none", [], "")
    else:
        y = _fused_linear().binary(x, residual, weight, bias, "add")
    return y


def _widen(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """A linear layer's result and its GELU."""
    hidden = _product(x, weight, bias, None)
    return hidden, F.gelu(hidden)


def _gradient(dy: Tensor, weight: Tensor) -> Tensor:
    """Of a linear layer's input."""
    dx = chain.gradient(dy, weight)
    if dx is None:
        dx = _fused_linear()(dy, weight.t(), None, "none", [], "")
    assert dx is not None
    return dx


def _weight_gradients(
    dy: Tensor, x: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Of a linear layer's weight and bias."""
    rows = dy.flatten(0, -2)
    dweight = _transposed_product(rows, x.flatten(0, -2)) if wanted[0] else None
    return dweight, rows.sum(0) if wanted[1] else None


def _transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """``a.t() @ b``. Where there are many rows a tall result is up to 1.4 times as slow as a wide
    one, and its copy into a gradient's order costs less."""
    if a.shape[1] <= b.shape[1] or len(a) < _ROWS_WORTH_A_COPY * a.shape[1]:
        return a.t() @ b
    return (b.t() @ a).t()


def _both_plain(widen: nn.Module, narrow: nn.Module, x: Tensor, residual: Tensor | None) -> bool:
    """Whether these are linear layers, and nothing that has been put in their place."""
    plain = type(widen) is type(narrow) is nn.Linear and _fused_linear() is not None
    return plain and serves(x) and (residual is None or serves(residual))


def _weight(layer: nn.Linear) -> Tensor:
    """oneDNN's packed weight where there is one that is still true and may be used."""
    copy = None if torch.is_grad_enabled() else packed.find(layer.weight, _ONEDNN)
    return layer.weight if copy is None else copy


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
