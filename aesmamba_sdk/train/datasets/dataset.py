"""What every dataset becomes: photos with scores, and where there are any, votes, texts, people."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.model.preprocess import squash
from aesmamba_sdk.profiles.traits import Traits
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.datasets.images import UNUSABLE, Images
from aesmamba_sdk.train.datasets.pixels import Loaded, decoded
from aesmamba_sdk.train.losses import category_counts

_PIXELS = "small photos enlarged"
"""How photos are squashed; whoever changes it orphans the pixels that were kept before."""
_NAMED = 20  # unusable photos of which the message tells each

NO_VOTES: Mapping[str, tuple[float, ...]] = {}


@dataclass(frozen=True)
class Categories:
    """Scale categories of scores (section 3.4).

    Attributes:
        number: how many there are; scores beyond the first or last belong to these.
        low: score at which the first begins.
        per_unit: categories in one unit of score.
        rounded: a score belongs to the nearest category rather than to the one it lies in.
    """

    number: int
    low: float
    per_unit: float = 1.0
    rounded: bool = False

    def __call__(self, scores: Tensor) -> Tensor:
        """int64 classes of scores of any shape; -1 for NaN."""
        places = (scores.nan_to_num(nan=self.low) - self.low) * self.per_unit
        places = places.round() if self.rounded else places.floor()
        return torch.where(scores.isnan(), -1, places.long().clamp(0, self.number - 1))


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo's labels.

    Attributes:
        image: its name among the dataset's images.
        scores: one an attribute, on the labels' own scale, NaN where missing.
        row: the file and row they were read from.
        votes: attribute to shares of the votes, lowest score first, where they are known.
        texts: captions or comments.
    """

    image: str
    scores: tuple[float, ...]
    row: str
    votes: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: NO_VOTES)
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's scores of one photo.

    Attributes:
        user: who.
        sample: index of the photo among the samples.
        scores: one an attribute, NaN where missing.
    """

    user: str
    sample: int
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset.

    Attributes:
        name: of the dataset and split; names the file of decoded photos.
        attributes: what ``scores`` hold, in order.
        scales: the range of each attribute.
        categories: of the attributes on the first one's scale; the others have none.
        samples: the photos.
        images: where they lie.
        ratings: by individual people, where they are known.
        people: traits of those people.
        reader: the name under which it was read, if it has one.
    """

    name: str
    attributes: tuple[str, ...]
    scales: tuple[Scale, ...]
    categories: Categories
    samples: tuple[Sample, ...]
    images: Images
    ratings: tuple[Rating, ...] = ()
    people: Mapping[str, Traits] = field(default_factory=dict)
    reader: str = ""

    def __post_init__(self) -> None:
        if not self.samples:
            raise DatasetError(
                f"{self.name} in {self.images.roots[0]} is empty; expected at least one photo"
            )

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def scale(self) -> Scale:
        """Lowest and highest score of the first attribute."""
        return self.scales[0]

    def scores(self) -> Tensor:
        """(samples, attributes) float32, NaN where there is no label."""
        return torch.tensor([sample.scores for sample in self.samples])

    def votes(self, attribute: str = "aesthetic") -> Tensor:
        """(samples, K) float32 shares of the votes; rows of NaN where they are not known.

        Raises:
            DatasetError: no sample has votes on the attribute.
        """
        found = [sample.votes.get(attribute) for sample in self.samples]
        bins = next((len(shares) for shares in found if shares), None)
        if bins is None:
            raise DatasetError(f"{self.name} has no distribution of votes on {attribute}")
        return torch.tensor([shares or (math.nan,) * bins for shares in found])

    def classes(self) -> Tensor:
        """(samples, attributes) int64 scale categories, -1 where there is no label."""
        comparable = torch.tensor([scale == self.scale for scale in self.scales])
        return torch.where(comparable, self.categories(self.scores()), -1)

    def class_counts(self) -> Tensor:
        """(attributes, categories) samples of each category, the n of Eq. 5."""
        return category_counts(self.classes(), self.categories.number)

    def subset(self, rows: Sequence[int]) -> Dataset:
        """The samples of these rows, in this order, and the ratings of these photos."""
        place = {row: i for i, row in enumerate(rows)}
        ratings = tuple(
            replace(rating, sample=place[rating.sample])
            for rating in self.ratings
            if rating.sample in place
        )
        return replace(self, samples=tuple(self.samples[row] for row in rows), ratings=ratings)

    def usable_rows(self, unusable: Mapping[int, str], *, skip: bool) -> list[int]:
        """Rows of the samples whose photos can be used.

        Args:
            unusable: rows of the others to why they cannot.
            skip: go on without those, if any are left.

        Raises:
            DatasetError: there are others, and they are not to be skipped or are all there is; it
                names the first of them.
        """
        rows = [row for row in range(len(self)) if row not in unusable]
        if len(rows) == len(self) or (skip and rows):
            return rows
        named = list(unusable.values())[:_NAMED]
        if len(unusable) > _NAMED:
            named.append(f"and {len(unusable) - _NAMED} more")
        advice = "repair some" if skip else "repair them, or go on without them (--skip-unusable)"
        raise DatasetError(
            f"{len(unusable)} of {len(self)} photos of {self.name} cannot be used; {advice}: "
            + "; ".join(named),
            code=UNUSABLE,
        )

    def photo_set(self, cache: Path, side: int, progress: Progress | None = None) -> PhotoSet:
        """Every photo at side x side pixels, for the training loop.

        Args:
            cache: folder where decoded pixels are kept between runs.
            side: photos are squashed to this size, as in the paper.
            progress: is told ``"photos"``, how many are decoded, and of how many.

        Raises:
            DatasetError: photos are missing or unreadable; it names the first of them.
        """
        return self.usable(cache, side, progress)[1]

    def usable(
        self, cache: Path, side: int, progress: Progress | None = None, *, skip: bool = False
    ) -> tuple[Dataset, PhotoSet]:
        """The samples whose photos can be used, and these as :meth:`photo_set` gives them.

        Args:
            skip: go on without the others. Those that could not be used once stay out, so that a
                run goes on with the same photos, until they are asked for without ``skip``.

        Raises:
            DatasetError: as :meth:`usable_rows` says.
        """
        pixels, unusable = self._decoded(cache, side, progress, retry=not skip)
        rows = self.usable_rows(unusable, skip=skip)
        photos = PhotoSet(tuple(s.image for s in self.samples), pixels, self.scores())
        if len(rows) == len(self):
            return self, photos
        return self.subset(rows), photos.subset(rows)

    def _decoded(
        self, cache: Path, side: int, progress: Progress | None, *, retry: bool
    ) -> tuple[NDArray[np.uint8], dict[int, str]]:
        roots = tuple(root.absolute() for root in self.images.roots)  # others share the cache
        names = "\n".join([_PIXELS, str(roots), *(sample.image for sample in self.samples)])
        digest = hashlib.blake2b(names.encode(), digest_size=6).hexdigest()
        file = cache / f"{self.name}-{side}-{digest}.npy"

        def load(row: int) -> Loaded:
            image = self.images.attempt(self.samples[row].image, self.samples[row].row)
            return image if isinstance(image, DatasetError) else np.asarray(squash(image, side))

        found = decoded(file, (len(self), side, side, 3), load, progress, retry=retry)
        self.images.close()
        return found
