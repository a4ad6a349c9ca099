"""The engine around the native library: shapes and types going in, gradients coming out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from aesmamba_sdk.model.native.library import Scan, open_library, unusable
from aesmamba_sdk.model.selective_scan.directions import DIRECTIONS
from aesmamba_sdk.model.selective_scan.pure_torch import TorchEngine, left_to_torch

_WIDEST_VECTOR = 16
# The backward pass writes shares of gradients, a few times as large as x, that are then summed.
# Samples are taken in groups for which they stay small.
_GROUP_FLOATS = 1 << 22


class NativeEngine(TorchEngine):
    """The fused C++ scan on the CPU, in float32.

    Half precision is widened first. The one-dimensional operator, which the model family does not
    use, goes to the torch engine.
    """

    name = "native"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"runs on the CPU, not on {device.type}"
        return unusable()

    def cross_scan(
        self,
        x: Tensor,
        x_dbl: Tensor,
        dt_weight: Tensor,
        dt_bias: Tensor,
        A: Tensor,
        D: Tensor,
        size: tuple[int, int],
    ) -> Tensor:
        if left_to_torch(x):
            return super().cross_scan(x, x_dbl, dt_weight, dt_bias, A, D, size)
        channels = x.shape[-1]
        # Autograd undoes these changes of type and layout by itself.
        weights = (_fill(t, 1).float().contiguous() for t in (dt_weight, dt_bias, A, D))
        arrays = [_fill(x, 2).float().contiguous(), x_dbl.float().contiguous(), *weights]
        if torch.is_grad_enabled() and any(t.requires_grad for t in arrays):
            y: Tensor = _FusedScan.apply(*arrays, size)
        else:
            y, _ = _forward(arrays, size, keep_states=False)
        return y if y.shape[-1] == channels else y[..., :channels]


def _fill(x: Tensor, dim: int) -> Tensor:
    """Fill the last vector with channels of zeros, which stay zero through the scan."""
    lacking = -x.shape[dim] % _WIDEST_VECTOR
    return F.pad(x, (0, 0) * (x.ndim - 1 - dim) + (0, lacking)) if lacking else x


def _problem(arrays: list[Tensor], size: tuple[int, int]) -> Scan:
    x, x_dbl, dt_weight, dt_bias, A, skip = arrays
    scan = Scan(len(x), *size, x.shape[2], A.shape[2], dt_weight.shape[2])
    scan.point(x=x, x_dbl=x_dbl, dt_weight=dt_weight, dt_bias=dt_bias, A=A, skip=skip)
    return scan


def _forward(
    arrays: list[Tensor], size: tuple[int, int], *, keep_states: bool
) -> tuple[Tensor, Tensor | None]:
    """y and, when a backward pass is to follow, the states it starts from."""
    library = open_library()
    x, A = arrays[0], arrays[4]
    y = torch.empty_like(x)
    checkpoints = None
    if keep_states:
        chunks = -(-x.shape[1] // library.chunk)
        checkpoints = x.new_empty(len(x), DIRECTIONS, chunks, A.shape[2], A.shape[1])
    scan = _problem(arrays, size)
    scan.point(y=y, checkpoints=checkpoints)
    library.run(scan, library.instruction_set(), backward=False)
    return y, checkpoints


class _FusedScan(torch.autograd.Function):
    """Saves its inputs and every 32nd state; the backward pass recomputes the rest."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        x_dbl: Tensor,
        dt_weight: Tensor,
        dt_bias: Tensor,
        A: Tensor,
        skip: Tensor,
        size: tuple[int, int],
    ) -> Tensor:
        arrays = [x, x_dbl, dt_weight, dt_bias, A, skip]
        y, checkpoints = _forward(arrays, size, keep_states=True)
        ctx.save_for_backward(*arrays, checkpoints)
        ctx.size = size
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        *arrays, checkpoints = ctx.saved_tensors
        x, x_dbl, *weights = arrays
        dx, dx_dbl = torch.empty_like(x), torch.empty_like(x_dbl)
        dweights: list[Tensor] = []
        step = max(1, _GROUP_FLOATS // x[0].numel())
        for first in range(0, len(x), step):
            rows = slice(first, first + step)
            shares = _backward_samples(
                [x[rows], x_dbl[rows], *weights],
                checkpoints[rows],
                dy[rows].contiguous(),
                ctx.size,
                dx[rows],
                dx_dbl[rows],
            )
            dweights = [a + b for a, b in zip(dweights, shares, strict=False)] or shares
        return dx, dx_dbl, *dweights, None


def _backward_samples(
    arrays: list[Tensor],
    checkpoints: Tensor,
    dy: Tensor,
    size: tuple[int, int],
    dx: Tensor,
    dx_dbl: Tensor,
) -> list[Tensor]:
    """Fill ``dx`` and ``dx_dbl`` of some samples; what they add to the weights' gradients."""
    library = open_library()
    isa = library.instruction_set()
    batch, channels = len(dx), dx.shape[2]
    rank, state = arrays[2].shape[2], arrays[4].shape[2]
    scan = _problem(arrays, size)
    blocks = library.blocks(scan, isa)
    shares = dx_dbl[None] if blocks == 1 else dx_dbl.new_empty(blocks, *dx_dbl.shape)
    ddt_weight = dx.new_empty(batch, DIRECTIONS, rank, channels)
    ddt_bias = dx.new_empty(batch, DIRECTIONS, channels)
    dA = dx.new_empty(batch, DIRECTIONS, state, channels)
    dskip = dx.new_empty(batch, channels)
    scan.point(checkpoints=checkpoints, dy=dy, dx=dx, dx_dbl=shares)
    scan.point(ddt_weight=ddt_weight, ddt_bias=ddt_bias, dA=dA, dskip=dskip)
    library.run(scan, isa, backward=True)
    if blocks > 1:
        torch.sum(shares, 0, out=dx_dbl)
    return [
        ddt_weight.sum(0).transpose(1, 2),
        ddt_bias.sum(0),
        dA.sum(0).transpose(1, 2),
        dskip.sum(0).expand(DIRECTIONS, channels),
    ]
