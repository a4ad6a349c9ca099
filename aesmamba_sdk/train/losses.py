"""The losses of section 3.6, masked where a label is missing (NaN or class -1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

SCORE_WEIGHTS = {"mse": 1.0, "balanced_ce": 0.001}
"""Eq. 8 where scores are learned: MSE + λ Bal-CE."""
VOTE_WEIGHTS = {"emd": 1.0, "mse": 10.0, "balanced_ce": 0.001}
"""Eq. 8 where distributions of votes are learned: EMD + 10 MSE + λ Bal-CE."""


def masked_mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Sum over attributes of the mean squared error over the labelled samples (Eq. 7).

    Args:
        predicted: (batch, attributes).
        target: (batch, attributes), NaN where there is no label.
    """
    labelled = ~target.isnan()
    squares = torch.where(labelled, predicted - target, 0.0).square()
    return (squares.sum(0) / labelled.sum(0).clamp(min=1)).sum()


def masked_emd(predicted: Tensor, target: Tensor) -> Tensor:
    """Earth mover's distance of Eq. 6 with r = 2, averaged over the labelled samples.

    Args:
        predicted: (batch, K) probabilities.
        target: (batch, K) shares of the votes; a row with a NaN has no label.
    """
    labelled = ~target.isnan().any(-1)
    moved = (predicted - target.nan_to_num()).cumsum(-1).square().mean(-1)
    # The root's slope at 0 is infinite: a perfect or masked row would turn the gradient into NaN.
    positive = labelled & (moved > 0)
    distances = torch.where(positive, moved, 1.0).sqrt() * positive
    return distances.sum() / labelled.sum().clamp(min=1)


def masked_distribution_mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of (batch, K) distributions over the labelled samples; NaN as above."""
    labelled = ~target.isnan().any(-1, keepdim=True)
    squares = (predicted - target.nan_to_num()).square().mean(-1, keepdim=True) * labelled
    return squares.sum() / labelled.sum().clamp(min=1)


def total(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the parts of a loss; those without a weight count once."""
    return torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()


def balanced_cross_entropy(logits: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy whose logits are raised by the log of the class counts (Eq. 5).

    Args:
        logits: (batch, attributes, classes).
        classes: (batch, attributes) int64, -1 where there is no label.
        counts: (attributes, classes) training samples of each class.
    """
    # A class never seen gets half a sample: log 0 would make it impossible for ever.
    adjusted = logits + counts.clamp(min=0.5).log()
    losses = F.cross_entropy(
        adjusted.flatten(0, 1), classes.flatten(), ignore_index=-1, reduction="none"
    ).view(classes.shape)
    labelled = classes >= 0
    return (losses.sum(0) / labelled.sum(0).clamp(min=1)).sum()


def scale_category(scores: Tensor) -> Tensor:
    """PARA's four scale categories, [1,2) [2,3) [3,4) [4,5], of scores; -1 for NaN."""
    classes = (scores.nan_to_num(nan=1.0).floor() - 1).clamp(0, 3).long()
    return torch.where(scores.isnan(), -1, classes)


def category_counts(classes: Tensor, number: int) -> Tensor:
    """(samples, attributes) classes to (attributes, number) counts, ignoring -1."""
    one_hot = F.one_hot(classes.clamp(min=0), number) * (classes >= 0).unsqueeze(-1)
    return one_hot.sum(0).float()
