"""The scan in plain torch, for any device: two-level chunks, linear space, analytic backward.

The sequence is cut into about √L chunks of about √L steps. All chunks advance together, one step
at a time, first from a zero state to learn what each chunk adds, then, once the chunk-to-chunk
recurrence has given every chunk its true first state, again for the outputs. Decays are
multiplied, never divided by and never put in a logarithm, so large steps underflow to zero
instead of overflowing.

Inside, tensors are laid out (T, chunks, batch, groups, N, d): one step of all chunks is one
contiguous slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from aesmamba_sdk.model.selective_scan.engines import ScanEngine

# States held at once per block of samples; larger blocks fall out of the processor's cache.
_BLOCK_STATES = 1 << 21
_SOFTPLUS_THRESHOLD = 20.0


def left_to_torch(*inputs: Tensor) -> bool:
    """Whether kernels with states in float32 will not do: float64 would lose digits in them, and
    for nothing at all they cannot be started."""
    return not inputs[0].numel() or torch.float64 in (x.dtype for x in inputs)


class TorchEngine(ScanEngine):
    """Runs everywhere; the reference the faster engines are held against."""

    name = "torch"

    def unavailable(self, device: torch.device) -> str | None:
        return None

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
        wide = torch.float64 if u.dtype == torch.float64 else torch.float32
        u, delta, A, B, C = (t.to(wide) for t in (u, delta, A, B, C))
        if delta_bias is not None:
            delta = delta + delta_bias.to(wide)[:, None]
        if delta_softplus:
            delta = F.softplus(delta, threshold=_SOFTPLUS_THRESHOLD)
        y: Tensor = _ChunkedScan.apply(u, delta, A, B, C)
        return y if D is None else y + D.to(wide)[:, None] * u


@dataclass(frozen=True)
class _Chunks:
    """How a length is cut: ``count`` chunks of ``steps``, the last one padded with zeros."""

    length: int
    steps: int
    count: int

    @classmethod
    def of(cls, length: int) -> _Chunks:
        steps = max(1, math.isqrt(length))
        return cls(length, steps, -(-length // steps))

    def split(self, x: Tensor, groups: int) -> Tensor:
        """(batch, groups·d, length) -> (T, chunks, batch, groups, d), contiguous."""
        batch, channels, _ = x.shape
        x = F.pad(x, (0, self.steps * self.count - self.length))
        x = x.reshape(batch, groups, channels // groups, self.count, self.steps)
        return x.permute(4, 3, 0, 1, 2).contiguous()

    def join(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`split`."""
        steps, count, batch, groups, width = x.shape
        x = x.permute(2, 3, 4, 1, 0).reshape(batch, groups * width, count * steps)
        return x[..., : self.length]


