"""Spreads a library over the workers of a Ray cluster; results are written by them, in parts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.photos import EVERYTHING, Selection

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

PART_SIZE = 256
"""Photos a part: some seconds of work, all that is lost with a worker."""


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        photos: in all parts.
        failed: that have an error.
        resumed: parts that were there already.
        lost: parts that are missing, since their workers died each time.
    """

    photos: int
    failed: int
    resumed: int
    lost: tuple[int, ...]


def score_on_ray(
    sdk: AesMamba,
    photos: Sequence[str],
    output: str,
    *,
    user: str | None = None,
    attributes: bool = False,
    text: str | None = None,
    selection: Selection = EVERYTHING,
    device: str = "auto",
    workers: int | None = None,
    threads: int = 1,
    part_size: int = PART_SIZE,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Outcome:
    """Score a library on the cluster that ``RAY_ADDRESS`` names, or on one of this computer.

    Run again with the same arguments, it goes on where it was interrupted. Photos that have been
    scored are not looked at again.

    Args:
        sdk: whose model and people; workers get copies of what they need.
        photos: files, folders that every computer of the cluster can read, or URIs of pyarrow.
        output: folder or URI of the results.
        user, attributes, text, selection: as for ``AesMamba.score_many``.
        device: of each worker.
        workers: how many; as many as fit by default.
        threads: of each worker, which takes as many of the cluster's processors.
        part_size: photos a part.
        progress: is told of every part that is done: ``part``, ``scored``, ``failed``, ``pid``.

    Raises:
        SetupError: Ray is not installed or cannot be reached, there are no photos, or the output
            holds something else.
        UserNotFoundError: no such user.
    """
    _require_ray()
    from aesmamba_sdk.cluster.parts import Output, Plan, listing_hash
    from aesmamba_sdk.cluster.portable import pack
    from aesmamba_sdk.cluster.sources import is_uri, list_photos
    from aesmamba_sdk.cluster.worker import Task

    portable = pack(sdk, user)
    names = list_photos(photos, selection)
    if not names:
        raise SetupError(f"no photos in {', '.join(photos)}", code="no_photos")
    plan = Plan(
        model=sdk.backbone.id,
        user=portable.user,
        version=portable.record.get("version"),
        attributes=attributes,
        text=text,
        part_size=part_size,
        photos=len(names),
        listing=listing_hash(names),
        precision=portable.precision,
    )
    target = output if is_uri(output) else str(Path(output).absolute())  # workers are elsewhere
    folder = Output(target)
    done = folder.begin(plan)
    wanted = range(-(-len(names) // part_size))
    items = [
        {"part": part, "names": list(map(os.fsencode, names[part * part_size :][:part_size]))}
        for part in wanted
        if part not in done
    ]
    task = Task(target, attributes, text, device, threads)
    failed = sum(map(folder.failures, done))
    for row in _rows(items, portable, task, workers) if items else ():
        failed += row["failed"]
        if progress is not None:
            progress(row)
    lost = tuple(sorted(set(wanted) - folder.parts()))
    return Outcome(len(names), failed, len(done), lost)


def _rows(
    items: list[dict[str, Any]], portable: Any, task: Any, workers: int | None
) -> Iterator[dict[str, Any]]:
    """What workers tell of each part, in any order."""
    import ray
    from ray.data import ActorPoolStrategy
    from ray.exceptions import RayError

    from aesmamba_sdk.cluster.worker import Worker

    class SharedWorker(Worker):
        """Takes the model from the cluster's memory, where it is once a computer."""

        def __init__(self, shared: Any, task: Any) -> None:
            super().__init__(ray.get(shared), task)

    with _cluster(), _quiet():
        fit = max(1, int(ray.cluster_resources().get("CPU", 1)) // task.threads)
        size = min(workers or fit, len(items))
        shared = ray.put(portable)  # as long as workers may have to be started again
        parts = ray.data.from_items(items, override_num_blocks=len(items))
        told = parts.map_batches(
            SharedWorker,
            batch_size=1,
            batch_format="numpy",
            compute=ActorPoolStrategy(size=size),
            fn_constructor_args=(shared, task),
            num_cpus=task.threads,
            num_gpus=1 if task.device.startswith("cuda") else None,
        )
        try:
            yield from told.iter_rows()
        except RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise SetupError(f"the cluster failed: {reason}", code="ray_failed") from error


@contextmanager
def _cluster() -> Iterator[None]:
    """A cluster: the caller's, the one that ``RAY_ADDRESS`` names, or one for the block."""
    # Ray would report how it is used to its makers, and its core writes to standard error.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SetupError(f"no Ray cluster can be used: {error}", code="ray_failed") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray Data's settings for the block: no output of its own; a lost part does not end all."""
    from ray.data import DataContext

    context = DataContext.get_current()
    settings = {
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        "max_errored_blocks": -1,
    }
    before = {name: getattr(context, name) for name in settings}
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # errors are raised as well
    for name, value in settings.items():
        setattr(context, name, value)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


def _require_ray() -> None:
    try:
        import pyarrow  # noqa: F401
        import ray.data  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"{error.name} is not installed: pip install 'aesmamba-sdk[ray]'", code="no_ray"
        ) from error
