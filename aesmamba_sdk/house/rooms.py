"""The opened house: settings, and every room opened on first use."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, get_args

from aesmamba_sdk import paths
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.config import Precision
from aesmamba_sdk.model.library import find_model
from aesmamba_sdk.once import opened_once

if TYPE_CHECKING:
    import torch

    from aesmamba_sdk.embeddings.cache import EmbeddingCache, Feature
    from aesmamba_sdk.embeddings.stream import Embedded, ImageEncoder
    from aesmamba_sdk.house.scorings import Scorings
    from aesmamba_sdk.model.backbone import Backbone
    from aesmamba_sdk.personalize.support import Embed
    from aesmamba_sdk.photos import PhotoSource
    from aesmamba_sdk.profiles.database import Database
    from aesmamba_sdk.profiles.model_store import ModelStore
    from aesmamba_sdk.profiles.rating_store import RatingStore
    from aesmamba_sdk.profiles.users import Users
    from aesmamba_sdk.runs import Progress

THREADS_VARIABLE = "AESMAMBA_THREADS"
PRECISION_VARIABLE = "AESMAMBA_PRECISION"
_ALWAYS_THERE = ("auto", "cpu")
_PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class House:
    """What :class:`aesmamba_sdk.AesMamba` opens; arguments and errors are its own."""

    def __init__(
        self,
        model: str | os.PathLike[str] | None,
        device: str,
        home: str | os.PathLike[str] | None,
        threads: int | None,
        precision: Precision | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise SetupError(f"threads={threads} is no positive number")
        self.home = paths.home_folder(home)
        self.threads = threads or _threads_variable()
        self.precision = _known_precision(precision)
        self._model, self._device = model, device
        self._opening = threading.RLock()

    @opened_once
    def database(self) -> Database:
        from aesmamba_sdk.profiles.database import Database

        return Database.open(self.home)

    @cached_property
    def users(self) -> Users:
        from aesmamba_sdk.profiles.users import Users

        return Users(self.database)

    @cached_property
    def ratings(self) -> RatingStore:
        from aesmamba_sdk.profiles.rating_store import RatingStore

        return RatingStore(self.database)

    @cached_property
    def models(self) -> ModelStore:
        from aesmamba_sdk.profiles.model_store import ModelStore

        return ModelStore(self.database)

    @opened_once
    def embeddings(self) -> EmbeddingCache:
        from aesmamba_sdk.embeddings.cache import EmbeddingCache

        return EmbeddingCache(paths.embeddings_file(self.home))

    @cached_property
    def device(self) -> torch.device:
        from aesmamba_sdk.model.network import choose_device
        from aesmamba_sdk.model.threads import use_threads

        if self.threads is not None:
            use_threads(self.threads)
        return choose_device(self._device)

    @opened_once
    def backbone(self) -> Backbone:
        from aesmamba_sdk.model.backbone import Backbone

        if self._device not in _ALWAYS_THERE:
            self.device  # noqa: B018 -- one that is not there is told now, not at the first photo
        return Backbone(find_model(self._model, self.home), lambda: self.device, self.precision)

    @opened_once
    def scorings(self) -> Scorings:
        """Who scores for whom; personal models stay loaded."""
        from aesmamba_sdk.house.scorings import Scorings

        return Scorings(self)

    def stream(
        self, photos: Iterable[PhotoSource], encoder: ImageEncoder | None = None
    ) -> Iterator[Embedded]:
        """Photos as an encoder sees them, the shared one by default; files through the cache."""
        from aesmamba_sdk.embeddings.stream import embed_photos

        return embed_photos(
            photos,
            encoder or self.backbone,
            self.embeddings,
            threads=self.threads,
            keep_unnamed=False,
        )

    def telling(self, progress: Progress | None, encoder: ImageEncoder | None = None) -> Embed:
        """As :meth:`stream`; tells how far it is."""

        def embed(photos: Sequence[str]) -> Iterator[Embedded]:
            for done, embedded in enumerate(self.stream(photos, encoder), 1):
                if progress is not None:
                    progress("photos", done, len(photos))
                yield embedded

        return embed

    def known(self, photo_ids: Sequence[str]) -> dict[str, Feature]:
        """Features in the cache or with ratings, wherever the photos are now."""
        import numpy as np

        key = self.backbone.key
        rated = self.ratings.features(photo_ids, key)
        features = {i: np.frombuffer(data, np.float32) for i, data in rated.items()}
        return features | self.embeddings.features(photo_ids, key)

    def remove_user(self, name: str) -> None:
        """See :meth:`aesmamba_sdk.AesMamba.remove_user`."""
        name = self.users.get(name).name  # as it is kept: folders are named by it
        folder = paths.user_folder(self.home, name)
        # First, so that whoever is cut off here can still be removed; and what a run wrote since.
        shutil.rmtree(folder, ignore_errors=True)
        self.users.remove(name)
        self.scorings.forget()
        shutil.rmtree(folder, ignore_errors=True)  # as much of it as can be
        if folder.exists():
            raise SetupError(
                f"{name} was removed, but {folder} cannot be: delete it, since it holds what was "
                "learned of them",
                code="personal_folder_left",
            )

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        for room in ("embeddings", "database"):
            if room in self.__dict__:
                self.__dict__[room].close()


def _known_precision(precision: str | None) -> Precision:
    chosen = precision or os.environ.get(PRECISION_VARIABLE) or "float32"
    for known in _PRECISIONS:
        if chosen == known:
            return known
    said = "precision" if precision else PRECISION_VARIABLE
    raise SetupError(f"{said}={chosen} is not known: use {' or '.join(_PRECISIONS)}")


def _threads_variable() -> int | None:
    value = os.environ.get(THREADS_VARIABLE)
    if not value:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise SetupError(f"{THREADS_VARIABLE}={value} is no positive number")
    return int(value)
