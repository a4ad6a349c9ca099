"""Layer norms by the native library, in inference on a CPU in float32: 1.5 to 4 times torch's rate.

As with :mod:`~aesmamba_sdk.model.linear`, the usual layer runs where the library does not serve.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.native.library import NativeLibrary, Norm, missing, open_library
from aesmamba_sdk.model.onednn import serves


def layer_norm(layer: nn.Module, x: Tensor, *, in_place: bool = False) -> Tensor:
    """``layer(x)`` of a layer norm over the last axis, or of what has been put in its place.

    Args:
        in_place: ``x`` may be overwritten, where that is faster.
    """
    if not _can_normalize(layer, x) or (library := _library()) is None:
        y: Tensor = layer(x)
        return y
    assert isinstance(layer, nn.LayerNorm)
    channels = x.shape[-1]
    y = x if in_place else torch.empty_like(x)
    norm = Norm(
        x.numel() // channels,
        channels,
        x.data_ptr(),
        layer.weight.data_ptr(),
        layer.bias.data_ptr(),
        y.data_ptr(),
        layer.eps,
    )
    library.normalize(norm, library.instruction_set())
    return y


def layer_norm_report() -> str:
    """What normalises in inference on the CPU, in words."""
    return "torch" if _library() is None else "native"


def _can_normalize(layer: nn.Module, x: Tensor) -> bool:
    """Whether the library can read all of this as it lies in memory."""
    return (
        type(layer) is nn.LayerNorm
        and not torch.is_grad_enabled()
        and serves(x)
        and x.is_contiguous()
        and layer.normalized_shape == x.shape[-1:]
        and x.numel() > 0
        and all(t is not None and serves(t) and t.is_contiguous() for t in _weights(layer))
    )


def _weights(layer: nn.LayerNorm) -> tuple[Tensor | None, Tensor | None]:
    return layer.weight, layer.bias


@cache
def _library() -> NativeLibrary | None:
    """The library, if it is there, of these sources, and has an instruction set to offer."""
    if missing() is not None:
        return None
    library = open_library()
    try:
        library.instruction_set()
    except SetupError:
        return None
    return library
