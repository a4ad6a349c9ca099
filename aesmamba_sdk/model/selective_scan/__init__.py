"""The selective scan of Mamba (S6) and its four-way image form, behind pluggable engines.

``selective_scan`` is the one-dimensional operator; ``cross_selective_scan`` runs it over an image
in VMamba's four directions. Every engine gives the same numbers; ``choose_engine`` says which one
serves a device and why.
"""

from __future__ import annotations

from torch import Tensor

from aesmamba_sdk.model.selective_scan.directions import DIRECTIONS
from aesmamba_sdk.model.selective_scan.engines import (
    ScanEngine,
    choose_engine,
    engine_report,
    register_engine,
    use_engine,
)

__all__ = [
    "DIRECTIONS",
    "ScanEngine",
    "choose_engine",
    "cross_selective_scan",
    "engine_report",
    "register_engine",
    "selective_scan",
    "use_engine",
]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Run h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t and y_t = C_t h_t + D u_t, with h_0 = 0.

    Args:
        u: (batch, channels, length) input.
        delta: (batch, channels, length) step sizes Δ, before bias and softplus.
        A: (channels, state) real; negative entries make the recurrence decay.
        B: (batch, groups, state, length); channels are split evenly over the groups.
        C: (batch, groups, state, length).
        D: (channels,) skip weight, or ``None``.
        delta_bias: (channels,) added to ``delta`` first, or ``None``.
        delta_softplus: apply softplus (linear above 20) to ``delta`` after the bias.

    Returns:
        (batch, channels, length) in float32, or float64 for float64 input.

    Raises:
        ValueError: shapes do not fit together, or tensors lie on different devices.

    Source: Mamba (Gu & Dao 2023), algorithm 2; zero-order hold for A, Euler for B.
    """
    _check_shapes(u, delta, A, B, C)
    _check_devices(u, delta=delta, A=A, B=B, C=C, D=D, delta_bias=delta_bias)
    return choose_engine(u.device).scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


def cross_selective_scan(
    x: Tensor,
    x_dbl: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Scan an image row by row, column by column and both backwards, and sum the four results.

    Args:
        x: (batch, height·width, channels), pixels in row-major order.
        x_dbl: (batch, height·width, 4, rank + 2·state): per pixel and direction the low-rank step
            size, B and C, in this order.
        dt_weight: (4, channels, rank) from low-rank step sizes to step sizes.
        dt_bias: (4, channels) added before softplus.
        A: (4, channels, state).
        D: (4, channels).
        size: (height, width).

    Returns:
        (batch, height·width, channels) in float32, or float64 for float64 input.

    Raises:
        ValueError: shapes do not fit together, or tensors lie on different devices.

    Source: VMamba (Liu et al. 2024), 2D-selective-scan; directions: rows, columns, rows reversed,
    columns reversed.
    """
    if x.shape[1] != size[0] * size[1]:
        raise ValueError(f"x has {x.shape[1]} pixels, but size is {size[0]}x{size[1]}")
    _check_cross_shapes(x, x_dbl, dt_weight, dt_bias, A, D)
    _check_devices(x, x_dbl=x_dbl, dt_weight=dt_weight, dt_bias=dt_bias, A=A, D=D)
    return choose_engine(x.device).cross_scan(x, x_dbl, dt_weight, dt_bias, A, D, size)


def _check_shapes(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> None:
    batch, channels, length = u.shape
    if delta.shape != u.shape:
        raise ValueError(f"delta {tuple(delta.shape)} must have the shape of u {tuple(u.shape)}")
    if A.ndim != 2 or A.shape[0] != channels:
        raise ValueError(f"A {tuple(A.shape)} must be (channels={channels}, state)")
    _check_state(A)
    for name, tensor in (("B", B), ("C", C)):
        groups = tensor.shape[1] if tensor.ndim == 4 else 0
        expected = (batch, groups, A.shape[1], length)
        if groups == 0 or channels % groups or tuple(tensor.shape) != expected:
            raise ValueError(
                f"{name} {tuple(tensor.shape)} must be (batch={batch}, groups, "
                f"state={A.shape[1]}, length={length}) with groups dividing {channels}"
            )


def _check_cross_shapes(
    x: Tensor, x_dbl: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> None:
    """Compiled engines read where they are told to: no wrong shape may reach them."""
    batch, pixels, channels = x.shape
    rank, state = dt_weight.shape[-1], A.shape[-1]
    expected = {
        "x_dbl": (x_dbl, (batch, pixels, DIRECTIONS, rank + 2 * state)),
        "dt_weight": (dt_weight, (DIRECTIONS, channels, rank)),
        "dt_bias": (dt_bias, (DIRECTIONS, channels)),
        "A": (A, (DIRECTIONS, channels, state)),
        "D": (D, (DIRECTIONS, channels)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} {tuple(tensor.shape)} must be {shape}")
    _check_state(A)


def _check_state(A: Tensor) -> None:
    if A.shape[-1] == 0:
        raise ValueError(f"A {tuple(A.shape)} must have a state of at least 1")


def _check_devices(first: Tensor, **others: Tensor | None) -> None:
    """Compiled engines follow addresses: one of another device ends the program."""
    for name, tensor in others.items():
        if tensor is not None and tensor.device != first.device:
            raise ValueError(f"{name} is on {tensor.device}, and what is scanned on {first.device}")
