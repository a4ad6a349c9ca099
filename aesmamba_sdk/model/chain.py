"""Layer norm, linear layers and a residual sum in one call of the native library.

A few rows go through all of it while they are in a core's second-level cache: what lies between
the parts, four times as wide as the map itself in a tiny VMamba, is never written to memory. In
inference on a CPU with AVX-512 or AVX2, in float32, with packed weights; a row's result is the same
to the last bit in any company. Elsewhere the parts run one by one, see
:mod:`~aesmamba_sdk.model.linear`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aesmamba_sdk.model import packed
from aesmamba_sdk.model.native.library import Chain, Layer, NativeLibrary, usable_library
from aesmamba_sdk.model.norm import is_plain_norm
from aesmamba_sdk.model.onednn import serves

# Where its products are as fast as oneDNN's or faster. On ARM others know the machine better.
_INSTRUCTION_SETS = ("avx512", "avx2")


@dataclass(frozen=True)
class Links:
    """``residual + second(GELU(first(norm(x))))``; without ``second``, no GELU."""

    first: nn.Module
    second: nn.Module | None = None
    norm: nn.Module | None = None
    residual: Tensor | None = None


def pack(weight: Tensor) -> bool:
    """Keep a copy of a linear layer's weight as the library reads it; whether it can serve."""
    if (library := _library()) is None:
        return False
    order = library.instruction_set()
    packed.keep(weight, order, library.pack(weight.detach().contiguous(), order))
    return True


def run(x: Tensor, links: Links) -> Tensor | None:
    """The result, (..., columns) of (..., inner); ``None`` where the library does not serve."""
    if torch.is_grad_enabled() or not _can_read(x) or (library := _library()) is None:
        return None
    isa = library.instruction_set()
    first = _layer(links.first, isa, x.shape[-1])
    if first is None:
        return None
    chain = Chain(rows=x.numel() // x.shape[-1], inner=x.shape[-1], x=x.data_ptr(), first=first)
    columns = first.columns
    if links.second is not None:
        second = _layer(links.second, isa, columns)
        if second is None:
            return None
        chain.first.gelu, chain.second, columns = True, second, second.columns
    if links.norm is not None:
        if not is_plain_norm(links.norm, x):
            return None
        assert isinstance(links.norm, nn.LayerNorm)
        chain.norm_weight = links.norm.weight.data_ptr()
        chain.norm_bias = links.norm.bias.data_ptr()
        chain.epsilon = links.norm.eps
    y = torch.empty(*x.shape[:-1], columns)
    if links.residual is not None:
        if not _can_read(links.residual) or links.residual.shape != y.shape:
            return None
        chain.residual = links.residual.data_ptr()
    chain.y = y.data_ptr()
    library.chain(chain, isa)
    return y


def chain_report() -> str | None:
    """What multiplies in inference on the CPU, in words; ``None`` where it is not the library."""
    return "native" if _library() is not None else None


def _can_read(x: Tensor) -> bool:
    return serves(x) and x.is_contiguous() and x.numel() > 0


def _layer(layer: nn.Module, isa: str, inner: int) -> Layer | None:
    """A linear layer of rows of ``inner`` numbers as the library reads it, if it can."""
    if type(layer) is not nn.Linear or layer.in_features != inner:
        return None
    weight, bias = packed.find(layer.weight, isa), layer.bias
    if weight is None or (bias is not None and not _can_read(bias)):
        return None
    return Layer(layer.out_features, weight.data_ptr(), None if bias is None else bias.data_ptr())


def _library() -> NativeLibrary | None:
    """The library, where it offers an instruction set that is worth it."""
    library = usable_library()
    serving = library is not None and library.instruction_set() in _INSTRUCTION_SETS
    return library if serving else None
