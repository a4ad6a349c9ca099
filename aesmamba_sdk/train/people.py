"""Groups of people who rated the same photos, as one model sees these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aesmamba_sdk.embeddings.cache import EmbeddingCache
from aesmamba_sdk.embeddings.stream import embed_photos
from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.space import Matrix
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets import Dataset, read_dataset
from aesmamba_sdk.train.datasets.images import UNUSABLE
from aesmamba_sdk.train.datasets.oasis import GROUPS


@dataclass(frozen=True)
class RatedPhotos:
    """Photos that the same people rated.

    Attributes:
        name: of the group of people.
        features: f_v, (n, d).
        generic: generic scores, (n,); no rating here may have taken part in them.
        ratings: (people, n) on the model's scale, NaN where a person did not rate.
        prompts: what is told of each person; nothing where that is not known.
        load: decodes photo i, for methods that encode it anew.
        axes: directions, (d, p), in which the features tell what is in photos, where known.
    """

    name: str
    features: NDArray[np.float32]
    generic: Vector
    ratings: Matrix
    prompts: Sequence[str] = ()
    load: Callable[[int], Image.Image] | None = None
    axes: NDArray[np.float32] | None = None


def read_people(
    name: str,
    folder: Path,
    backbone: Backbone,
    cache: EmbeddingCache,
    progress: Progress | None = None,
) -> list[RatedPhotos]:
    """The rating groups of a dataset, as one model sees them.

    Raises:
        DatasetError: the dataset has no rating groups, or is not as its reader expects.
    """
    if name != "oasis":
        raise DatasetError(
            f"{name} has no groups of people who rated the same photos; expected oasis"
        )
    return [
        people_group(read_dataset(name, folder, split=split), backbone, cache, progress)
        for split in GROUPS
    ]


def people_group(
    dataset: Dataset,
    backbone: Backbone,
    cache: EmbeddingCache,
    progress: Progress | None = None,
) -> RatedPhotos:
    """A dataset whose people rated one set of photos; features come from the cache if they can.

    Photos that nobody rated, and people who rated none, teach nothing and are left out.

    Raises:
        DatasetError: a photo cannot be used, or nobody rated any.
    """
    if not dataset.ratings:
        raise DatasetError(f"{dataset.name} has no ratings by individuals")
    dataset = _rated(dataset)

    def load(i: int) -> Image.Image:
        return dataset.images.load(dataset.samples[i].image, dataset.samples[i].row)

    images = map(load, range(len(dataset)))
    features = []
    for sample, embedded in zip(
        dataset.samples, embed_photos(images, backbone, cache), strict=True
    ):
        if embedded.feature is None:
            raise DatasetError(f"{sample.row}: {embedded.error}", code=UNUSABLE)
        features.append(embedded.feature)
        if progress is not None:
            progress(f"photos of {dataset.name}", len(features), len(dataset))
    dataset.images.close()
    stacked = np.stack(features)
    return RatedPhotos(
        dataset.name,
        stacked,
        backbone.values(stacked).astype(np.float64),
        _ratings(dataset, backbone.config.scale),
        [SubjectPrompt(traits).for_model() for traits in dataset.people.values()],
        load,
        backbone.content_axes,
    )


def _rated(dataset: Dataset) -> Dataset:
    raters = {rating.user for rating in dataset.ratings}
    people = {user: traits for user, traits in dataset.people.items() if user in raters}
    photos = sorted({rating.sample for rating in dataset.ratings})
    return replace(dataset.subset(photos), people=people)


def _ratings(dataset: Dataset, scale: Scale) -> Matrix:
    rows = {user: i for i, user in enumerate(dataset.people)}
    ratings = np.full((len(rows), len(dataset)), np.nan)
    for rating in dataset.ratings:
        value = dataset.scale.convert(rating.scores[0], scale)
        ratings[rows[rating.user], rating.sample] = value
    return ratings
