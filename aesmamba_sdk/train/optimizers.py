"""What moves the weights: AdamW, the paper's, or Muon for the matrices of the encoder's blocks.

Muon (Jordan et al. 2024) orthogonalises the momentum of a matrix, so that no direction of it is
learned much faster than another. From scratch it needs fewer steps than AdamW; a step costs a few
more products of the weights, which do not grow with the batch. What is no matrix between features
(norms, biases, convolutions, the scan's parameters) and all that lies outside the blocks stays
with AdamW, at the same rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from aesmamba_sdk.errors import SetupError

OptimizerName = Literal["adamw", "muon"]

_BETAS = (0.9, 0.99)
_SCAN = ("A_log", ".D", "dt_proj_bias")


class Optimizers:
    """One or two optimizers that the loop uses as if they were one.

    Args:
        modules: what is trained.
        name: ``adamw``, or ``muon`` for the blocks' matrices and AdamW for the rest.
        learning_rate: of both; Muon's is scaled to move a matrix as far as AdamW does.
        weight_decay: of what multiplies features; norms, biases, A and D have none.

    Raises:
        SetupError: this torch has no Muon, or the modules nothing for it to move.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        name: OptimizerName,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        matrices = list(_matrices(modules)) if name == "muon" else []
        groups = decay_groups(modules, weight_decay, without=matrices)
        self._all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, learning_rate, betas=_BETAS, fused=True)
        ]
        if name == "muon" and not matrices:
            raise SetupError(
                "this network has no matrices in stages of blocks, which are all that Muon moves: "
                "train it with adamw"
            )
        if matrices:
            self._all.append(_muon(matrices, learning_rate, weight_decay))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._all for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        for optimizer in self._all:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self._all:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """AdamW's own where there is nothing else, as in checkpoints of earlier versions."""
        first, *others = (optimizer.state_dict() for optimizer in self._all)
        return first | {"others": others} if others else first

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What the optimizers remember of earlier steps; their options stay as they were made.

        Raises:
            ValueError: the state is that of other optimizers or of other weights.
        """
        # A checkpoint may have other options: those of a schedule that was changed since.
        options = [{k: v for k, v in g.items() if k != "params"} for g in self.param_groups]
        state = dict(state)
        states = [state, *state.pop("others", [])]
        for optimizer, own in zip(self._all, states, strict=True):
            optimizer.load_state_dict(own)
        for group, own in zip(self.param_groups, options, strict=True):
            group.update(own)


def decay_groups(
    modules: Iterable[nn.Module], weight_decay: float, *, without: Iterable[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Weight decay for what multiplies features; none for norms, biases, A and D."""
    taken = {id(parameter) for parameter in without}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            if id(parameter) not in taken:
                kept = parameter.ndim < 2 or name.endswith(_SCAN)
                (free if kept else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


def _matrices(modules: Iterable[nn.Module]) -> Iterable[nn.Parameter]:
    """Weights of the linear layers inside the stages of image encoders."""
    for module in modules:
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear) and "stages" in name.split("."):
                weight = layer.weight
                assert isinstance(weight, nn.Parameter)
                yield weight


def _muon(
    matrices: list[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    try:
        kind = torch.optim.Muon
    except AttributeError as error:
        raise SetupError(
            f"torch {torch.__version__} has no Muon: upgrade to 2.9 or later, or train with adamw"
        ) from error
    return kind(matrices, learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
