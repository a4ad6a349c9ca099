"""The support set of a person: ratings matched with photos, whatever cannot be used named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from aesmamba_sdk.embeddings.cache import Feature
from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.errors import PersonalizeError, RatingsError
from aesmamba_sdk.personalize.fit import MINIMUM_SHOTS, Support
from aesmamba_sdk.photos import load_photo
from aesmamba_sdk.profiles.rating_store import Rating, is_number_of
from aesmamba_sdk.ratings import Choice, RatedPhoto
from aesmamba_sdk.scores import UNIT_SCORES, Scale

Embed = Callable[[Sequence[str]], Iterable[Embedded]]
Known = Callable[[Sequence[str]], dict[str, Feature]]
"""Photo ids to the features that are known of them."""


@dataclass
class Gathered:
    """Ratings whose photos could be embedded.

    Attributes:
        ratings, features: by photo id.
        problems: what was wrong with other ratings.
        notes: what was left out on purpose.
    """

    ratings: dict[str, Rating] = field(default_factory=dict)
    features: dict[str, Feature] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_rated(self, rated: Sequence[RatedPhoto], embed: Embed) -> None:
        """Take ratings as they were read; of two ratings of the same pixels the later counts."""
        now = datetime.now(UTC)
        for photo, embedded in zip(rated, embed([str(r.path) for r in rated]), strict=True):
            if embedded.photo_id is None or embedded.feature is None:
                self.problems.append(str(embedded.error))
                continue
            if embedded.photo_id in self.ratings:
                first = self.ratings[embedded.photo_id].path
                self.problems.append(f"{photo.path} is the same photo as {first}; it counts once")
            self.ratings[embedded.photo_id] = _rating(photo, embedded.photo_id, now)
            self.features[embedded.photo_id] = embedded.feature

    def add_stored(self, stored: Sequence[Rating], embed: Embed, known: Known) -> None:
        """Add earlier ratings of photos not rated again.

        A photo whose features are known needs no file: it may have moved. Others are read again.
        """
        for rating in stored:  # what a photo belongs with stays known, as in the store
            again = self.ratings.get(rating.photo_id)
            if again is not None and not again.group:
                self.ratings[rating.photo_id] = replace(again, group=rating.group)
        earlier = [rating for rating in stored if rating.photo_id not in self.ratings]
        features = known([rating.photo_id for rating in earlier])
        unknown = [rating for rating in earlier if rating.photo_id not in features]
        for rating, embedded in zip(unknown, embed([r.path for r in unknown]), strict=True):
            if (problem := _lost(rating, embedded)) is not None:
                self.problems.append(problem)
            elif embedded.feature is not None:
                features[rating.photo_id] = embedded.feature
        for rating in earlier:
            if rating.photo_id in features:
                self.ratings[rating.photo_id] = rating
                self.features[rating.photo_id] = features[rating.photo_id]

    def too_few(self, user: str, count: int) -> PersonalizeError:
        """The error of there being too few ratings to learn from."""
        first = f" First problem: {self.problems[0]}" if self.problems else ""
        return PersonalizeError(
            f"{user!r} has {count or 'no'} usable rating(s): rate at least {MINIMUM_SHOTS} photos, "
            f"better 10 or more.{first}",
            code="too_few_ratings",
        )

    def keep_files(self, embed: Embed) -> None:
        """Leave out ratings whose photo is no longer where it was, for methods that read it."""
        ratings = list(self.ratings.values())
        for rating, embedded in zip(ratings, embed([r.path for r in ratings]), strict=True):
            if (problem := _lost(rating, embedded)) is not None:
                self.problems.append(problem)
                del self.ratings[rating.photo_id], self.features[rating.photo_id]

    def support(self, shots: int | None, seed: int, scale: Scale) -> Support:
        """Features and ratings on the model's ``scale``; ``shots`` of them, chosen by ``seed``."""
        chosen = list(self.ratings.values())
        if shots is not None and shots < len(chosen):
            rows = np.random.default_rng(seed).choice(len(chosen), shots, replace=False)
            chosen = [chosen[i] for i in sorted(rows)]
        ratings = [UNIT_SCORES.convert(rating.score, scale) for rating in chosen]

        def load(i: int) -> Image.Image:
            return load_photo(chosen[i].path).image

        features = [self.features[rating.photo_id] for rating in chosen]
        return Support(
            features=np.stack(features) if features else np.zeros((0, 0), np.float32),
            ratings=np.asarray(ratings, np.float64),
            groups=[rating.group or rating.photo_id for rating in chosen],
            load=load,
        )


def with_choices(
    support: Support, choices: Sequence[Choice], embed: Embed, problems: list[str]
) -> Support:
    """The support with choices between photos; those that cannot be used are named and left out."""
    embedded = list(embed([str(path) for choice in choices for path in choice]))
    chosen, passed = [], []
    for better, worse in zip(embedded[::2], embedded[1::2], strict=True):
        if better.feature is None or worse.feature is None:
            problems.append(f"{better.error or worse.error}; a choice is left out")
        elif better.photo_id == worse.photo_id:
            problems.append(
                f"{better.path} is the same photo as {worse.path}; a choice is left out"
            )
        else:
            chosen.append(better.feature)
            passed.append(worse.feature)
    if not chosen:
        return support
    features = support.features
    if not len(features):
        features = np.zeros((0, len(chosen[0])), np.float32)
    return replace(support, features=features, chosen=np.stack(chosen), passed=np.stack(passed))


def _lost(rating: Rating, embedded: Embedded) -> str | None:
    """Why what lies where a photo was rated is not that photo, if it is not."""
    if embedded.feature is None:
        return f"{embedded.error}; its stored rating is left out"
    if embedded.photo_id != rating.photo_id:
        return f"{rating.path} is no longer the photo that was rated; its rating is left out"
    return None


def unrated(photos: Iterable[Embedded], stored: Sequence[Rating]) -> list[Embedded]:
    """Files that can be used, each content once, without those rated already."""
    known = {rating.photo_id for rating in stored}
    found: list[Embedded] = []
    for embedded in photos:
        usable = embedded.feature is not None and embedded.path is not None
        if usable and embedded.photo_id is not None and embedded.photo_id not in known:
            known.add(embedded.photo_id)
            found.append(embedded)
    return found


def rating_of(
    embedded: Embedded, score: float, scale: Scale, *, name: str, source: str, group: str
) -> Rating:
    """One rating as a person gives it; ``name`` stands for the path of a photo in memory.

    Raises:
        PhotoError: the photo could not be used.
        RatingsError: the score is no number on its scale.
    """
    if embedded.photo_id is None:
        assert embedded.error is not None
        raise embedded.error
    if not is_number_of(score, scale):
        raise RatingsError(f"the rating {score!r} is not on its scale of {scale}")
    rated = RatedPhoto(Path(embedded.path or name), score, scale, {}, source, group)
    rating = _rating(rated, embedded.photo_id, datetime.now(UTC))
    return rating if embedded.path is not None else replace(rating, path=name)


def _rating(photo: RatedPhoto, photo_id: str, now: datetime) -> Rating:
    def unit(value: float) -> float:
        return photo.scale.convert(value, UNIT_SCORES)

    return Rating(
        photo_id=photo_id,
        path=os.path.abspath(photo.path),  # noqa: PTH100 -- links are not followed
        score=unit(photo.score),
        raw_score=photo.score,
        raw_scale=photo.scale,
        attributes={name: unit(value) for name, value in photo.attributes.items()},
        source=photo.source,
        group=photo.group,
        rated_at=now,
    )
