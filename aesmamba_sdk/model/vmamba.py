"""VMamba, the image encoder: 2D selective scan blocks in four stages, channels last throughout.

One class covers the vanilla network of the paper ("v0") and the current family ("s1", "s2"); what
differs is in :class:`VMambaConfig`. Source: VMamba (Liu et al. 2024); AesMamba, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import chain, packed
from aesmamba_sdk.model.config import VMambaConfig
from aesmamba_sdk.model.convolution import convolve, convolve_silu
from aesmamba_sdk.model.linear import linear, mlp, project
from aesmamba_sdk.model.norm import layer_norm
from aesmamba_sdk.model.onednn import serves
from aesmamba_sdk.model.selective_scan import DIRECTIONS, cross_selective_scan

# In inference on a CPU, photos go through a stage a few at a time, what leads into it included, so
# that the widest map (float32) stays within a last-level cache, and maps are so small that glibc
# finds room for them in what was just freed instead of fresh pages, which cost more than a layer
# norm. On a GPU more at once is always better.
_WIDEST_MAP_BYTES = 12 << 20
_LEAST_VARIANCE = 1e-6  # a millionth of a channel's: at 0 the root's gradient is infinite


class VMamba(nn.Module):
    """(batch, 3, H, W) normalised images to tokens F_v (batch, H/32, W/32, d), layer-normed.

    Sides need not be multiples of 32: a convolution rounds up, patch merging rounds down.
    """

    def __init__(self, config: VMambaConfig) -> None:
        super().__init__()
        self.config = config
        dims = config.dims
        stem = PatchStem if config.stem == "patch" else ConvStem
        self.stem = stem(3, dims[0])
        last = max(1, sum(config.depths) - 1)
        rates = [config.drop_path_rate * i / last for i in range(sum(config.depths))]
        self.stages = nn.ModuleList()
        for i, depth in enumerate(config.depths):
            blocks = [VSSBlock(dims[i], config, rates.pop(0)) for _ in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
        downsample = PatchMerging if config.downsample == "merge" else ConvDownsample
        self.downsamples = nn.ModuleList(downsample(a, b) for a, b in pairwise(dims))
        self.norm = nn.LayerNorm(dims[-1])
        self.apply(_init_weights)
        # Of the convolutions; else each call would bring their weights into this order.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def stage_maps(self, images: Tensor) -> list[Tensor]:
        """Output of each stage at stride 4, 8, 16, 32, (batch, h, w, channels), before the norm."""
        maps: list[Tensor] = []
        for i in range(len(self.stages)):
            maps.append(self._stage(i, maps[-1] if i else images))
        return maps

    def trunk(self, images: Tensor) -> Tensor:
        """Everything before the last stage: its output at stride 16, (batch, h, w, channels)."""
        x = images
        for i in range(len(self.stages) - 1):
            x = self._stage(i, x)
        return x

    def last_stage(self, x: Tensor) -> Tensor:
        """What :meth:`trunk` gives to F_v, layer-normed."""
        return layer_norm(self.norm, self._stage(len(self.stages) - 1, x))

    def _stage(self, i: int, x: Tensor) -> Tensor:
        """Images, or the map of the stage before, to the map of stage ``i``."""
        parts = 1
        if not torch.is_grad_enabled() and x.device.type == "cpu":
            parts = max(1, math.ceil(self._widest_map(i, x) * x.element_size() / _WIDEST_MAP_BYTES))
        into = self.downsamples[i - 1] if i else self.stem
        maps = [self.stages[i](into(part)) for part in x.chunk(parts)]
        return maps[0] if len(maps) == 1 else torch.cat(maps)

    def _widest_map(self, i: int, x: Tensor) -> float:
        """Floats of the largest map that stage ``i`` makes of its input ``x``."""
        channels = self.config.dims[i - 1] * 2**2 if i else x.shape[1] * 4**2
        widest = max(1.0, self.config.mlp_ratio, 2 * self.config.ssm_ratio)
        return x.numel() / channels * self.config.dims[i] * widest

    def forward(self, images: Tensor) -> Tensor:
        return self.last_stage(self.trunk(images))

    def describe(self, images: Tensor) -> Tensor:
        """What is kept of photos: f_v, then how far each channel at stride 16 varies over a photo.

        Fusion reads f_v. Tastes read both, and so do heads that are to: how a picture is made up,
        its contrasts and patterns, is lost in the mean over it.

        Returns:
            (batch, d + channels of the last stage but one); f_v alone of a single stage.
        """
        x = self.trunk(images)
        return self.pool(self.last_stage(x), x)

    def pool(self, tokens: Tensor, trunk: Tensor) -> Tensor:
        """F_v, and the map it was made of, to what :meth:`describe` gives."""
        f_v = _widened(tokens).mean((1, 2))
        if len(self.stages) == 1:
            return f_v
        positions = _widened(trunk).flatten(1, 2)
        centred = positions - positions.mean(1, keepdim=True)
        variance = centred.square().mean(1)  # torch.var takes five times as long on such maps
        return torch.cat([f_v, variance.clamp_min(_LEAST_VARIANCE).sqrt()], 1)


def _widened(x: Tensor) -> Tensor:
    """Half precision as float32: what is pooled has more digits than what it is pooled of."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class VSSBlock(nn.Module):
    """x + SS2D(LN(x)), then x + MLP(LN(x)) where there is an MLP."""

    def __init__(self, dim: int, config: VMambaConfig, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.ss2d = SS2D(dim, config)
        self.drop_path = DropPath(drop_path)
        self.mlp: nn.Sequential | None = None
        if config.mlp_ratio > 0:
            self.norm2 = nn.LayerNorm(dim)
            hidden = int(dim * config.mlp_ratio)
            self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop_path(x, self._mix)
        if self.mlp is not None:
            x = self.drop_path(x, self._widen)
        return x

    def _mix(self, x: Tensor, residual: Tensor | None) -> Tensor:
        mixed: Tensor = self.ss2d(x, self.norm, residual)
        return mixed

    def _widen(self, x: Tensor, residual: Tensor | None) -> Tensor:
        assert self.mlp is not None
        return mlp(self.mlp[0], self.mlp[2], x, norm=self.norm2, residual=residual)


class SS2D(nn.Module):
    """The 2D selective scan between two projections, behind a depthwise 3x3 convolution."""

    def __init__(self, dim: int, config: VMambaConfig) -> None:
        super().__init__()
        inner = int(dim * config.ssm_ratio)
        rank = math.ceil(dim / 16)
        self.inner, self.gated = inner, config.gated
        self.in_proj = nn.Linear(dim, inner * 2 if config.gated else inner, bias=False)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=config.conv_bias)
        self.x_proj_weight = nn.Parameter(torch.empty(DIRECTIONS, rank + 2 * config.d_state, inner))
        self.dt_proj_weight = nn.Parameter(torch.empty(DIRECTIONS, inner, rank))
        self.dt_proj_bias = nn.Parameter(torch.empty(DIRECTIONS, inner))
        self.A_log = nn.Parameter(torch.empty(DIRECTIONS, inner, config.d_state))
        self.D = nn.Parameter(torch.empty(DIRECTIONS, inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.reset_scan_parameters()

    @torch.no_grad()
    def reset_scan_parameters(self) -> None:
        """Mamba's initialisation: Δ starts between 0.001 and 0.1, A at -1..-N, D at 1."""
        rank, state = self.dt_proj_weight.shape[-1], self.A_log.shape[-1]
        self.x_proj_weight.uniform_(-(self.inner**-0.5), self.inner**-0.5)
        self.dt_proj_weight.uniform_(-(rank**-0.5), rank**-0.5)
        span = math.log(0.1) - math.log(0.001)
        dt = torch.exp(torch.rand_like(self.dt_proj_bias) * span + math.log(0.001)).clamp(min=1e-4)
        self.dt_proj_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        steps = torch.arange(1, state + 1, dtype=torch.float32, device=self.A_log.device)
        self.A_log.copy_(steps.log().expand_as(self.A_log))
        self.D.fill_(1.0)

    def forward(
        self, x: Tensor, norm: nn.Module | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """(B, H, W, dim) to the same: of ``norm(x)``, and added to ``residual``, where given."""
        height, width = x.shape[1:3]
        x = linear(self.in_proj, x, norm=norm)  # (B, H, W, inner) or twice that
        gate = None
        if self.gated:
            x, gate = x.chunk(2, dim=-1)
        x = convolve_silu(self.conv, x).flatten(1, 2)  # (B, L, inner)
        x_dbl = project(x, self.x_proj_weight).unflatten(2, (DIRECTIONS, -1))
        y = cross_selective_scan(
            x,
            x_dbl,
            self.dt_proj_weight,
            self.dt_proj_bias,
            self._decay(),
            self.D,
            (height, width),
        )
        y = y.to(self.out_norm.weight.dtype).unflatten(1, (height, width))
        if gate is None and y.dtype == x.dtype:
            return linear(self.out_proj, y, norm=self.out_norm, residual=residual, in_place=True)
        y = layer_norm(self.out_norm, y, multiplied=gate is None, in_place=True)
        if gate is not None:
            y = y * F.silu(gate)
        return linear(self.out_proj, y.to(x.dtype), residual=residual)

    def pack(self) -> None:
        """Keep what follows from weights that change no more."""
        chain.pack(self.x_proj_weight)
        packed.keep(self.A_log, "A", self._decay().detach())

    def _decay(self) -> Tensor:
        """A, (directions, inner, states), at least in float32."""
        if not torch.is_grad_enabled() and serves(self.A_log):
            kept = packed.find(self.A_log, "A")
            if kept is not None:
                return kept
        return -torch.exp(_widened(self.A_log))


class DropPath(nn.Module):
    """The residual sum, in training with stochastic depth: with probability ``rate`` a sample goes
    without the branch, which is not even computed for it."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, branch: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
        """``x + branch(x)``, the latter scaled to make up for the samples without it.

        Args:
            branch: of samples, and of what to add to its result.
        """
        if not self.training or self.rate == 0.0:
            return branch(x, x)
        keep = 1.0 - self.rate
        # Drawn on the CPU: their number is asked for, and a GPU would have to be waited for.
        rows = (torch.rand(len(x), device="cpu") < keep).nonzero().flatten()
        if len(rows) == len(x):
            return torch.add(x, branch(x, None).to(x.dtype), alpha=1 / keep)
        if len(rows) == 0:
            return x
        rows = rows.to(x.device)
        added = branch(x.index_select(0, rows), None)
        return x.index_add(0, rows, added.to(x.dtype), alpha=1 / keep)


class PatchStem(nn.Module):
    """(B, 3, H, W) to (B, H/4, W/4, dim) by one 4x4 convolution."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, 4, stride=4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        return convolve(self.proj, _channels_last(images), self.norm)


class ConvStem(nn.Module):
    """(B, 3, H, W) to (B, H/4, W/4, dim) by two overlapping 3x3 convolutions."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, dim // 2, 3, stride=2, padding=1)
        self.norm1 = nn.LayerNorm(dim // 2)
        self.conv2 = nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        x = convolve(self.conv1, _channels_last(images), self.norm1, gelu=True)
        return convolve(self.conv2, x, self.norm2)


class PatchMerging(nn.Module):
    """Swin's: four neighbours side by side, normed, projected to twice the channels."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        x = x[:, :height, :width]
        corners = [x[:, r::2, c::2] for c in (0, 1) for r in (0, 1)]
        return linear(self.reduction, torch.cat(corners, -1), norm=self.norm, in_place=True)


class ConvDownsample(nn.Module):
    """A 3x3 convolution of stride 2, then a norm."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self.conv, x, self.norm)


def _channels_last(images: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, H, W, 3)."""
    return images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
