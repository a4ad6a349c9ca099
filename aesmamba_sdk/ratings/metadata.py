"""Stars that photo apps gave, from sidecars and the photos' own metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.photos import iter_photos
from aesmamba_sdk.ratings.rated import RatedPhoto, RatedPhotos, RatingProblem
from aesmamba_sdk.scores import UNIT_SCORES
from aesmamba_sdk.xmp.choices import REJECTS, Rejects
from aesmamba_sdk.xmp.opinion import read_opinion
from aesmamba_sdk.xmp.sidecars import Sidecars


def read_metadata(
    photos: Iterable[Path], *, rejects: Rejects = "skip", unrated: float = 0.0
) -> RatedPhotos:
    """Read what people said of photos; :mod:`aesmamba_sdk.xmp.opinion` says which source counts.

    Args:
        photos: files and folders, searched as for scoring.
        rejects: ``"lowest"`` counts rejected photos as one star. They are left out by default:
            people reject blurred shots and spare copies, which says little about their taste.
        unrated: stars that mean nothing, e.g. 1 where darktable gives each imported photo one.

    Raises:
        RatingsError: ``rejects`` is something else.
    """
    if rejects not in REJECTS:
        raise RatingsError(f"rejects={rejects!r} is none of: {', '.join(REJECTS)}")
    items: list[RatedPhoto] = []
    problems: list[RatingProblem] = []
    without_stars = rejected = 0
    sidecars = Sidecars()
    for photo in iter_photos(photos):
        opinion = read_opinion(photo, sidecars)
        problems += [RatingProblem(str(photo), text) for text in opinion.problems]
        stars = UNIT_SCORES.low if opinion.rejected and rejects == "lowest" else opinion.stars
        if opinion.rejected and stars is None:
            rejected += 1
        elif stars is None or (stars == unrated and not opinion.rejected):
            without_stars += 1
        else:
            items.append(RatedPhoto(photo, stars, UNIT_SCORES, source=opinion.source))
    return RatedPhotos(_with_twins(items), problems, _notes(without_stars, rejected))


def _with_twins(items: list[RatedPhoto]) -> list[RatedPhoto]:
    """Raw file and JPEG of one shot belong together."""
    shots = Counter(item.path.with_suffix("") for item in items)
    return [
        replace(item, group=str(shot)) if shots[shot := item.path.with_suffix("")] > 1 else item
        for item in items
    ]


def _notes(without_stars: int, rejected: int) -> list[str]:
    notes = []
    if without_stars:
        notes.append(f"{without_stars} photos without stars are left out")
    if rejected:
        notes.append(f"{rejected} rejected photos are left out; --rejects lowest counts them as 1")
    return notes
