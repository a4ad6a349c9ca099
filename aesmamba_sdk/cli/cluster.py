"""``aesmamba score --engine ray``: a library on a cluster, its scores in a folder of Parquet."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aesmamba_sdk.cli.output import Format, progress_bar, tell, write_records

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection
    from aesmamba_sdk.sdk import AesMamba

Command = TypeVar("Command", bound=Callable[..., Any])
_COLUMNS = ("output", "photos", "failed", "resumed", "lost")


@dataclass(frozen=True)
class Engine:
    """What was asked for; the fields are the options of :func:`engine_options`."""

    name: str
    output: str | None
    workers: int | None

    def __post_init__(self) -> None:
        if (self.name == "ray") != (self.output is not None):
            raise click.UsageError("--engine ray and --output FOLDER need each other")
        if self.workers is not None and self.name != "ray":
            raise click.UsageError("--workers needs --engine ray")


def engine_options(command: Command) -> Command:
    """``--engine``, ``--output`` and ``--workers``, given to the command as ``engine``."""

    @click.option(
        "--engine",
        "name",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="This process, or the workers of a Ray cluster: the one that RAY_ADDRESS names, or "
        "one of this computer. Photos may then be URIs, e.g. s3://bucket/photos.",
    )
    @click.option("--output", help="With --engine ray: folder or URI of the Parquet files.")
    @click.option(
        "--workers", type=click.IntRange(min=1), help="With --engine ray. Default: as many as fit."
    )
    @functools.wraps(command)
    def run(
        *arguments: Any, name: str, output: str | None, workers: int | None, **rest: Any
    ) -> Any:
        return command(*arguments, engine=Engine(name, output, workers), **rest)

    return run  # type: ignore[return-value]  # the same command, with options of its own


def score_on_cluster(
    sdk: AesMamba,
    engine: Engine,
    photos: Sequence[str],
    form: Format,
    *,
    user: str | None,
    attributes: bool,
    text: str | None,
    selection: Selection,
    device: str,
    threads: int | None,
) -> bool:
    """Score, and tell what was done; whether all photos have a score."""
    from aesmamba_sdk.cluster.run import score_on_ray

    assert engine.output is not None
    with progress_bar() as progress:
        done = 0

        def update(row: dict[str, Any]) -> None:
            nonlocal done
            done += row["scored"] + row["failed"]
            progress("photos", done, 0)

        outcome = score_on_ray(
            sdk,
            photos,
            engine.output,
            user=user,
            attributes=attributes,
            text=text,
            selection=selection,
            device=device,
            workers=engine.workers,
            threads=threads or 1,
            progress=update,
        )
    if outcome.resumed:
        tell(f"{outcome.resumed} parts were there already")
    if outcome.failed:
        tell(f"{outcome.failed} of {outcome.photos} photos could not be scored: see column error")
    if outcome.lost:
        parts = ", ".join(map(str, outcome.lost))
        tell(f"parts {parts} are missing: their workers died again and again; run it again")
    if form == "table":
        click.echo(f"scores of {outcome.photos} photos: {engine.output}")
    else:
        record = {"output": engine.output, **asdict(outcome), "lost": list(outcome.lost)}
        write_records([record], form, _COLUMNS)
    return not outcome.failed and not outcome.lost
