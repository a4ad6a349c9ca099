"""``aesmamba score`` and ``aesmamba rank``."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from aesmamba_sdk.cli.actions import NO_ACTIONS, Actions, action_options
from aesmamba_sdk.cli.cluster import Engine, engine_options, score_on_cluster
from aesmamba_sdk.cli.output import (
    CELL_MARGIN,
    SOME_FAILED,
    TEXT_WIDTH,
    Format,
    chosen_format,
    console,
    format_option,
    model_options,
    not_nan,
    percent,
    progress_bar,
    tell,
    write_records,
    write_table,
)
from aesmamba_sdk.cli.selection import no_photos, photo_progress, selection_options, stopped
from aesmamba_sdk.scores import ATTRIBUTES, Score, ranked

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection
    from aesmamba_sdk.sdk import AesMamba
    from aesmamba_sdk.similar.photos import Similar

_COLUMNS = ("path", "schema", "model", "user", "value", "scale", "percentile", "generic", "std")
CSV_COLUMNS = (
    *_COLUMNS,
    "method",
    *(f"attributes.{name}" for name in ATTRIBUTES),
    "error.code",
    "error.message",
)
GROUP_COLUMNS = ("group", "similarity", *CSV_COLUMNS)
_PHOTO = click.Path(readable=False)  # as elsewhere, but as text: it may be a URI
_PHOTO_WIDTH = 24  # beside columns of attributes


@dataclass(frozen=True)
class _Request:
    """What both commands are asked for."""

    photos: Sequence[str]
    user: str | None
    attributes: bool
    text: str | None
    selection: Selection
    actions: Actions
    form: Format
    model: str | None
    device: str
    threads: int | None

    def open(self) -> AesMamba:
        from aesmamba_sdk.sdk import AesMamba

        return AesMamba(self.model, device=self.device, threads=self.threads)

    def scores(self, sdk: AesMamba) -> Iterator[Score]:
        """Scores of what was named; no photo at all is an error, not an empty success."""
        empty = True
        for s in sdk.score_many(
            self.photos,
            user=self.user,
            attributes=self.attributes,
            text=self.text,
            selection=self.selection,
        ):
            empty = False
            yield s
        if empty:
            raise no_photos(self.photos)

    def spread(self, engine: Engine) -> bool:
        """Score on a cluster; whether all photos have a score."""
        if self.actions.wanted or self.actions.top or self.actions.min_score is not None:
            raise click.UsageError("--engine ray only scores: choose and act on its Parquet files")
        with self.open() as sdk:
            return score_on_cluster(
                sdk,
                engine,
                self.photos,
                self.form,
                user=self.user,
                attributes=self.attributes,
                text=self.text,
                selection=self.selection,
                device=self.device,
                threads=self.threads,
            )

    def answer(self, scores: Iterable[Score], *, numbered: bool) -> int:
        """Print scores, and do with their photos what was asked; returns how often that failed."""
        if not self.actions.wanted:
            self._write(scores, numbered=numbered)
            return 0
        kept = list(scores)
        if not self.actions.dry_run:
            self._write(kept, numbered=numbered)
        return self.actions.carry_out(kept, self.form)

    def _write(self, scores: Iterable[Score], *, numbered: bool) -> None:
        if self.form == "table":
            _write_table(list(scores), numbered=numbered)
        else:
            records = (s.to_dict() for s in scores)
            write_records(records, self.form, CSV_COLUMNS, at_once=isinstance(scores, Sequence))


def _photo_command(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options that :class:`_Request` holds."""

    @click.argument("photos", nargs=-1, required=True, type=_PHOTO)
    @click.option("--user", help="Whose taste; nobody's by default.")
    @click.option("--attributes", is_flag=True, help="Also the nine attributes.")
    @click.option("--text", help="What is said of the photos, for models trained on captions.")
    @selection_options
    @action_options
    @format_option
    @model_options
    @click.pass_context
    @functools.wraps(command)
    def run(context: click.Context, /, **options: Any) -> None:
        fields = {field.name: options.pop(field.name) for field in dataclasses.fields(_Request)}
        fields["form"] = chosen_format(fields["form"])
        fields["selection"] = fields["actions"].narrow(fields["selection"], fields["photos"])
        request = _Request(**fields)
        command(context, request, **options)

    return run


