"""What the encoders compute, as plain shapes: their scans, stage by stage, and matrix products."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aesmamba_sdk.model.config import ENCODERS, VMambaConfig
from aesmamba_sdk.model.selective_scan import DIRECTIONS, cross_selective_scan


@dataclass(frozen=True)
class Scan:
    """The scans of one stage of an encoder.

    Attributes:
        encoder: its name.
        stage: from 1.
        side: of the stage's square map.
        channels: D, of the scan.
        rank: of the step sizes.
        state: N.
        blocks: how many scans of this shape the stage runs.
    """

    encoder: str
    stage: int
    side: int
    channels: int
    rank: int
    state: int
    blocks: int

    @property
    def states(self) -> int:
        """Updates of a state in one scan of one image."""
        return DIRECTIONS * self.side**2 * self.channels * self.state

    def problem(
        self,
        batch: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> list[Tensor]:
        """x, x_dbl, dt_weight, dt_bias, A and D as a fresh model has them; weights in float32."""
        g = torch.Generator().manual_seed(0)
        pixels = self.side**2
        x = torch.randn(batch, pixels, self.channels, generator=g)
        x_dbl = torch.randn(batch, pixels, DIRECTIONS, self.rank + 2 * self.state, generator=g)
        dt_weight = torch.randn(DIRECTIONS, self.channels, self.rank, generator=g)
        dt_bias = torch.empty(DIRECTIONS, self.channels).uniform_(-7, -2, generator=g)
        A = -torch.arange(1.0, self.state + 1).repeat(DIRECTIONS, self.channels, 1)
        D = torch.ones(DIRECTIONS, self.channels)
        activations = [t.to(device, dtype) for t in (x, x_dbl)]
        weights = [t.to(device) for t in (dt_weight * self.rank**-0.5, dt_bias, A, D)]
        return [t.requires_grad_() for t in activations + weights]


def run_scan(inputs: Sequence[Tensor], side: int) -> Tensor:
    """The four-way scan of :meth:`Scan.problem` on the engine in use."""
    x, x_dbl, dt_weight, dt_bias, A, D = inputs
    return cross_selective_scan(x, x_dbl, dt_weight, dt_bias, A, D, (side, side))


@dataclass(frozen=True)
class Product:
    """(rows, inner) times (inner, columns), ``count`` times an image; rows are of one image."""

    rows: int
    inner: int
    columns: int
    count: int = 1

    @property
    def multiplications(self) -> int:
        """Of one image, with ``count``."""
        return self.rows * self.inner * self.columns * self.count


def scans(config: VMambaConfig, image: int, encoder: str = "") -> Iterator[Scan]:
    """One entry a stage."""
    for i, (dim, blocks) in enumerate(zip(config.dims, config.depths, strict=True)):
        channels, rank = int(dim * config.ssm_ratio), math.ceil(dim / 16)
        yield Scan(encoder, i + 1, image // (4 << i), channels, rank, config.d_state, blocks)


def preset_scans(encoders: Iterable[str], states: Iterable[int], image: int) -> Iterator[Scan]:
    """The scans of presets as if their state were of each of these sizes."""
    states = tuple(states)
    for name in encoders:
        for state in states:
            yield from scans(replace(ENCODERS[name], d_state=state), image, name)


def products(config: VMambaConfig, image: int) -> Iterator[Product]:
    """Every matrix product of an encoder; convolutions count as the product of their patches.

    Depthwise convolutions are no matrix products, and the scan projects its step sizes itself.
    """
    first = config.dims[0]
    if config.stem == "patch":
        yield Product((image // 4) ** 2, 3 * 4**2, first)
    else:
        yield Product((image // 2) ** 2, 3 * 3**2, first // 2)
        yield Product((image // 4) ** 2, first // 2 * 3**2, first)
    patch = 2**2 if config.downsample == "merge" else 3**2
    for scan, dim in zip(scans(config, image), config.dims, strict=True):
        rows, inner = scan.side**2, scan.channels
        if scan.stage > 1:
            yield Product(rows, config.dims[scan.stage - 2] * patch, dim)
        projected = DIRECTIONS * (scan.rank + 2 * scan.state)
        yield Product(rows, dim, inner * 2 if config.gated else inner, scan.blocks)  # in_proj
        yield Product(rows, inner, projected, scan.blocks)  # x_proj
        yield Product(rows, inner, dim, scan.blocks)  # out_proj
        if config.mlp_ratio > 0:
            hidden = int(dim * config.mlp_ratio)
            yield Product(rows, dim, hidden, scan.blocks)
            yield Product(rows, hidden, dim, scan.blocks)
