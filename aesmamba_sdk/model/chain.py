"""Layer norm, linear layers and a residual sum in one call of the native library.

A few rows go through all of it while they are in a core's second-level cache: what lies between
the parts, four times as wide as the map itself in a tiny VMamba, is never written to memory. In
inference, in float32, on a CPU with AVX-512 or AVX2 and an OpenMP that torch shares, with packed
weights; a row's result is the same to the last bit in any company. Elsewhere the parts run one by
one, see :mod:`~aesmamba_sdk.model.linear`. In training the library computes GELU while it has the
layer's result in registers, and the gradient of what a layer reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aesmamba_sdk.model import packed
from aesmamba_sdk.model.native.library import (
    Chain,
    Layer,
    NativeLibrary,
    Patches,
    Scale,
    shares_threads,
    usable_library,
)
from aesmamba_sdk.model.norm import is_plain_norm
from aesmamba_sdk.model.onednn import can_read, serves

# Where its products are as fast as oneDNN's or faster. On ARM others know the machine better.
_INSTRUCTION_SETS = ("avx512", "avx2")
# Rows by columns of a result from which on a weight is packed for one product.
_ROWS_WORTH_PACKING = 8


@dataclass(frozen=True)
class Links:
    """``residual + second(GELU(first(norm(x))))``; without ``second``, no GELU."""

    first: nn.Module
    second: nn.Module | None = None
    norm: nn.Module | None = None
    residual: Tensor | None = None


def pack(weight: Tensor) -> bool:
    """Keep a copy of a weight as the library reads it; whether it can serve.

    Args:
        weight: (..., inner) of a linear layer, or (channels out, in, height, width).
    """
    if not serves(weight) or weight.is_inference() or (library := serving_library()) is None:
        return False
    order = library.instruction_set()
    rows = weight.detach()
    rows = rows.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else rows.flatten(0, -2)
    packed.keep(weight, order, library.pack(rows.contiguous(), order))
    return True


def run(x: Tensor, links: Links) -> Tensor | None:
    """The result, (..., columns) of (..., inner); ``None`` where the library does not serve."""
    if torch.is_grad_enabled() or not can_read(x) or (library := serving_library()) is None:
        return None
    isa = library.instruction_set()
    first = _linear(links.first, isa, x.shape[-1])
    if first is None:
        return None
    chain = Chain(rows=x.numel() // x.shape[-1], inner=x.shape[-1], x=x.data_ptr(), first=first)
    columns = first.columns
    if links.second is not None:
        second = _linear(links.second, isa, columns)
        if second is None:
            return None
        chain.second, columns = second, second.columns
    if links.norm is not None:
        if not is_plain_norm(links.norm, x.shape[-1]):
            return None
        chain.norm = _scale(links.norm)
    y = x.new_empty(*x.shape[:-1], columns)
    if links.residual is not None:
        if not can_read(links.residual) or links.residual.shape != y.shape:
            return None
        chain.residual = links.residual.data_ptr()
    chain.y = y.data_ptr()
    library.chain(chain, isa)
    return y


def project(x: Tensor, weight: Tensor) -> Tensor | None:
    """(..., inner) to the product with a packed weight's rows; ``None`` as above."""
    if torch.is_grad_enabled() or not can_read(x) or (library := serving_library()) is None:
        return None
    isa, inner = library.instruction_set(), weight.shape[-1]
    copy = packed.find(weight, isa)
    if copy is None or x.shape[-1] != inner:
        return None
    return _product(library, x, Layer(weight.numel() // inner, copy.data_ptr()))


def widen(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """A linear layer's result, (..., columns) of (..., inner), and its GELU; ``None`` as above.

    The weight is packed for the occasion: for few rows that takes longer than it gains.
    """
    given = (x, weight) if bias is None else (x, weight, bias)
    if not all(map(can_read, given)) or (library := serving_library()) is None:
        return None
    columns, inner = weight.shape
    if x.shape[-1] != inner or x.numel() // inner < _ROWS_WORTH_PACKING * columns:
        return None
    copy = library.pack(weight, library.instruction_set())
    hidden = x.new_empty(*x.shape[:-1], columns)
    layer = Layer(columns, copy.data_ptr(), None if bias is None else bias.data_ptr())
    active = _product(library, x, layer, before=hidden.data_ptr(), last_gelu=True)
    return hidden, active


def gradient(dy: Tensor, weight: Tensor, slope_at: Tensor | None = None) -> Tensor | None:
    """Of the input of a linear layer, (..., inner), by that of its output, (..., columns).

    The weight is packed for the occasion: read by its columns, it is as fast as a copy.

    Args:
        weight: (columns, inner) of the layer.
        slope_at: (..., inner), what GELU made the input of: the gradient of that.
    """
    others = (dy, weight) if slope_at is None else (dy, weight, slope_at)
    if not all(map(can_read, others)) or (library := serving_library()) is None:
        return None
    columns, inner = weight.shape
    shape = (*dy.shape[:-1], inner)
    if dy.shape[-1] != columns or (slope_at is not None and slope_at.shape != shape):
        return None
    copy = library.pack(weight, library.instruction_set(), transposed=True)
    layer = Layer(inner, copy.data_ptr())
    return _product(library, dy, layer, slope_at=None if slope_at is None else slope_at.data_ptr())


def convolve(
    layer: nn.Conv2d, x: Tensor, norm: nn.Module | None = None, *, gelu: bool = False
) -> Tensor | None:
    """``GELU(norm(layer(x)))``, (B, h, w, channels) of (B, H, W, channels in), without what is
    not asked for; ``None`` where the library does not serve."""
    if torch.is_grad_enabled() or not can_read(x) or (library := serving_library()) is None:
        return None
    isa, channels = library.instruction_set(), layer.out_channels
    weight, shape = _weights(layer, isa), _square(layer)
    if weight is None or shape is None or x.shape[-1] != layer.in_channels:
        return None
    if norm is not None and not is_plain_norm(norm, channels):
        return None
    side, stride, padding = shape
    batch, height, width, _ = x.shape
    down, across = ((n + 2 * padding - side) // stride + 1 for n in (height, width))
    if min(down, across) < 1:
        return None
    y = x.new_empty(batch, down, across, channels)
    chain = Chain(
        rows=batch * down * across,
        inner=side**2 * layer.in_channels,
        x=x.data_ptr(),
        patches=Patches(height, width, layer.in_channels, side, stride, padding, down, across),
        first=weight,
        y=y.data_ptr(),
        last_gelu=gelu,
    )
    if norm is not None:
        chain.last_norm = _scale(norm)
    library.chain(chain, isa)
    return y


def chain_report() -> str | None:
    """What multiplies in inference on the CPU, in words; ``None`` where it is not the library."""
    return "native" if serving_library() is not None else None


def _product(library: NativeLibrary, x: Tensor, layer: Layer, **others: int | None) -> Tensor:
    """Of (..., inner) with a layer of as many inner indices alone: (..., columns).

    Args:
        others: what else a chain may have.
    """
    inner = x.shape[-1]
    y = x.new_empty(*x.shape[:-1], layer.columns)
    chain = Chain(
        rows=x.numel() // inner,
        inner=inner,
        x=x.data_ptr(),
        first=layer,
        y=y.data_ptr(),
        **others,
    )
    library.chain(chain, library.instruction_set())
    return y


def _linear(layer: nn.Module, isa: str, inner: int) -> Layer | None:
    """A linear layer of rows of ``inner`` numbers as the library reads it, if it can."""
    if type(layer) is not nn.Linear or layer.in_features != inner:
        return None
    return _weights(layer, isa)


def _weights(layer: nn.Linear | nn.Conv2d, isa: str) -> Layer | None:
    weight, bias = packed.find(layer.weight, isa), layer.bias
    if weight is None or (bias is not None and not can_read(bias)):
        return None
    columns = layer.weight.shape[0]
    found = Layer(columns, weight.data_ptr(), None if bias is None else bias.data_ptr())
    found.kept = weight  # another thread may drop the copy meanwhile
    return found


def _square(layer: nn.Conv2d) -> tuple[int, int, int] | None:
    """Side of the kernel, stride and padding, where they are all there is to say of it."""
    (side, other), stride, padding = layer.kernel_size, layer.stride, layer.padding
    plain = (layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), 1, "zeros")
    if not plain or isinstance(padding, str):
        return None
    fits = side == other and stride[0] == stride[1] and padding[0] == padding[1] <= side
    return (side, stride[0], padding[0]) if fits else None


def _scale(norm: nn.Module) -> Scale:
    assert isinstance(norm, nn.LayerNorm)
    return Scale(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps)


def serving_library() -> NativeLibrary | None:
    """The library, where it has an instruction set that is worth it and all threads to run on."""
    library = usable_library()
    if library is None or library.instruction_set() not in _INSTRUCTION_SETS:
        return None
    return library if shares_threads() else None
