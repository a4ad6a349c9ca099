"""What ``aesmamba demo`` tells, chapter by chapter, through the same API an app would use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from aesmamba_sdk.cli.output import console, percent, write_table
from aesmamba_sdk.cli.personalize import describe
from aesmamba_sdk.cli.sample_photos import Taste, write_photos, write_ratings, write_trip
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.scores import Score
from aesmamba_sdk.sdk import AesMamba

_PEOPLE: dict[str, dict[str, Any]] = {
    "alice": {"photo_experience": "beginner", "openness": 8, "extroversion": 9},
    "bob": {"photo_experience": "expert", "art_experience": "proficient", "neuroticism": 6},
}
_TASTES = {"alice": Taste(light=1.0, color=1.0), "bob": Taste(light=-1.0, color=-1.0)}
_RATINGS = {"alice": "rated", "bob": "bob.csv"}  # the folder that holds a table, or a table
_TOP = 6


def tell_story(keep: str | None, model: str | None, device: str, threads: int | None) -> None:
    """Tell it in a temporary home, or in ``keep``.

    Raises:
        SetupError: ``keep`` holds something already.
    """
    started = time.monotonic()
    if keep and Path(keep).is_dir() and any(Path(keep).iterdir()):
        raise SetupError(
            f"{keep} is not empty: give --keep a new folder, or remove this one first",
            code="demo_folder_taken",
        )
    with tempfile.TemporaryDirectory(prefix="aesmamba-demo-") as temporary:
        place = Path(keep or temporary)
        with AesMamba(model, device=device, home=place / "home", threads=threads) as sdk:
            _tell(sdk, place)
        if keep:
            write_trip(place / "trip", place / "album")
    console().print(f"\nThe whole story took {time.monotonic() - started:.0f} s.")


def _tell(sdk: AesMamba, place: Path) -> None:
    album, rated = place / "album", place / "rated"
    write_photos(album, rated=False)
    write_photos(rated, rated=True)
    generic = _score_album(sdk, album)
    _meet_people(sdk)
    personal = {}
    for number, name in enumerate(_PEOPLE, 3):
        _personalize(sdk, number, name, place)
        personal[name] = sdk.rank(album, user=name)
    _compare(generic, personal)


def _score_album(sdk: AesMamba, album: Path) -> list[Score]:
    _chapter("1. What everyone likes", "aesmamba rank album")
    ranked = sdk.rank(album, attributes=True)
    rows: list[list[Any]] = [
        [i, _name(s), s.value, percent(s.percentile)] for i, s in enumerate(ranked, 1)
    ]
    shown = [*rows[:_TOP], ["", "…", "", ""], *rows[-2:]]
    write_table("", ["#", "Photo", f"Score ({ranked[0].scale})", "Percentile"], shown)
    attributes = ranked[0].attributes or {}
    said = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in attributes.items())
    console().print(f"{_name(ranked[0])}: {said}")
    return ranked


def _meet_people(sdk: AesMamba) -> None:
    _chapter("2. Two people", "aesmamba user add alice --openness 8 …")
    for name, traits in _PEOPLE.items():
        person = sdk.users.add(name, **traits)
        console().print(f"{name}: {SubjectPrompt(person.traits).for_model()}")
    console().print(
        "alice likes photos bright and colourful, bob dark and quiet. Nobody tells the model."
    )


def _personalize(sdk: AesMamba, number: int, name: str, place: Path) -> None:
    title = f"{number}. Learning from {name}'s ratings elsewhere"
    _chapter(title, f"aesmamba personalize {name} {_RATINGS[name]}")
    source = place / _RATINGS[name]
    table = source / "ratings.csv" if source.is_dir() else source
    write_ratings(place / "rated", _TASTES[name], table)
    console().print(describe(sdk.personalize(name, source)))


def _compare(generic: list[Score], personal: Mapping[str, list[Score]]) -> None:
    _chapter("5. The same album, for each of them", "aesmamba rank album --user alice")
    columns = {"generic": generic, **personal}
    rows = [[i + 1, *(_name(ranked[i]) for ranked in columns.values())] for i in range(_TOP)]
    write_table("Best photos", ["#", *columns], rows)
    rows = []
    for name, taste in _TASTES.items():
        wanted = {s.path: _liking(s, taste) for s in generic}
        agreement = [_agreement(ranked, wanted) for ranked in columns.values()]
        rows.append([f"{name}'s own view", *agreement])
    write_table("Rank correlation with what they would have said", ["", *columns], rows)


def _agreement(ranked: list[Score], wanted: Mapping[str | None, float]) -> float:
    return srcc([s.value or 0.0 for s in ranked], [wanted[s.path] for s in ranked])


def _liking(score: Score, taste: Taste) -> float:
    assert score.path is not None
    with Image.open(score.path) as image:
        return taste.rate(image, noise=0.0)


def _name(score: Score) -> str:
    return Path(score.path or "").stem


def _chapter(title: str, command: str) -> None:
    console().print(f"\n[bold]{title}[/bold]   [dim]$ {command}[/dim]")
