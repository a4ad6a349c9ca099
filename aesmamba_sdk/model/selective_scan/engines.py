"""What an engine of the scan is, which ones there are, and how one is chosen for a device."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache

import torch
from torch import Tensor

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.selective_scan.directions import cross_scan, merge_directions

logger = logging.getLogger(__name__)

ENGINE_VARIABLE = "AESMAMBA_SCAN"


class ScanEngine(ABC):
    """One implementation of the scan, with gradients for every input.

    Attributes:
        name: what users write in ``AESMAMBA_SCAN`` and read in ``aesmamba doctor``.
    """

    name: str

    @abstractmethod
    def unavailable(self, device: torch.device) -> str | None:
        """Why this engine cannot serve ``device``, with the remedy; ``None`` when it can."""

    @abstractmethod
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
        """:func:`selective_scan` on checked arguments."""

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
        """:func:`cross_selective_scan` from four permuted copies and one grouped ``scan``.

        An engine that can index the four directions itself overrides this.
        """
        rank, state = dt_weight.shape[-1], A.shape[-1]
        u = cross_scan(x, size)  # (B, 4, D, L)
        per_direction = _order_projections(x_dbl, size)  # (B, 4, R+2N, L)
        dt, B, C = per_direction.split([rank, state, state], dim=2)
        delta = _step_sizes(dt, dt_weight)
        y = self.scan(
            u.flatten(1, 2),
            delta.flatten(1, 2),
            A.flatten(0, 1),
            B,
            C,
            D.flatten(),
            dt_bias.flatten(),
            True,
        )
        return merge_directions(y.unflatten(1, u.shape[1:3]), size)


def _step_sizes(dt: Tensor, dt_weight: Tensor) -> Tensor:
    """Δ before its bias, (B, 4, D, L), of (B, 4, R, L), as precise as the states it moves."""
    wide = torch.promote_types(dt.dtype, torch.float32)
    with _without_autocast(dt.device):  # it would round the product
        return torch.einsum("bkrl,kdr->bkdl", dt.to(wide), dt_weight.to(wide))


def _without_autocast(device: torch.device) -> AbstractContextManager[None]:
    if not torch.amp.is_autocast_available(device.type):  # e.g. meta
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _order_projections(x_dbl: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring each direction's projections, given in pixel order, into that direction's order."""
    by_direction = [
        cross_scan(x_dbl[:, :, k], size, directions=(k,)) for k in range(x_dbl.shape[2])
    ]
    return torch.cat(by_direction, dim=1)


_ENGINES: list[ScanEngine] = []
_forced: ContextVar[str | None] = ContextVar("forced_scan_engine", default=None)


def register_engine(engine: ScanEngine, *, first: bool = False) -> None:
    """Make an engine known, after the others or before them; one of the same name is replaced."""
    _ENGINES[:] = [known for known in _ENGINES if known.name != engine.name]
    _ENGINES.insert(0 if first else len(_ENGINES), engine)
    _choose.cache_clear()


@contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Force one engine by name within the block, in this thread or task."""
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def choose_engine(device: torch.device) -> ScanEngine:
    """The engine that serves ``device``: forced by :func:`use_engine` or ``AESMAMBA_SCAN``, else
    the first available in order of speed.

    Raises:
        SetupError: the forced engine is unknown or cannot run on the device.
    """
    return _choose(_forced.get() or os.environ.get(ENGINE_VARIABLE) or None, device.type)


@cache
def _choose(name: str | None, device_type: str) -> ScanEngine:
    device = torch.device(device_type)
    if name is not None:
        return _named(name, device)
    reasons: list[str] = []
    for engine in _ENGINES:
        reason = engine.unavailable(device)
        if reason is None:
            if device.type in ("cpu", "cuda") and engine is _ENGINES[-1]:
                logger.warning("scan runs on the slowest engine: %s", "; ".join(reasons))
            return engine
        reasons.append(f"{engine.name}: {reason}")
    raise SetupError(f"no scan engine for {device_type}: {'; '.join(reasons)}", code="no_engine")


def _named(name: str, device: torch.device) -> ScanEngine:
    for engine in _ENGINES:
        if engine.name == name:
            reason = engine.unavailable(device)
            if reason is None:
                return engine
            raise SetupError(f"scan engine {name!r} cannot run: {reason}", code="no_engine")
    known = ", ".join(engine.name for engine in _ENGINES)
    raise SetupError(f"unknown scan engine {name!r}; there are: {known}", code="no_engine")


def engine_report(device: torch.device) -> dict[str, str]:
    """Engine name to ``"in use"``, ``"available"`` or why it is not, fastest first."""
    chosen = choose_engine(device)
    return {
        engine.name: "in use" if engine is chosen else (engine.unavailable(device) or "available")
        for engine in _ENGINES
    }


def _register_defaults() -> None:
    from aesmamba_sdk.model.selective_scan.mamba_ssm import MambaSsmEngine
    from aesmamba_sdk.model.selective_scan.native_engine import NativeEngine
    from aesmamba_sdk.model.selective_scan.pure_torch import TorchEngine
    from aesmamba_sdk.model.selective_scan.triton_engine import TritonEngine

    for engine in (MambaSsmEngine(), TritonEngine(), NativeEngine(), TorchEngine()):
        register_engine(engine)


_register_defaults()
