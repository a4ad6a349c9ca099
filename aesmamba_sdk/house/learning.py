"""From what a person rated to the model that serves them; the one from before serves until then."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aesmamba_sdk import paths
from aesmamba_sdk.errors import AesMambaError, PersonalizeError
from aesmamba_sdk.house.rating import import_ratings
from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.personalize.fit import Support, fit_personal
from aesmamba_sdk.personalize.folder import PersonalRecord, folder_size, new_version, read_files
from aesmamba_sdk.personalize.methods import METHODS, REACH_OF, SEEDS, Method
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.personalize.support import Gathered, with_choices
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.users import User
from aesmamba_sdk.ratings import Choice
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.xmp.choices import Picks, Rejects


def personalize(
    house: House,
    user: str,
    rated: str | os.PathLike[str] | None,
    *,
    shots: int | None,
    scale: Scale | None,
    rejects: Rejects,
    picks: Picks,
    unrated: float,
    choices: Sequence[Choice],
    method: Method,
    seed: int,
    dry_run: bool,
    progress: Progress | None,
) -> PersonalizeReport:
    """See :meth:`aesmamba_sdk.AesMamba.personalize`."""
    if method not in METHODS:
        raise PersonalizeError(
            f"no method {method!r}; there are: {', '.join(METHODS)}", code="personalize_method"
        )
    if shots is not None and shots < 0:
        raise PersonalizeError(f"shots={shots}: it counts ratings", code="too_few_ratings")
    if not 0 <= seed < SEEDS:
        raise PersonalizeError(
            f"seed={seed}: give a number from 0 to {SEEDS - 1}", code="personalize_seed"
        )
    started = time.monotonic()
    person = house.users.get(user)
    gathered = Gathered()
    if rated is not None:
        gathered = import_ratings(
            house,
            person.name,
            rated,
            scale=scale,
            rejects=rejects,
            picks=picks,
            unrated=unrated,
            dry_run=dry_run,
            progress=progress,
        )
    gathered.add_stored(house.ratings.list(person.name), house.telling(progress), house.known)
    support = _support(house, gathered, shots, choices, method, seed, progress)
    if support.too_small:
        raise gathered.too_few(user, len(support.ratings))
    version = house.models.next_version(person.name)
    place = _place(house, person.name, version)
    with new_version(place, keep=not dry_run) as folder:
        fitted = fit_personal(
            folder,
            house.backbone,
            support,
            SubjectPrompt(person.traits).for_model(),
            method=method,
            seed=seed,
            progress=progress and (lambda done, total: progress("training", done, total)),
        )
        report = PersonalizeReport(
            user=person.name,
            version=None if dry_run else version,
            method=fitted.record.method,
            shots=fitted.record.shots,
            choices=support.choices,
            seconds=round(time.monotonic() - started, 2),
            **vars(fitted.evaluation),
            trust=fitted.record.trust,
            size=folder_size(folder),
            problems=gathered.problems,
            notes=gathered.notes + fitted.notes,
        )
    if not dry_run:
        _activate(house, person, version, place, fitted.record, report)
    return report


def _support(
    house: House,
    gathered: Gathered,
    shots: int | None,
    choices: Sequence[Choice],
    method: Method,
    seed: int,
    progress: Progress | None,
) -> Support:
    if REACH_OF.get(method, "heads") != "heads":
        gathered.keep_files(house.telling(progress))
    support = gathered.support(shots, seed, house.backbone.config.scale)
    return with_choices(support, choices, house.stream, gathered.problems) if choices else support


def _place(house: House, user: str, version: int) -> Path:
    # Named apart from what a killed run may have left, or another run is about to finish.
    return paths.user_folder(house.home, user) / f"v{version:04}-{secrets.token_hex(4)}"


def _activate(
    house: House,
    person: User,
    version: int,
    place: Path,
    record: PersonalRecord,
    report: PersonalizeReport,
) -> None:
    """Let a finished folder serve; if that is too late, leave nothing of it."""
    try:
        house.models.activate(
            person.name,
            version=version,
            folder=place.relative_to(paths.personal_folder(house.home)).as_posix(),
            method=record.method,
            backbone=record.backbone,
            shots=record.shots,
            report=report.to_dict(),
            files=read_files(place),
            added=person.created_at,
        )
    except AesMambaError:  # another run was first, or the person was removed meanwhile
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):
            place.parent.rmdir()
        raise
