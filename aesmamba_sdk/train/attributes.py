"""FIAA: the other attributes' heads on a frozen encoder, their calibration and their figures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from aesmamba_sdk.metrics import accuracy, plcc, srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.heads import AttributeHead
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.losses import (
    SCALE_WEIGHT,
    balanced_cross_entropy,
    category_counts,
    masked_mse,
    scale_category,
)
from aesmamba_sdk.train.views import augment, embed, predict

_PRETRAINED = ("aesthetic", "quality")
_GOOD = 3.0  # PARA's threshold between low and high aesthetic quality
_VIEWS, _HEAD_EPOCHS, _HEAD_RATE, _HEAD_BATCH = 8, 30, 5e-4, 64
_RESAMPLES = 1000


def adapt_heads(
    model: AesMamba, photos: PhotoSet, validation: PhotoSet, size: int, seed: int
) -> None:
    """FIAA: the other attributes' heads on the frozen encoder's features.

    They start as copies of the aesthetic head. The pretrained heads saw 14 times as many photos
    and stay. The epoch that ranks the validation photos best is kept.
    """
    names = [name for name in model.config.attributes if name not in _PRETRAINED]
    start_from_aesthetic(model, names)
    features = torch.stack([_embed_view(model, photos, size, seed + i) for i in range(_VIEWS)])
    held_out = embed(model, validation, size)
    heads = nn.ModuleList(_head(model, name) for name in names)
    columns = [model.config.attributes.index(name) for name in names]
    scores, target = photos.scores[:, columns], validation.scores[:, columns]
    classes = scale_category(scores)
    counts = category_counts(classes, model.config.scale_classes)
    optimizer = torch.optim.AdamW(heads.parameters(), _HEAD_RATE, (0.9, 0.99), weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    best, kept = -1.0, heads.state_dict()
    for _ in range(_HEAD_EPOCHS):
        for rows in torch.randperm(len(photos), generator=generator).split(_HEAD_BATCH):
            view = torch.randint(_VIEWS, (len(rows),), generator=generator)
            predicted, logits = _run_heads(heads, features[view, rows])
            loss = masked_mse(predicted, scores[rows])
            loss = loss + SCALE_WEIGHT * balanced_cross_entropy(logits, classes[rows], counts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            predicted, _ = _run_heads(heads, held_out)
        mean = float(np.mean([srcc(predicted[:, i], target[:, i]) for i in range(len(names))]))
        if mean > best:
            best, kept = mean, {k: v.clone() for k, v in heads.state_dict().items()}
    heads.load_state_dict(kept)


def calibrate(model: AesMamba, photos: PhotoSet, size: int) -> None:
    """Give every score the photos' mean, and on average their labels' distance from it.

    Heads learn from crops and from ruined photos, which moves and shrinks the scores of whole
    ones. A line per attribute, fitted by least squares and put into the head's last layer,
    undoes it; no ranking changes.
    """
    predicted = predict(model, photos, size)
    with torch.no_grad():
        for i, name in enumerate(model.config.attributes):
            x, y = predicted[:, i].double(), photos.scores[:, i].double()
            slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
            last = _head(model, name).score[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(slope.float())
            last.bias.mul_(slope.float()).add_((y.mean() - slope * x.mean()).float())


def start_from_aesthetic(model: AesMamba, names: list[str]) -> None:
    """Copy the aesthetic head into the heads of ``names``."""
    for name in names:
        _head(model, name).load_state_dict(_head(model, "aesthetic").state_dict())


def start_at_means(model: AesMamba, photos: PhotoSet) -> None:
    """Let untrained heads begin at the mean label, so that the first steps need not find it."""
    means = photos.scores.nanmean(0)
    with torch.no_grad():
        for name, mean in zip(model.config.attributes, means, strict=True):
            last = _head(model, name).score[-1]
            assert isinstance(last, nn.Linear)
            if not mean.isnan():
                last.bias.fill_(mean)


def figures(model: AesMamba, features: Tensor, target: Tensor, seed: int) -> dict[str, object]:
    """SRCC, PLCC and accuracy per attribute with 95 % bootstrap intervals of the SRCC."""
    with torch.no_grad():
        scores = model.heads(features).scores
    rng = np.random.default_rng(seed)
    samples = rng.integers(len(target), size=(_RESAMPLES, len(target)))
    rows: dict[str, object] = {}
    for i, name in enumerate(model.config.attributes):
        x, y = scores[:, i].numpy(), target[:, i].numpy()
        low, high = np.quantile([srcc(x[s], y[s]) for s in samples], [0.025, 0.975])
        rows[name] = {
            "srcc": round(srcc(x, y), 3),
            "srcc_interval": [round(float(low), 3), round(float(high), 3)],
            "plcc": round(plcc(x, y), 3),
            "accuracy": round(accuracy(x, y, _GOOD), 3),
            "copy_of_aesthetic_srcc": round(srcc(scores[:, 0], y), 3),
            "mean_error": round(float((x - y).mean()), 3),
        }
    return rows


def _embed_view(model: AesMamba, photos: PhotoSet, size: int, seed: int) -> Tensor:
    """f_v of one random crop of every photo."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for rows in np.array_split(np.arange(len(photos)), -(-len(photos) // 64)):
        pixels, _ = photos.batch(rows)
        with torch.no_grad():
            images = normalize(augment(pixels, size, generator), model.config)
            parts.append(model.eval().embed(images))
    return torch.cat(parts)


def _run_heads(heads: nn.ModuleList, features: Tensor) -> tuple[Tensor, Tensor]:
    outputs = [head(features) for head in heads]
    return torch.cat([score for score, _ in outputs], 1), torch.stack([c for _, c in outputs], 1)


def _head(model: AesMamba, name: str) -> AttributeHead:
    head = model.heads.heads[name]
    assert isinstance(head, AttributeHead)
    return head
