"""FIAA: the other attributes' heads on a frozen encoder, and their calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.heads import AttributeHead
from aesmamba_sdk.model.preprocess import as_scored
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.losses import (
    balanced_cross_entropy,
    category_counts,
    scale_category,
)
from aesmamba_sdk.train.views import augment, embed, predict, resize, ruin

_PRETRAINED = ("aesthetic", "quality")
_CROPS, _FOLDS = 2, 5
_SHRINKAGE = (0.3, 1.0, 3.0, 10.0, 30.0)
_CLASS_EPOCHS, _CLASS_RATE, _CLASS_BATCH = 10, 5e-4, 64
_RUINED_EVERY = 12
_REFINED = 0.001  # ridge penalty per sample where there are many more photos than features
_RUINED_WEIGHT = 0.1
"""Of a ruined photo among whole ones: all that damage tells is told by few, and to fit them as
well as the others costs ranking the others."""
_CROPPED = 0.03
_CROPPED_EVERY = 4
_UNMOVED = 3.0
"""Weight of how far such crops move a photo's score, beside the score's error."""
_RAREST = 1e-4  # share of a vote nobody gave: its logarithm must be finite


def adapt_heads(model: AesMamba, photos: PhotoSet, size: int, seed: int) -> None:
    """FIAA: a head per attribute on the frozen encoder's features, begun as the aesthetic one.

    Photos with nine labels are few, and attributes differ little from the aesthetic score: each
    head becomes a line in that score and a linear term in what the head reads. Folds of the
    photos choose how strongly the term is shrunk, and give the scores that calibrate the head.
    """
    names = [name for name in model.config.attributes if name not in _PRETRAINED]
    start_from_aesthetic(model, names)
    crops = [_embed_crops(model, photos, size, seed + i) for i in range(_CROPS)]
    features = torch.stack([embed(model, photos, size), *crops])  # (views, photos, inputs)
    with torch.no_grad():
        read, scores = _read_and_rate(attribute_head(model, "aesthetic"), features)
    for name in names:
        target = photos.scores[:, model.config.attributes.index(name)].double()
        shrink, unseen = choose_shrinkage(read, scores, target, seed)
        term = fit_term(read, scores, target, shrink)
        slope, intercept = _line(unseen, target)
        _write_term(attribute_head(model, name), term.calibrated(slope, intercept), read[0])
    _learn_scale_classes(model, names, features[0], photos, seed)


@dataclass(frozen=True)
class RefiningSet:
    """What heads are refined to.

    Attributes:
        features: what they read of photos, whole ones first, (n, inputs).
        scores: labels, (n, attributes).
        weights: how much each photo counts, (n,).
        cropped: what they read of the middles of every fourth of the photos, (m, inputs).
    """

    features: Tensor
    scores: Tensor
    weights: Tensor
    cropped: Tensor


def refining_set(model: AesMamba, photos: PhotoSet, size: int, seed: int) -> RefiningSet:
    """All photos, some ruined ones, whose scores are lowered, and the middles of some."""
    generator = torch.Generator().manual_seed(seed)

    def ruined(pixels: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        views = ruin(resize(pixels, size), scores, 1.0, generator)
        return views.images, views.scores

    def middle(pixels: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        rim = round(pixels.shape[-1] * _CROPPED / 2)
        return resize(pixels[..., rim:-rim, rim:-rim], size), scores

    cropped, _ = _embed_views(model, photos.subset(range(0, len(photos), _CROPPED_EVERY)), middle)
    some = photos.subset(range(0, len(photos), _RUINED_EVERY))
    features, scores = _embed_views(model, some, ruined)
    whole = embed(model, photos, size)
    weights = torch.ones(len(photos) + len(some))
    weights[len(photos) :] = _RUINED_WEIGHT
    return RefiningSet(
        torch.cat([whole, features]), torch.cat([photos.scores, scores]), weights, cropped
    )


@torch.no_grad()
def refine_heads(model: AesMamba, refining: RefiningSet) -> None:
    """GIAA: add to each pretrained head what it misses, by a linear term in what it reads.

    Trained beside an encoder that changes, on crops and a teacher's scores as well, a head is a
    compromise. Fitted to the training photos, seen whole, it ranks photos better that none saw, and
    those of other kinds still more; some ruined ones keep it from trusting what damage makes up,
    and crops from what no person would see.
    """
    for name in _PRETRAINED:
        head = attribute_head(model, name)
        target = refining.scores[:, model.config.attributes.index(name)].double()
        read, scores = _read_and_rate(head, refining.features)
        cropped = _read_and_rate(head, refining.cropped)
        moves = _moved(read, cropped[0]), _moved(scores, cropped[1])
        term = fit_term(read[None], scores[None], target, _REFINED, refining.weights, moves)
        _write_term(head, term, read)


def _moved(whole: Tensor, cropped: Tensor) -> Tensor:
    """By how much crops differ, beyond the mean: all of them are softer for being enlarged."""
    moved = cropped - whole[::_CROPPED_EVERY][: len(cropped)]
    return moved - moved.mean(0)


def _read_and_rate(head: AttributeHead, features: Tensor) -> tuple[Tensor, Tensor]:
    """What a head makes of features, (..., inputs), and its scores, (...)."""
    read = head.read(features).double()
    return read, head.rate(read.float()).double().squeeze(-1)


@dataclass(frozen=True)
class Term:
    """score = slope x aesthetic + weight . what the head reads + intercept."""

    slope: float
    weight: Tensor
    intercept: float

    def __call__(self, read: Tensor, scores: Tensor) -> Tensor:
        return self.slope * scores + read @ self.weight + self.intercept

    def calibrated(self, slope: float, intercept: float) -> Term:
        return Term(self.slope * slope, self.weight * slope, self.intercept * slope + intercept)


def fit_term(
    read: Tensor,
    scores: Tensor,
    target: Tensor,
    shrink: float,
    weights: Tensor | None = None,
    moves: tuple[Tensor, Tensor] | None = None,
) -> Term:
    """Least squares: first the line, then ridge regression of what it leaves.

    Args:
        read: what the head makes of the photos, (views, photos, inputs).
        scores: (views, photos), those of the head that is turned into it.
        target: (photos,).
        shrink: ridge penalty per sample on standardised features.
        weights: how much each photo counts, (photos,); all alike by default.
        moves: by how much what the head reads, (m, inputs), and its scores, (m,), differ between
            two views of some photos: with the term, scores are to differ as little as they can.
    """
    count = torch.ones_like(target) if weights is None else weights.to(target)
    w = count.repeat(len(scores))
    x, y = scores.flatten(), target.repeat(len(scores))
    slope, intercept = _line(x, y, w)
    rest = y - slope * x - intercept
    flat = read.flatten(0, 1)
    mean = w @ flat / w.sum()
    deviation = (w @ (flat - mean).square() / w.sum()).sqrt()
    z = (flat - mean) / (deviation + 1e-6)
    penalty = shrink * w.sum() * torch.eye(z.shape[1], dtype=z.dtype)
    weighted = z.T * w
    gram, product = weighted @ z + penalty, weighted @ rest
    if moves is not None:
        moved, by = moves[0] / (deviation + 1e-6), slope * moves[1]
        share = _UNMOVED * w.sum() / len(moved)
        gram += share * moved.T @ moved
        product -= share * moved.T @ by
    weight = torch.linalg.solve(gram, product) / (deviation + 1e-6)
    return Term(slope, weight, intercept - float(mean @ weight))


def choose_shrinkage(
    read: Tensor, scores: Tensor, target: Tensor, seed: int
) -> tuple[float, Tensor]:
    """The penalty that ranks photos of unseen folds best, and those photos' scores with it."""
    order = np.random.default_rng(seed).permutation(len(target))
    best, chosen, kept = -1.0, 0.0, target
    for shrink in _SHRINKAGE:
        unseen = torch.empty_like(target)
        for fold in np.array_split(order, _FOLDS):
            rest = np.setdiff1d(order, fold)
            term = fit_term(read[:, rest], scores[:, rest], target[rest], shrink)
            unseen[fold] = term(read[0, fold], scores[0, fold])
        if (ranking := srcc(unseen, target)) > best:
            best, chosen, kept = ranking, shrink, unseen
    return chosen, kept


