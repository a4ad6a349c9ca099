"""Few-shot training of any network of one person, its length chosen on ratings held out of the
support. Which weights are free is the network's business."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aesmamba_sdk.personalize.blend import Affine, Vector

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Training:
    """How one person's network is trained.

    Attributes:
        steps: at most; how many are best is chosen on held-out ratings of the support set.
        check_steps: numbers of steps compared are multiples of this.
        learning_rate, last_learning_rate: a cosine leads from the one to the other.
        weight_decay: of the free weights.
        epsilon: of AdamW.
        batch_size: ratings per step.
        at_once: of a batch, through the network at a time; the rest waits for memory.
        folds: parts of the support set that are held out in turn.
        mirror: whether half of the photos of each step are seen in a mirror.
        seed: of initial weights, folds and batches.
    """

    steps: int = 60
    check_steps: int = 6
    learning_rate: float = 1e-3
    last_learning_rate: float = 0.0
    weight_decay: float = 0.01
    epsilon: float = 1e-8
    batch_size: int = 64
    at_once: int = 64
    folds: int = 5
    mirror: bool = False
    seed: int = 42


@dataclass(frozen=True)
class HeldOut:
    """What cross-validation inside the support set found.

    Attributes:
        affine: (n,) scores of the affine map alone, fitted without the photo.
        personal: (n,) scores of the network, trained without the photo.
        steps: length of training that predicted the held-out ratings best.
    """

    affine: Vector
    personal: Vector
    steps: int


class FineTuner:
    """Trains the free weights of a network on one person's ratings, always from where they are now.

    Args:
        network: (batch, …) inputs to raw scores (batch,); its weights that require a gradient are
            free.
        training: how.
        progress: called with (steps done, steps in all).
    """

    def __init__(
        self, network: nn.Module, training: Training, progress: Progress | None = None
    ) -> None:
        self.network, self.training = network, training
        self.free = [p for p in network.parameters() if p.requires_grad]
        self.initial = [p.detach().clone() for p in self.free]
        self._progress = progress or (lambda done, total: None)
        self._done, self._total = 0, 0

    def cross_validate(
        self,
        inputs: Tensor,
        generic: Vector,
        ratings: Vector,
        groups: Sequence[str],
        unit: float,
    ) -> HeldOut:
        """Predict every rating from the others, and choose how long to train.

        Args:
            inputs: (n, …) of the network.
            generic: (n,) generic scores.
            ratings: (n,) on the same scale.
            groups: (n,) names; photos of one group are held out together.
            unit: what a step of 1-5 is on their scale.
        """
        t, count = self.training, len(ratings)
        folds = split_folds(groups, t.folds, t.seed)
        self._total = (len(folds) + 1) * t.steps
        affine, personal = np.zeros(count), np.zeros((t.steps // t.check_steps, count))
        for held in folds:
            kept = np.setdiff1d(np.arange(count), held)
            fit = Affine.fit(generic[kept], ratings[kept], unit)
            affine[held] = fit(generic[held])
            for i, _ in enumerate(self._train(inputs[kept], ratings[kept], fit)):
                personal[i, held] = self._predict(inputs[held], fit)
        best = int(np.square(personal - ratings).mean(1).argmin())
        return HeldOut(affine, personal[best], (best + 1) * t.check_steps)

    def fit(self, inputs: Tensor, ratings: Vector, affine: Affine, steps: int) -> None:
        """Train on every rating for the chosen number of steps."""
        checks = self._train(inputs, ratings, affine)
        for _ in range(steps // self.training.check_steps):
            next(checks)
        self._progress(self._total, self._total)

    def _train(self, inputs: Tensor, ratings: Vector, affine: Affine) -> Iterator[None]:
        """From the initial weights on; pauses after every ``check_steps`` steps."""
        t = self.training
        with torch.no_grad():
            for weight, start in zip(self.free, self.initial, strict=True):
                weight.copy_(start)
        optimizer = torch.optim.AdamW(
            self.free, t.learning_rate, (0.9, 0.99), t.epsilon, t.weight_decay
        )
        target = torch.from_numpy(ratings).float().to(inputs.device)
        random = torch.Generator().manual_seed(t.seed)
        batches = _batches(len(ratings), t.batch_size, random)
        for step in range(t.steps):
            share = (1 + math.cos(math.pi * step / t.steps)) / 2
            optimizer.param_groups[0]["lr"] = t.last_learning_rate + share * (
                t.learning_rate - t.last_learning_rate
            )
            self.network.train()
            optimizer.zero_grad()
            rows = next(batches)
            for part in rows.split(t.at_once):
                error = self._scores(self._seen(inputs[part], random), affine) - target[part]
                (error.square().sum() / len(rows)).backward()
                self._progress(self._done, self._total)
            optimizer.step()
            self._done += 1
            self._progress(self._done, self._total)
            if (step + 1) % t.check_steps == 0:
                yield

    def _seen(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        """Images (batch, 3, H, W), half of them mirrored where training asks for it."""
        if not self.training.mirror:
            return inputs
        turned = (torch.rand(len(inputs), generator=random) < 0.5).to(inputs.device)
        return torch.where(turned[:, None, None, None], inputs.flip(-1), inputs)

    def _scores(self, inputs: Tensor, affine: Affine) -> Tensor:
        raw: Tensor = self.network(inputs)
        return affine.mean + affine.slope * (raw.float() - affine.centre)

    @torch.inference_mode()
    def _predict(self, inputs: Tensor, affine: Affine) -> Vector:
        self.network.eval()
        parts = [self._scores(part, affine) for part in inputs.split(self.training.at_once)]
        return torch.cat(parts).double().cpu().numpy()


def split_folds(groups: Sequence[str], folds: int, seed: int) -> list[NDArray[np.intp]]:
    """Photos of each fold, whole groups at a time."""
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    parts = np.array_split(order, min(folds, len(names)))
    return [np.flatnonzero(np.isin(members, part)) for part in parts]


def _batches(count: int, size: int, random: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(count, generator=random).split(size)
