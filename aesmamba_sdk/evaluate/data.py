"""Datasets to evaluate on, by name and folder, and a model's scores of their photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.captions import clean_caption
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.data import named_folder
from aesmamba_sdk.train.datasets import READERS, Dataset, read_dataset

Figures = NDArray[np.float64]

_BATCH = 16
_SPLITS = {"oasis": "all"}
_GOOD = {"ava": 5.0, "tad66k": 5.0, "para": 3.0, "aadb": 0.5, "photonet": 5.0}


@dataclass(frozen=True)
class Scored:
    """What a model says of photos beside what people said, both on the model's scale.

    Attributes:
        attributes: those both know, in the model's order.
        predicted: (photos, attributes).
        labels: (photos, attributes), NaN where there is none.
        good: score above which a photo counts as good.
    """

    attributes: tuple[str, ...]
    predicted: Figures
    labels: Figures
    good: float

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, attribute: str) -> Scored:
        """One of the attributes alone."""
        column = [self.attributes.index(attribute)]
        return Scored((attribute,), self.predicted[:, column], self.labels[:, column], self.good)


def read_data(spec: str, split: str | None = None, scale: Scale | None = None) -> Dataset:
    """A dataset as the command line names it.

    Args:
        spec: ``NAME=FOLDER``, or ``NAME`` for the folder of that name in ``AESMAMBA_DATA``.
        split: as the dataset's reader has it; by default the photos to test on.
        scale: range of the scores of a ``folder``.

    Raises:
        DatasetError: the name is unknown, or the files are not as their reader expects.
        SetupError: no folder is named, and ``AESMAMBA_DATA`` is not set.
    """
    name = spec.partition("=")[0]
    if name not in READERS:
        known = ", ".join(READERS)
        raise DatasetError(f"there is no dataset {name!r}; expected one of {known}, as NAME=FOLDER")
    _, place = named_folder(spec)
    return read_dataset(name, place, split=split or _SPLITS.get(name, "test"), scale=scale)


def score_dataset(
    backbone: Backbone, dataset: Dataset, progress: Progress, *, skip_unusable: bool = False
) -> Scored:
    """Score every photo as the SDK does, and bring the labels to the model's scale.

    A model that reads captions is given those of each photo.

    Args:
        skip_unusable: go on without photos that are missing or unreadable.

    Raises:
        DatasetError: photos are missing or unreadable, or no attribute is known to both.
    """
    known = backbone.config.attributes
    shared_attributes(dataset, known)  # told before all photos are encoded
    dataset, features = embed_dataset(backbone, dataset, progress, skip_unusable=skip_unusable)
    shared = shared_attributes(dataset, known)
    scores = _scores(backbone, features, dataset)[:, [known.index(name) for name in shared]]
    columns = [dataset.attributes.index(name) for name in shared]
    given = dataset.scores().double().numpy()[:, columns]
    labels = np.stack(
        [
            _converted(given[:, i], dataset.scales[column], backbone.config.scale)
            for i, column in enumerate(columns)
        ],
        axis=1,
    )
    return Scored(
        shared, scores.astype(np.float64), labels, good_score(dataset, backbone.config.scale)
    )


def shared_attributes(dataset: Dataset, known: Sequence[str]) -> tuple[str, ...]:
    """The attributes that a model knows and somebody labelled, in the model's order.

    Raises:
        DatasetError: there are none.
    """
    labelled = (~dataset.scores().isnan().all(0)).tolist()
    found = [name for name, some in zip(dataset.attributes, labelled, strict=True) if some]
    shared = tuple(name for name in known if name in found)
    if not shared:
        raise DatasetError(
            f"{dataset.name} labels {', '.join(found) or 'nothing'}; the model scores "
            f"{', '.join(known)}: nothing to compare"
        )
    return shared


def _scores(
    backbone: Backbone, features: NDArray[np.float32], dataset: Dataset
) -> NDArray[np.float32]:
    """Scores (photos, attributes), with the photos' captions where the model reads them."""
    if backbone.config.text is None or backbone.config.reads != "caption":
        return backbone.scores(features)
    rows = []
    for feature, sample in zip(features, dataset.samples, strict=True):
        caption = clean_caption(sample.texts)
        text = backbone.read_caption(caption) if caption else None
        rows.append(backbone.scores(feature[None], text))
    return np.concatenate(rows)


def embed_dataset(
    backbone: Backbone, dataset: Dataset, progress: Progress, *, skip_unusable: bool = False
) -> tuple[Dataset, NDArray[np.float32]]:
    """The samples whose photos can be used, and the features of these, (n, d).

    Raises:
        DatasetError: there are others that are not to be skipped, or no others.
    """
    features: list[NDArray[np.float32]] = []
    unusable: dict[int, str] = {}
    for start in range(0, len(dataset), _BATCH):
        samples = dataset.samples[start : start + _BATCH]
        images = []
        for row, sample in enumerate(samples, start):
            image = dataset.images.attempt(sample.image, sample.row)
            if isinstance(image, DatasetError):
                unusable[row] = str(image)
            else:
                images.append(image)
        if images:
            features.append(backbone(images))
        progress("photos", start + len(samples), len(dataset))
    dataset.images.close()
    usable = dataset.subset(dataset.usable_rows(unusable, skip=skip_unusable))
    return usable, np.concatenate(features)


def _converted(values: Figures, scale: Scale, to: Scale) -> Figures:
    converted: Figures = to.low + (values - scale.low) * to.width / scale.width
    return converted


def good_score(dataset: Dataset, scale: Scale) -> float:
    """The dataset's customary threshold on the model's scale; the middle where there is none."""
    middle = (dataset.scale.low + dataset.scale.high) / 2
    return dataset.scale.convert(_GOOD.get(dataset.reader.partition("-")[0], middle), scale)
