"""The four-way scan in Triton kernels: CUDA without a build step, or triton's CPU interpreter.

Triton comes with torch's own CUDA wheels and is imported only when this engine is asked for. The
kernels are in ``triton_kernels``; here they are launched, and autograd is told about them.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from aesmamba_sdk.model.selective_scan.directions import DIRECTIONS
from aesmamba_sdk.model.selective_scan.pure_torch import TorchEngine, left_to_torch

INTERPRET_VARIABLE = "TRITON_INTERPRET"

_OLDEST_GPU = (7, 0)

# A warp to a program; with N = 1 the compiler gives each thread one channel, and none exchange.
_CHANNELS = 32
_WALK_WARPS = 1
# Step sizes are small matrix products: more of a tile to a program.
_PIXELS = 64
_STEP_WARPS = 4
# The least inner length of a matrix product in triton.
_LEAST_RANK = 16
# Shorter chunks give more programs, longer ones less carrying between them.
_CHUNK_STEPS = (32, 128)
_ONE_CHUNK = 64
# States written at once in the backward pass, 4 bytes each; more samples take turns.
_BLOCK_STATES = 1 << 28


@cache
def _failure(interpreted: bool) -> str | None:
    """Really import triton and, on a GPU, let it build its launcher: either can fail."""
    try:
        triton = importlib.import_module("triton")
    except Exception as error:  # a broken library raises whatever the loader feels like
        return f"{type(error).__name__}: {error}; pip install triton (Linux)"
    if interpreted:
        return None
    try:
        triton.runtime.driver.active.get_current_device()
    except Exception as error:
        return f"{type(error).__name__}: {error}; triton needs a C compiler and Python's headers"
    return None


class TritonEngine(TorchEngine):
    """Fused four-way scan; the one-dimensional ``scan`` is left to the torch engine."""

    name = "triton"

    def unavailable(self, device: torch.device) -> str | None:
        interpreted = os.environ.get(INTERPRET_VARIABLE) == "1"
        if interpreted and device.type in ("cpu", "cuda"):
            return _failure(interpreted)
        if device.type != "cuda":
            return f"needs a CUDA device, not {device.type}"
        if torch.cuda.is_available() and torch.cuda.get_device_capability() < _OLDEST_GPU:
            return "needs a GPU of compute capability 7.0 or later"
        return _failure(interpreted)

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
        if left_to_torch(x, x_dbl):
            return super().cross_scan(x, x_dbl, dt_weight, dt_bias, A, D, size)
        y: Tensor = _CrossScan.apply(x, x_dbl, dt_weight, dt_bias, A, D, size)
        return y


@dataclass(frozen=True)
class _Plan:
    """Shapes of a scan and how it is cut into programs."""

    batch: int
    length: int
    channels: int
    state: int
    rank: int
    height: int
    steps: int

    @classmethod
    def of(cls, x: Tensor, A: Tensor, dt_weight: Tensor, size: tuple[int, int]) -> _Plan:
        batch, length, channels = x.shape
        shortest, longest = _CHUNK_STEPS
        balanced = _power_of_two(math.isqrt(length))
        steps = length if length <= _ONE_CHUNK else min(max(balanced, shortest), longest)
        return cls(batch, length, channels, A.shape[-1], dt_weight.shape[-1], size[0], steps)

    @property
    def chunks(self) -> int:
        return -(-self.length // self.steps)

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.channels // _CHANNELS)

    def per_chunk(self, like: Tensor, *inner: int) -> Tensor:
        shape = (self.batch, DIRECTIONS, self.chunks, *inner)
        return torch.zeros(shape, dtype=torch.float32, device=like.device)

    def per_step(self, like: Tensor, *inner: int) -> Tensor:
        shape = (self.batch, DIRECTIONS, self.length, *inner)
        return torch.empty(shape, dtype=torch.float32, device=like.device)

    def walk(self, kernel: str, *tensors: Tensor) -> None:
        """A kernel that walks every chunk of every path."""
        grid = (self.batch * DIRECTIONS * self.chunks, self.blocks)
        _kernel(kernel)[grid](
            *tensors,
            self.chunks,
            self.steps,
            self.height,
            self.length,
            self.channels,
            N=self.state,
            R=self.rank,
            PAD_N=_power_of_two(self.state),
            BLOCK=_CHANNELS,
            num_warps=_WALK_WARPS,
        )

    def step_sizes(self, x_dbl: Tensor, dt_weight: Tensor, dt_bias: Tensor) -> Tensor:
        """Δ of every step, (B, 4, L, D); ``dt_weight`` is (4, R, D)."""
        dt = self.per_step(x_dbl, self.channels)
        grid = (self.batch * DIRECTIONS * -(-self.length // _PIXELS), self.blocks)
        _kernel("step_sizes")[grid](
            x_dbl,
            dt_weight,
            dt_bias,
            dt,
            self.length,
            self.channels,
            N=self.state,
            R=self.rank,
            PAD_R=max(_LEAST_RANK, _power_of_two(self.rank)),
            BLOCK=_CHANNELS,
            PIXELS=_PIXELS,
            num_warps=_STEP_WARPS,
        )
        return dt

    def enter(self, ends: Tensor, dt_sums: Tensor, A: Tensor, *, reverse: bool) -> Tensor:
        """What each chunk starts from, from what each adds."""
        first = torch.empty_like(ends)
        _kernel("enter_chunks")[(self.batch * DIRECTIONS, self.blocks)](
            ends,
            dt_sums,
            A,
            first,
            self.chunks,
            self.channels,
            N=self.state,
            PAD_N=_power_of_two(self.state),
            BLOCK=_CHANNELS,
            REVERSE=reverse,
            num_warps=_WALK_WARPS,
        )
        return first

    def sample_blocks(self) -> Iterator[slice]:
        """Samples whose states fit into memory at once."""
        per_sample = DIRECTIONS * self.length * self.state * self.channels
        step = max(1, _BLOCK_STATES // per_sample)
        for start in range(0, self.batch, step):
            yield slice(start, min(start + step, self.batch))


class _CrossScan(torch.autograd.Function):
    """Saves its inputs and the state every chunk starts from; step sizes are computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        x_dbl: Tensor,
        dt_weight: Tensor,
        dt_bias: Tensor,
        A: Tensor,
        D: Tensor,
        size: tuple[int, int],
    ) -> Tensor:
        x, x_dbl, dt_bias, D = (t.contiguous() for t in (x, x_dbl, dt_bias, D))
        plan = _Plan.of(x, A, dt_weight, size)
        # Channels last, as everywhere: neighbouring threads read neighbouring numbers.
        by_rank, by_state = (t.float().transpose(1, 2).contiguous() for t in (dt_weight, A))
        with _on(x.device):
            dt = plan.step_sizes(x_dbl, by_rank, dt_bias)
            first = plan.per_chunk(x, plan.state, plan.channels)
            dt_sums = plan.per_chunk(x, plan.channels)
            if plan.chunks > 1:
                plan.walk("chunk_ends", x, x_dbl, dt, by_state, first, dt_sums)
                first = plan.enter(first, dt_sums, by_state, reverse=False)
            y = plan.per_step(x, plan.channels)
            plan.walk("outputs", x, x_dbl, dt, by_state, D, first, y)
        ctx.save_for_backward(x, x_dbl, by_rank, dt_bias, by_state, D, first, dt_sums)
        ctx.size, ctx.weight_dtypes = size, [t.dtype for t in (dt_weight, dt_bias, A, D)]
        # Each direction wrote its own: adding them up here keeps atomics, and chance, out.
        return y.sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, x_dbl, by_rank, dt_bias, by_state, D, first, dt_sums = ctx.saved_tensors
        weights = (by_rank, dt_bias, by_state, D)
        dy = dy.float().contiguous()
        dx, dx_dbl = torch.empty_like(x), torch.empty_like(x_dbl)
        sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
        whole = _Plan.of(x, by_state.mT, by_rank.mT, ctx.size)
        with _on(x.device), torch.autocast(x.device.type, enabled=False):
            for rows in whole.sample_blocks():
                plan = replace(whole, batch=len(x[rows]))
                part = _gradients(
                    plan, x[rows], x_dbl[rows], *weights, first[rows], dt_sums[rows], dy[rows]
                )
                dx[rows], dx_dbl[rows] = part[:2]
                for total, add in zip(sums, part[2:], strict=True):
                    total += add
        d_weight, d_bias, dA, dD = sums
        by_weight = zip((d_weight.mT, d_bias, dA.mT, dD), ctx.weight_dtypes, strict=True)
        return dx, dx_dbl, *(total.to(dtype) for total, dtype in by_weight), None


