"""The engine around the native library: shapes and types going in, gradients coming out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.selective_scan.engines import ScanEngine
from aesmamba_sdk.model.selective_scan.native.library import Scan, missing, open_library
from aesmamba_sdk.model.selective_scan.pure_torch import TorchEngine

_PATHS = 4
_WIDEST_VECTOR = 16
# Gradients of step sizes are as large as four copies of x. Samples are taken in groups that keep
# them in the last-level cache, where the projections that follow find them.
_GROUP_FLOATS = 1 << 22


class NativeEngine(ScanEngine):
    """The fused C++ scan on the CPU, in float32.

    Half precision is widened first. float64, where it would lose digits, and the one-dimensional
    operator, which the model family does not use, go to the torch engine.
    """

    name = "native"

    def __init__(self) -> None:
        self._torch = TorchEngine()

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"runs on the CPU, not on {device.type}"
        reason = missing()
        if reason is None:
            try:
                open_library().instruction_set()
            except SetupError as error:
                return str(error)
        return reason

    def scan(
        self,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        delta_softplus: bool,
    ) -> Tensor:
        return self._torch.scan(u, delta, A, B, C, D, delta_bias, delta_softplus)

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
        if x.dtype == torch.float64:
            return self._torch.cross_scan(x, x_dbl, dt_weight, dt_bias, A, D, size)
        _check_shapes(x, x_dbl, dt_weight, dt_bias, A, D)
        channels = x.shape[-1]
        # Autograd undoes these changes of type and layout by itself. Channels last everywhere;
        # channels of zeros fill the last vector and stay zero.
        arrays = [
            F.pad(t.float(), (0, -channels % _WIDEST_VECTOR)).contiguous()
            for t in (x, dt_weight.transpose(1, 2), dt_bias, A.transpose(1, 2), D.sum(0))
        ]
        arrays.insert(1, x_dbl.float().contiguous())
        if torch.is_grad_enabled() and any(t.requires_grad for t in arrays):
            y: Tensor = _FusedScan.apply(*arrays, size)
        else:
            y, _ = _forward(arrays, size, keep_states=False)
        return y[..., :channels]


def _check_shapes(
    x: Tensor, x_dbl: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> None:
    """The library reads where it is told to: no wrong shape may reach it."""
    batch, pixels, channels = x.shape
    rank, state = dt_weight.shape[-1], A.shape[-1]
    expected = {
        "x_dbl": (x_dbl, (batch, pixels, _PATHS, rank + 2 * state)),
        "dt_weight": (dt_weight, (_PATHS, channels, rank)),
        "dt_bias": (dt_bias, (_PATHS, channels)),
        "A": (A, (_PATHS, channels, state)),
        "D": (D, (_PATHS, channels)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} {tuple(tensor.shape)} must be {shape}")


def _problem(arrays: list[Tensor], size: tuple[int, int]) -> Scan:
    x, x_dbl, dt_weight, dt_bias, A, skip = arrays
    scan = Scan(len(x), *size, x.shape[2], A.shape[1], dt_weight.shape[1])
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
        checkpoints = x.new_empty(len(x), _PATHS, chunks, *A.shape[1:])
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
        dweights = [torch.zeros_like(weight) for weight in weights]
        step = max(1, _GROUP_FLOATS // (_PATHS * x[0].numel()))
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
            for total, share in zip(dweights, shares, strict=True):
                total += share
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
    x, x_dbl, dt_weight, dt_bias, A, _ = arrays
    batch, pixels, channels = x.shape
    state, rank = A.shape[1], dt_weight.shape[1]
    scan = _problem(arrays, size)
    ddt = x.new_empty(_PATHS, batch * pixels, channels)
    dBC = x.new_empty(library.blocks(scan, isa), batch, pixels, _PATHS, 2 * state)
    dA, ddt_bias = x.new_empty(batch, *A.shape), x.new_empty(batch, *dt_bias.shape)
    dskip = x.new_empty(batch, channels)
    scan.point(checkpoints=checkpoints, dy=dy)
    scan.point(dx=dx, ddt=ddt, dBC=dBC, dA=dA, ddt_bias=ddt_bias, dskip=dskip)
    library.run(scan, isa, backward=True)
    dx_dbl[..., rank:] = dBC.sum(0)
    low = x_dbl.flatten(0, 1)[..., :rank].transpose(0, 1)  # (4, B·L, R)
    dlow = ddt @ dt_weight.transpose(1, 2)
    dx_dbl[..., :rank] = dlow.transpose(0, 1).unflatten(0, (batch, pixels))
    return [low.transpose(1, 2) @ ddt, ddt_bias.sum(0), dA.sum(0), dskip.sum(0)]
