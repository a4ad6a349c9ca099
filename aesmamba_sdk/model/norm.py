"""Layer norms by the native library, in inference on a CPU: 1.5 to 4 times torch's rate.

Under autocast they also read and write bfloat16, and round for the product to come. As
with :mod:`~aesmamba_sdk.model.linear`, the usual layer runs where the library does not serve.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aesmamba_sdk.model.native.library import Norm, usable_library
from aesmamba_sdk.model.onednn import is_traced


def layer_norm(
    layer: nn.Module, x: Tensor, *, multiplied: bool = False, in_place: bool = False
) -> Tensor:
    """``layer(x)`` of a layer norm over the last axis, or of what has been put in its place.

    Args:
        multiplied: a matrix product comes next: the result may be of the type in which autocast
            multiplies, to which it would be rounded anyway.
        in_place: ``x`` may be overwritten, where that is faster.
    """
    if not _can_normalize(layer, x) or (library := usable_library()) is None:
        y: Tensor = layer(x)
        return y
    assert isinstance(layer, nn.LayerNorm)
    channels = x.shape[-1]
    rounds = multiplied and _autocasts() and torch.get_autocast_dtype("cpu") == torch.bfloat16
    dtype = torch.bfloat16 if rounds else x.dtype
    y = x if in_place and dtype == x.dtype else torch.empty_like(x, dtype=dtype)
    norm = Norm(
        x.numel() // channels,
        channels,
        x.data_ptr(),
        layer.weight.data_ptr(),
        layer.bias.data_ptr(),
        y.data_ptr(),
        layer.eps,
        x.dtype == torch.bfloat16,
        dtype == torch.bfloat16,
    )
    library.normalize(norm, library.instruction_set())
    return y


def layer_norm_report() -> str:
    """What normalises in inference on the CPU, in words."""
    return "torch" if usable_library() is None else "native"


def is_plain_norm(layer: nn.Module, channels: int) -> bool:
    """Whether this is a layer norm of so many channels that the library can read."""
    return (
        type(layer) is nn.LayerNorm
        and layer.normalized_shape == (channels,)
        and all(map(_is_plain, (layer.weight, layer.bias)))
    )


def _can_normalize(layer: nn.Module, x: Tensor) -> bool:
    """Whether the library can read all of this as it lies in memory, and gives what torch would."""
    return (
        is_plain_norm(layer, x.shape[-1])
        and not torch.is_grad_enabled()
        and not is_traced()
        and x.device.type == "cpu"
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _autocasts()))
        and x.is_contiguous()
        and x.numel() > 0
    )


def _autocasts() -> bool:
    return torch.is_autocast_enabled("cpu")


def _is_plain(weight: Tensor | None) -> bool:
    return (
        weight is not None
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.is_contiguous()
    )