@click.command()
@_photo_command
@engine_options
def score(context: click.Context, request: _Request, engine: Engine) -> None:
    """Score photos and folders of photos, in order.

    \b
    Example:
      aesmamba score ~/Pictures/trip --format csv > scores.csv
      aesmamba score beach.jpg --attributes
      aesmamba score ~/Pictures/trip --write-xmp --stars quantiles --dry-run
      aesmamba score beach.jpg --text "I love this light" --model runs/miaa/model
      aesmamba score s3://bucket/photos --engine ray --output ./scores
    """
    from aesmamba_sdk.culling import chosen

    if engine.name == "ray":
        context.exit(0 if request.spread(engine) else SOME_FAILED)
    with request.open() as sdk, _Tally() as tally:
        scores = request.actions.watch(tally.count(request, sdk))
        kept = chosen(scores, min_score=request.actions.min_score, top=request.actions.top)
        tally.undone = request.answer(kept, numbered=False)
    context.exit(tally.exit_code)


@click.command()
@_photo_command
@click.option("--distinct", is_flag=True, help="Of photos that show the same, only the best.")
def rank(context: click.Context, request: _Request, distinct: bool) -> None:
    """Rank photos from best to worst.

    \b
    Example:
      aesmamba rank ~/Pictures/trip --user alice --top 20
      aesmamba rank ~/Pictures/trip --distinct --top 20 --copy-to ~/Pictures/best
    """
    from aesmamba_sdk.culling import chosen

    with request.open() as sdk, _Tally() as tally:
        scores = request.actions.watch(tally.count(request, sdk))
        kept = chosen(scores, min_score=request.actions.min_score)
        kept = _best_of_similar(kept, sdk) if distinct else kept
        tally.undone = request.answer(ranked(kept, request.actions.top), numbered=True)
    context.exit(tally.exit_code)


@click.command()
@click.argument("photos", nargs=-1, required=True, type=_PHOTO)
@click.option("--user", help="Whose taste says which is best; nobody's by default.")
@click.option(
    "--min-similarity",
    type=click.FloatRange(0.5, 1),
    callback=not_nan,
    help="To the best of a group. Default: 0.8; 0.15 less within a minute.",
)
@selection_options
@format_option
@model_options
@click.pass_context
def duplicates(
    context: click.Context,
    /,
    min_similarity: float | None,
    form: Format | None,
    **options: Any,
) -> None:
    """Find photos that show the same: copies, crops, bursts.

    The best of each group comes first.

    \b
    Example:
      aesmamba duplicates ~/Pictures/trip
      aesmamba duplicates ~/Pictures --user alice --format csv > groups.csv
    """
    request = _Request(
        **options, attributes=False, text=None, actions=NO_ACTIONS, form=chosen_format(form)
    )
    with request.open() as sdk, _Tally() as tally:
        scores = list(tally.count(request, sdk))
        with progress_bar() as progress:
            found = sdk.group_similar(scores, min_similarity=min_similarity, progress=progress)
    groups = [group for group in found if len(group) > 1]
    _write_groups(groups, request.form)
    more = sum(map(len, groups)) - len(groups)
    tell(f"{len(groups)} groups; {more} of {tally.scored} photos show what a better one shows")
    context.exit(tally.exit_code)


def _best_of_similar(scores: Iterable[Score], sdk: AesMamba) -> Iterator[Score]:
    """The best of each group, and all errors."""
    scores = list(scores)
    with progress_bar() as progress:
        groups = sdk.group_similar(scores, progress=progress)
    yield from (group[0].score for group in groups)
    yield from (s for s in scores if s.value is None)