def _gradients(
    plan: _Plan,
    x: Tensor,
    x_dbl: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    first: Tensor,
    dt_sums: Tensor,
    dy: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of some samples: x, x_dbl and their share of dt_weight, dt_bias, A and D.

    ``dt_weight`` is (4, R, D) and ``A`` is (4, N, D), as the kernels want them; so are theirs.
    """
    dt = plan.step_sizes(x_dbl, dt_weight, dt_bias)
    states = plan.per_step(x, plan.state, plan.channels)
    plan.walk("states_before", x, x_dbl, dt, A, first, states)
    last = plan.per_chunk(x, plan.state, plan.channels)
    if plan.chunks > 1:
        plan.walk("adjoint_ends", x_dbl, dt, A, dy, last)
        last = plan.enter(last, dt_sums, A, reverse=True)
    dx, draw = plan.per_step(x, plan.channels), plan.per_step(x, plan.channels)
    shape = (plan.blocks, plan.batch, plan.length, DIRECTIONS, 2 * plan.state)
    dBC = torch.empty(shape, dtype=torch.float32, device=x.device)
    dA = plan.per_chunk(x, plan.state, plan.channels)
    dD = plan.per_chunk(x, plan.channels)
    plan.walk("gradients", x, x_dbl, dt, A, D, dy, states, last, dx, draw, dBC, dA, dD)
    # The low-rank projection's own gradients are matrix products, which torch does best.
    low = x_dbl[..., : plan.rank].float()  # (B, L, 4, R)
    dlow = torch.matmul(draw, dt_weight.mT).transpose(1, 2)  # (B, L, 4, R)
    return (
        dx.sum(1),
        torch.cat([dlow, dBC.sum(0)], dim=-1),
        torch.einsum("blkr,bkld->krd", low, draw),
        draw.sum((0, 2)),
        dA.sum((0, 2)),
        dD.sum((0, 2)),
    )


def _kernel(name: str) -> Any:
    kernels = importlib.import_module("aesmamba_sdk.model.selective_scan.triton_kernels")
    return getattr(kernels, name)


def _power_of_two(n: int) -> int:
    """The smallest power of two that is at least ``n``."""
    return 1 << (n - 1).bit_length()


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, which need not be the tensors'."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
