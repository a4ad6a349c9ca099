"""Trains an AesMamba on photos and labels, with texts or without, alone or beside a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
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
from aesmamba_sdk.train.least_squares import LeastSquares
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
from aesmamba_sdk.train.views import Views, mirror, predict, read

Teacher = Callable[[Tensor], View]
"""(batch, 3, H, W) in [0, 1] to what a frozen network makes of it."""
_STEM_STRIDE = 4


class Trainer(Loop):
    """Trains ``model``; the other arguments are those of ``Loop``.

    A model whose heads give distributions learns the photos' votes, any other their scores (Eq. 8).

    Args:
        teacher: for ``arguments.distillation``, ``features``, ``soft_targets`` or ``blended`` > 0;
            runs where the model does.
        categories: scale categories of scores, -1 for NaN.

    Raises:
        SetupError: also, if a teacher is to be learned from and there is none, if model and
            teacher have no maps of one stride, if photos are to be blended that have votes or
            texts, or if batches are too small for ``agreement``.
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
        check_taught(arguments, taught=teacher is not None)
        _check_blended(arguments, photos)
        self.teacher = teacher if asks_teacher(arguments) else None
        self.maps, self.features = nn.ModuleList(), nn.ModuleList()
        self.strides: list[int] = []
        device = torch.device("cpu") if devices is None else devices.device
        if self.teacher is not None and arguments.distillation:
            self.strides, self.maps = _map_projections(model.to(device), self.teacher, device)
        if self.teacher is not None and arguments.features:
            self.features.append(_feature_projection(model, self.teacher, device))
        self.categories = categories
        self.unlabelled = photos.scores.isnan().all(0).to(device)
        self.counts = category_counts(categories(photos.scores), model.config.scale_classes)
        if arguments.categories == "plain":  # equal counts raise all logits alike
            self.counts = torch.ones_like(self.counts)
        super().__init__(
            model,
            photos,
            validation,
            folder,
            arguments,
            self.projections,
            devices=devices,
            journal=journal,
        )
        self.pairs = _mirrored(arguments, self.devices)

    @property
    def projections(self) -> nn.ModuleList:
        """From the model's maps and f_v to the teacher's; a later stage may go on from them."""
        return nn.ModuleList([*self.maps, *self.features])

    def _losses(self, views: Views, rows: Rows) -> dict[str, Tensor]:
        self.model.train()
        features, maps = self._see(views)
        predictions = self.model.heads(self._integrate(features, rows))
        losses, weights = self._label_losses(predictions, views.scores, rows)
        if pairs := self.pairs:
            scores = predictions.scores.float()
            mirrored = scores[-pairs:].masked_fill(self.unlabelled, float("nan"))
            losses["agreement"] = masked_mse(scores[:pairs], mirrored)
            weights["agreement"] = self.arguments.agreement
        if self.teacher is not None:
            view = self._ask(self.teacher, views)
            errors = [
                F.mse_loss(project(x).float(), target)
                for project, (x, target) in zip(
                    self.projections, self._pairs(features, maps, view), strict=True
                )
            ]
            if self.arguments.features:
                losses["features"] = errors.pop()
            if errors:
                losses["distillation"] = torch.stack(errors).mean()
            known = view.scores.masked_fill(views.ruined[:, None], float("nan"))
            losses["soft_targets"] = masked_mse(predictions.scores.float(), known)
            for name in ("distillation", "features", "soft_targets"):
                weights[name] = getattr(self.arguments, name)
        return {"loss": total(losses, weights), **losses}

    def _batch(self, step: int) -> tuple[Views, Rows]:
        views, rows = super()._batch(step)
        if not self.pairs:
            return views, rows
        return mirror(views, self.pairs), np.concatenate([rows[: -self.pairs], rows[: self.pairs]])

    def _see(self, views: Views) -> tuple[Tensor, dict[int, Tensor]]:
        """What the heads read of the batch, and the encoder's maps where there is a teacher."""
        images = normalize(views.images, self.model.config)
        features, maps = see(self.model.encoder, images, wants_maps=self.teacher is not None)
        return features[:, : self.model.config.head_inputs], maps

    def _ask(self, teacher: Teacher, views: Views) -> View:
        # In which type it computes is its own affair.
        with torch.no_grad(), torch.autocast(views.clear.device.type, enabled=False):
            return teacher(views.clear / 255)

    def fit_projections(self, batches: int = 100) -> None:
        """Fit the projections to an encoder that was trained before, by least squares.

        Args:
            batches: to fit them to, as the first steps see them.

        Raises:
            SetupError: several processes train; each would fit them to its own share.
        """
        if self.teacher is None:
            return
        if self.devices.world > 1:
            raise SetupError("projections are fitted by one process: start with one, then go on")
        self.model.eval()
        fits = [LeastSquares() for _ in self.projections]
        for step in range(batches):
            views, _ = self._batch(step)
            with torch.no_grad():
                features, maps = self._see(views)
                pairs = self._pairs(features, maps, self._ask(self.teacher, views))
            for fit, (x, target) in zip(fits, pairs, strict=True):
                fit.add(x, target)
        for fit, projection in zip(fits, self.projections, strict=True):
            assert isinstance(projection, nn.Linear)
            fit.write(projection)

    def _pairs(
        self, features: Tensor, maps: dict[int, Tensor], view: View
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What each projection is given and is to say of it, (rows, channels) both."""
        for stride in self.strides:
            x, target = maps[stride], view.maps[stride].float()
            height, width = x.shape[1:3]
            if target.shape[2:] != (height, width):  # odd sides are rounded up here, down there
                target = F.adaptive_avg_pool2d(target, (height, width))
            target = target.permute(0, 2, 3, 1).flatten(0, 2)
            yield x.flatten(0, 2), _standardised(target)
        if self.features:
            f_v = features[:, : self.model.config.encoder.features]
            yield f_v, _standardised(view.features.float())

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

    def _integrate(self, features: Tensor, rows: Rows) -> Tensor:
        """f of the photos with their texts; of some, by chance, without."""
        if self.photos.texts is None:
            return features
        alone = torch.rand(len(rows)) < self.arguments.photo_alone
        if self.pairs:  # read as much beside a photo as beside its mirror image
            alone[-self.pairs :] = alone[: self.pairs]
        texts = [self.photos.texts[i] for i in rows]
        fused = self.model.integrate(features, *read(self.model, texts))
        return torch.where(alone.to(features.device)[:, None], features, fused)

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


def asks_teacher(arguments: TrainingArguments) -> bool:
    """Whether anything is to be learned from a teacher."""
    a = arguments
    return any((a.distillation, a.features, a.soft_targets, a.blended))


def check_taught(arguments: TrainingArguments, *, taught: bool) -> None:
    """Refuse what only a teacher can tell, where there is none.

    Raises:
        SetupError: it is asked for.
    """
    if asks_teacher(arguments) and not taught:
        raise SetupError(
            "distillation, features, soft targets and blended photos are learned from a teacher: "
            "name one"
        )


def _standardised(target: Tensor) -> Tensor:
    """(rows, channels) with mean 0 and deviation 1 in each channel, those that never vary at 0."""
    # On channels-last maps torch.std_mean takes five times as long.
    centred = target - target.mean(0)
    deviation = (centred.square().sum(0) / max(1, len(target) - 1)).sqrt()
    return centred / (deviation + 1e-3)


def see(
    encoder: ImageEncoder, images: Tensor, *, wants_maps: bool
) -> tuple[Tensor, dict[int, Tensor]]:
    """What an encoder tells of photos, (batch, described), and its last map of each stride where
    wanted."""
    if isinstance(encoder, VMamba):
        maps = _stage_maps(encoder, images)
        features = encoder.pool(encoder.norm(maps[-1]), maps[-2:][0])
        return features, {_STEM_STRIDE << i: x for i, x in enumerate(maps)}
    tokens, by_stride = encoder.maps(images) if wants_maps else (encoder(images), {})
    return tokens.mean((1, 2)), by_stride


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


def _check_blended(arguments: TrainingArguments, photos: PhotoSet) -> None:
    if arguments.blended and (photos.votes is not None or photos.texts is not None):
        raise SetupError("photos with votes or texts cannot be blended: neither holds for two")


def _mirrored(arguments: TrainingArguments, devices: Devices) -> int:
    """How many of a process's batch, its last, are mirror images of as many others, its first."""
    if not arguments.agreement:
        return 0
    if pairs := arguments.batch_size // devices.world // 4:
        return pairs
    raise SetupError(
        f"a batch of {arguments.batch_size} photos for {devices.world} processes is too small to "
        "learn agreement: that takes at least 4 for each"
    )


def _feature_projection(model: AesMamba, teacher: Teacher, device: torch.device) -> nn.Linear:
    side = model.config.image_size
    with torch.no_grad():
        features = teacher(torch.zeros(1, 3, side, side, device=device)).features
    return nn.Linear(model.config.encoder.features, features.shape[1])
