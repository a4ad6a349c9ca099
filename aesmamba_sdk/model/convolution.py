"""Convolutions and what follows them, in inference on a CPU in float32.

All maps are channels last, (batch, height, width, channels). With packed weights the native library
serves: dense convolutions are products of patches, which it gathers a few rows at a time
(:mod:`~aesmamba_sdk.model.chain`); depthwise ones compute the SiLU behind them in the same pass,
as oneDNN does without. The usual layers run where neither serves.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import chain, packed
from aesmamba_sdk.model.native.library import Depthwise
from aesmamba_sdk.model.norm import layer_norm
from aesmamba_sdk.model.onednn import can_read, proven, serves

_PIXEL_BY_PIXEL = "(9, channels)"


def pack(layer: nn.Conv2d) -> None:
    """Keep a copy of the weight in the order in which the library reads it."""
    if layer.groups == 1:
        chain.pack(layer.weight)
    elif _is_depthwise(layer):
        copy = layer.weight.detach().flatten(1).t().contiguous()
        packed.keep(layer.weight, _PIXEL_BY_PIXEL, copy)


def convolve(
    layer: nn.Module, x: Tensor, norm: nn.Module | None = None, *, gelu: bool = False
) -> Tensor:
    """``norm(layer(x))`` and, if asked for, GELU: (B, h, w, channels) of (B, H, W, channels in)."""
    if type(layer) is nn.Conv2d and (y := chain.convolve(layer, x, norm, gelu=gelu)) is not None:
        return y
    y = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    if norm is not None:
        y = layer_norm(norm, y, in_place=True)
    return F.gelu(y) if gelu else y


def convolve_silu(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """SiLU of ``layer(x)``."""
    if (y := _depthwise(layer, x)) is not None:
        return y
    x = x.permute(0, 3, 1, 2)
    plain = type(layer) is not nn.Conv2d or torch.is_grad_enabled() or not serves(x)
    if plain or (fused := _fused_convolution()) is None:
        y = F.silu(layer(x), inplace=not torch.is_grad_enabled())
    else:
        shape = (layer.padding, layer.stride, layer.dilation, layer.groups)
        y = fused(x, layer.weight, layer.bias, *shape, "swish", [], "")
    return y.permute(0, 2, 3, 1)


def _depthwise(layer: nn.Conv2d, x: Tensor) -> Tensor | None:
    """SiLU of ``layer(x)`` by the native library; ``None`` where it does not serve."""
    if torch.is_grad_enabled() or type(layer) is not nn.Conv2d or not can_read(x):
        return None
    weight, library = packed.find(layer.weight, _PIXEL_BY_PIXEL), chain.serving_library()
    if weight is None or library is None or x.shape[-1] != layer.in_channels:
        return None
    bias = layer.bias
    if bias is not None and not can_read(bias):
        return None
    y = torch.empty_like(x)
    convolution = Depthwise(
        *x.shape,
        x.data_ptr(),
        weight.data_ptr(),
        None if bias is None else bias.data_ptr(),
        y.data_ptr(),
    )
    library.depthwise(convolution, library.instruction_set())
    return y


def _is_depthwise(layer: nn.Conv2d) -> bool:
    """Whether this is the convolution that the library knows: 3x3, with as many channels left."""
    shape = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.padding_mode)
    known = shape == ((3, 3), (1, 1), (1, 1), (1, 1), "zeros")
    return known and layer.in_channels == layer.out_channels == layer.groups


@cache
def _fused_convolution() -> Any:
    """``mkldnn::_convolution_pointwise``; ``None`` unless it is there and agrees with torch."""
    return proven("_convolution_pointwise", _errors)


def _errors(fused: Any) -> list[Tensor]:
    x = torch.linspace(-2, 2, 3 * 25).view(1, 3, 5, 5)
    weight, bias = torch.linspace(-1, 2, 27).view(3, 1, 3, 3), torch.linspace(0, 1, 3)
    got = fused(x, weight, bias, [1, 1], [1, 1], [1, 1], 3, "swish", [], "")
    return [got - F.silu(F.conv2d(x, weight, bias, padding=1, groups=3))]
