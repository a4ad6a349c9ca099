"""What to do with photos once they are scored: choose, write sidecars, copy, link."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aesmamba_sdk.cli.output import (
    Format,
    not_nan,
    progress_bar,
    tell,
    write_records,
    write_table,
)
from aesmamba_sdk.errors import AesMambaError
from aesmamba_sdk.scores import UNIT_SCORES, Score
from aesmamba_sdk.xmp.choices import SIDECAR_NAMES, STAR_RULES, SidecarName, StarRule

if TYPE_CHECKING:
    from aesmamba_sdk.culling import Placement
    from aesmamba_sdk.photos import Selection
    from aesmamba_sdk.xmp.write import SidecarChange

Command = TypeVar("Command", bound=Callable[..., Any])
PLAN_COLUMNS = ("path", "action", "target", "changes", "note")
"""Of what ``--dry-run`` prints as CSV."""


class _Bounds(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """Numbers; whether they can be bounds depends on the rule."""

    name = "A,B,C,D"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: write four ascending numbers like 10,30,70,90", param, context)


@dataclass(frozen=True)
class Actions:
    """What was asked for; the fields are the options of :func:`action_options`."""

    min_score: float | None
    top: int | None
    write_xmp: bool
    stars: StarRule | None
    star_bounds: tuple[float, ...] | None
    sidecar_name: SidecarName
    copy_to: Path | None
    link_to: Path | None
    dry_run: bool
    _values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.stars and not self.write_xmp:
            raise click.UsageError("--stars needs --write-xmp")
        if self.star_bounds and not self.stars:
            raise click.UsageError("--star-bounds needs --stars quantiles or --stars cuts")
        if self.star_bounds and self.stars:
            from aesmamba_sdk.xmp.stars import checked_bounds

            checked_bounds(self.stars, self.star_bounds)
        if self.copy_to and self.link_to:
            raise click.UsageError("give --copy-to or --link-to, not both")
        if self.dry_run and not self.wanted:
            raise click.UsageError("--dry-run shows what --write-xmp, --copy-to or --link-to do")

    @property
    def wanted(self) -> bool:
        """Whether files are to be written."""
        return bool(self.write_xmp or self.folder)

    @property
    def folder(self) -> Path | None:
        """Where chosen photos are put."""
        return self.copy_to or self.link_to

    def narrow(self, selection: Selection, photos: Sequence[str]) -> Selection:
        """The same selection without the folder of chosen photos: those there were chosen before.

        Raises:
            click.UsageError: that very folder is among ``photos``.
        """
        if self.folder is None:
            return selection
        if any(_is_same(self.folder, photo) for photo in photos):
            raise click.UsageError(
                f"{self.folder} is to be searched for photos, so they cannot be put there: name "
                "another folder, which may be within it"
            )
        return dataclasses.replace(selection, without=(os.fspath(self.folder),))

    def watch(self, scores: Iterable[Score]) -> Iterator[Score]:
        """The same scores; their values are remembered where stars are shared out by rank."""
        for s in scores:
            if self.stars == "quantiles" and s.value is not None:
                self._values.append(s.scale.convert(s.value, UNIT_SCORES))
            yield s

    def carry_out(self, scores: Sequence[Score], form: Format) -> int:
        """Do, or show, what was asked for; returns how many photos it failed for."""
        good = [s for s in scores if s.value is not None and s.path is not None]
        plan: list[dict[str, Any]] = []
        failed = self._write_sidecars(good, plan) if self.write_xmp else 0
        if self.folder:
            failed += self._put(good, plan)
        if self.dry_run:
            _show(plan, form)
        return failed

    def _write_sidecars(self, scores: Sequence[Score], plan: list[dict[str, Any]]) -> int:
        from aesmamba_sdk.xmp.sidecars import Sidecars
        from aesmamba_sdk.xmp.stars import star_giver
        from aesmamba_sdk.xmp.write import plan_sidecar, save_sidecar

        give = star_giver(self.stars, self._values, self.star_bounds) if self.stars else None
        sidecars, count = Sidecars(), _Count()
        with progress_bar() as progress:
            for done, s in enumerate(scores, 1):
                stars = give(s.scale.convert(s.value or 0.0, UNIT_SCORES)) if give else None
                with count.attempt():
                    change = plan_sidecar(s, sidecars, prefer=self.sidecar_name, stars=stars)
                    if not self.dry_run:
                        save_sidecar(change)
                    plan.append(_sidecar_record(change))
                    count.add(change.action)
                    count.kept += bool(change.stars_kept)
                progress("sidecars", done, len(scores))
        kept = f"; {count.kept} keep the stars that a person gave, or none" if count.kept else ""
        told = count.told(create="new", update="changed", none="as they were")
        self._tell(f"sidecars: {told}{kept}")
        return count.failed

    def _put(self, scores: Sequence[Score], plan: list[dict[str, Any]]) -> int:
        from aesmamba_sdk.culling import Place

        assert self.folder is not None
        place, count = Place(self.folder, link=self.link_to is not None), _Count()
        verb = "link" if place.link else "copy"
        with progress_bar() as progress:
            for done, s in enumerate(scores, 1):
                with count.attempt():
                    placement = place.plan(Path(str(s.path)))
                    if not self.dry_run:
                        place.put(placement)
                    action = verb if placement.files else "none"
                    plan.append(_put_record(placement, action))
                    count.add(action)
                progress(f"{verb} photos", done, len(scores))
        done_word = "linked" if place.link else "copied"
        self._tell(f"{self.folder}: {count.told(**{verb: done_word}, none='there already')}")
        return count.failed

    def _tell(self, message: str) -> None:
        tell(f"dry run, nothing written; {message}" if self.dry_run else message)


NO_ACTIONS = Actions(None, None, False, None, None, "full", None, None, False)


def action_options(command: Command) -> Command:
    """Options that choose among scored photos and write files, given as ``actions``."""

    @click.option(
        "--min-score", type=float, callback=not_nan, help="Only photos of at least this score."
    )
    @click.option("--top", type=click.IntRange(min=1), help="Only the best so many.")
    @click.option(
        "--write-xmp", is_flag=True, help="Write the scores into XMP sidecars beside the photos."
    )
    @click.option(
        "--stars",
        type=click.Choice(STAR_RULES),
        help="Also xmp:Rating, where nobody rated: by rank among these photos, or by score.",
    )
    @click.option(
        "--star-bounds",
        type=_Bounds(),
        help="Where 2, 3, 4, 5 stars begin. Default: 10,30,70,90 percent; 1.5,2.5,3.5,4.5.",
    )
    @click.option(
        "--sidecar-name",
        type=click.Choice(SIDECAR_NAMES),
        default=SIDECAR_NAMES[0],
        show_default=True,
        help="New sidecars: IMG.jpg.xmp (darktable, digiKam, Immich) or IMG.xmp (Adobe).",
    )
    @click.option(
        "--copy-to",
        type=click.Path(path_type=Path),
        help="Copy the photos there; this folder is not searched.",
    )
    @click.option(
        "--link-to",
        type=click.Path(path_type=Path),
        help="Link to the photos there; this folder is not searched.",
    )
    @click.option("--dry-run", is_flag=True, help="Write no file; show what would be.")
    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        names = [f.name for f in dataclasses.fields(Actions) if not f.name.startswith("_")]
        actions = Actions(**{name: options.pop(name) for name in names})
        return command(*arguments, actions=actions, **options)

    return run  # type: ignore[return-value]  # the same command, with options of its own


class _Count:
    """How often each action was taken, and how often it failed."""

    def __init__(self) -> None:
        self.actions: dict[str, int] = {}
        self.failed = self.kept = 0

    def add(self, action: str) -> None:
        self.actions[action] = self.actions.get(action, 0) + 1

    def attempt(self) -> _Attempt:
        return _Attempt(self)

    def told(self, **words: str) -> str:
        parts = [f"{self.actions[a]} {word}" for a, word in words.items() if self.actions.get(a)]
        parts += [f"{self.failed} failed"] if self.failed else []
        return ", ".join(parts) or "none"


@dataclass(frozen=True)
class _Attempt:
    """One photo's turn: what goes wrong is told and counted, and the others go on."""

    count: _Count

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, AesMambaError):
            return False
        self.count.failed += 1
        tell(f"skipped: {error}")
        return True


