"""The teacher of ``nano``: an ImageNet MobileNetV2 that learns to score photos first.

Features of ImageNet know objects; those of a network that has itself learned from the ratings
know what the student is to see. Its scores of a crop also tell what the crop lost, which the
label of the whole photo does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from aesmamba_sdk.train.data import PhotoSet, Rows
from aesmamba_sdk.train.loop import Loop, TrainingArguments
from aesmamba_sdk.train.losses import masked_mse
from aesmamba_sdk.train.teacher import MobileNetV2
from aesmamba_sdk.train.views import Views, score_all

_GIVEN_BACK = 0.2


@dataclass(frozen=True)
class View:
    """What a teacher makes of a batch of crops.

    Attributes:
        maps: by stride, (batch, channels, H / stride, W / stride).
        scores: (batch, attributes), NaN for attributes it does not score.
        features: (batch, n), what of the whole crop the student's f_v is to know.
    """

    maps: dict[int, Tensor]
    scores: Tensor
    features: Tensor


class Judge(nn.Module):
    """A MobileNetV2 and a linear head on its pooled last map.

    Args:
        network: fine-tuned in place.
        photos: their labelled attributes are what it scores; the head begins at their mean.
    """

    def __init__(self, network: MobileNetV2, photos: PhotoSet) -> None:
        super().__init__()
        means = photos.scores.nanmean(0)
        self.network = network
        self.columns = (~means.isnan()).nonzero().flatten().tolist()
        self.attributes = len(means)
        self.head = nn.Linear(network.channels, len(self.columns))
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(means[self.columns])

    def forward(self, images: Tensor) -> View:
        """(batch, 3, H, W) in [0, 1]."""
        maps = self.network(images)
        features = pooled(maps)
        known = self.head(features).float()
        scores = known.new_full((len(images), self.attributes), float("nan"))
        scores[:, self.columns] = known
        return View(maps, scores, features)


def mean_judge(judges: Sequence[Judge], origin: MobileNetV2) -> Judge:
    """The first judge, with the mean of all judges' weights, moved a fifth of the way back.

    Beside ranking PARA's photos a little better than any of them, it knows more of others
    (Wortsman et al. 2022, both times).
    """
    judge = judges[0]
    judge.load_state_dict(mean_state([judge.state_dict() for judge in judges]))
    moved = zip(judge.network.parameters(), origin.parameters(), strict=True)
    with torch.no_grad():
        for learned, before in moved:
            learned.lerp_(before, _GIVEN_BACK)
    return judge


def mean_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of networks' weights, name by name, of those that all have."""
    shared = [name for name in states[0] if all(name in state for state in states)]
    return {name: torch.stack([s[name] for s in states]).mean(0) for name in shared}


class Panel(nn.Module):
    """A judge, and beside it the network as ImageNet left it, which forgot nothing of what is seen.

    What sets people apart is what they like to look at, more than what makes a photo good: features
    that served the scores alone would not tell a personal head enough.
    """

    def __init__(self, judge: Judge, imagenet: MobileNetV2) -> None:
        super().__init__()
        self.judge, self.imagenet = judge, imagenet

    def forward(self, images: Tensor) -> View:
        """(batch, 3, H, W) in [0, 1] to the judge's view, its features and the network's.

        Scores and features are those of the photo and its mirror image together: neither is worth
        more, and what the student learns to say of one it says of the other.
        """
        view: View = self.judge(images)
        mirrored: View = self.judge(images.flip(3))
        judged = (view.features + mirrored.features) / 2
        features = torch.cat([judged, seen_both_ways(self.imagenet, images)], 1)
        return View(view.maps, (view.scores + mirrored.scores) / 2, features)


def pooled(maps: Mapping[int, Tensor]) -> Tensor:
    """The mean over positions of the deepest map, (batch, channels), of maps by stride."""
    return maps[max(maps)].mean((2, 3), dtype=torch.float32)


def seen_both_ways(network: MobileNetV2, images: Tensor) -> Tensor:
    """Pooled features of photos and their mirror images together, (batch, channels).

    What is in a photo does not change in a mirror; what changes there is of no interest.
    """
    return (pooled(network(images)) + pooled(network(images.flip(3)))) / 2


class JudgeTrainer(Loop):
    """Fine-tunes a judge; the arguments are those of ``Loop``."""

    def __init__(
        self,
        judge: Judge,
        photos: PhotoSet,
        validation: PhotoSet,
        folder: Path,
        arguments: TrainingArguments,
        names: tuple[str, ...],
    ) -> None:
        self.judge, self.names = judge, names
        super().__init__(judge, photos, validation, folder, arguments)

    def _losses(self, views: Views, rows: Rows) -> dict[str, Tensor]:
        predicted = self.judge(views.images / 255).scores
        return {"loss": masked_mse(predicted, views.scores)}

    def _predict(self) -> Tensor:
        with torch.inference_mode():
            size = self.arguments.image_size
            return score_all(lambda x: self.judge(x / 255).scores, self.validation, size)

    def _attributes(self) -> tuple[str, ...]:
        return self.names
