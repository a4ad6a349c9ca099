"""The training loop: what every network here shares, whatever its losses are.

Exactly resumable: a killed run goes on from its last checkpoint as if nothing had happened,
because each step's samples and crops depend on the seed and the step alone. Started again with
other ``epochs``, it follows the rest of that schedule, and ``metrics.jsonl`` says so.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aesmamba_sdk.metrics import plcc, srcc
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.views import augment, ruin


@dataclass(frozen=True)
class TrainingArguments:
    """How to train.

    Attributes:
        epochs: passes over the photos.
        batch_size: photos per step.
        learning_rate: peak of the schedule.
        warmup: share of the steps in which the rate rises linearly; then a cosine down to
            ``final_rate``.
        final_rate: last learning rate.
        weight_decay: of matrices and convolutions; norms, biases, A and D have none.
        image_size: side of the crops.
        distillation: weight of the teacher's maps; 0 for none.
        soft_targets: weight of the error to the teacher's scores of the same crop; 0 for none.
        ruined: share of the photos that are ruined, their labels lowered.
        ema: decay of the averaged weights that are validated and saved; 0 for none.
        clip: largest gradient norm.
        bfloat16: multiply matrices in bfloat16 (weights, scan and losses stay float32).
        seed: of everything random.
        checkpoint_minutes: time between checkpoints.
        log_steps: steps between lines in ``metrics.jsonl``.
        validation_steps: steps between validations; 0 for one an epoch.
    """

    epochs: float = 6.0
    batch_size: int = 64
    learning_rate: float = 5e-4
    warmup: float = 0.05
    final_rate: float = 1e-6
    weight_decay: float = 0.05
    image_size: int = 128
    distillation: float = 1.0
    soft_targets: float = 0.0
    ruined: float = 0.0
    ema: float = 0.999
    clip: float = 5.0
    bfloat16: bool = False
    seed: int = 42
    checkpoint_minutes: float = 4.0
    log_steps: int = 20
    validation_steps: int = 0


class Loop(ABC):
    """Trains a network on ``photos`` and keeps its state in ``folder``.

    Args:
        model: trained in place; its averaged weights are what is validated and kept.
        photos: the training set; NaN scores are not learned from.
        validation: never trained on; decides nothing but what is reported.
        folder: ``checkpoint.pt`` and ``metrics.jsonl`` live here.
        extra: trained beside the model and not kept.
    """

    def __init__(
        self,
        model: nn.Module,
        photos: PhotoSet,
        validation: PhotoSet,
        folder: Path,
        arguments: TrainingArguments,
        extra: nn.Module | None = None,
    ) -> None:
        self._trained, self.photos, self.validation = model, photos, validation
        self.folder, self.arguments = folder, arguments
        self._extra = extra or nn.Module()
        self.steps_per_epoch = len(photos) // arguments.batch_size
        self.steps = max(1, round(arguments.epochs * self.steps_per_epoch))
        self.step = 0
        self.averaged = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            _decay_groups([model, self._extra], arguments.weight_decay),
            lr=arguments.learning_rate,
            betas=(0.9, 0.99),
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @abstractmethod
    def _losses(self, pixels: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """Every part of the loss, and their weighted sum as ``loss``."""

    @abstractmethod
    def _predict(self) -> Tensor:
        """Scores of the validation photos by the current weights, (photos, attributes)."""

    @abstractmethod
    def _attributes(self) -> tuple[str, ...]:
        """Names of the columns of ``photos.scores``."""

    def run(self) -> None:
        """Train to the end; the model then holds the averaged weights."""
        saved = time.monotonic()
        every = self.arguments.validation_steps or self.steps_per_epoch
        while self.step < self.steps:
            started = time.monotonic()
            losses = self._train_step()
            self.step += 1
            if self.step % self.arguments.log_steps == 0:
                rate = self.arguments.batch_size / (time.monotonic() - started)
                self._log(losses | {"photos_per_second": rate})
            if self.step % every == 0 or self.step == self.steps:
                self._log({f"validation_{k}": v for k, v in self.validate().items()})
            if time.monotonic() - saved > self.arguments.checkpoint_minutes * 60:
                self._save()
                saved = time.monotonic()
        self._save()
        self._trained.load_state_dict(self.averaged)

    def validate(self) -> dict[str, float]:
        """SRCC and PLCC per labelled attribute of the averaged weights on the validation set."""
        current = {k: v.detach().clone() for k, v in self._trained.state_dict().items()}
        self._trained.load_state_dict(self.averaged)
        scores = self._predict()
        self._trained.load_state_dict(current)
        report = {}
        for i, name in enumerate(self._attributes()):
            target = self.validation.scores[:, i]
            if not target.isnan().any() and not scores[:, i].isnan().any():
                report[f"srcc_{name}"] = srcc(scores[:, i], target)
                report[f"plcc_{name}"] = plcc(scores[:, i], target)
        return report

    def _train_step(self) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        rows, generator = self._samples()
        pixels, scores = self.photos.batch(rows)
        pixels = augment(pixels, self.arguments.image_size, generator)
        pixels, scores = ruin(pixels, scores, self.arguments.ruined, generator)
        torch.manual_seed(self.arguments.seed + self.step)  # drop path
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.arguments.bfloat16):
            losses = self._losses(pixels, scores)
        loss = losses["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        nn.utils.clip_grad_norm_(parameters, self.arguments.clip)
        self.optimizer.step()
        self._average()
        return {name: value.item() for name, value in losses.items()}

    def _average(self) -> None:
        # Early on the average follows closely, so that it is useful before 1/(1-decay) steps.
        decay = min(self.arguments.ema, (1 + self.step) / (10 + self.step))
        for name, value in self._trained.state_dict().items():
            self.averaged[name].lerp_(value, 1 - decay)

    def _learning_rate(self) -> float:
        a = self.arguments
        warm = max(1, round(a.warmup * self.steps))
        if self.step < warm:
            return a.learning_rate * (self.step + 1) / warm
        progress = (self.step - warm) / max(1, self.steps - warm)
        cosine = (1 + math.cos(math.pi * progress)) / 2
        return a.final_rate + (a.learning_rate - a.final_rate) * cosine

    def _samples(self) -> tuple[NDArray[np.int64], torch.Generator]:
        """This step's photos and the randomness of its crops."""
        epoch, batch = divmod(self.step, self.steps_per_epoch)
        order = np.random.default_rng((self.arguments.seed, epoch)).permutation(len(self.photos))
        size = self.arguments.batch_size
        generator = torch.Generator().manual_seed(self.arguments.seed * 1_000_003 + self.step)
        return order[batch * size : (batch + 1) * size], generator

    def _log(self, values: Mapping[str, object]) -> None:
        line = {"step": self.step, "epoch": round(self.step / self.steps_per_epoch, 3), **values}
        with (self.folder / "metrics.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        partial = self.folder / "checkpoint.partial"
        torch.save(
            {
                "step": self.step,
                "arguments": asdict(self.arguments),
                "model": self._trained.state_dict(),
                "averaged": self.averaged,
                "extra": self._extra.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            partial,
        )
        partial.replace(self.folder / "checkpoint.pt")

    def _resume(self) -> None:
        file = self.folder / "checkpoint.pt"
        if not file.exists():
            return
        state: dict[str, Any] = torch.load(file, weights_only=True)
        self.step = state["step"]
        self._trained.load_state_dict(state["model"])
        self.averaged = state["averaged"]
        self._extra.load_state_dict(state["extra"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["arguments"] != asdict(self.arguments):  # e.g. a shorter schedule than planned
            self._log({"arguments": asdict(self.arguments)})


def _decay_groups(modules: list[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for what multiplies features; none for norms, biases, A and D."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            scan = name.endswith(("A_log", ".D", "dt_proj_bias"))
            (free if parameter.ndim < 2 or scan else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
