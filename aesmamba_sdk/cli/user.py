"""``aesmamba user``: people and their traits; none of these commands loads torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aesmamba_sdk.cli.output import (
    Format,
    ScaleType,
    chosen_format,
    format_option,
    tell,
    write_records,
    write_table,
)
from aesmamba_sdk.errors import UserError
from aesmamba_sdk.paths import replace_file
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.traits import BIG_FIVE, BIG_FIVE_SCALE, EXPERIENCE_LEVELS, Traits
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.sdk import AesMamba

if TYPE_CHECKING:
    from aesmamba_sdk.profiles.users import User

Command = TypeVar("Command", bound=Callable[..., Any])

_TRAITS = tuple(field.name for field in dataclasses.fields(Traits))
_COLUMNS = (
    *("name", "ratings", "model.version", "model.method", "prompt"),
    *(f"traits.{name}" for name in _TRAITS),
    "created_at",
)
_MODEL_COLUMNS = (
    *("version", "active", "method", "shots", "backbone", "created_at", "folder"),
    *(f"report.{field.name}" for field in dataclasses.fields(PersonalizeReport)),
)

_SCORE_HELP = "1-10, see --trait-scale."


@click.group()
def user() -> None:
    """People: add, describe, list, remove."""


def _trait_options(command: Command) -> Command:
    """One option a trait, and the range that scores are given on."""
    level = click.Choice(EXPERIENCE_LEVELS)
    options = [
        click.option("--art-experience", type=level),
        click.option("--photo-experience", type=level),
        *(click.option(f"--{trait}", type=float, help=_SCORE_HELP) for trait in BIG_FIVE),
        click.option("--age", help="A number or words."),
        click.option("--gender"),
        click.option("--education"),
        click.option(
            "--sentence", "sentences", multiple=True, help="A sentence of your own; repeatable."
        ),
        click.option(
            "--trait-scale",
            type=ScaleType(),
            default=str(BIG_FIVE_SCALE),
            show_default=True,
            help="Range the five personality scores are given on.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@user.command()
@click.argument("name", required=False)
@_trait_options
@format_option
def add(name: str | None, trait_scale: Scale, form: Format | None, **traits: Any) -> None:
    """Add NAME, or whoever is logged in.

    \b
    Example:
      aesmamba user add alice --openness 4 --photo-experience proficient
    """
    with AesMamba() as sdk:
        person = sdk.users.add(name, scale=trait_scale, **_given(traits))
    tell(f"added {person.name}")
    _show(person, form)


@user.command()
@click.argument("name", required=False)
@format_option
def show(name: str | None, form: Format | None) -> None:
    """Show NAME's traits, and the prompt made of them.

    \b
    Example:
      aesmamba user show alice
    """
    with AesMamba() as sdk:
        _show(sdk.users.get(name or _login()), form)


@user.command("list")
@format_option
def list_(form: Format | None) -> None:
    """List everyone.

    \b
    Example:
      aesmamba user list
    """
    with AesMamba() as sdk:
        people = sdk.users.list()
    if chosen_format(form) != "table":
        write_records((person.to_dict() for person in people), chosen_format(form), _COLUMNS)
    elif people:
        rows = [
            [p.name, len(p.traits.to_dict()), p.ratings, _model(p), f"{p.created_at:%Y-%m-%d}"]
            for p in people
        ]
        write_table("", ["Name", "Traits", "Ratings", "Model", "Added"], rows)
    else:
        tell("nobody yet: aesmamba user add NAME")


@user.command("set")
@click.argument("name")
@_trait_options
@click.option("--unset", multiple=True, type=click.Choice(_TRAITS), help="Forget a trait.")
@format_option
def set_(
    name: str, trait_scale: Scale, unset: tuple[str, ...], form: Format | None, **traits: Any
) -> None:
    """Change NAME's traits; the others stay.

    \b
    Example:
      aesmamba user set alice --openness 5 --unset age
    """
    changes = _given(traits)
    if both := changes.keys() & set(unset):
        raise click.UsageError(f"{min(both)} is given and unset at once: do one of them")
    with AesMamba() as sdk:
        _show(sdk.users.set(name, scale=trait_scale, **changes, **dict.fromkeys(unset)), form)


@user.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove NAME: traits, ratings and personal models.

    \b
    Example:
      aesmamba user remove alice
    """
    with AesMamba() as sdk:
        person = sdk.users.get(name)
        if not yes:
            what = f"{person.ratings} ratings" + (" and the personal model" if person.model else "")
            click.confirm(f"Remove {person.name}, {what}?", abort=True, err=True)
        sdk.remove_user(person.name)
    tell(f"removed {person.name}")


