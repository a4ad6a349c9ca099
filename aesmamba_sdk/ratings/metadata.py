"""Stars that photo apps gave, from sidecars and the photos' own metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.photos import EVERYTHING, Selection, iter_photos
from aesmamba_sdk.ratings.rated import RatedPhoto, RatedPhotos, RatingProblem
from aesmamba_sdk.scores import UNIT_SCORES
from aesmamba_sdk.xmp.choices import PICKS, REJECTS, Picks, Rejects
from aesmamba_sdk.xmp.opinion import read_opinion
from aesmamba_sdk.xmp.sidecars import Sidecars


def read_metadata(
    photos: Iterable[Path],
    *,
    rejects: Rejects = "skip",
    picks: Picks = "skip",
    unrated: float = 0.0,
    selection: Selection = EVERYTHING,
) -> RatedPhotos:
    """Read what people said of photos; :mod:`aesmamba_sdk.xmp.opinion` says which source counts.

    Args:
        photos: files and folders, searched as for scoring.
        rejects: ``"lowest"`` counts rejected photos as one star. They are left out by default:
            people reject blurred shots and spare copies, which says little about their taste.
        picks: ``"highest"`` counts photos that were picked, or are favourites, and have no stars
            as five stars.
        unrated: stars that mean nothing, e.g. 1 where darktable gives each imported photo one.
        selection: which files of folders to take.

    Raises:
        RatingsError: ``rejects`` or ``picks`` is something else.
    """
    if rejects not in REJECTS:
        raise RatingsError(f"rejects={rejects!r} is none of: {', '.join(REJECTS)}")
    if picks not in PICKS:
        raise RatingsError(f"picks={picks!r} is none of: {', '.join(PICKS)}")
    items: list[RatedPhoto] = []
    problems: list[RatingProblem] = []
    without_stars = rejected = picked = 0
    sidecars = Sidecars()
    for photo in iter_photos(photos, selection):
        opinion = read_opinion(photo, sidecars)
        problems += [RatingProblem(str(photo), text) for text in opinion.problems]
        source = opinion.source
        stars = None if opinion.stars == unrated else opinion.stars
        if opinion.rejected and rejects == "lowest":
            stars = UNIT_SCORES.low
        elif opinion.picked and stars is None and not opinion.rejected and picks == "highest":
            stars, source = UNIT_SCORES.high, opinion.picked
        if stars is not None:
            items.append(RatedPhoto(photo, stars, UNIT_SCORES, source=source))
        elif opinion.rejected:
            rejected += 1
        else:
            without_stars += 1
            picked += bool(opinion.picked)
    return RatedPhotos(_with_twins(items), problems, _notes(without_stars, picked, rejected))


def _with_twins(items: list[RatedPhoto]) -> list[RatedPhoto]:
    """Raw file and JPEG of one shot belong together."""
    shots = Counter(item.path.with_suffix("") for item in items)
    return [
        replace(item, group=str(shot)) if shots[shot := item.path.with_suffix("")] > 1 else item
        for item in items
    ]


def _notes(without_stars: int, picked: int, rejected: int) -> list[str]:
    notes = []
    if without_stars:
        notes.append(f"{without_stars} photos without stars are left out")
    if picked:
        notes.append(f"{picked} of these were picked; --picks highest counts them as 5")
    if rejected:
        notes.append(f"{rejected} rejected photos are left out; --rejects lowest counts them as 1")
    return notes
