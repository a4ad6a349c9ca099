"""One person rating the photos of a folder: what comes next, what was said, and learning from it.

Every rating is in the database before its call returns; this object holds nothing that would be
missed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aesmamba_sdk.errors import PersonalizeError, SetupError
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.photos import EVERYTHING, Selection
from aesmamba_sdk.runs import Progress, Run, Runs
from aesmamba_sdk.scores import Score, ScoreFailure

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

OFFERED = 30
"""Photos offered at a time, and what a session begins with."""
SOURCE = "aesmamba rate"


@dataclass(frozen=True)
class RankedPhoto:
    """One photo before and after learning; both on the model's scale."""

    photo: int
    before: float
    after: float


@dataclass(frozen=True)
class Learned:
    """What learning changed.

    Attributes:
        report: of the run.
        ranking: best first.
        personal_before: whether ``before`` was already this person's own score.
    """

    report: PersonalizeReport
    ranking: list[RankedPhoto]
    personal_before: bool


class RatingSession:
    """The photos one person rates; may be shared between threads.

    Args:
        sdk: stays open as long as the session is used.
        user: who must exist.
        photos, selection: files and folders, as for :meth:`AesMamba.score_many`. Each content
            counts once.
        progress: is told ``"photos"`` while they are encoded.

    Attributes:
        photos: paths of those that can be read, in order; all else names them by their number.
        failures: why the others cannot.
        learning: the latest run; ``None`` before the first.

    Raises:
        UserNotFoundError: no such user.
        SetupError: there is no photo that can be read.
    """

    def __init__(
        self,
        sdk: AesMamba,
        user: str,
        photos: Sequence[str | os.PathLike[str]],
        *,
        selection: Selection = EVERYTHING,
        progress: Progress | None = None,
    ) -> None:
        self._sdk = sdk
        self.user = sdk.users.get(user).name
        self.failures: list[ScoreFailure] = []
        self.photos, self._ids = self._look(photos, selection, progress)
        self._numbers = {path: i for i, path in enumerate(self.photos)}
        self._offered: list[int] = []
        self._offering = threading.Lock()
        self.learning: Run[Learned] | None = None
        self._starting = threading.Lock()
        self._runs = Runs("personalize", "something went wrong: see the terminal")

    def _look(
        self,
        photos: Sequence[str | os.PathLike[str]],
        selection: Selection,
        progress: Progress | None,
    ) -> tuple[list[str], list[str]]:
        """Encode what has not been, so that nobody waits for it between two photos."""
        paths: list[str] = []
        for done, score in enumerate(self._sdk.score_many(photos, selection=selection), 1):
            if score.error is not None:
                self.failures.append(score.error)
            elif score.path is not None:
                paths.append(score.path)
            if progress is not None:
                progress("photos", done, 0)
        ids = self._sdk.embeddings.photo_ids(paths)
        self.failures += [
            ScoreFailure(
                "photo_changed", f"{path} changed while it was read: start again to rate it"
            )
            for path in paths
            if path not in ids
        ]
        first = {ids[path]: path for path in reversed(paths) if path in ids}
        if not first:
            raise SetupError(
                f"no photos to rate in {', '.join(map(str, photos))}: name photos, or folders "
                "that hold some",
                code="no_photos",
            )
        kept = [path for path in paths if first.get(ids.get(path, "")) == path]
        return kept, [ids[path] for path in kept]

    def ratings(self) -> dict[int, float]:
        """What this person said of these photos so far, in any session, 1-5 by photo."""
        known = {rating.photo_id: rating.score for rating in self._sdk.ratings.list(self.user)}
        return {i: known[photo_id] for i, photo_id in enumerate(self._ids) if photo_id in known}

    def rated(self) -> int:
        """Ratings of this person, of any photos."""
        return self._sdk.users.get(self.user).ratings

    def offered(self) -> list[int]:
        """Photos to rate in the order they were offered, the first ones now if none were."""
        with self._offering:
            if not self._offered:
                self._offer_more()
            return list(self._offered)

    def offer(self, known: int) -> list[int]:
        """Photos to rate next, by what was learned of all that was rated meanwhile.

        Args:
            known: how many the caller has been offered before.

        Returns:
            Those offered since, more of them if there were none; empty when all are rated or were
            offered.
        """
        with self._offering:
            if known >= len(self._offered):
                self._offer_more()
            return self._offered[known:]

    def _offer_more(self) -> None:
        seen = set(self._offered)
        left = [path for path, i in self._numbers.items() if i not in seen]
        found = self._sdk.suggest(self.user, left, OFFERED)
        self._offered += [self._numbers[suggestion.path] for suggestion in found]

    def rate(self, photo: int, score: float) -> None:
        """Keep a rating; an earlier one of the same photo is replaced.

        Raises:
            IndexError: no photo of that number.
            PhotoError: the file is gone or no photo any more.
            RatingsError: the score is not on 1-5.
        """
        path = self.path(photo)
        self._ids[photo] = self._sdk.rate(self.user, path, score, source=SOURCE).photo_id

    def forget(self, photo: int) -> None:
        """Take a rating back, if there is one.

        Raises:
            IndexError: no photo of that number.
        """
        self.path(photo)
        self._sdk.ratings.remove(self.user, [self._ids[photo]])

    def path(self, photo: int) -> str:
        """Raises :class:`IndexError` where there is no photo of that number."""
        if not 0 <= photo < len(self.photos):
            raise IndexError(f"no photo {photo}")
        return self.photos[photo]

    def learn(self) -> bool:
        """Personalize in the background; ``False`` where that is under way already."""
        with self._starting:
            if self.learning is not None and not self.learning.finished:
                return False
            self.learning = self._runs.start(self._learn)
            return True

    def close(self) -> None:
        """Wait for learning that is under way."""
        self._runs.close()

    def _learn(self, tell: Progress) -> Learned:
        tell("ranking", 0, 0)
        before = self._scores_before()
        report = self._sdk.personalize(self.user, progress=tell)
        tell("ranking", 0, 0)
        after = list(self._sdk.score_many(self.photos, user=self.user))
        personal_before = any(score.method not in (None, "generic") for score in before)
        return Learned(report, _ranked(before, after), personal_before)

    def _scores_before(self) -> list[Score]:
        """As this person has them now; everyone's, where their model is of another backbone."""
        try:
            return list(self._sdk.score_many(self.photos, user=self.user))
        except PersonalizeError:
            return list(self._sdk.score_many(self.photos))


def _ranked(before: Sequence[Score], after: Sequence[Score]) -> list[RankedPhoto]:
    """Photos with both scores, best first; those that went away meanwhile are left out."""
    best = sorted(range(len(after)), key=lambda i: -after[i].order)
    return [
        RankedPhoto(i, old, new)
        for i in best
        if (old := before[i].value) is not None and (new := after[i].value) is not None
    ]
