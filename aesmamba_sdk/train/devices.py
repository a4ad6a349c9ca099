"""Where training runs: one device, or as many processes as ``accelerate launch`` started.

Every process holds the whole model and learns from its share of each batch; gradients are averaged
before the step, so that all take the same one. One process needs no ``accelerate``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import nn

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.network import choose_device
from aesmamba_sdk.train.data import Rows


@dataclass(frozen=True)
class Devices:
    """This process among those that train together.

    Attributes:
        device: where it computes.
        rank: its number.
        world: how many there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process runs the block, e.g. to prepare files, then all others do."""
        if not self.first:
            torch.distributed.barrier()
        yield
        if self.first and self.world > 1:
            torch.distributed.barrier()

    def share(self, rows: Rows) -> Rows:
        """This process's part of a batch."""
        return rows[self.rank :: self.world]

    @torch.no_grad()
    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one transfer."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))


def open_devices(name: str = "auto") -> Devices:
    """The device of that name; or this process's, when ``accelerate launch`` started several.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        SetupError: there is no such device, or several processes run without ``accelerate``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Devices(choose_device(name))
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise SetupError(
            "several processes need the train extra: pip install 'aesmamba-sdk[train]'"
        ) from error
    # The others wait while the first decodes all photos.
    state = PartialState(cpu=name == "cpu", timeout=timedelta(hours=24))
    return Devices(state.device, state.process_index, state.num_processes)


def unused_gpus(devices: Devices) -> int:
    """GPUs that one process leaves idle."""
    if devices.world > 1 or devices.device.type != "cuda":
        return 0
    return torch.cuda.device_count() - 1
