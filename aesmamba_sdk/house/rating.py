"""What people say of photos, one by one or read from what they rated elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.personalize.support import Gathered, rating_of
from aesmamba_sdk.photos import EVERYTHING, PhotoSource, Selection
from aesmamba_sdk.profiles.rating_store import Rating
from aesmamba_sdk.ratings import read_ratings
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.xmp.choices import Picks, Rejects


def rate(
    house: House,
    user: str,
    photo: PhotoSource,
    score: float,
    scale: Scale,
    *,
    name: str,
    source: str,
    group: str,
) -> Rating:
    """See :meth:`aesmamba_sdk.AesMamba.rate`."""
    person = house.users.get(user)
    embedded = next(house.stream([photo]))
    rating = rating_of(embedded, score, scale, name=name, source=source, group=group)
    kept: dict[str, bytes] = {}
    if embedded.path is None and embedded.feature is not None:  # it cannot be read again
        kept[rating.photo_id] = embedded.feature.tobytes()
    house.ratings.save(
        person.name,
        [rating],
        added=person.created_at,
        features=kept,
        encoder=house.backbone.key,
    )
    return rating


def import_ratings(
    house: House,
    user: str,
    *sources: str | os.PathLike[str],
    scale: Scale | None,
    rejects: Rejects,
    picks: Picks,
    unrated: float,
    dry_run: bool,
    progress: Progress | None,
    selection: Selection = EVERYTHING,
) -> Gathered:
    """See :meth:`aesmamba_sdk.AesMamba.import_ratings`."""
    person = house.users.get(user)
    read = read_ratings(
        *map(Path, sources),
        scale=scale,
        rejects=rejects,
        picks=picks,
        unrated=unrated,
        selection=selection,
    )
    gathered = Gathered(
        problems=[f"{problem.where}: {problem.message}" for problem in read.problems],
        notes=list(read.notes),
    )
    gathered.add_rated(read.items, house.telling(progress))
    if not dry_run:
        house.ratings.save(person.name, gathered.ratings.values(), added=person.created_at)
    return gathered
