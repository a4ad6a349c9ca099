"""A folder's scores as one page: what is on it, and the file. How it looks is in ``static``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.errors import PhotoError, SetupError
from aesmamba_sdk.explain.explainer import explain_photo, thin_evidence
from aesmamba_sdk.explain.heatmap import heat_map
from aesmamba_sdk.explain.taste import attribute_ranks, liked_attributes, split_scores
from aesmamba_sdk.pages.assets import joined, self_contained
from aesmamba_sdk.pages.names import common_folder, name_below
from aesmamba_sdk.pages.thumbnails import as_address, side_for, thumbnails
from aesmamba_sdk.paths import printable, replace_file
from aesmamba_sdk.photos import load_photo
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Score, ScoreFailure
from aesmamba_sdk.scoring import Scoring

MOST_PHOTOS = 20_000
"""On one page: browsers begin to take seconds to open it."""
STYLES = ("base.css", "sheet.css", "report.css")
SCRIPTS = (
    "dom.js",
    "theme.js",
    "report-data.js",
    "charts.js",
    "sheet.js",
    "detail.js",
    "report.js",
)

Pair = tuple[Embedded, Embedded]


@dataclass(frozen=True)
class WrittenReport:
    """A page that was written.

    Attributes:
        file: the page.
        photos: how many are on it.
        failures: of photos that could not be scored; they are listed on it.
        explained: how many have a map of their regions.
        size: in bytes.
    """

    file: Path
    photos: int
    failures: list[ScoreFailure]
    explained: int
    size: int


@dataclass(frozen=True)
class _Named:
    """A photo by the name the page gives it."""

    name: str
    pair: Pair
    score: Score

    def failure(self) -> dict[str, str]:
        """Its name and reason, which leaves out where the folder lies: pages travel."""
        assert self.score.error is not None
        message = self.score.error.message.replace(self.score.path or self.name, self.name)
        return {"name": printable(self.name), "message": printable(message)}


def write_report(
    scoring: Scoring,
    photos: Iterable[Pair],
    file: Path,
    *,
    regions: int = 6,
    ratings: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> WrittenReport:
    """Score photos and write the page; an earlier file is replaced whole or not at all.

    Args:
        scoring: whose scores; with attributes.
        photos: as the shared encoder and as the person's sees them.
        file: the page.
        regions: so many photos, the best and the worst, get a map of their regions: each is
            encoded some forty times for it.
        ratings: the person's own, 1-5, by photo id.
        progress: is told ``"photos"``, ``"thumbnails"`` and ``"regions"``.
        threads: that decode.

    Raises:
        SetupError: there are no photos or too many for a page, or the file cannot be written.
        PhotoError: none of the photos can be scored.
    """
    _check_target(file)
    tell = progress or (lambda what, done, total: None)
    pairs = _collected(photos, tell)
    scores = list(scoring.score(pairs))
    folder = common_folder(score.path for score in scores if score.path is not None)
    names = (
        f"photo {i}" if score.path is None else name_below(folder, score.path)
        for i, score in enumerate(scores, 1)
    )
    named = list(map(_Named, names, pairs, scores))
    shown = [photo for photo in named if photo.score.value is not None]
    failed = [photo for photo in named if photo.score.error is not None]
    failures = [photo.score.error for photo in failed if photo.score.error is not None]
    if not shown:
        more = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
        raise PhotoError(
            f"{file} is not written, as no photo could be scored: {failures[0].message}{more}",
            code="no_photo_scored",
        )
    maps = _region_maps(scoring, shown, regions, tell)
    title = os.path.basename(folder) or "photos"  # noqa: PTH119 -- of text, like the names
    page = self_contained(
        "report.html",
        title=f"{title}: aesmamba report",
        styles=joined(*STYLES),
        script=joined(*SCRIPTS),
        data=_overview(scoring, title)
        | _columns(scoring, shown, file, ratings or {})
        | _pictures(shown, tell, threads)
        | {"maps": maps, "failed": [photo.failure() for photo in failed]},
    )
    return WrittenReport(
        file,
        photos=len(shown),
        failures=failures,
        explained=len(maps),
        size=_replace(file, page),
    )


def _collected(photos: Iterable[Pair], tell: Progress) -> list[Pair]:
    pairs: list[Pair] = []
    for pair in photos:
        pairs.append(pair)
        tell("photos", len(pairs), 0)
        if len(pairs) > MOST_PHOTOS:
            raise SetupError(
                f"more than {MOST_PHOTOS:,} photos are too many for one page: report on folders "
                "within",
                code="report_too_large",
            )
    if not pairs:
        raise SetupError("no photos to report on: name a folder that holds some", code="no_photos")
    return pairs


def _check_target(file: Path) -> None:
    """Refuse, before anything is computed, what could not or should not be written.

    Raises:
        SetupError: it is not named like a page, or its folder is missing.
    """
    if file.suffix.lower() not in (".html", ".htm"):
        raise SetupError(f"{file}: name the page .html", code="report_format")
    if not file.parent.is_dir():
        raise SetupError(
            f"{file} cannot be written: the folder {file.parent} does not exist",
            code="report_unwritable",
        )


def _overview(scoring: Scoring, title: str) -> dict[str, Any]:
    """What holds for the whole page."""
    config, personal = scoring.backbone.config, scoring.personal
    likes = None if personal is None else liked_attributes(personal)
    return {
        "title": printable(title),
        "user": scoring.user,
        "method": None if personal is None else personal.record.method,
        "shots": None if personal is None else personal.record.shots,
        "model": scoring.backbone.id,
        "made": datetime.now().astimezone().isoformat(timespec="minutes"),
        "scale": [config.scale.low, config.scale.high],
        "attributes": list(config.attributes),
        "likes": None if likes is None else [[n, round(r, 2)] for n, r in likes.items()],
        "notes": thin_evidence(scoring),
    }


def _columns(
    scoring: Scoring, shown: Sequence[_Named], file: Path, ratings: Mapping[str, float]
) -> dict[str, Any]:
    """One list a fact, photos in order; ``None`` for a fact that does not apply."""
    scores = [photo.score for photo in shown]
    attributes = [list((score.attributes or {}).values()) for score in scores]
    columns: dict[str, Any] = {
        "names": [printable(photo.name) for photo in shown],
        "links": [_link(score.path, file) for score in scores],
        "values": _rounded(score.value for score in scores),
        "percentiles": _rounded(score.percentile for score in scores),
        "attributeScores": list(map(_rounded, attributes)),
        "ratings": [ratings.get(photo.pair[0].photo_id or "") for photo in shown],
    }
    columns |= dict.fromkeys(("generic", "deviations", "splits", "ranks"))
    if scoring.user is not None:
        columns["generic"] = _rounded(score.generic for score in scores)
    generic = np.array(attributes, np.float32)
    ranks = attribute_ranks(scoring.backbone, generic)
    if ranks is not None:
        columns["ranks"] = [_rounded(row) for row in ranks.tolist()]
    if scoring.personal is not None:
        columns["deviations"] = _rounded(score.std for score in scores)
        own = [photo.pair[1].feature for photo in shown if photo.pair[1].feature is not None]
        splits = split_scores(scoring.personal, np.stack(own), generic[:, 0])
        columns["splits"] = [_rounded((s.offset, s.slope, s.taste, s.cut)) for s in splits]
    return columns


def _pictures(shown: Sequence[_Named], tell: Progress, threads: int | None) -> dict[str, Any]:
    """Thumbnails and their sizes."""
    found = []
    sources = [photo.pair[0].source for photo in shown]
    for done, picture in enumerate(thumbnails(sources, side_for(len(sources)), threads), 1):
        found.append(picture)
        tell("thumbnails", done, len(sources))
    return {
        "thumbnails": [None if p is None else p.address for p in found],
        "sizes": [None if p is None else [p.width, p.height] for p in found],
    }


def _region_maps(
    scoring: Scoring, shown: Sequence[_Named], count: int, tell: Progress
) -> dict[int, str]:
    """Maps of the best and the worst photos, half each, by their number on the page."""
    order = sorted(range(len(shown)), key=lambda i: -shown[i].score.order)
    count = min(count, len(order))
    chosen = order[: count - count // 2] + order[len(order) - count // 2 :]
    maps = {}
    for done, i in enumerate(chosen, 1):
        pair = shown[i].pair
        try:
            image = load_photo(pair[0].source).image
            maps[i] = as_address(heat_map(image, explain_photo(scoring, pair, image)))
        except PhotoError:  # gone since it was scored: the page is worth having all the same
            continue
        tell("regions", done, len(chosen))
    return maps


def _link(path: str | None, file: Path) -> str | None:
    """Where the original is, seen from the page; the names in it are escaped."""
    if path is None:
        return None
    try:
        relative = os.path.relpath(path, file.parent)
    except ValueError:  # on another drive
        return Path(path).absolute().as_uri()
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")))


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(float(value), 3) for value in values]


def _replace(file: Path, page: str) -> int:
    """Write the page; its size in bytes."""
    data = page.encode("utf-8")
    try:
        replace_file(file, data)
    except OSError as error:
        raise SetupError(
            f"{file} cannot be written: {error.strerror or error}", code="report_unwritable"
        ) from error
    return len(data)
