"""Few-shot fine-tuning: LoRA through peft, its length chosen on ratings held out of the support.

Importing this module costs seconds (peft); scoring never does.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import Tensor

from aesmamba_sdk.personalize.blend import Affine, Vector
from aesmamba_sdk.personalize.network import PersonalNetwork

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LoraArguments:
    """How one person's adapter is trained.

    Attributes:
        rank: r of the low-rank updates.
        alpha: their scaling is alpha / rank.
        steps: at most; how many are best is chosen on held-out ratings of the support set.
        check_steps: numbers of steps compared are multiples of this.
        learning_rate: peak; a cosine ends at 0 after ``steps``.
        weight_decay: of the low-rank matrices.
        batch_size: ratings per step.
        folds: parts of the support set that are held out in turn.
        seed: of initial weights, folds and batches.
    """

    rank: int = 8
    alpha: float = 16.0
    steps: int = 60
    check_steps: int = 6
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch_size: int = 64
    folds: int = 5
    seed: int = 42


@dataclass(frozen=True)
class HeldOut:
    """What cross-validation inside the support set found.

    Attributes:
        affine: (n,) scores of the affine map alone, fitted without the photo.
        personal: (n,) scores with the adapter, trained without the photo.
        steps: length of training that predicted the held-out ratings best.
    """

    affine: Vector
    personal: Vector
    steps: int


class LoraFineTuner:
    """Fine-tunes copies of one network on one person's ratings.

    Args:
        network: wrapped in place by peft.
        arguments: how to train.
        progress: called with (steps done, steps in all).
    """

    def __init__(
        self,
        network: PersonalNetwork,
        arguments: LoraArguments,
        progress: Progress | None = None,
    ) -> None:
        self.arguments = arguments
        torch.manual_seed(arguments.seed)
        config = LoraConfig(
            r=arguments.rank,
            lora_alpha=arguments.alpha,
            target_modules=sorted(network.adaptable()),
        )
        self.peft: PeftModel = get_peft_model(network, config)
        self.initial = {k: v.clone() for k, v in get_peft_model_state_dict(self.peft).items()}
        self._progress = progress or (lambda done, total: None)
        self._done, self._total = 0, 0

    def cross_validate(
        self, inputs: Tensor, generic: Vector, ratings: Vector, groups: Sequence[str]
    ) -> HeldOut:
        """Predict every rating from the others, and choose how long to train.

        Args:
            inputs: (n, …) of the network.
            generic: (n,) generic scores.
            ratings: (n,) on the same scale.
            groups: (n,) names; photos of one group are held out together.
        """
        count = len(ratings)
        folds = _folds(groups, self.arguments.folds, self.arguments.seed)
        self._total = (len(folds) + 1) * self.arguments.steps
        checks = self.arguments.steps // self.arguments.check_steps
        affine, personal = np.zeros(count), np.zeros((checks, count))
        for held in folds:
            kept = np.setdiff1d(np.arange(count), held)
            fit = Affine.fit(generic[kept], ratings[kept])
            affine[held] = fit(generic[held])
            for i, _ in enumerate(self._train(inputs[kept], ratings[kept], fit)):
                personal[i, held] = self._predict(inputs[held], fit)
        best = int(np.square(personal - ratings).mean(1).argmin())
        return HeldOut(affine, personal[best], (best + 1) * self.arguments.check_steps)

    def fit(self, inputs: Tensor, ratings: Vector, affine: Affine, steps: int) -> None:
        """Train on every rating for the chosen number of steps."""
        checks = self._train(inputs, ratings, affine)
        for _ in range(steps // self.arguments.check_steps):
            next(checks)
        self._progress(self._total, self._total)

    def save(self, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors, as peft does."""
        self.peft.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card

    def _train(self, inputs: Tensor, ratings: Vector, affine: Affine) -> Iterator[None]:
        """From the initial adapter on; pauses after every ``check_steps`` steps."""
        a = self.arguments
        state = self.peft.state_dict()
        with torch.no_grad():
            for key, value in self.initial.items():
                state[_live_name(key)].copy_(value)
        parameters = [p for p in self.peft.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, a.learning_rate, betas=(0.9, 0.99), weight_decay=a.weight_decay
        )
        target = torch.from_numpy(ratings).float()
        batches = _batches(len(ratings), a.batch_size, a.seed)
        for step in range(a.steps):
            optimizer.param_groups[0]["lr"] = a.learning_rate * _cosine(step / a.steps)
            rows = next(batches)
            self.peft.train()
            error = self._scores(inputs[rows], affine) - target[rows]
            optimizer.zero_grad()
            error.square().mean().backward()
            optimizer.step()
            self._done += 1
            self._progress(self._done, self._total)
            if (step + 1) % a.check_steps == 0:
                yield

    def _scores(self, inputs: Tensor, affine: Affine) -> Tensor:
        raw: Tensor = self.peft(inputs)
        return affine.mean + affine.slope * (raw.float() - affine.centre)

    @torch.inference_mode()
    def _predict(self, inputs: Tensor, affine: Affine) -> Vector:
        self.peft.eval()
        return self._scores(inputs, affine).double().cpu().numpy()


def _live_name(key: str) -> str:
    """A saved key's name inside the wrapped model, where the adapter is called ``default``."""
    stem, _, parameter = key.rpartition(".")
    return f"{stem}.default.{parameter}"


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _folds(groups: Sequence[str], folds: int, seed: int) -> list[NDArray[np.intp]]:
    """Photos of each fold, whole groups at a time."""
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    parts = np.array_split(order, min(folds, len(names)))
    return [np.flatnonzero(np.isin(members, part)) for part in parts]


def _batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order.split(size)
