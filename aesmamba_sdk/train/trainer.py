"""Trains an AesMamba on photos and labels, with texts or without, alone or beside a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.aesmamba import AesMamba, ImageEncoder
from aesmamba_sdk.model.heads import AttributePredictions
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.model.vmamba import VMamba
from aesmamba_sdk.train.correlations import correlations
from aesmamba_sdk.train.data import PhotoSet, Rows
from aesmamba_sdk.train.devices import Devices
from aesmamba_sdk.train.journal import Journal
from aesmamba_sdk.train.judge import View
from aesmamba_sdk.train.loop import Loop, TrainingArguments
from aesmamba_sdk.train.losses import (
    SCORE_WEIGHTS,
    VOTE_WEIGHTS,
    balanced_cross_entropy,
    category_counts,
    masked_distribution_mse,
    masked_emd,
    masked_mse,
    scale_category,
    total,
)
from aesmamba_sdk.train.views import predict, read

Teacher = Callable[[Tensor], View]
"""(batch, 3, H, W) in [0, 1] to what a frozen network makes of it."""
_STEM_STRIDE = 4


class Trainer(Loop):
    """Trains ``model``; the other arguments are those of ``Loop``.

    A model whose heads give distributions learns the photos' votes, any other their scores (Eq. 8).

    Args:
        teacher: for ``arguments.distillation`` or ``arguments.soft_targets`` > 0; runs where the
            model does.
        categories: scale categories of scores, -1 for NaN.

    Raises:
        SetupError: also, if model and teacher have no maps of one stride.
    """

    def __init__(
        self,
        model: AesMamba,
        photos: PhotoSet,
        validation: PhotoSet,
        folder: Path,
        arguments: TrainingArguments,
        teacher: Teacher | None = None,
        *,
        categories: Callable[[Tensor], Tensor] = scale_category,
        devices: Devices | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.model = model
        self.teacher = teacher if arguments.distillation or arguments.soft_targets else None
        self.maps = nn.ModuleList()
        self.strides: list[int] = []
        if self.teacher is not None and arguments.distillation:
            device = torch.device("cpu") if devices is None else devices.device
            self.strides, self.maps = _map_projections(model.to(device), self.teacher, device)
        self.categories = categories
        self.counts = category_counts(categories(photos.scores), model.config.scale_classes)
        if arguments.categories == "plain":  # equal counts raise all logits alike
            self.counts = torch.ones_like(self.counts)
        super().__init__(
            model,
            photos,
            validation,
            folder,
            arguments,
            self.maps,
            devices=devices,
            journal=journal,
        )

    def _losses(self, pixels: Tensor, scores: Tensor, rows: Rows) -> dict[str, Tensor]:
        self.model.train()
        images = normalize(pixels, self.model.config)
        tokens, maps = see(self.model.encoder, images, wants_maps=self.teacher is not None)
        predictions = self.model.heads(self._integrate(tokens.mean((1, 2)), rows))
        losses, weights = self._label_losses(predictions, scores, rows)
        if self.teacher is not None:
            with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
                view = self.teacher(pixels / 255)  # its convolutions gain nothing from bfloat16
            if self.arguments.distillation:
                losses["distillation"] = self._distill(maps, view.maps)
            losses["soft_targets"] = masked_mse(predictions.scores.float(), view.scores)
            weights["distillation"] = self.arguments.distillation
            weights["soft_targets"] = self.arguments.soft_targets
        return {"loss": total(losses, weights), **losses}

    def _label_losses(
        self, predictions: AttributePredictions, scores: Tensor, rows: Rows
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The parts of Eq. 8 and their weights."""
        if predictions.distributions is None:
            weights = dict(SCORE_WEIGHTS)
            losses = {"mse": masked_mse(predictions.scores.float(), scores)}
        else:
            assert self.photos.votes is not None
            weights = dict(VOTE_WEIGHTS)
            predicted = predictions.distributions[:, 0].float()
            votes = self.photos.votes[rows].to(predicted.device)
            losses = {
                "emd": masked_emd(predicted, votes),
                "mse": masked_distribution_mse(predicted, votes),
            }
        if predictions.scale_logits is not None and self.arguments.categories != "none":
            logits = predictions.scale_logits.float()
            counts = self.counts.to(logits.device)
            losses["balanced_ce"] = balanced_cross_entropy(logits, self.categories(scores), counts)
        return losses, weights

    def _integrate(self, f_v: Tensor, rows: Rows) -> Tensor:
        """f of the photos with their texts; of some, by chance, without."""
        if self.photos.texts is None:
            return f_v
        alone = torch.rand(len(rows)) < self.arguments.photo_alone
        fused = self.model.integrate(f_v, *read(self.model, [self.photos.texts[i] for i in rows]))
        return torch.where(alone.to(f_v.device)[:, None], f_v, fused)

    def _distill(self, maps: dict[int, Tensor], targets: dict[int, Tensor]) -> Tensor:
        """Mean over strides of the error of the teacher's maps, each channel standardised."""
        losses = []
        for project, stride in zip(self.maps, self.strides, strict=True):
            x, target = maps[stride], targets[stride].float()
            height, width = x.shape[1:3]
            if target.shape[2:] != (height, width):  # odd sides are rounded up here, down there
                target = F.adaptive_avg_pool2d(target, (height, width))
            target = target.permute(0, 2, 3, 1).flatten(0, 2)
            # On the teacher's channels-last maps torch.std_mean takes five times as long.
            centred = target - target.mean(0)
            deviation = (centred.square().sum(0) / (len(target) - 1)).sqrt()
            predicted = project(x).float().flatten(0, 2)
            losses.append(F.mse_loss(predicted, centred / (deviation + 1e-3)))
        return torch.stack(losses).mean()

    def validate(self) -> dict[str, float]:
        """As ``Loop`` does; with texts also ``alone_...``, the figures of photos without them."""
        report = super().validate()
        if self.photos.texts is None or not self.arguments.photo_alone:
            return report
        with self._averaged_weights():
            scores = predict(self.model, self.validation, self.arguments.image_size, alone=True)
        alone = correlations(scores, self.validation, self._attributes())
        return report | {f"alone_{name}": value for name, value in alone.items()}

    def _predict(self) -> Tensor:
        return predict(self.model, self.validation, self.arguments.image_size)

    def _attributes(self) -> tuple[str, ...]:
        return self.model.config.attributes


