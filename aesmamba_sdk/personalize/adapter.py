"""LoRA as a personal method: adapters on copies of the shared model, trusted by their evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.preprocess import prepare
from aesmamba_sdk.personalize.blend import Vector, trust
from aesmamba_sdk.personalize.fit import Support
from aesmamba_sdk.personalize.folder import PersonalRecord, save_text
from aesmamba_sdk.personalize.network import PersonalNetwork

_DECODE_BATCH = 16


def check_adaptable(backbone: Backbone, support: Support) -> None:
    """
    Raises:
        PersonalizeError: the model has no fusion, or there are choices, which LoRA cannot learn.
    """
    if backbone.model.fusion is None:
        raise PersonalizeError(
            f"model {backbone.config.name!r} has no fusion with text and cannot be adapted by "
            "LoRA: use the method auto, or a model that has, such as nano",
            code="no_fusion",
        )
    if support.choices:
        raise PersonalizeError(
            "LoRA learns from ratings, not from choices between photos: use the method auto",
            code="choices_unsupported",
        )


def fit_adapter(
    folder: Path,
    backbone: Backbone,
    support: Support,
    generic: Vector,
    record: PersonalRecord,
    progress: Callable[[int, int], None] | None,
) -> tuple[PersonalRecord, Vector]:
    """Train an adapter into ``folder``; the record and held-out scores (n,) come back."""
    from aesmamba_sdk.personalize.lora import LoraArguments, LoraFineTuner

    text, mask = backbone.read(record.prompt)
    network = PersonalNetwork(backbone.model, text, mask, record.reach)
    inputs = _inputs(network, backbone, support)
    arguments = LoraArguments(seed=record.seed)
    if record.reach != "heads":  # each step costs passes through the encoder
        arguments = replace(arguments, steps=24, check_steps=4, folds=3, batch_size=16)
    tuner = LoraFineTuner(network.to(backbone.device), arguments, progress)
    held_out = tuner.cross_validate(inputs, generic, support.ratings, support.groups)
    weight = trust(support.ratings - held_out.affine, held_out.personal - held_out.affine)
    blended = held_out.affine + weight * (held_out.personal - held_out.affine)
    if weight > 0:
        tuner.fit(inputs, support.ratings, record.affine, held_out.steps)
        tuner.save(folder)
        save_text(folder, text, mask)
    record = replace(
        record,
        method="lora" if weight > 0 else "affine",
        trust=weight,
        std=float(np.sqrt(np.square(support.ratings - blended).mean())),
    )
    return record, blended


def _inputs(network: PersonalNetwork, backbone: Backbone, support: Support) -> Tensor:
    """What the network takes, one row a rated photo."""
    if network.reach == "heads":
        return network.f_v(support.features).to(backbone.device)
    parts = []
    for start in range(0, len(support.ratings), _DECODE_BATCH):
        rows = range(start, min(start + _DECODE_BATCH, len(support.ratings)))
        pixels = prepare([support.load(i) for i in rows], backbone.config).to(backbone.device)
        with torch.no_grad():
            parts.append(network.inputs(pixels, backbone.model))
    return torch.cat(parts)
