"""From a person's ratings to a personal model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.backbone import Array, Backbone
from aesmamba_sdk.model.preprocess import prepare
from aesmamba_sdk.personalize.blend import UNKNOWN_STD, Affine, Vector, trust
from aesmamba_sdk.personalize.folder import PersonalRecord, save_record, save_text
from aesmamba_sdk.personalize.network import PersonalNetwork, Reach

MINIMUM_SHOTS = 2
_LORA_SHOTS = 5  # below, a held-out rating says nothing
_LEAST_GROUPS = 3
_DECODE_BATCH = 16


@dataclass(frozen=True)
class Support:
    """What a person rated.

    Attributes:
        features: f_v, (n, d).
        ratings: (n,) on the backbone's scale.
        groups: what each photo belongs with; a group is held out as one.
        load: decodes photo i; called only where the adapter reaches into the encoder.
    """

    features: Array
    ratings: Vector
    groups: Sequence[str]
    load: Callable[[int], Image.Image]


@dataclass(frozen=True)
class Evaluation:
    """How well held-out ratings of the support were predicted; ``None`` with too few."""

    srcc: float | None
    mae: float | None
    generic_srcc: float | None
    generic_mae: float | None


def fit_personal(
    folder: Path,
    backbone: Backbone,
    support: Support,
    prompt: str,
    *,
    reach: Reach = "heads",
    seed: int = 42,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PersonalRecord, Evaluation]:
    """Train a personal model and write it to ``folder``.

    With fewer than five ratings or three groups, or ratings that are all the same, only the
    person's use of the scale is learned.

    Raises:
        PersonalizeError: fewer than two ratings, or the model cannot be personalized.
    """
    count = len(support.ratings)
    if count < MINIMUM_SHOTS:
        raise PersonalizeError(
            f"{count} usable rating(s): rate at least {MINIMUM_SHOTS} photos, better 10 or more",
            code="too_few_ratings",
        )
    if backbone.model.fusion is None:
        raise PersonalizeError(
            f"model {backbone.config.name!r} has no fusion with text and cannot be personalized; "
            "use a model that has, such as nano",
            code="no_fusion",
        )
    generic = backbone.scores(support.features)[:, 0].astype(np.float64)
    record = PersonalRecord(
        backbone=backbone.hash,
        method="affine",
        reach=reach,
        affine=Affine.fit(generic, support.ratings),
        trust=0.0,
        std=UNKNOWN_STD,
        shots=count,
        seed=seed,
        prompt=prompt,
    )
    evaluation = Evaluation(None, None, None, None)
    enough = count >= _LORA_SHOTS and len(set(support.groups)) >= _LEAST_GROUPS
    if enough and np.ptp(support.ratings) > 0:
        record, evaluation = _fit_lora(folder, backbone, support, generic, record, progress)
    save_record(folder, record)
    return record, evaluation


def _fit_lora(
    folder: Path,
    backbone: Backbone,
    support: Support,
    generic: Vector,
    record: PersonalRecord,
    progress: Callable[[int, int], None] | None,
) -> tuple[PersonalRecord, Evaluation]:
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
    return record, _evaluate(blended, generic, support.ratings)


def _inputs(network: PersonalNetwork, backbone: Backbone, support: Support) -> Tensor:
    """What the network takes, one row a rated photo."""
    if network.reach == "heads":
        return torch.from_numpy(support.features).to(backbone.device)
    parts = []
    for start in range(0, len(support.ratings), _DECODE_BATCH):
        rows = range(start, min(start + _DECODE_BATCH, len(support.ratings)))
        pixels = prepare([support.load(i) for i in rows], backbone.config).to(backbone.device)
        with torch.no_grad():
            parts.append(network.inputs(pixels, backbone.model))
    return torch.cat(parts)


def _evaluate(predicted: Vector, generic: Vector, ratings: Vector) -> Evaluation:
    return Evaluation(
        srcc=srcc(predicted, ratings),
        mae=float(np.abs(predicted - ratings).mean()),
        generic_srcc=srcc(generic, ratings),
        generic_mae=float(np.abs(generic - ratings).mean()),
    )
