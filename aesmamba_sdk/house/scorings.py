"""Who scores for whom: everyone's model or a person's own, and photos as these see them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, tee
from pathlib import Path
from typing import TYPE_CHECKING

from aesmamba_sdk import paths
from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.errors import PersonalizeError, SetupError
from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.personalize.folder import new_version, write_files
from aesmamba_sdk.personalize.scorer import PersonalScorer
from aesmamba_sdk.photos import PhotoSource
from aesmamba_sdk.scores import Score
from aesmamba_sdk.scoring import Scoring

if TYPE_CHECKING:  # with SQLAlchemy, which photos scored for everyone need not wait for
    from aesmamba_sdk.profiles.model_store import PersonalModel

Pair = tuple[Embedded, Embedded]
"""A photo as the shared encoder sees it and as the user's does, mostly the same."""


class Scorings:
    """Hands out scorings; the personal models of those asked for before are loaded."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._loaded: dict[str, tuple[str, PersonalScorer]] = {}
        self._loading = threading.RLock()

    def of(self, user: str | None, attributes: bool, text: str | None = None) -> Scoring:
        """How to score for a person, or for everyone.

        Raises:
            SetupError: both a user and a text are given.
            UserNotFoundError, PersonalizeError, CheckpointError: as for ``AesMamba.score``.
        """
        house = self._house
        if user is None:
            read = None if text is None else house.backbone.read_caption(text)
            return Scoring(house.backbone, attributes=attributes, text=read)
        if text is not None:
            raise SetupError(
                "a personal score reads who is asking, not what is said of the photo: leave out "
                "the user or the text"
            )
        person = house.users.get(user)
        personal = None if person.model is None else self._scorer(person.model)
        return Scoring(house.backbone, person.name, personal, attributes)

    def embed(self, photos: Iterable[PhotoSource], scoring: Scoring) -> Iterator[Pair]:
        """Photos as the scoring needs them, in order."""
        personal = scoring.personal
        if personal is None or not personal.reencodes:
            for embedded in self._house.stream(photos):
                yield embedded, embedded
            return
        first, second = tee(photos)
        yield from zip(self._house.stream(first), self._house.stream(second, personal), strict=True)

    def embed_one(self, photo: PhotoSource, scoring: Scoring) -> Pair:
        """One photo.

        Raises:
            PhotoError: it cannot be used.
        """
        pair = next(self.embed([photo], scoring))
        if pair[0].error is not None:
            raise pair[0].error
        return pair

    def score_for(
        self, photos: Iterable[PhotoSource], users: Sequence[str], attributes: bool
    ) -> Iterator[Score]:
        """Every photo once for each person; features are read or computed once.

        Raises:
            PersonalizeError: a person's model encodes photos itself.
        """
        scorings = [self.of(user, attributes) for user in users]
        for scoring in scorings:
            if scoring.personal is not None and scoring.personal.reencodes:
                raise PersonalizeError(
                    f"{scoring.user}'s model encodes photos itself: score them for this user "
                    "alone, or personalize by another method",
                    code="users_reencode",
                )
        pairs = ((embedded, embedded) for embedded in self._house.stream(photos))
        streams = tee(pairs, len(scorings))
        scores = [s.score(stream) for s, stream in zip(scorings, streams, strict=True)]
        return chain.from_iterable(zip(*scores, strict=True))

    def folder(self, model: PersonalModel) -> Path:
        """Where a personal model lies; one that another computer made is fetched first."""
        folder = paths.personal_folder(self._house.home) / model.folder
        if not folder.is_dir() and (files := self._house.models.files(model.user, model.version)):
            try:
                with new_version(folder) as partial:
                    write_files(partial, files)
            except PersonalizeError:
                if not folder.is_dir():  # another process may be faster; its copy is the same
                    raise
        return folder

    def forget(self) -> None:
        """Let go of the loaded models."""
        with self._loading:
            self._loaded.clear()

    def _scorer(self, model: PersonalModel) -> PersonalScorer:
        with self._loading:
            # By folder, whose name is never used again: another process may have removed the
            # person, and added one of that name.
            folder, scorer = self._loaded.get(model.user, ("", None))
            if scorer is None or folder != model.folder:
                scorer = PersonalScorer(self.folder(model), self._house.backbone)
                self._loaded[model.user] = model.folder, scorer
            return scorer
