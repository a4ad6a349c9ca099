"""Networks as personal methods: trained on copies of the shared model, trusted by evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.preprocess import prepare
from aesmamba_sdk.personalize.blend import Vector, trust
from aesmamba_sdk.personalize.finetune import FineTuner, Training
from aesmamba_sdk.personalize.fit import Support
from aesmamba_sdk.personalize.folder import PersonalRecord
from aesmamba_sdk.personalize.methods import Method
from aesmamba_sdk.personalize.network import PersonalNetwork

_DECODE_BATCH = 16


class Trainable(Protocol):
    """A copy of the shared model, some of whose weights are free.

    Attributes:
        core: what gives the inputs.
        network: what is trained.
        training: how.
    """

    training: Training

    @property
    def core(self) -> PersonalNetwork: ...

    @property
    def network(self) -> nn.Module: ...

    def save(self, folder: Path) -> None:
        """Write what scoring needs of it."""


def check_trainable(backbone: Backbone, method: Method) -> None:
    """
    Raises:
        PersonalizeError: the model has no fusion.
    """
    if backbone.model.fusion is None:
        raise PersonalizeError(
            f"model {backbone.config.name!r} has no fusion with text and cannot be personalized "
            f"by {method}: use the method auto, or a model that has, such as nano",
            code="no_fusion",
        )


def fit_network(
    folder: Path,
    backbone: Backbone,
    support: Support,
    generic: Vector,
    record: PersonalRecord,
    progress: Callable[[int, int], None] | None,
) -> tuple[PersonalRecord, Vector]:
    """Train a network into ``folder``; the record and held-out scores (n,) come back.

    Args:
        record: says by which method, ``"lora"`` or ``"full"``, and how far it reaches.
    """
    trainable = _trainable(backbone, record)
    inputs = _inputs(trainable.core, backbone, support)
    tuner = FineTuner(trainable.network, trainable.training, progress)
    held_out = tuner.cross_validate(
        inputs, generic, support.ratings, support.groups, backbone.config.scale.unit
    )
    weight = trust(support.ratings - held_out.affine, held_out.personal - held_out.affine)
    blended = held_out.affine + weight * (held_out.personal - held_out.affine)
    if weight > 0:
        tuner.fit(inputs, support.ratings, record.affine, held_out.steps)
        trainable.save(folder)
    record = replace(
        record,
        method=record.method if weight > 0 else "affine",
        trust=weight,
        std=float(np.sqrt(np.square(support.ratings - blended).mean())),
    )
    return record, blended


def _trainable(backbone: Backbone, record: PersonalRecord) -> Trainable:
    if record.method == "full":
        from aesmamba_sdk.personalize.full import FullFineTuning

        return FullFineTuning(backbone, record)
    from aesmamba_sdk.personalize.lora import LoraAdapter

    return LoraAdapter(backbone, record)


def _inputs(network: PersonalNetwork, backbone: Backbone, support: Support) -> Tensor:
    """What the network takes, one row a rated photo."""
    if network.reach == "heads":
        return network.read(support.features).to(backbone.device)
    parts = []
    for start in range(0, len(support.ratings), _DECODE_BATCH):
        rows = range(start, min(start + _DECODE_BATCH, len(support.ratings)))
        pixels = prepare([support.load(i) for i in rows], backbone.config).to(backbone.device)
        with torch.no_grad():
            parts.append(network.inputs(pixels, backbone.model))
    return torch.cat(parts)
