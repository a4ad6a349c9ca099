"""Frozen networks to distil from: an ImageNet MobileNetV2 file, or any model folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import AesMambaConfig
from aesmamba_sdk.model.folder import load_model
from aesmamba_sdk.model.library import find_model
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.train.judge import View, pooled
from aesmamba_sdk.train.teacher import MobileNetV2
from aesmamba_sdk.train.trainer import Teacher, see


def open_teacher(source: str, student: AesMambaConfig, home: Path, device: torch.device) -> Teacher:
    """A teacher of a student.

    Args:
        source: a ``.tflite`` file of MobileNetV2, or the name or folder of a model.
        student: whose attributes and scale the teacher's scores are brought to; scores of others
            are NaN.
        home: where models are found by name.
        device: where it runs.

    Raises:
        SetupError: the file or a package is missing, or it holds another network.
        CheckpointError: there is no such model.
    """
    network: nn.Module
    if source.endswith(".tflite"):
        network = _Features(MobileNetV2.from_tflite(Path(source)), len(student.attributes))
    else:
        network = _Scorer(load_model(find_model(source, home), with_text=False), student)
    return network.requires_grad_(False).eval().to(device)


class _Features(nn.Module):
    """Knows what is on a photo, not whether it is good."""

    def __init__(self, network: MobileNetV2, attributes: int) -> None:
        super().__init__()
        self.network, self.attributes = network, attributes

    def forward(self, images: Tensor) -> View:
        unknown = images.new_full((len(images), self.attributes), float("nan"))
        maps = self.network(images)
        return View(maps, unknown, pooled(maps))


class _Scorer(nn.Module):
    """Another AesMamba, whatever its encoder."""

    def __init__(self, model: AesMamba, student: AesMambaConfig) -> None:
        super().__init__()
        self.model, self.student = model, student
        known = model.config.attributes
        self.columns = [known.index(a) if a in known else None for a in student.attributes]

    def forward(self, images: Tensor) -> View:
        config = self.model.config
        pixels = normalize(images * 255, config)
        features, maps = see(self.model.encoder, pixels, wants_maps=True)
        scores = images.new_full((len(images), len(self.columns)), float("nan"))
        if config.attributes:
            own = self.model.heads(features[:, : config.head_inputs]).scores.float()
            own = self.student.scale.low + (own - config.scale.low) * (
                self.student.scale.width / config.scale.width
            )
            for i, column in enumerate(self.columns):
                if column is not None:
                    scores[:, i] = own[:, column]
        f_v = features[:, : config.encoder.features]
        return View({stride: x.permute(0, 3, 1, 2) for stride, x in maps.items()}, scores, f_v)


def check_scores(teacher: Teacher, device: torch.device) -> None:
    """Refuse a teacher without scores, where these are to be learned.

    Raises:
        SetupError: it scores none of the student's attributes.
    """
    with torch.no_grad():
        if teacher(torch.zeros(1, 3, 64, 64, device=device)).scores.isnan().all():
            raise SetupError("the teacher has no scores to learn: leave soft targets out")
