"""The facade: opens the house and hands out its rooms.

Nothing heavy is loaded before it is needed; one object may be shared between threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.photos import EVERYTHING, Selection, expand
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import UNIT_SCORES, Scale, Score, ScoreFailure, ranked

if TYPE_CHECKING:
    import torch

    from aesmamba_sdk.embeddings.cache import EmbeddingCache
    from aesmamba_sdk.explain.explanation import Explanation
    from aesmamba_sdk.model.backbone import Backbone
    from aesmamba_sdk.model.config import Precision
    from aesmamba_sdk.pages.report import WrittenReport
    from aesmamba_sdk.personalize.methods import Method
    from aesmamba_sdk.personalize.suggest import Suggestion
    from aesmamba_sdk.personalize.support import Gathered
    from aesmamba_sdk.photos import PhotoSource
    from aesmamba_sdk.profiles.database import Database
    from aesmamba_sdk.profiles.model_store import ModelStore, PersonalModel
    from aesmamba_sdk.profiles.rating_store import Rating, RatingStore
    from aesmamba_sdk.profiles.users import Users
    from aesmamba_sdk.ratings import Choice
    from aesmamba_sdk.similar.photos import Similar
    from aesmamba_sdk.xmp.choices import Picks, Rejects

__all__ = ["AesMamba", "Progress"]


class AesMamba:
    """Scores photos for everyone and for one person, and learns a person's taste.

    Args:
        model: name or folder of the shared model; by default ``AESMAMBA_MODEL`` or ``nano``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        home: folder of all personal data; by default ``AESMAMBA_HOME`` or the platform's own.
        threads: that compute, and that decode photos; ``AESMAMBA_THREADS`` or torch's own choice by
            default. Torch's setting holds for the whole process.
        precision: in which the encoder multiplies: ``"float32"``, or ``"bfloat16"``, much faster on
            processors that are made for it and on GPUs, at scores that differ by some hundredths;
            by default ``AESMAMBA_PRECISION`` or float32. Features are cached for each by itself.

    Raises:
        SetupError: ``threads`` or ``AESMAMBA_THREADS`` is no positive number, or there is no such
            precision.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        home: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        precision: Precision | None = None,
    ) -> None:
        self._house = House(model, device, home, threads, precision)

    # The rooms, opened on first use.

    @property
    def home(self) -> Path:
        """The folder of all personal data."""
        return self._house.home

    @property
    def database(self) -> Database:
        """Users, ratings and personal models."""
        return self._house.database

    @property
    def users(self) -> Users:
        """People and their traits; see :meth:`remove_user` for removing all of a person."""
        return self._house.users

    @property
    def ratings(self) -> RatingStore:
        """What people rated."""
        return self._house.ratings

    @property
    def models(self) -> ModelStore:
        """Personal models and which of them serve."""
        return self._house.models

    @property
    def embeddings(self) -> EmbeddingCache:
        """Features of photos seen before."""
        return self._house.embeddings

    @property
    def device(self) -> torch.device:
        """Where the shared model runs."""
        return self._house.device

    @property
    def precision(self) -> Precision:
        """In which the shared model's encoder multiplies."""
        return self._house.precision

    @property
    def backbone(self) -> Backbone:
        """The shared model."""
        return self._house.backbone

    # Scoring.

    def score(
        self,
        photo: PhotoSource,
        *,
        user: str | None = None,
        attributes: bool = False,
        text: str | None = None,
    ) -> Score:
        """Score one photo.

        Args:
            photo: a path, the bytes of an image file, a PIL image or an RGB array.
            user: whose taste; nobody's by default.
            attributes: also give the nine attributes, which are generic for everyone.
            text: what is said of the photo, for models trained on captions. Such a score has no
                percentile.

        Raises:
            PhotoError: the photo cannot be used.
            CheckpointError: a text is given, and the model was not trained on captions.
            SetupError: both a user and a text are given.
            UserNotFoundError: no such user.
            PersonalizeError: the user's model is damaged or made with another backbone.
        """
        scoring = self._house.scorings.of(user, attributes, text)
        return next(scoring.score([self._house.scorings.embed_one(photo, scoring)]))

    def score_many(
        self,
        photos: PhotoSource | Iterable[PhotoSource],
        *,
        user: str | None = None,
        users: Sequence[str] | None = None,
        attributes: bool = False,
        text: str | None = None,
        selection: Selection = EVERYTHING,
    ) -> Iterator[Score]:
        """Score photos as they stream in, in order; a bad photo becomes a score with ``error``.

        Args:
            photos: a folder (searched recursively), a photo as for :meth:`score`, or any number of
                both. They are asked for some batches ahead; images and arrays are read before the
                next is, and may then be closed or reused. An error that they raise comes after the
                scores of those before it.
            user: whose taste.
            users: several people's tastes in one pass: one score a photo and person, each photo's
                together, people in this order.
            attributes: also give the nine attributes.
            text: what is said of all these photos; as for :meth:`score`.
            selection: which files of folders to take.

        Raises:
            UserNotFoundError: no such user.
            PersonalizeError: the user's model is damaged or made with another backbone; or one of
                several users' models encodes photos itself.
            CheckpointError, SetupError: as for :meth:`score`; or ``users`` are given beside a user
                or a text.
        """
        found, scorings = expand(photos, selection), self._house.scorings
        if users is not None and (user is not None or text is not None):
            raise SetupError("several users are scored without a text, and without another user")
        if users is not None:
            return scorings.score_for(found, users, attributes)
        scoring = scorings.of(user, attributes, text)
        return scoring.score(scorings.embed(found, scoring))

    def rank(
        self,
        photos: PhotoSource | Iterable[PhotoSource],
        *,
        user: str | None = None,
        top: int | None = None,
        attributes: bool = False,
        selection: Selection = EVERYTHING,
    ) -> list[Score]:
        """Scores from best to worst, those with errors after all others.

        Args:
            photos, user, attributes, selection: as for :meth:`score_many`.
            top: keep only so many of the scored photos.
        """
        scores = self.score_many(photos, user=user, attributes=attributes, selection=selection)
        return ranked(scores, top)

    def group_similar(
        self,
        scores: Iterable[Score],
        *,
        min_similarity: float | None = None,
        progress: Progress | None = None,
    ) -> list[list[Similar]]:
        """Group scored files that show the same: copies, crops, bursts; the best first.

        Args:
            scores: of files; those with an error are left out.
            min_similarity: to the best of a group, up to 1; ``similar.groups.SAME`` by default.
            progress: is told how far it is.

        Returns:
            All photos, each in one group, most of them alone in theirs.
        """
        from aesmamba_sdk.similar.groups import SAME
        from aesmamba_sdk.similar.photos import group_photos
        from aesmamba_sdk.similar.sketch import Sketcher

        return group_photos(
            scores,
            self._house.stream,
            self._house.telling(progress, Sketcher()),
            self.backbone.reference,
            SAME if min_similarity is None else min_similarity,
        )

    def explain(self, photo: PhotoSource, *, user: str | None = None) -> Explanation:
        """Why a photo has its score: attributes, regions, and how the person differs from others.

        The photo is encoded some forty times, with one region after the other covered. A model
        that reads captions is explained for the photo alone.

        Args:
            photo: as for :meth:`score`.
            user: whose score; everyone's by default.

        Raises:
            PhotoError: the photo cannot be used.
            UserNotFoundError: no such user.
            PersonalizeError: the user's model is damaged or made with another backbone.
        """
        from aesmamba_sdk.explain.explainer import explain_photo
        from aesmamba_sdk.photos import load_photo

        scoring = self._house.scorings.of(user, attributes=True)
        embedded = self._house.scorings.embed_one(photo, scoring)
        return explain_photo(scoring, embedded, load_photo(photo).image)

    def report(
        self,
        photos: PhotoSource | Iterable[PhotoSource],
        file: str | os.PathLike[str],
        *,
        user: str | None = None,
        regions: int = 6,
        selection: Selection = EVERYTHING,
        progress: Progress | None = None,
    ) -> WrittenReport:
        """Write one self-contained page: contact sheet, charts and why each photo has its score.

        Args:
            photos, user, selection: as for :meth:`score_many`.
            file: the page, named ``.html``; an earlier one is replaced.
            regions: so many photos, the best and the worst, are encoded some forty times each to
                tell which of their regions matter.
            progress: is told how far it is.

        Raises:
            SetupError: there are no photos or too many for a page, or it cannot be written.
            PhotoError: none of the photos can be scored; an earlier page stays.
            UserNotFoundError, PersonalizeError: as for :meth:`score_many`.
        """
        from aesmamba_sdk.pages.report import write_report

        scorings = self._house.scorings
        scoring = scorings.of(user, attributes=True)
        rated = [] if user is None else self.ratings.list(user)
        return write_report(
            scoring,
            scorings.embed(expand(photos, selection), scoring),
            Path(file),
            regions=regions,
            ratings={rating.photo_id: rating.score for rating in rated},
            progress=progress,
            threads=self._house.threads,
        )

    # People.

    def personalize(
        self,
        user: str,
        rated: str | os.PathLike[str] | None = None,
        *,
        shots: int | None = None,
        scale: Scale | None = None,
        rejects: Rejects = "skip",
        picks: Picks = "skip",
        unrated: float = 0.0,
        choices: Sequence[Choice] = (),
        method: Method = "auto",
        seed: int = 42,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> PersonalizeReport:
        """Learn a person's taste from photos they rated; their earlier ratings count as well.

        Args:
            user: who must exist.
            rated: ``ratings.csv``/``.json``, a folder with one, star folders, or photos with stars
                in their metadata or sidecars; without it, learn again from the stored ratings.
            shots: learn from so many ratings at most, chosen by ``seed``.
            scale: range of the ratings, unless they declare it; 1-5 by default.
            rejects, picks, unrated: of stars in metadata: ``"lowest"`` counts rejected photos as
                one star, ``"highest"`` those picked without stars as five, which are left out
                otherwise; and how many stars mean nothing.
            choices: pairs of photos, the preferred one first; they count for this run, are not
                kept, and suffice without ratings.
            method: one of ``personalize.methods.METHODS``; ``auto`` is chosen by the evidence.
            seed: of everything random, 0 to 2**32 - 1.
            dry_run: evaluate only; nothing is stored.
            progress: is told how far it is; to cancel, raise an exception in it: it comes back
                to the caller, and the model from before still serves.

        Raises:
            UserNotFoundError: no such user.
            RatingsError: no usable ratings are there.
            PersonalizeError: too few photos could be used, no such method or seed, or another run
                for this user won.
        """
        from aesmamba_sdk.house.learning import personalize

        return personalize(
            self._house,
            user,
            rated,
            shots=shots,
            scale=scale,
            rejects=rejects,
            picks=picks,
            unrated=unrated,
            choices=choices,
            method=method,
            seed=seed,
            dry_run=dry_run,
            progress=progress,
        )

    def rate(
        self,
        user: str,
        photo: PhotoSource,
        score: float,
        *,
        scale: Scale = UNIT_SCORES,
        name: str = "image in memory",
        source: str = "",
        group: str = "",
    ) -> Rating:
        """Keep what a person says of one photo; :meth:`personalize` learns from it.

        Args:
            user: who must exist.
            photo: as for :meth:`score`. Of one in memory the feature is kept with the
                rating, not the photo: another encoder, or methods that read photos again, leave
                such a rating out.
            score: on ``scale``.
            name: what a photo in memory is called in lists.
            source, group: as in :class:`Rating`.

        Raises:
            UserNotFoundError: no such user.
            PhotoError: the photo cannot be used.
            RatingsError: the score is not on its scale.
        """
        from aesmamba_sdk.house.rating import rate

        return rate(self._house, user, photo, score, scale, name=name, source=source, group=group)

    def import_ratings(
        self,
        user: str,
        *sources: str | os.PathLike[str],
        scale: Scale | None = None,
        rejects: Rejects = "skip",
        picks: Picks = "skip",
        unrated: float = 0.0,
        dry_run: bool = False,
        progress: Progress | None = None,
        selection: Selection = EVERYTHING,
    ) -> Gathered:
        """Keep what a person rated, without learning from it yet.

        Args:
            user: who must exist.
            sources: each as ``rated`` of :meth:`personalize`, or a photo.
            scale, rejects, picks, unrated, progress: as for :meth:`personalize`.
            selection: which files of folders to take.
            dry_run: only read; nothing is stored.

        Returns:
            The ratings by photo id, and what was wrong with others.

        Raises:
            UserNotFoundError: no such user.
            RatingsError: no usable ratings are there.
        """
        from aesmamba_sdk.house.rating import import_ratings

        return import_ratings(
            self._house,
            user,
            *sources,
            scale=scale,
            rejects=rejects,
            picks=picks,
            unrated=unrated,
            dry_run=dry_run,
            progress=progress,
            selection=selection,
        )

    def suggest(
        self,
        user: str,
        photos: PhotoSource | Iterable[PhotoSource],
        count: int = 10,
        selection: Selection = EVERYTHING,
        *,
        failed: Callable[[ScoreFailure], None] | None = None,
        progress: Progress | None = None,
    ) -> list[Suggestion]:
        """Which photos to rate next, so that these ratings teach most about all the others.

        Args:
            user: who must exist; photos they rated are not suggested again.
            photos: what to choose from, as for :meth:`score_many`; those that cannot be read are
                passed over.
            count: how many.
            selection: which files of folders to take.
            failed: told of each photo that cannot be used, and why.
            progress: called with (what, done, 0) after each photo.

        Raises:
            UserNotFoundError: no such user.
        """
        from aesmamba_sdk.house.suggesting import suggest

        return suggest(self._house, user, expand(photos, selection), count, failed, progress)

    def remove_user(self, name: str) -> None:
        """Remove a person: traits, ratings and personal models, on disk as well.

        Raises:
            UserNotFoundError: no such user.
            SetupError: all but the folder of their models was removed.
        """
        self._house.remove_user(name)

    def model_folder(self, model: PersonalModel) -> Path:
        """Where a personal model lies; one that another computer made is fetched first."""
        return self._house.scorings.folder(model)

    def close(self) -> None:
        """Close the files; using the object again opens them again."""
        self._house.close()

    def __enter__(self) -> AesMamba:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
