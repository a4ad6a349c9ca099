"""Photos in, features out, in order: from the cache, or decoded while the encoder works."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aesmamba_sdk.embeddings.cache import EmbeddingCache, Feature, Known
from aesmamba_sdk.embeddings.reading import Read, path_of, read_photo
from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import PhotoSource

_BATCH, _CACHED_BATCH = 8, 256
_AHEAD, _AHEAD_AT_FIRST = 6, 12
"""Batches on their way; the latter are enough to keep decoders busy while torch and the model are
loaded. Decoded photos take half a megabyte each. Batches are small, since maps of twice as many
photos take fresh pages, and since the last batch is encoded when there is nothing else to do."""


class ImageEncoder(Protocol):
    """What turns images into features, and the name its features are cached under."""

    @property
    def key(self) -> str: ...

    def __call__(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """RGB images of any size to their features, (len(images), d)."""


class Embedded(NamedTuple):
    """One photo's outcome; a tuple, which takes a third of the time to make.

    Attributes:
        source: as it was given.
        path: the file, when there is one.
        photo_id: identity of the pixels; ``None`` when there is an error.
        feature: f_v, (d,) float32; ``None`` when there is an error.
        error: why the photo cannot be used.
        fresh: whether the photo had to be decoded; else all was in the cache.
    """

    source: PhotoSource
    path: str | None
    photo_id: str | None = None
    feature: Feature | None = None
    error: PhotoError | None = None
    fresh: bool = False


@dataclass
class _Batch:
    """Some photos on their way; decoding runs while the batch before is encoded."""

    sources: list[PhotoSource]
    paths: list[str | None]
    known: dict[str, Known]
    decoding: dict[int, Future[Read]] = field(default_factory=dict)
    encoding: Future[list[Embedded]] | None = None


def embed_photos(
    sources: Iterable[PhotoSource],
    encoder: ImageEncoder,
    cache: EmbeddingCache,
    *,
    threads: int | None = None,
    keep_unnamed: bool = True,
) -> Iterator[Embedded]:
    """Features of photos, one outcome a source, in the order given; errors are outcomes too.

    Args:
        sources: paths, bytes, images or arrays; read lazily, some batches ahead at most. What they
            raise themselves comes in its turn: after the outcomes of those named before.
        encoder: called only for photos whose features are not cached.
        cache: read and filled.
        threads: that decode and encode; one per processor by default.
        keep_unnamed: also keep features of photos that come from no file.
    """
    pool = ThreadPoolExecutor(threads or os.cpu_count(), "photos")
    ahead = _Ahead(iter(sources), encoder, cache, pool, keep_unnamed)
    try:
        while (batch := ahead.next_batch()) is not None:
            yield from batch
    finally:  # whoever stops early does not wait for photos that nobody will see
        pool.shutdown(cancel_futures=True)


class _Ahead:
    """The batches on their way, oldest first.

    Decoding and encoding are jobs of one pool, each on one thread, so that all processors are
    busy whichever of the two takes longer and no thread waits for others within a job. Only what
    comes alone, like a single photo, is encoded on all threads.
    """

    def __init__(
        self,
        sources: Iterator[PhotoSource],
        encoder: ImageEncoder,
        cache: EmbeddingCache,
        pool: ThreadPoolExecutor,
        keep_unnamed: bool,
    ) -> None:
        self._sources, self._encoder, self._cache, self._pool = sources, encoder, cache, pool
        self._keep_unnamed = keep_unnamed
        self._batches: deque[_Batch] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._loaded = False

    def next_batch(self) -> Iterable[Embedded] | None:
        """What became of the oldest batch; ``None`` after the last."""
        self._fill()
        if not self._batches:
            if self._failure is not None:
                raise self._failure
            return None
        self._encode_ahead()
        batch = self._batches.popleft()
        if batch.encoding is not None:
            return batch.encoding.result()
        # The first to be encoded loads the encoder, while others are being decoded.
        self._loaded = self._loaded or bool(batch.decoding)
        return self._finish(batch, alone=bool(self._batches))

    def _fill(self) -> None:
        """Begin to decode further batches, as far ahead as they may lie."""
        most = _AHEAD if self._loaded else _AHEAD_AT_FIRST
        while not self._ended and len(self._batches) < most:
            # Few at a time while photos are decoded, whose images are held; else as many as pay.
            decoding = not self._batches or bool(self._batches[-1].decoding)
            sources = self._next(_BATCH if decoding else _CACHED_BATCH)
            if sources:
                batch = _start(sources, self._cache, self._encoder.key, self._pool.submit)
                self._batches.append(batch)

    def _next(self, count: int) -> list[PhotoSource]:
        sources: list[PhotoSource] = []
        try:
            for source in islice(self._sources, count):
                sources.append(source)  # noqa: PERF402 -- those before an error stay
        except Exception as error:
            self._failure = error
        self._ended = not sources or self._failure is not None
        return sources

    def _encode_ahead(self) -> None:
        """Queue the encoding of batches whose photos will have been decoded by its turn."""
        if not self._loaded or len(self._batches) < 2:
            return
        newest = None if self._ended else self._batches[-1]
        for batch in self._batches:
            if batch.decoding and batch.encoding is None and batch is not newest:
                batch.encoding = self._pool.submit(self._finish, batch, alone=True)

    def _finish(self, batch: _Batch, *, alone: bool) -> list[Embedded]:
        """Encode what was decoded; ``alone``: on this thread only."""
        reads, errors = _decoded(batch)
        features = {r.photo_id: r.feature for r in reads.values() if r.feature is not None}
        decoded = [read.photo_id for read in reads.values() if read.feature is None]
        if decoded:  # the same photo may be known from another file, or from the batch before
            features |= self._cache.features(decoded, self._encoder.key)
        fresh = _encode_missing(reads.values(), features, self._encoder, alone)
        seen = [read.seen for read in reads.values() if read.seen is not None]
        in_files = {there.photo_id for there in seen}
        kept = {i: f for i, f in fresh.items() if self._keep_unnamed or i in in_files}
        if kept or seen:
            self._cache.remember(self._encoder.key, kept, seen)
        return _outcomes(batch, reads, errors, features | fresh)


def _start(
    sources: list[PhotoSource],
    cache: EmbeddingCache,
    key: str,
    submit: Callable[..., Future[Read]],
) -> _Batch:
    """Begin to decode what the cache does not know."""
    paths = list(map(path_of, sources))
    known = cache.known([path for path in paths if path is not None], key)
    batch = _Batch(sources, paths, known)
    for i, path in enumerate(paths):
        if path is None or path not in known:
            batch.decoding[i] = submit(read_photo, sources[i], cache, key)
    return batch


def _decoded(batch: _Batch) -> tuple[dict[int, Read], dict[int, PhotoError]]:
    """What was read, and why the rest could not be, by place in the batch."""
    reads: dict[int, Read] = {}
    errors: dict[int, PhotoError] = {}
    for i, decoding in batch.decoding.items():
        try:
            reads[i] = decoding.result()
        except PhotoError as error:
            errors[i] = error
    return reads, errors


def _outcomes(
    batch: _Batch,
    reads: dict[int, Read],
    errors: dict[int, PhotoError],
    features: dict[str, Feature],
) -> list[Embedded]:
    outcomes = []
    for i, (source, path) in enumerate(zip(batch.sources, batch.paths, strict=True)):
        if path in batch.known:
            outcomes.append(Embedded(source, path, *batch.known[path]))
        elif i in errors:
            outcomes.append(Embedded(source, path, error=errors[i], fresh=True))
        else:
            read = reads[i]
            feature, fresh_one = features[read.photo_id], read.feature is None
            outcomes.append(Embedded(source, path, read.photo_id, feature, fresh=fresh_one))
    return outcomes


def _encode_missing(
    photos: Iterable[Read], cached: dict[str, Feature], encoder: ImageEncoder, alone: bool
) -> dict[str, Feature]:
    missing = {
        p.photo_id: p.image for p in photos if p.photo_id not in cached and p.image is not None
    }
    if not missing:
        return {}
    from aesmamba_sdk.model.threads import one_thread  # with torch, for which few runs have to wait

    with one_thread() if alone else nullcontext():
        return dict(zip(missing, encoder(list(missing.values())), strict=True))
