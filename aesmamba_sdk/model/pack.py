"""Prepare a network that only scores from now on: its weights in the order in which they are read.

See :mod:`~aesmamba_sdk.model.packed` for what that costs and when it is undone.
"""

from __future__ import annotations

from torch import nn

from aesmamba_sdk.model import convolution, linear
from aesmamba_sdk.model.onednn import serves
from aesmamba_sdk.model.vmamba import SS2D


def pack(module: nn.Module) -> None:
    """Keep packed copies of the weights of linear layers, convolutions and scans."""
    for layer in module.modules():
        if type(layer) is SS2D and serves(layer.A_log) and not layer.A_log.is_inference():
            layer.pack()
        weight = getattr(layer, "weight", None)
        if weight is None or not serves(weight) or weight.is_inference():
            continue
        if type(layer) is nn.Linear:
            linear.pack(layer)
        elif type(layer) is nn.Conv2d:
            convolution.pack(layer)
