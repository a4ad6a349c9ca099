"""The training loop: photos and scores into an AesMamba, with distillation as an option.

Exactly resumable: a killed run goes on from its last checkpoint as if nothing had happened,
because each step's samples and crops depend on the seed and the step alone.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.metrics import plcc, srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.losses import (
    SCALE_WEIGHT,
    balanced_cross_entropy,
    category_counts,
    masked_mse,
    scale_category,
)

_CROP = 0.875  # the paper's: resize to 256, crop 224


class Teacher(Protocol):
    """A frozen network whose maps the encoder learns to predict."""

    def __call__(self, images: Tensor) -> dict[int, Tensor]:
        """(batch, 3, H, W) in [0, 1] to maps by stride."""


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
        ema: decay of the averaged weights that are validated and saved; 0 for none.
        clip: largest gradient norm.
        bfloat16: multiply matrices in bfloat16 (weights, scan and losses stay float32).
        seed: of everything random.
        checkpoint_minutes: time between checkpoints.
        log_steps: steps between lines in ``metrics.jsonl``.
    """

    epochs: float = 6.0
    batch_size: int = 64
    learning_rate: float = 5e-4
    warmup: float = 0.05
    final_rate: float = 1e-6
    weight_decay: float = 0.05
    image_size: int = 128
    distillation: float = 1.0
    ema: float = 0.999
    clip: float = 5.0
    bfloat16: bool = False
    seed: int = 42
    checkpoint_minutes: float = 4.0
    log_steps: int = 20


