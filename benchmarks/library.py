"""A library scored before: photos a second from the cache, for everyone and for one person.

Its files are empty and its features made up, near those of the model's reference photos: from the
cache no photo is opened. All else is the SDK's own way: the walk through the folder, the check
that files are unchanged, the cache, heads, percentiles and one ``Score`` a photo.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aesmamba_sdk import AesMamba
from aesmamba_sdk.embeddings.cache import Seen
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.photos import photo_version
from aesmamba_sdk.profiles.rating_store import Rating
from aesmamba_sdk.scores import UNIT_SCORES
from benchmarks.options import Options
from benchmarks.timing import interleaved, threads

WANTED = 20_000
USER, _RATINGS = "alice", 100
_SPREAD = 0.01


def measure(options: Options) -> Result:
    """``options.cached`` photos, on the most threads."""
    table = Table(
        f"A library of {options.cached} photos from the cache", ("for", "method", "photos/s")
    )
    count = options.most_threads
    with (
        tempfile.TemporaryDirectory(prefix="aesmamba-bench-") as place,
        threads(count),
        AesMamba(device="cpu", home=Path(place, "home"), threads=count) as sdk,
    ):
        library = Path(place, "library")
        fill(sdk, library, options.cached)
        method = sdk.personalize(USER).method
        calls = {
            user: lambda user=user: _score(sdk, library, user or None, options.cached)
            for user in ("", USER)
        }
        rates = {
            user: options.cached / timing.seconds
            for user, timing in interleaved(calls, options.budget(4.0)).items()
        }
    table.add("everyone", "generic", rates[""])
    table.add("one person", method, rates[USER])
    bar = Bar("photos a second from the cache, for another person", rates[USER], WANTED)
    return Result("library", tables=[table], bars=[bar])


def fill(sdk: AesMamba, library: Path, count: int) -> None:
    """Files, their features in the cache, and a person with ratings of some."""
    backbone, rng = sdk.backbone, np.random.default_rng(0)
    reference = backbone.reference
    if reference is None:
        raise SetupError(f"model {backbone.config.name!r} has no reference photos")
    library.mkdir()
    paths = [library / f"{i:06}.jpg" for i in range(count)]
    for path in paths:
        path.touch()
    near = reference[np.arange(count) % len(reference)]
    features = (near + _SPREAD * rng.standard_normal(near.shape)).astype(np.float32)
    seen = [
        Seen(str(path), version, path.stem)
        for path in paths
        if (version := photo_version(path)) is not None
    ]
    named = {path.stem: feature for path, feature in zip(paths, features, strict=True)}
    sdk.embeddings.remember(backbone.key, named, seen)
    sdk.users.add(USER)
    sdk.ratings.save(USER, [_rating(path, int(rng.integers(1, 6))) for path in paths[:_RATINGS]])


def _rating(path: Path, stars: int) -> Rating:
    return Rating(
        photo_id=path.stem,
        path=str(path),
        score=float(stars),
        raw_score=float(stars),
        raw_scale=UNIT_SCORES,
        attributes={},
        source="benchmark",
        group="",
        rated_at=datetime.now(UTC),
    )


def _score(sdk: AesMamba, library: Path, user: str | None, count: int) -> None:
    scored = sum(score.value is not None for score in sdk.score_many(library, user=user))
    if scored != count:
        raise AssertionError(f"{scored} of {count} photos were scored")