def _write_groups(groups: Sequence[Sequence[Similar]], form: Format) -> None:
    numbered = [(i, photo) for i, group in enumerate(groups, 1) for photo in group]
    if form == "table":
        common = _common_folder([p.score for _, p in numbered])
        shown = [
            (i, _below(common, p.score), p.score.value, percent(p.similarity)) for i, p in numbered
        ]
        if shown:
            write_table(f"{common or '.'}: the same", ["Group", "Photo", "Score", "Alike"], shown)
        return
    records = ({"group": i, "similarity": p.similarity} | p.score.to_dict() for i, p in numbered)
    write_records(records, form, GROUP_COLUMNS)


class _Tally:
    """Counts scored and failed photos, names the failures, and knows the exit code."""

    def __init__(self) -> None:
        self.scored = self.failed = self.undone = 0
        self._best = -math.inf

    @property
    def exit_code(self) -> int:
        return SOME_FAILED if self.failed or self.undone else 0

    def count(self, request: _Request, sdk: AesMamba) -> Iterator[Score]:
        """The scores that are asked for."""
        with photo_progress(request.photos, request.selection) as progress:
            for s in request.scores(sdk):
                if s.error is None:
                    self.scored += 1
                    self._best = max(self._best, s.value or 0.0)
                else:
                    self.failed += 1
                    tell(f"skipped: {s.error.message}")
                progress("photos", self.scored + self.failed, 0)
                yield s
        least = request.actions.min_score
        if least is not None and self.scored and self._best < least:
            tell(f"no photo has a score of at least {least:g}: the best has {self._best:.4f}")

    def __enter__(self) -> _Tally:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            raise stopped(self.scored + self.failed)
        if kind is None and self.failed:
            tell(f"{self.failed} of {self.failed + self.scored} photos could not be scored")


def _write_table(scores: Sequence[Score], *, numbered: bool) -> None:
    good = [s for s in scores if s.value is not None]
    if not good:
        return
    personal = good[0].user is not None
    columns = (["#"] if numbered else []) + ["Photo", "Score", "Percentile"]
    columns += ["Generic", "±"] if personal else []
    digits = len(str(len(good)))
    room = console().width - sum(len(name) + CELL_MARGIN for name in columns) - digits
    names = [name.replace("_", " ") for name in good[0].attributes or ()]
    below = room < _PHOTO_WIDTH + sum(len(name) + CELL_MARGIN for name in names)
    columns += [] if below else names
    common = _common_folder(good)
    rows = []
    for i, s in enumerate(good, 1):
        row: list[object] = [i] if numbered else []
        row += [_below(common, s), s.value, percent(s.percentile)]
        row += [s.generic, s.std] if personal else []
        if below and s.attributes:
            row[columns.index("Photo")] = (_below(common, s), *_listed(s.attributes, room))
        elif s.attributes:
            row += s.attributes.values()
        rows.append(row)
    whose = f" for {good[0].user} ({good[0].method})" if personal else ""
    write_table(f"{common or '.'}: scores{whose}, scale {good[0].scale}", columns, rows)


def _listed(attributes: Mapping[str, float], room: int) -> list[str]:
    """Attributes as lines, for terminals where columns of theirs would leave none for the photo."""
    width = max(room, TEXT_WIDTH)
    told = ", ".join(_inseparable(f"{n}_{value:.2f}", width) for n, value in attributes.items())
    lines = textwrap.wrap(told, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("_", " ") for line in lines]


def _inseparable(words: str, width: int) -> str:
    """A name and its value, which rich would part; of a longer one, its last word and the value."""
    return words if len(words) < width else words.replace("_", " ", words.count("_") - 1)


def _common_folder(scores: Sequence[Score]) -> str:
    return os.path.commonpath([os.path.dirname(s.path or "") for s in scores] or [""])  # noqa: PTH120


def _below(folder: str, score: Score) -> str:
    return os.path.relpath(score.path or "", folder or ".")