class Trainer:
    """Trains ``model`` on ``photos`` and keeps its state in ``folder``.

    Args:
        model: trained in place.
        photos: the training set; NaN scores are not learned from.
        validation: never trained on; decides nothing but what is reported.
        teacher: for ``arguments.distillation`` > 0.
        folder: ``checkpoint.pt`` and ``metrics.jsonl`` live here.
    """

    def __init__(
        self,
        model: AesMamba,
        photos: PhotoSet,
        validation: PhotoSet,
        folder: Path,
        arguments: TrainingArguments,
        teacher: Teacher | None = None,
    ) -> None:
        self.model, self.photos, self.validation = model, photos, validation
        self.folder, self.arguments = folder, arguments
        self.teacher = teacher if arguments.distillation else None
        self.steps_per_epoch = len(photos) // arguments.batch_size
        self.steps = max(1, round(arguments.epochs * self.steps_per_epoch))
        self.step = 0
        self.maps = nn.ModuleList()
        if self.teacher is not None:
            self.maps = _map_projections(model, self.teacher)
        self.averaged = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            _decay_groups([model, self.maps], arguments.weight_decay),
            lr=arguments.learning_rate,
            betas=(0.9, 0.99),
        )
        self.classes = scale_category(photos.scores)
        self.counts = category_counts(self.classes, model.config.scale_classes)
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self) -> None:
        """Train to the end; the model then holds the averaged weights."""
        saved = time.monotonic()
        while self.step < self.steps:
            started = time.monotonic()
            losses = self._train_step()
            self.step += 1
            if self.step % self.arguments.log_steps == 0:
                rate = self.arguments.batch_size / (time.monotonic() - started)
                self._log(losses | {"photos_per_second": rate})
            if self.step % self.steps_per_epoch == 0 or self.step == self.steps:
                self._log({f"validation_{k}": v for k, v in self.validate().items()})
            if time.monotonic() - saved > self.arguments.checkpoint_minutes * 60:
                self._save()
                saved = time.monotonic()
        self._save()
        self.model.load_state_dict(self.averaged)

    def validate(self) -> dict[str, float]:
        """SRCC and PLCC per labelled attribute of the averaged weights on the validation set."""
        current = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.averaged)
        scores = predict(self.model, self.validation, self.arguments.image_size)
        self.model.load_state_dict(current)
        report = {}
        for i, name in enumerate(self.model.config.attributes):
            target = self.validation.scores[:, i]
            if not target.isnan().any():
                report[f"srcc_{name}"] = srcc(scores[:, i], target)
                report[f"plcc_{name}"] = plcc(scores[:, i], target)
        return report

    def _train_step(self) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        rows, generator = self._samples()
        pixels, scores = self.photos.batch(rows)
        pixels = augment(pixels, self.arguments.image_size, generator)
        torch.manual_seed(self.arguments.seed + self.step)  # drop path
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.arguments.bfloat16):
            losses = self._losses(pixels, scores, rows)
        loss = losses["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        nn.utils.clip_grad_norm_(parameters, self.arguments.clip)
        self.optimizer.step()
        self._average()
        return {name: value.item() for name, value in losses.items()}

    def _losses(self, pixels: Tensor, scores: Tensor, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Every part of the loss, and their weighted sum as ``loss``."""
        self.model.train()
        maps = self.model.encoder.stage_maps(normalize(pixels, self.model.config))
        predictions = self.model.heads(self.model.encoder.norm(maps[-1]).mean((1, 2)))
        mse = masked_mse(predictions.scores.float(), scores)
        losses = {"loss": mse, "mse": mse}
        if predictions.scale_logits is not None:
            losses["balanced_ce"] = balanced_cross_entropy(
                predictions.scale_logits.float(), self.classes[torch.from_numpy(rows)], self.counts
            )
            losses["loss"] = losses["loss"] + SCALE_WEIGHT * losses["balanced_ce"]
        if self.teacher is not None:
            losses["distillation"] = self._distill(maps, self.teacher(pixels / 255))
            weight = self.arguments.distillation
            losses["loss"] = losses["loss"] + weight * losses["distillation"]
        return losses

    def _distill(self, maps: list[Tensor], targets: dict[int, Tensor]) -> Tensor:
        """Mean over strides of the error of the teacher's maps, each channel standardised."""
        losses = []
        for project, x, target in zip(self.maps, maps, targets.values(), strict=True):
            target = target.float()
            deviation, mean = torch.std_mean(target, (0, 2, 3), keepdim=True)
            target = (target - mean) / (deviation + 1e-3)
            losses.append(F.mse_loss(project(x).float(), target.permute(0, 2, 3, 1)))
        return torch.stack(losses).mean()

    def _average(self) -> None:
        # Early on the average follows closely, so that it is useful before 1/(1-decay) steps.
        decay = min(self.arguments.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
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

    def _log(self, values: dict[str, float]) -> None:
        line = {"step": self.step, "epoch": round(self.step / self.steps_per_epoch, 3), **values}
        with (self.folder / "metrics.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        partial = self.folder / "checkpoint.partial"
        torch.save(
            {
                "step": self.step,
                "arguments": asdict(self.arguments),
                "model": self.model.state_dict(),
                "averaged": self.averaged,
                "maps": self.maps.state_dict(),
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
        self.model.load_state_dict(state["model"])
        self.averaged = state["averaged"]
        self.maps.load_state_dict(state["maps"])
        self.optimizer.load_state_dict(state["optimizer"])


def augment(pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crops of 7/8 of the side, brought to size x size, mirrored half of the time.

    Args:
        pixels: (batch, 3, side, side) bytes.

    Returns:
        (batch, 3, size, size) float32, 0-255.
    """
    batch, _, side, _ = pixels.shape
    crop = round(side * _CROP)
    corners = torch.randint(0, side - crop + 1, (batch, 2), generator=generator).tolist()
    flips = (torch.rand(batch, generator=generator) < 0.5).tolist()
    cut = [p[:, y : y + crop, x : x + crop] for p, (y, x) in zip(pixels, corners, strict=True)]
    cut = [p.flip(2) if flip else p for p, flip in zip(cut, flips, strict=True)]
    return resize(torch.stack(cut), size)


def resize(pixels: Tensor, size: int) -> Tensor:
    """Bicubic, antialiased, clamped to 0-255, as the photos are at scoring time."""
    x = F.interpolate(pixels.float(), (size, size), mode="bicubic", antialias=True)
    return x.clamp_(0, 255)


@torch.inference_mode()
def embed(model: AesMamba, photos: PhotoSet, size: int, *, batch_size: int = 64) -> Tensor:
    """f_v of every photo at size x size, (photos, d)."""
    model.eval()
    features = []
    for rows in _batches(len(photos), batch_size):
        pixels, _ = photos.batch(rows)
        features.append(model.embed(normalize(resize(pixels, size), model.config)))
    return torch.cat(features)


@torch.inference_mode()
def predict(model: AesMamba, photos: PhotoSet, size: int) -> Tensor:
    """Scores of every photo without text, (photos, attributes)."""
    scores: Tensor = model.heads(embed(model, photos, size)).scores
    return scores


def _batches(total: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))


def _map_projections(model: AesMamba, teacher: Teacher) -> nn.ModuleList:
    """A linear layer from each stage of the encoder to the teacher's map of the same stride."""
    maps = teacher(torch.zeros(1, 3, 64, 64))
    dims = model.config.encoder.dims
    return nn.ModuleList(
        nn.Linear(dim, target.shape[1]) for dim, target in zip(dims, maps.values(), strict=True)
    )


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
