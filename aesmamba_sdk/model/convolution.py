"""A convolution and the SiLU behind it, by oneDNN in one pass in inference on a CPU in float32.

As with :mod:`~aesmamba_sdk.model.linear`, the usual layers run where the operator does not serve.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model.onednn import proven, serves


def convolve_silu(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """SiLU of ``layer(x)``."""
    plain = type(layer) is not nn.Conv2d or torch.is_grad_enabled() or not serves(x)
    if plain or (fused := _fused_convolution()) is None:
        return F.silu(layer(x), inplace=not torch.is_grad_enabled())
    shape = (layer.padding, layer.stride, layer.dilation, layer.groups)
    y: Tensor = fused(x, layer.weight, layer.bias, *shape, "swish", [], "")
    return y


@cache
def _fused_convolution() -> Any:
    """``mkldnn::_convolution_pointwise``; ``None`` unless it is there and agrees with torch."""
    return proven("_convolution_pointwise", _errors)


def _errors(fused: Any) -> list[Tensor]:
    x = torch.linspace(-2, 2, 3 * 25).view(1, 3, 5, 5)
    weight, bias = torch.linspace(-1, 2, 27).view(3, 1, 3, 3), torch.linspace(0, 1, 3)
    got = fused(x, weight, bias, [1, 1], [1, 1], [1, 1], 3, "swish", [], "")
    return [got - F.silu(F.conv2d(x, weight, bias, padding=1, groups=3))]
