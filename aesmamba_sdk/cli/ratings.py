"""``aesmamba ratings``: what people rated; torch is loaded by ``import`` alone."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aesmamba_sdk.cli.output import (
    Format,
    chosen_format,
    format_option,
    model_options,
    progress_bar,
    rating_options,
    tell,
    tell_left_out,
    write_records,
)
from aesmamba_sdk.cli.output import write_table as show_table
from aesmamba_sdk.cli.selection import PHOTO, selection_options
from aesmamba_sdk.errors import PhotoError, RatingsError
from aesmamba_sdk.scores import ATTRIBUTES, Scale
from aesmamba_sdk.sdk import AesMamba

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection
    from aesmamba_sdk.profiles.rating_store import Rating

RATING_COLUMNS = (
    "photo_id",
    "path",
    "score",
    "raw_score",
    "raw_scale",
    "source",
    "group",
    "rated_at",
    *(f"attributes.{name}" for name in ATTRIBUTES),
)


@click.group()
def ratings() -> None:
    """What people rated: import, list, remove."""


@ratings.command("import")
@click.argument("user")
@click.argument("sources", nargs=-1, required=True, type=PHOTO)
@rating_options
@selection_options
@click.option("--dry-run", is_flag=True, help="Only show what would be kept.")
@format_option
@model_options
def import_(
    user: str,
    sources: tuple[Path, ...],
    scale: Scale | None,
    rejects: Any,
    picks: Any,
    unrated: float,
    selection: Selection,
    dry_run: bool,
    form: Format | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Keep USER's ratings of photos, to learn from later.

    The next `aesmamba personalize USER` does.

    SOURCES are photos, or folders of photos, with stars in their metadata or sidecars; folders with
    ratings.csv, ratings.json or star folders 1 to 5; or such tables.

    \b
    Example:
      aesmamba ratings import alice ~/Pictures/2023 ~/Pictures/2024
      aesmamba ratings import alice ~/Pictures --include '2024/*' --picks highest --dry-run
    """
    with AesMamba(model, device=device, threads=threads) as sdk, progress_bar() as progress:
        found = sdk.import_ratings(
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
    tell_left_out(found.problems, found.notes)
    _show(user, list(found.ratings.values()), form)
    tell("dry run, nothing kept" if dry_run else f"kept {len(found.ratings)} ratings of {user}")


@ratings.command("list")
@click.argument("user")
@format_option
def list_(user: str, form: Format | None) -> None:
    """List what USER rated, oldest first.

    \b
    Example:
      aesmamba ratings list alice
    """
    with AesMamba() as sdk:
        found = sorted(sdk.ratings.list(user), key=lambda rating: (rating.rated_at, rating.path))
    _show(user, found, form)


def _show(user: str, found: list[Rating], form: Format | None) -> None:
    if chosen_format(form) == "table":
        rows = [[r.path, r.score, f"{r.rated_at:%Y-%m-%d %H:%M}", r.source] for r in found]
        show_table(f"{user}: {len(found)} ratings", ["Photo", "Score", "Rated", "From"], rows)
    else:
        write_records((rating.to_dict() for rating in found), chosen_format(form), RATING_COLUMNS)


@ratings.command()
@click.argument("user")
@click.argument("photos", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every rating of this person.")
def remove(user: str, photos: tuple[str, ...], everything: bool) -> None:
    """Forget USER's ratings of PHOTOS, named by path or photo id.

    A photo that was moved or changed its name since is known by what it shows.

    A personal model that learned from them serves until the next `aesmamba personalize`, or until
    `aesmamba user models USER --generic`.

    \b
    Example:
      aesmamba ratings remove alice ./photos/beach.jpg
    """
    if bool(photos) == everything:
        raise click.UsageError("name the photos, or say --all")
    with AesMamba() as sdk:
        known = sdk.ratings.list(user)
        doomed = None if everything else {_find(photo, known, user) for photo in photos}
        count = sdk.ratings.remove(user, doomed)
        model = sdk.models.active(user)
    tell(f"removed {count} rating(s) of {user}")
    if count and model is not None:
        tell(
            f"model v{model.version} may have learned from them and still serves: `aesmamba "
            f"personalize {shlex.quote(user)}` learns anew, `aesmamba user models "
            f"{shlex.quote(user)} --generic` lets none serve"
        )


def _find(photo: str, known: list[Rating], user: str) -> str:
    path = os.path.abspath(photo)  # noqa: PTH100 -- as ratings keep it: links are not followed
    for rating in known:
        if photo == rating.photo_id or path == os.path.abspath(rating.path):  # noqa: PTH100
            return rating.photo_id
    shown = _shown(path)
    if any(rating.photo_id == shown for rating in known):
        return shown
    raise RatingsError(f"{user} has not rated {photo}: `aesmamba ratings list {user}` shows what")


def _shown(path: str) -> str:
    """The photo id of what is in a file; empty where that is no photo."""
    from aesmamba_sdk.photos import load_photo  # with Pillow

    try:
        return load_photo(path).photo_id
    except PhotoError:
        return ""