class _Block:
    """Some samples and groups of a scan: every step's decay and input, for both passes."""

    def __init__(self, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> None:
        groups, state = B.shape[1], B.shape[2]
        self.chunks = _Chunks.of(u.shape[-1])
        # A padded step has Δ = 0: it neither decays the state nor adds to it.
        self.u = self.chunks.split(u, groups)
        self.dt = self.chunks.split(dt, groups)
        by_group = A.reshape(groups, len(A) // groups, state)
        self.A = by_group.transpose(1, 2).contiguous()  # (G, N, d)
        self.B = self.chunks.split(B.flatten(1, 2), groups)[..., None]  # (T, c, b, G, N, 1)
        self.C = self.chunks.split(C.flatten(1, 2), groups)[..., None]
        self.decay = (self.dt.unsqueeze(-2) * self.A).exp_()  # (T, c, b, G, N, d)
        self.chunk_decay = (self.dt.sum(0).unsqueeze(-2) * self.A).exp_()  # (c, b, G, N, d)
        self.dtu = (self.dt * self.u).unsqueeze(-2)  # (T, c, b, G, 1, d)

    def states(self) -> tuple[Tensor, Tensor]:
        """Every h_t, (T, c, b, G, N, d), and the state each chunk starts from, (c, b, G, N, d)."""
        h = self.dtu * self.B
        end = h[0].clone()
        for t in range(1, self.chunks.steps):
            end.mul_(self.decay[t]).add_(h[t])
        first = _entering(end, self.chunk_decay)
        previous = first
        for t in range(self.chunks.steps):
            previous = torch.addcmul(h[t], self.decay[t], previous, out=h[t])
        return h, first

    def output(self) -> Tensor:
        """y, (batch, groups·d, length)."""
        h, _ = self.states()
        return self.chunks.join((h * self.C).sum(-2))

    def backward(self, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Gradients of u, Δ, A (this block's share), B and C, each in the shape it came in."""
        dy = self.chunks.split(dy, self.A.shape[0]).unsqueeze(-2)  # (T, c, b, G, 1, d)
        h, first = self.states()
        dC = (dy * h).sum(-1)
        g = self._state_gradients(dy)
        dB = (g * self.dtu).sum(-1)
        ddtu = (g * self.B).sum(-2)
        through_decay = g.mul_(self.decay)  # dL/d(Δ_t A) = g_t · exp(Δ_t A) · h_{t-1}
        through_decay[0].mul_(first)
        through_decay[1:].mul_(h[:-1])
        dA = torch.einsum("tcbgnd,tcbgd->gdn", through_decay, self.dt)
        ddt = (through_decay * self.A).sum(-2) + ddtu * self.u
        join = self.chunks.join
        return join(ddtu * self.dt), join(ddt), dA.flatten(0, 1), join(dB), join(dC)

    def _state_gradients(self, dy: Tensor) -> Tensor:
        """g_t = C_t dy_t + exp(Δ_{t+1} A) g_{t+1}: the same two levels, from the far end."""
        g = dy * self.C
        carry = torch.zeros_like(g[0])
        for t in reversed(range(self.chunks.steps)):
            carry.add_(g[t]).mul_(self.decay[t])
        carry = _entering(carry.flip(0), self.chunk_decay.flip(0)).flip(0)
        for t in reversed(range(self.chunks.steps)):
            carry = self.decay[t] * g[t].add_(carry)
        return g


def _entering(end: Tensor, decay: Tensor) -> Tensor:
    """The state each chunk starts from, given what each adds and how far each decays."""
    first = torch.zeros_like(end)
    for c in range(1, len(end)):
        torch.addcmul(end[c - 1], decay[c - 1], first[c - 1], out=first[c])
    return first


def _blocks(batch: int, groups: int, states_per_group: int) -> Iterator[tuple[slice, slice]]:
    """Slices of samples and of groups that cover all, each small enough for the cache."""
    whole_samples = _BLOCK_STATES // max(1, states_per_group * groups)
    sample_step, group_step = (whole_samples, groups) if whole_samples else (1, 1)
    for b in range(0, batch, sample_step):
        for g in range(0, groups, group_step):
            yield slice(b, b + sample_step), slice(g, g + group_step)


class _ChunkedScan(torch.autograd.Function):
    """y_t = C_t h_t with h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t; saves only its inputs."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        ctx.save_for_backward(u, dt, A, B, C)
        y = torch.empty_like(u)
        for rows, groups, channels in _ChunkedScan.parts(u, B):
            block = _Block(
                u[rows, channels], dt[rows, channels], A[channels], B[rows, groups], C[rows, groups]
            )
            y[rows, channels] = block.output()
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        u, dt, A, B, C = ctx.saved_tensors
        du, ddt, dB, dC = (torch.empty_like(t) for t in (u, dt, B, C))
        dA = torch.zeros_like(A)
        for rows, groups, channels in _ChunkedScan.parts(u, B):
            block = _Block(
                u[rows, channels], dt[rows, channels], A[channels], B[rows, groups], C[rows, groups]
            )
            *by_step, b, c = block.backward(dy[rows, channels])
            du[rows, channels], ddt[rows, channels] = by_step[0], by_step[1]
            dA[channels] += by_step[2]
            dB[rows, groups] = b.view_as(dB[rows, groups])
            dC[rows, groups] = c.view_as(dC[rows, groups])
        return du, ddt, dA, dB, dC

    @staticmethod
    def parts(u: Tensor, B: Tensor) -> Iterator[tuple[slice, slice, slice]]:
        """Samples, groups and those groups' channels of each block."""
        width = u.shape[1] // B.shape[1]
        states = width * u.shape[2] * B.shape[2]
        for rows, groups in _blocks(len(u), B.shape[1], states):
            last = min(groups.stop, B.shape[1])
            yield rows, groups, slice(groups.start * width, last * width)