@user.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file; replaces nothing but an earlier profile.",
)
def export(name: str, output: Path | None) -> None:
    """Write all that is known of NAME as JSON.

    \b
    Example:
      aesmamba user export alice -o alice.json
    """
    with AesMamba() as sdk:
        text = json.dumps(sdk.users.export(name), indent=2, allow_nan=False)
    if output is None:
        click.echo(text)
        return
    if output.is_file() and not _is_profile(output):
        raise UserError(
            f"{output} is there already and is no profile: name another file, or remove it"
        )
    data = f"{text}\n".encode()
    try:
        if output.exists() and not output.is_file():  # a pipe or a device stays one
            output.write_bytes(data)
        else:
            replace_file(output, data)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from error
    tell(f"wrote {output}")


@user.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Another name than the file's.")
@click.option("--replace", is_flag=True, help="Take the place of an existing user.")
@format_option
def import_(file: Path, name: str | None, replace: bool, form: Format | None) -> None:
    """Add a person from what export wrote.

    \b
    Example:
      aesmamba user import profiles/alice.json
    """
    record = _read_record(file)
    with AesMamba() as sdk:
        person = sdk.users.import_(record, name=name, replace=replace)
    tell(f"imported {person.name}, {person.ratings} ratings")
    _show(person, form)


def _read_record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise UserError(f"{file} must hold one profile, an object with a name and traits")
    return record


def _is_profile(file: Path) -> bool:
    try:
        return {"name", "traits"} <= _read_record(file).keys()
    except UserError:
        return False


@user.command()
@click.argument("name", required=False)
@format_option
def quiz(name: str | None, form: Format | None) -> None:
    """Ask 20 questions (Mini-IPIP) and fill in NAME's five scores.

    \b
    Example:
      aesmamba user quiz alice
    """
    from aesmamba_sdk.profiles.quiz import MINI_IPIP, score_quiz

    with AesMamba() as sdk:
        person = sdk.users.get(name or _login())
        tell("How well does each sentence describe you?")
        tell("1 very inaccurate … 5 very accurate, 0 to skip")
        answers = [
            click.prompt(f"{i:2}. {item.text}", type=click.IntRange(0, 5), err=True) or None
            for i, item in enumerate(MINI_IPIP, 1)
        ]
        scores: dict[str, Any] = dict(score_quiz(answers))
        _show(sdk.users.set(person.name, **scores), form)


@user.command()
@click.argument("name")
@click.option("--use", "version", type=click.IntRange(min=1), help="Let this version serve.")
@click.option("--generic", is_flag=True, help="Let none serve: scores are everyone's again.")
@format_option
def models(name: str, version: int | None, generic: bool, form: Format | None) -> None:
    """List NAME's personal models, or say which one serves.

    \b
    Example:
      aesmamba user models alice --use 2
    """
    if generic and version is not None:
        raise click.UsageError("--use and --generic exclude each other")
    with AesMamba() as sdk:
        if version is not None:
            sdk.models.use(name, version)
        elif generic:
            sdk.models.retire(name)
        found = sdk.models.list(name)
    if chosen_format(form) == "table":
        columns = ["Version", "Method", "Ratings", "Made", "Rank correlation", "Backbone"]
        rows = [
            [
                *(f"{m.version} serves" if m.active else str(m.version), m.method, m.shots),
                *(f"{m.created_at:%Y-%m-%d %H:%M}", m.report.get("srcc"), m.backbone),
            ]
            for m in found
        ]
        write_table(f"{name}: {len(found)} personal models", columns, rows)
    else:
        write_records((m.to_dict() for m in found), chosen_format(form), _MODEL_COLUMNS)


def _given(traits: dict[str, Any]) -> dict[str, Any]:
    """The traits that were named on the command line."""
    return {name: value for name, value in traits.items() if value not in (None, ())}


def _login() -> str:
    from aesmamba_sdk.profiles.users import login_name

    return login_name()


def _show(person: User, form: Format | None) -> None:
    if chosen_format(form) != "table":
        write_records([person.to_dict()], chosen_format(form), _COLUMNS)
        return
    traits = person.traits.to_dict()
    rows = [[name.replace("_", " "), _plain(value)] for name, value in traits.items()]
    rows += [["ratings", str(person.ratings)], ["personal model", _model(person)]]
    rows.append(["prompt", SubjectPrompt(person.traits).for_model() or "nothing known yet"])
    write_table(person.name, ["", ""], rows)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(value) if isinstance(value, list) else str(value)


def _model(person: User) -> str:
    return "none yet" if person.model is None else f"v{person.model.version} {person.model.method}"
