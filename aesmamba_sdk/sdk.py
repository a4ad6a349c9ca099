"""The facade: opens the house and hands out its rooms.

Nothing heavy is loaded before it is needed; one object may be shared between threads.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain, tee
from pathlib import Path
from typing import TYPE_CHECKING

from aesmamba_sdk import paths
from aesmamba_sdk.errors import AesMambaError, PersonalizeError, SetupError
from aesmamba_sdk.model.library import find_model
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.photos import EVERYTHING, Selection, expand
from aesmamba_sdk.scores import UNIT_SCORES, Scale, Score, ranked

if TYPE_CHECKING:
    import torch

    from aesmamba_sdk.embeddings.cache import EmbeddingCache, Feature
    from aesmamba_sdk.embeddings.stream import Embedded, ImageEncoder
    from aesmamba_sdk.explain.explanation import Explanation
    from aesmamba_sdk.model.backbone import Backbone
    from aesmamba_sdk.pages.report import WrittenReport
    from aesmamba_sdk.personalize.folder import PersonalRecord
    from aesmamba_sdk.personalize.methods import Method
    from aesmamba_sdk.personalize.scorer import PersonalScorer
    from aesmamba_sdk.personalize.suggest import Suggestion
    from aesmamba_sdk.personalize.support import Embed, Gathered
    from aesmamba_sdk.photos import PhotoSource
    from aesmamba_sdk.profiles.database import Database
    from aesmamba_sdk.profiles.model_store import ModelStore, PersonalModel
    from aesmamba_sdk.profiles.rating_store import Rating, RatingStore
    from aesmamba_sdk.profiles.users import Users
    from aesmamba_sdk.ratings import Choice, RatedPhotos
    from aesmamba_sdk.scoring import Scoring
    from aesmamba_sdk.similar.photos import Similar
    from aesmamba_sdk.xmp.choices import Rejects

THREADS_VARIABLE = "AESMAMBA_THREADS"
_ALWAYS_THERE = ("auto", "cpu")

Progress = Callable[[str, int, int], None]
"""Told what is under way (``"photos"``, ``"training"``), how much is done, and of how much."""


class AesMamba:
    """Scores photos for everyone and for one person, and learns a person's taste.

    Args:
        model: name or folder of the shared model; by default ``AESMAMBA_MODEL`` or ``nano``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        home: folder of all personal data; by default ``AESMAMBA_HOME`` or the platform's own.
        threads: that compute, and that decode photos; ``AESMAMBA_THREADS`` or torch's own choice by
            default. Torch's setting holds for the whole process.

    Raises:
        SetupError: ``AESMAMBA_THREADS`` is no positive number.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        home: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self.home = paths.home_folder(home)
        self._model, self._device = model, device
        self._threads = threads or _threads_variable()
        self._loading = threading.RLock()
        self._scorers: dict[str, tuple[str, PersonalScorer]] = {}

    # The rooms, opened on first use.

    @cached_property
    def database(self) -> Database:
        """Users, ratings and personal models."""
        from aesmamba_sdk.profiles.database import Database

        with self._loading:
            return self.__dict__.get("database") or Database.open(self.home)

    @cached_property
    def users(self) -> Users:
        """People and their traits; see :meth:`remove_user` for removing all of a person."""
        from aesmamba_sdk.profiles.users import Users

        return Users(self.database)

    @cached_property
    def ratings(self) -> RatingStore:
        """What people rated."""
        from aesmamba_sdk.profiles.rating_store import RatingStore

        return RatingStore(self.database)

    @cached_property
    def models(self) -> ModelStore:
        """Personal models and which of them serve."""
        from aesmamba_sdk.profiles.model_store import ModelStore

        return ModelStore(self.database)

    @cached_property
    def embeddings(self) -> EmbeddingCache:
        """Features of photos seen before."""
        from aesmamba_sdk.embeddings.cache import EmbeddingCache

        with self._loading:
            known = self.__dict__.get("embeddings")
            return known or EmbeddingCache(paths.embeddings_file(self.home))

    @cached_property
    def device(self) -> torch.device:
        """Where the shared model runs."""
        import torch

        from aesmamba_sdk.model.network import choose_device

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        return choose_device(self._device)

    @cached_property
    def backbone(self) -> Backbone:
        """The shared model."""
        from aesmamba_sdk.model.backbone import Backbone

        if self._device not in _ALWAYS_THERE:
            self.device  # noqa: B018 -- one that is not there is told now, not at the first photo
        with self._loading:
            known = self.__dict__.get("backbone")
            return known or Backbone(find_model(self._model, self.home), lambda: self.device)

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
        scoring = self._scoring(user, attributes, text)
        embedded = next(self._embed([photo], scoring.personal))
        if embedded[0].error is not None:
            raise embedded[0].error
        return next(scoring.score([embedded]))

    def score_many(
        self,
        photos: str | os.PathLike[str] | Iterable[PhotoSource],
        *,
        user: str | None = None,
        users: Sequence[str] | None = None,
        attributes: bool = False,
        text: str | None = None,
        selection: Selection = EVERYTHING,
    ) -> Iterator[Score]:
        """Score photos as they stream in, in order; a bad photo becomes a score with ``error``.

        Args:
            photos: a file or folder (searched recursively), or any photos as for :meth:`score`;
                folders among them are searched as well.
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
            CheckpointError, SetupError: as for :meth:`score`.
        """
        found = expand(photos, selection)
        if users is not None:
            return self._score_for(found, users, attributes)
        scoring = self._scoring(user, attributes, text)
        return scoring.score(self._embed(found, scoring.personal))

    def rank(
        self,
        photos: str | os.PathLike[str] | Iterable[PhotoSource],
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
            self._encoded,
            self._telling(progress, Sketcher()),
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

        scoring = self._scoring(user, attributes=True)
        embedded = next(self._embed([photo], scoring.personal))
        if embedded[0].error is not None:
            raise embedded[0].error
        return explain_photo(scoring, embedded, load_photo(photo).image)

    def report(
        self,
        photos: str | os.PathLike[str] | Iterable[PhotoSource],
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
            UserNotFoundError, PersonalizeError: as for :meth:`score_many`.
        """
        from aesmamba_sdk.pages.report import write_report

        scoring = self._scoring(user, attributes=True)
        rated = [] if user is None else self.ratings.list(user)
        return write_report(
            scoring,
            self._embed(expand(photos, selection), scoring.personal),
            Path(file),
            regions=regions,
            ratings={rating.photo_id: rating.score for rating in rated},
            progress=progress,
            threads=self._threads,
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
            rejects, unrated: of stars in metadata: ``"lowest"`` counts rejected photos as one star,
                which are left out otherwise; and how many stars mean nothing.
            choices: pairs of photos, the preferred one first; they count for this run, are not
                kept, and suffice without ratings.
            method: one of ``personalize.methods.METHODS``; ``auto`` is chosen by the evidence.
            seed: of everything random.
            dry_run: evaluate only; nothing is stored.
            progress: is told how far it is; to cancel, raise an exception in it: it comes back
                to the caller, and the model from before still serves.

        Raises:
            UserNotFoundError: no such user.
            RatingsError: no usable ratings are there.
            PersonalizeError: too few photos could be used, or another run for this user won.
        """
        from aesmamba_sdk.personalize.fit import fit_personal
        from aesmamba_sdk.personalize.folder import folder_size, new_version
        from aesmamba_sdk.personalize.methods import REACH_OF
        from aesmamba_sdk.personalize.support import Gathered, with_choices
        from aesmamba_sdk.profiles.prompts import SubjectPrompt
        from aesmamba_sdk.ratings import read_ratings

        started = time.monotonic()
        person = self.users.get(user)
        gathered = Gathered()
        if rated is not None:
            read = read_ratings(Path(rated), scale=scale, rejects=rejects, unrated=unrated)
            self._add_rated(gathered, person.name, read, not dry_run, progress)
        gathered.add_stored(self.ratings.list(person.name), self._telling(progress), self._known)
        if not gathered.ratings and not choices:
            raise gathered.nothing(user)
        if REACH_OF.get(method, "heads") != "heads":
            gathered.keep_files()
        support = gathered.support(shots, seed, self.backbone.config.scale)
        if choices:
            support = with_choices(support, choices, self._encoded, gathered.problems)
        version = self.models.next_version(person.name)
        # Named apart from what a killed run may have left, or another run is about to finish.
        name = f"v{version:04}-{secrets.token_hex(4)}"
        place = paths.user_folder(self.home, person.name) / name
        with new_version(place, keep=not dry_run) as folder:
            fitted = fit_personal(
                folder,
                self.backbone,
                support,
                SubjectPrompt(person.traits).for_model(),
                method=method,
                seed=seed,
                progress=progress and (lambda done, total: progress("training", done, total)),
            )
            record = fitted.record
            report = PersonalizeReport(
                user=person.name,
                version=None if dry_run else version,
                method=record.method,
                shots=record.shots,
                seconds=round(time.monotonic() - started, 2),
                **vars(fitted.evaluation),
                trust=record.trust,
                size=folder_size(folder),
                problems=gathered.problems,
                notes=gathered.notes + fitted.notes,
            )
        if not dry_run:
            self._activate(person.name, version, place, record, report)
        return report

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
            photo: as for :meth:`score`. Of one in memory the feature is kept in the cache of
                embeddings, not the photo: another encoder, or methods that read photos again,
                leave such a rating out.
            score: on ``scale``.
            name: what a photo in memory is called in lists.
            source, group: as in :class:`Rating`.

        Raises:
            UserNotFoundError: no such user.
            PhotoError: the photo cannot be used.
            RatingsError: the score is not on its scale.
        """
        from aesmamba_sdk.personalize.support import rating_of

        person = self.users.get(user)
        embedded = next(self._stream([photo], self.backbone))
        rating = rating_of(embedded, score, scale, name=name, source=source, group=group)
        self.ratings.save(person.name, [rating])
        return rating

    def import_ratings(
        self,
        user: str,
        *sources: str | os.PathLike[str],
        scale: Scale | None = None,
        rejects: Rejects = "skip",
        unrated: float = 0.0,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Gathered:
        """Keep what a person rated, without learning from it yet.

        Args:
            user: who must exist.
            sources: each as ``rated`` of :meth:`personalize`, or a photo.
            scale, rejects, unrated, progress: as for :meth:`personalize`.
            dry_run: only read; nothing is stored.

        Returns:
            The ratings by photo id, and what was wrong with others.

        Raises:
            UserNotFoundError: no such user.
            RatingsError: no usable ratings are there.
        """
        from aesmamba_sdk.personalize.support import Gathered
        from aesmamba_sdk.ratings import read_ratings

        person = self.users.get(user)
        read = read_ratings(*map(Path, sources), scale=scale, rejects=rejects, unrated=unrated)
        gathered = Gathered()
        self._add_rated(gathered, person.name, read, not dry_run, progress)
        return gathered

    def suggest(
        self,
        user: str,
        photos: str | os.PathLike[str] | Iterable[PhotoSource],
        count: int = 10,
        selection: Selection = EVERYTHING,
    ) -> list[Suggestion]:
        """Which photos to rate next, so that these ratings teach most about all the others.

        Args:
            user: who must exist; photos they rated are not suggested again.
            photos: what to choose from, as for :meth:`score_many`; those that cannot be read are
                passed over.
            count: how many.
            selection: which files of folders to take.

        Raises:
            UserNotFoundError: no such user.
        """
        import numpy as np

        from aesmamba_sdk.personalize.fit import gather_evidence
        from aesmamba_sdk.personalize.suggest import Suggestion, choose
        from aesmamba_sdk.personalize.support import Gathered, unrated

        stored = self.ratings.list(user)
        gathered = Gathered()
        gathered.add_stored(stored, self._encoded, self._known)
        named = unrated(self._stream(expand(photos, selection), self.backbone), stored)
        if not named:
            return []
        support = gathered.support(None, 0, self.backbone.config.scale)
        evidence, _ = gather_evidence(self.backbone, support)
        features = np.stack(
            [embedded.feature for embedded in named if embedded.feature is not None]
        )
        generic = self.backbone.values(features)
        posterior = evidence.posterior()
        design = evidence.prior.design(features, generic)
        scores, stds = posterior.predict(design)
        rows, doubts = choose(posterior, design, count)
        scale = self.backbone.config.scale
        return [
            Suggestion(str(named[i].path), scale.clip(float(scores[i])), float(stds[i]), doubt)
            for i, doubt in zip(rows, doubts, strict=True)
        ]

    def remove_user(self, name: str) -> None:
        """Remove a person: traits, ratings and personal models, on disk as well.

        Raises:
            UserNotFoundError: no such user.
        """
        name = self.users.get(name).name  # as it is kept: folders are named by it
        self.users.remove(name)
        shutil.rmtree(paths.user_folder(self.home, name), ignore_errors=True)
        with self._loading:
            self._scorers.clear()

    def model_folder(self, model: PersonalModel) -> Path:
        """Where a personal model lies; one that another computer made is fetched first."""
        from aesmamba_sdk.personalize.folder import new_version, write_files

        folder = paths.personal_folder(self.home) / model.folder
        if not folder.is_dir() and (files := self.models.files(model.user, model.version)):
            # Another process may be faster; its copy is the same.
            with suppress(PersonalizeError), new_version(folder) as partial:
                write_files(partial, files)
        return folder

    def close(self) -> None:
        """Close the files; using the object again opens them again."""
        for room in ("embeddings", "database"):
            if room in self.__dict__:
                self.__dict__[room].close()

    def __enter__(self) -> AesMamba:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # How it is done.

    def _scoring(self, user: str | None, attributes: bool, text: str | None = None) -> Scoring:
        from aesmamba_sdk.scoring import Scoring

        if user is None:
            read = None if text is None else self.backbone.read_caption(text)
            return Scoring(self.backbone, attributes=attributes, text=read)
        if text is not None:
            raise SetupError(
                "a personal score reads who is asking, not what is said of the photo: leave out "
                "the user or the text"
            )
        person = self.users.get(user)
        personal = None if person.model is None else self._scorer(person.model)
        return Scoring(self.backbone, person.name, personal, attributes)

    def _score_for(
        self, photos: Iterable[PhotoSource], users: Sequence[str], attributes: bool
    ) -> Iterator[Score]:
        """Every photo once for each person; features are read or computed once."""
        scorings = [self._scoring(user, attributes) for user in users]
        for scoring in scorings:
            if scoring.personal is not None and scoring.personal.reencodes:
                raise PersonalizeError(
                    f"{scoring.user}'s model encodes photos itself: score them for this user "
                    "alone, or personalize by another method",
                    code="users_reencode",
                )
        streams = tee(self._embed(photos, None), len(scorings))
        scores = [s.score(stream) for s, stream in zip(scorings, streams, strict=True)]
        return chain.from_iterable(zip(*scores, strict=True))

    def _activate(
        self,
        user: str,
        version: int,
        place: Path,
        record: PersonalRecord,
        report: PersonalizeReport,
    ) -> None:
        """Let a finished folder serve; if that is too late, leave nothing of it."""
        from aesmamba_sdk.personalize.folder import read_files

        try:
            self.models.activate(
                user,
                version=version,
                folder=place.relative_to(paths.personal_folder(self.home)).as_posix(),
                method=record.method,
                backbone=record.backbone,
                shots=record.shots,
                report=report.to_dict(),
                files=read_files(place),
            )
        except AesMambaError:  # another run was first, or the person was removed meanwhile
            shutil.rmtree(place, ignore_errors=True)
            with suppress(OSError):
                place.parent.rmdir()
            raise

    def _scorer(self, model: PersonalModel) -> PersonalScorer:
        from aesmamba_sdk.personalize.scorer import PersonalScorer

        with self._loading:
            # By folder, whose name is never used again: another process may have removed the
            # person, and added one of that name.
            folder, scorer = self._scorers.get(model.user, ("", None))
            if scorer is None or folder != model.folder:
                scorer = PersonalScorer(self.model_folder(model), self.backbone)
                self._scorers[model.user] = model.folder, scorer
            return scorer

    def _embed(
        self, photos: Iterable[PhotoSource], scorer: PersonalScorer | None
    ) -> Iterator[tuple[Embedded, Embedded]]:
        """Each photo as the shared encoder sees it and as the user's does, mostly the same."""
        if scorer is None or not scorer.reencodes:
            for embedded in self._stream(photos, self.backbone):
                yield embedded, embedded
            return
        first, second = tee(photos)
        yield from zip(
            self._stream(first, self.backbone), self._stream(second, scorer), strict=True
        )

    def _stream(self, photos: Iterable[PhotoSource], encoder: ImageEncoder) -> Iterator[Embedded]:
        from aesmamba_sdk.embeddings.stream import embed_photos

        return embed_photos(photos, encoder, self.embeddings, threads=self._threads)

    def _encoded(self, photos: Sequence[str]) -> Iterator[Embedded]:
        """Photos as the shared encoder sees them."""
        return self._stream(photos, self.backbone)

    def _known(self, photo_ids: Sequence[str]) -> dict[str, Feature]:
        """Cached features, wherever the photos are now."""
        return self.embeddings.features(photo_ids, self.backbone.key)

    def _telling(self, progress: Progress | None, encoder: ImageEncoder | None = None) -> Embed:
        """Photos as an encoder sees them, the shared one by default; tells how far it is."""

        def embed(photos: Sequence[str]) -> Iterator[Embedded]:
            for done, embedded in enumerate(self._stream(photos, encoder or self.backbone), 1):
                if progress is not None:
                    progress("photos", done, len(photos))
                yield embedded

        return embed

    def _add_rated(
        self,
        gathered: Gathered,
        user: str,
        read: RatedPhotos,
        keep: bool,
        progress: Progress | None,
    ) -> None:
        gathered.problems += [f"{p.where}: {p.message}" for p in read.problems]
        gathered.notes += read.notes
        gathered.add_rated(read.items, self._telling(progress))
        if keep:
            self.ratings.save(user, gathered.ratings.values())


def _threads_variable() -> int | None:
    value = os.environ.get(THREADS_VARIABLE)
    if not value:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise SetupError(f"{THREADS_VARIABLE}={value} is no positive number")
    return int(value)
