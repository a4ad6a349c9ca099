"""Multitask balanced adaptation: one adapter, score head and scale head per attribute (Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model.config import SHORTEST_DEVIATIONS
from aesmamba_sdk.scores import Scale


@dataclass(frozen=True)
class AttributePredictions:
    """What the heads say, attributes in the order they were given.

    Attributes:
        scores: (batch, attributes) expected scores, on the model's scale but not clipped to it.
        distributions: (batch, attributes, bins) probabilities; ``None`` for regression heads.
        scale_logits: (batch, attributes, classes); ``None`` without scale heads.
    """

    scores: Tensor
    distributions: Tensor | None
    scale_logits: Tensor | None


class MultitaskBalancedAdaptation(nn.Module):
    """Independent heads over one shared feature f, so that tasks do not interfere.

    Args:
        features: width d of f.
        attributes: names of the heads.
        hidden: hidden width of the score and scale heads.
        bins: 1 for regression, else the number of scores a distribution is over.
        scale_classes: classes of the scale head; 0 for none.
        scale: range of the scores.
        deviations: how many of a photo's channels tell, beside f, how far they vary over it.
    """

    bin_scores: Tensor

    def __init__(
        self,
        features: int,
        attributes: tuple[str, ...],
        *,
        hidden: int = 256,
        bins: int = 1,
        scale_classes: int = 0,
        scale: Scale,
        deviations: int = 0,
    ) -> None:
        super().__init__()
        self.attributes = attributes
        self.heads = nn.ModuleDict(
            {
                name: AttributeHead(
                    features,
                    hidden=hidden,
                    bins=bins,
                    scale_classes=scale_classes,
                    deviations=deviations,
                )
                for name in attributes
            }
        )
        self.bins, self.scale_classes = bins, scale_classes
        bin_scores = torch.linspace(scale.low, scale.high, bins)
        self.register_buffer("bin_scores", bin_scores, persistent=False)

    def forward(self, f: Tensor) -> AttributePredictions:
        """f, and the deviations behind it: (batch, d + deviations)."""
        per_head = [self.heads[name](f) for name in self.attributes]
        raw = torch.stack([score for score, _ in per_head], 1)  # (B, attributes, bins)
        logits = None
        if self.scale_classes:
            logits = torch.stack([classes for _, classes in per_head], 1)
        return AttributePredictions(*self._expected(raw), logits)

    def scores(self, f: Tensor, attributes: Sequence[str]) -> Tensor:
        """Scores of the named heads and nothing else, (batch, len(attributes))."""
        heads = [cast(AttributeHead, self.heads[name]) for name in attributes]
        raw = torch.stack([head.rate(head.read(f)) for head in heads], 1)
        return self._expected(raw)[0]

    def _expected(self, raw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores, and the distributions they are the expected values of."""
        if self.bins == 1:
            return raw.squeeze(-1), None
        distributions = raw.softmax(-1)
        return distributions @ self.bin_scores, distributions


class AttributeHead(nn.Module):
    """One attribute: its own feature space, its score and its scale category.

    What deviations add to the score is linear in them and begins at nothing.
    """

    def __init__(
        self, features: int, *, hidden: int, bins: int, scale_classes: int, deviations: int = 0
    ) -> None:
        super().__init__()
        self.features = features
        self.adapter = FeatureAdapter(features)
        self.score = _mlp(features, hidden, bins)
        self.variation = nn.Linear(deviations, bins, bias=False) if deviations else None
        self.scale_class = _mlp(features, hidden, scale_classes) if scale_classes else None
        if self.variation is not None:
            nn.init.zeros_(self.variation.weight)

    def read(self, f: Tensor) -> Tensor:
        """(batch, d + deviations) to the same: f adapted, each photo's deviations as a direction.

        How much all channels vary together is left out: what is left has length 1, so that a step
        of training moves no score far.
        """
        adapted: Tensor = self.adapter(f[..., : self.features])
        if self.variation is None:
            return adapted
        deviations = f[..., self.features :]
        centred = deviations - deviations.mean(-1, keepdim=True)
        return torch.cat([adapted, F.normalize(centred, dim=-1, eps=SHORTEST_DEVIATIONS)], -1)

    def rate(self, read: Tensor) -> Tensor:
        """Raw scores (batch, bins) of what was read."""
        raw: Tensor = self.score(read[..., : self.features])
        if self.variation is None:
            return raw
        more: Tensor = self.variation(read[..., self.features :])
        return raw + more

    def forward(self, f: Tensor) -> tuple[Tensor, Tensor | None]:
        """(batch, d + deviations) to raw scores (batch, bins) and scale logits (batch, classes)."""
        read = self.read(f)
        classes = None if self.scale_class is None else self.scale_class(read[:, : self.features])
        return self.rate(read), classes

    @torch.no_grad()
    def stretch(self, slope: float, intercept: float) -> None:
        """Let raw scores be ``slope`` times what they were, and ``intercept`` more."""
        last = self.score[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(slope)
        last.bias.mul_(slope).add_(intercept)
        if self.variation is not None:
            self.variation.weight.mul_(slope)


class FeatureAdapter(nn.Module):
    """f + Linear(GELU(Linear(f))) through a quarter of the width (Eq. 4)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.down = nn.Linear(features, features // 4)
        self.up = nn.Linear(features // 4, features)
        self.activation = nn.GELU()
        for layer in (self.down, self.up):
            _init(layer)

    def forward(self, f: Tensor) -> Tensor:
        out: Tensor = f + self.up(self.activation(self.down(f)))
        return out


def _mlp(features: int, hidden: int, out: int) -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, out))
    for layer in layers:
        _init(layer)
    return layers


def _init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