def _record(
    path: str, action: str, target: str, changes: dict[str, list[str | None]], note: str
) -> dict[str, Any]:
    """One line of a dry run; ``changes`` are what was and what will be, by field."""
    return dict(zip(PLAN_COLUMNS, (path, action, target, changes, note), strict=True))


def _sidecar_record(change: SidecarChange) -> dict[str, Any]:
    changes = {name: list(pair) for name, pair in change.fields.items()}
    note = f"stars stay: {change.stars_kept}" if change.stars_kept else ""
    return _record(str(change.photo), change.action, str(change.sidecar), changes, note)


def _put_record(placement: Placement, action: str) -> dict[str, Any]:
    sidecars = len(placement.files) - 1
    note = "" if sidecars < 1 else "with its sidecar" + "s" * (sidecars > 1)
    return _record(str(placement.photo), action, str(placement.target), {}, note)


def _show(plan: list[dict[str, Any]], form: Format) -> None:
    told = [entry | {"changes": _diff(entry["changes"])} for entry in plan]
    if form == "table":
        rows = [
            [
                *(Path(e["path"]).name, e["action"], _short(e["target"], e["path"])),
                *(e["changes"], e["note"]),
            ]
            for e in told
        ]
        write_table("dry run", ["Photo", "Does", "File", "Changes", "Note"], rows)
    else:
        write_records(told if form == "csv" else plan, form, PLAN_COLUMNS)


def _is_same(folder: Path, photo: str) -> bool:
    try:
        return folder.samefile(photo)
    except OSError:  # one of them is not there, or not to be read
        return False


def _short(path: str, photo: str) -> str:
    """The name alone of what stands beside the photo."""
    return Path(path).name if Path(path).parent == Path(photo).parent else path


def _diff(changes: dict[str, list[str | None]]) -> str:
    """What was and what will be; our note of the stars we give is left out beside the stars."""
    shown = []
    for name, (before, after) in changes.items():
        if name == "aesmamba:Rating" and "xmp:Rating" in changes:
            continue
        now = "gone" if after is None else after
        was = "" if before is None else f"{before} -> "
        shown.append(f"{name.removeprefix('aesmamba:')} {was}{now}")
    return ", ".join(shown)
