"""Trains an AesMamba on photos and scores, alone or with a teacher that sees the same crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.model.vmamba import VMamba
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.judge import View
from aesmamba_sdk.train.loop import Loop, TrainingArguments
from aesmamba_sdk.train.losses import (
    SCALE_WEIGHT,
    balanced_cross_entropy,
    category_counts,
    masked_mse,
    scale_category,
)
from aesmamba_sdk.train.views import predict

Teacher = Callable[[Tensor], View]
"""(batch, 3, H, W) in [0, 1] to what a frozen network makes of it."""


class Trainer(Loop):
    """Trains ``model``; the other arguments are those of ``Loop``.

    Args:
        teacher: for ``arguments.distillation`` or ``arguments.soft_targets`` > 0.
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
        self.model = model
        self.teacher = teacher if arguments.distillation or arguments.soft_targets else None
        self.maps = nn.ModuleList()
        if self.teacher is not None:
            self.maps = _map_projections(model, self.teacher)
        self.counts = category_counts(scale_category(photos.scores), model.config.scale_classes)
        super().__init__(model, photos, validation, folder, arguments, self.maps)

    def _losses(self, pixels: Tensor, scores: Tensor) -> dict[str, Tensor]:
        self.model.train()
        maps = _stage_maps(self.model.encoder, normalize(pixels, self.model.config))
        predictions = self.model.heads(self.model.encoder.norm(maps[-1]).mean((1, 2)))
        predicted = predictions.scores.float()
        losses = {"mse": masked_mse(predicted, scores)}
        weights = {"mse": 1.0}
        if predictions.scale_logits is not None:
            losses["balanced_ce"] = balanced_cross_entropy(
                predictions.scale_logits.float(), scale_category(scores), self.counts
            )
            weights["balanced_ce"] = SCALE_WEIGHT
        if self.teacher is not None:
            with torch.no_grad():
                view = self.teacher(pixels / 255)
            losses["distillation"] = self._distill(maps, view.maps)
            losses["soft_targets"] = masked_mse(predicted, view.scores)
            weights["distillation"] = self.arguments.distillation
            weights["soft_targets"] = self.arguments.soft_targets
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        return {"loss": total, **losses}

    def _distill(self, maps: list[Tensor], targets: dict[int, Tensor]) -> Tensor:
        """Mean over strides of the error of the teacher's maps, each channel standardised."""
        losses = []
        for project, x, target in zip(self.maps, maps, targets.values(), strict=True):
            target = target.float()
            deviation, mean = torch.std_mean(target, (0, 2, 3), keepdim=True)
            target = (target - mean) / (deviation + 1e-3)
            losses.append(F.mse_loss(project(x).float(), target.permute(0, 2, 3, 1)))
        return torch.stack(losses).mean()

    def _predict(self) -> Tensor:
        return predict(self.model, self.validation, self.arguments.image_size)

    def _attributes(self) -> tuple[str, ...]:
        return self.model.config.attributes


def _stage_maps(encoder: VMamba, images: Tensor) -> list[Tensor]:
    """As ``encoder.stage_maps``, the strided convolutions always in float32.

    On a CPU their bfloat16 gradients took ten times as long and a third of the whole step.
    """
    maps: list[Tensor] = []
    x = images
    for reduce, stage in zip([encoder.stem, *encoder.downsamples], encoder.stages, strict=True):
        with torch.autocast(x.device.type, enabled=False):
            x = reduce(x.float())
        x = stage(x)
        maps.append(x)
    return maps


def _map_projections(model: AesMamba, teacher: Teacher) -> nn.ModuleList:
    """A linear layer from each stage of the encoder to the teacher's map of the same stride."""
    with torch.no_grad():
        maps = teacher(torch.zeros(1, 3, 64, 64)).maps
    dims = model.config.encoder.dims
    return nn.ModuleList(
        nn.Linear(dim, target.shape[1]) for dim, target in zip(dims, maps.values(), strict=True)
    )