@torch.no_grad()
def _write_term(head: AttributeHead, term: Term, read: Tensor) -> None:
    """Turn a head into the term, whose scores are the head's own.

    The hidden unit whose part in the score varies least gives way to the adapted features' linear
    term, lifted so far above zero that its ReLU passes it unchanged.
    """
    adapted, weight = read[:, : head.features], term.weight[: head.features]
    first, last = head.score[0], head.score[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    parts = first(adapted.float()).relu() * last.weight[0]
    unit = int(parts.std(0).argmin())
    linear = adapted @ weight
    lift = float(10 * linear.std() - linear.mean())
    last.bias.add_(parts[:, unit].mean())
    head.stretch(term.slope, term.intercept - lift)
    first.weight[unit], first.bias[unit], last.weight[0, unit] = weight.float(), lift, 1.0
    if head.variation is not None:
        head.variation.weight.add_(term.weight[head.features :].float())


def _learn_scale_classes(
    model: AesMamba, names: list[str], features: Tensor, photos: PhotoSet, seed: int
) -> None:
    """The scale categories' heads, which the scores do not depend on."""
    heads = [attribute_head(model, name) for name in names]
    columns = [model.config.attributes.index(name) for name in names]
    classes = scale_category(photos.scores[:, columns])
    counts = category_counts(classes, model.config.scale_classes)
    trained = nn.ModuleList(head.scale_class for head in heads if head.scale_class is not None)
    optimizer = torch.optim.AdamW(trained.parameters(), _CLASS_RATE, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(_CLASS_EPOCHS):
        for rows in torch.randperm(len(photos), generator=generator).split(_CLASS_BATCH):
            with torch.no_grad():
                adapted = [head.adapter(features[rows, : head.features]) for head in heads]
            logits = [layer(x) for layer, x in zip(trained, adapted, strict=True)]
            loss = balanced_cross_entropy(torch.stack(logits, 1), classes[rows], counts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def calibrate(model: AesMamba, photos: PhotoSet, size: int) -> None:
    """Give the pretrained heads' scores the photos' mean, and their labels' distance from it.

    The heads learn from crops and from ruined photos, which moves and shrinks the scores of whole
    ones. A line fitted to photos they have not seen and put into the last layer undoes it; no
    ranking changes.
    """
    predicted = predict(model, photos, size)
    for name in _PRETRAINED:
        column = model.config.attributes.index(name)
        slope, intercept = _line(predicted[:, column].double(), photos.scores[:, column])
        attribute_head(model, name).stretch(slope, intercept)


def _line(x: Tensor, y: Tensor, weights: Tensor | None = None) -> tuple[float, float]:
    """Slope and intercept of y on x, by least squares."""
    w = torch.ones_like(x) if weights is None else weights
    x_mean, y_mean = w @ x / w.sum(), w @ y.to(x) / w.sum()
    spread = w @ (x - x_mean).square()
    slope = float(w @ ((x - x_mean) * (y - y_mean)) / spread)
    return slope, float(y_mean) - slope * float(x_mean)


def start_from_aesthetic(model: AesMamba, names: list[str]) -> None:
    """Copy the aesthetic head into the heads of ``names``."""
    for name in names:
        attribute_head(model, name).load_state_dict(attribute_head(model, "aesthetic").state_dict())


def start_at_means(model: AesMamba, photos: PhotoSet) -> None:
    """Let untrained heads begin at the mean label, so that the first steps need not find it."""
    means = photos.scores.nanmean(0)[:, None]  # (attributes, bins)
    if photos.votes is not None:
        means = photos.votes.nanmean(0).clamp(min=_RAREST).log()[None]
    with torch.no_grad():
        for name, mean in zip(model.config.attributes, means, strict=True):
            last = attribute_head(model, name).score[-1]
            assert isinstance(last, nn.Linear)
            if not mean.isnan().any():
                last.bias.copy_(mean)


def _embed_crops(model: AesMamba, photos: PhotoSet, size: int, seed: int) -> Tensor:
    """What heads read of one random crop of every photo."""
    generator = torch.Generator().manual_seed(seed)
    return _embed_views(model, photos, lambda x, scores: (augment(x, size, generator), scores))[0]


def _embed_views(
    model: AesMamba, photos: PhotoSet, show: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """What heads read of what ``show`` makes of pixels, 0-255, and scores, and those scores."""
    features, scores = [], []
    for rows in np.array_split(np.arange(len(photos)), -(-len(photos) // 64)):
        images, labels = show(*photos.batch(rows))
        with torch.no_grad():
            features.append(model.eval().embed(as_scored(images, model.config)).float())
        scores.append(labels)
    return torch.cat(features), torch.cat(scores)


def attribute_head(model: AesMamba, name: str) -> AttributeHead:
    """A model's head of an attribute."""
    head = model.heads.heads[name]
    assert isinstance(head, AttributeHead)
    return head
