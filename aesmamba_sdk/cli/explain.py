"""``aesmamba explain``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aesmamba_sdk.cli.output import (
    chosen_format,
    model_options,
    percent,
    tell,
    visible,
    write_records,
)
from aesmamba_sdk.cli.selection import PHOTO
from aesmamba_sdk.errors import SetupError

if TYPE_CHECKING:
    from typing import Literal

    from aesmamba_sdk.explain.explanation import Explanation, Split

_TOLD = 3  # attributes on each side
_LEAST_STANDING = 0.05  # of the reference photos
_LEAST_CORRELATION = 0.1  # twice the deviation that chance gives over 400 photos
_ROWS, _COLUMNS = ("upper", "centre", "lower"), ("left", "centre", "right")


@click.command()
@click.argument("photo", type=PHOTO)
@click.option("--user", help="Whose score; everyone's by default.")
@click.option(
    "--heatmap",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw which regions raise (orange) or lower (blue) the score, e.g. to map.png; "
    "replaces nothing but an earlier heat map.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl"]),
    help="json and jsonl are one object. Default: text on a terminal, jsonl in a pipe.",
)
@model_options
def explain(
    photo: Path,
    user: str | None,
    heatmap: Path | None,
    form: Literal["table", "json", "jsonl"] | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Explain the score of PHOTO.

    By attributes, by regions, and by how USER differs from everyone.

    \b
    Example:
      aesmamba explain beach.jpg --user alice --heatmap map.png
    """
    from aesmamba_sdk.sdk import AesMamba

    if heatmap is not None:
        _check_picture(heatmap, photo)
    with AesMamba(model, device=device, threads=threads) as sdk:
        explanation = sdk.explain(photo, user=user)
    if heatmap is not None:
        _draw(heatmap, photo, explanation)
    if chosen_format(form) == "table":
        click.echo("\n".join(map(visible, describe(explanation))))
    else:
        write_records([explanation.to_dict()], "jsonl", ())


def _check_picture(heatmap: Path, photo: Path) -> None:
    """Refuse, before anything is computed, what could not or should not be written."""
    from PIL import Image

    from aesmamba_sdk.explain.heatmap import FORMATS, is_heat_map

    if Image.registered_extensions().get(heatmap.suffix.lower()) not in FORMATS:
        raise SetupError(f"{heatmap}: name the heat map .png, .jpg or .webp", code="heatmap_format")
    if heatmap.exists() and photo.exists() and heatmap.samefile(photo):
        raise SetupError(
            f"{heatmap} is the photo itself: name another file for the heat map",
            code="heatmap_is_photo",
        )
    if heatmap.exists() and not is_heat_map(heatmap):
        raise SetupError(
            f"{heatmap} is there already and is no heat map: name another file, or remove it",
            code="heatmap_exists",
        )


def _draw(heatmap: Path, photo: Path, explanation: Explanation) -> None:
    from aesmamba_sdk.explain.heatmap import heat_map, save_heat_map

    try:
        save_heat_map(heat_map(photo, explanation), heatmap)
    except OSError as error:
        raise SetupError(
            f"{heatmap} cannot be written: {error.strerror or error}", code="heatmap_unwritable"
        ) from error
    tell(f"heat map: {heatmap}")


def describe(explanation: Explanation) -> list[str]:
    """The explanation in a few lines."""
    score = explanation.score
    whose = "everyone" if score.user is None else f"{score.user} ({score.method})"
    rank = "" if score.percentile is None else f", above {percent(score.percentile)} of photos"
    doubt = "" if score.std is None else f", ± {score.std:.2f}"
    facts: list[tuple[str, str]] = []
    if explanation.split is not None:
        facts.append(("parts", _describe_split(explanation.split)))
    facts += _describe_attributes(explanation)
    facts += _describe_regions(explanation.regions)
    if explanation.likes is not None:
        facts += _describe_likes(str(score.user), explanation.likes)
    facts += [("note", note) for note in explanation.notes]
    width = max(len(name) for name, _ in facts)
    return [
        f"{score.path}: {score.value:.2f} on {score.scale} for {whose}{rank}{doubt}",
        *(f"  {name:{width}}  {what}" for name, what in facts),
    ]


def _describe_split(split: Split) -> str:
    parts = f"generic {split.generic:.2f}, use of the scale {split.offset + split.slope:+.2f}, "
    parts += f"taste {split.taste:+.2f}"
    return parts + (f", end of the scale {split.cut:+.2f}" if split.cut else "")


def _describe_attributes(explanation: Explanation) -> list[tuple[str, str]]:
    """Attributes whose rank lies above and below the generic score's own."""
    percentiles = explanation.percentiles
    if not percentiles:
        return []

    def listed(sign: int) -> str:
        names = [n for n, far in explanation.standings() if sign * far >= _LEAST_STANDING]
        return ", ".join(f"{_words(n)} {percent(percentiles[n])}" for n in names[:_TOLD]) or "none"

    whole = f"the whole, {percent(next(iter(percentiles.values())))}"
    return [(f"better than {whole}", listed(1)), (f"worse than {whole}", listed(-1))]


def _describe_regions(regions: Sequence[Sequence[float]]) -> list[tuple[str, str]]:
    """The regions that matter most each way, in points of the score."""
    places = [(effect, i, j) for i, row in enumerate(regions) for j, effect in enumerate(row)]
    best, worst = max(places), min(places)
    raised = _place(*best, len(regions)) if best[0] > 0 else "no region"
    lowered = _place(*worst, len(regions)) if worst[0] < 0 else "no region"
    return [("raised most by", raised), ("lowered most by", lowered)]


def _place(effect: float, i: int, j: int, side: int) -> str:
    row, column = _ROWS[3 * i // side], _COLUMNS[3 * j // side]
    where = "centre" if row == column else f"{row} {column}"
    return f"{where}, {effect:+.3f} (row {i + 1}, column {j + 1} of {side})"


def _describe_likes(user: str, likes: Mapping[str, float]) -> list[tuple[str, str]]:
    """Attributes that taste goes with and against, by their correlation."""

    def listed(sign: int) -> str:
        names = [name for name, r in likes.items() if sign * r >= _LEAST_CORRELATION][::sign]
        told = ", ".join(f"{_words(name)} {likes[name]:+.2f}" for name in names[:_TOLD])
        return told or "nothing clearly"

    return [(f"{user} likes more", listed(1)), (f"{user} likes less", listed(-1))]


def _words(attribute: str) -> str:
    return attribute.replace("_", " ")