def see(
    encoder: ImageEncoder, images: Tensor, *, wants_maps: bool
) -> tuple[Tensor, dict[int, Tensor]]:
    """Tokens (batch, h, w, d) of an encoder, and its last map of each stride where wanted."""
    if isinstance(encoder, VMamba):
        maps = _stage_maps(encoder, images)
        tokens: Tensor = encoder.norm(maps[-1])
        return tokens, {_STEM_STRIDE << i: x for i, x in enumerate(maps)}
    return encoder.maps(images) if wants_maps else (encoder(images), {})


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


def _map_projections(
    model: AesMamba, teacher: Teacher, device: torch.device
) -> tuple[list[int], nn.ModuleList]:
    """The strides both have maps of, and a linear layer from each of ours to the teacher's."""
    image = torch.zeros(1, 3, model.config.image_size, model.config.image_size, device=device)
    with torch.no_grad():
        targets = teacher(image).maps
        _, maps = see(model.eval().encoder, image, wants_maps=True)
    shared = sorted(set(maps) & set(targets))
    if not shared:
        raise SetupError(
            f"the teacher has maps of the strides {sorted(targets)}, the model of {sorted(maps)}: "
            "nothing can be distilled"
        )
    layers = (nn.Linear(maps[s].shape[-1], targets[s].shape[1]) for s in shared)
    return shared, nn.ModuleList(layers)
