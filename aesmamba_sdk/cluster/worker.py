"""One of the processes of a cluster: holds the model, and scores part after part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.cluster.parts import Output
from aesmamba_sdk.cluster.portable import Portable, unpack
from aesmamba_sdk.cluster.sources import is_uri, read_all
from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import PhotoSource


@dataclass(frozen=True)
class Task:
    """What every worker is told.

    Attributes:
        output: folder or URI of the results.
        attributes, text: as for ``AesMamba.score``.
        device, threads: of each worker.
    """

    output: str
    attributes: bool
    text: str | None
    device: str
    threads: int


class Worker:
    """Loads the model once; called with one part at a time, by Ray Data's ``map_batches``."""

    def __init__(self, portable: Portable, task: Task) -> None:
        self._task, self._user = task, portable.user
        self._place = tempfile.TemporaryDirectory(prefix="aesmamba-worker-")
        place = Path(self._place.name)
        self._sdk = unpack(portable, place, device=task.device, threads=task.threads)
        self._output = Output(task.output)

    def __call__(self, batch: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
        """Score the photos of one part and write them.

        Args:
            batch: ``part``, its number, and ``names``, its photos, in arrays of one.

        Returns:
            ``part``, ``scored``, ``failed`` and the process's ``pid``, in arrays of one.

        Raises:
            RuntimeError: too many workers have died with this part.
        """
        part = int(batch["part"][0])
        self._output.try_again(part)
        names = [os.fsdecode(name) for name in batch["names"][0]]
        records = self._score(names)
        config = self._sdk.backbone.config
        self._output.add(part, records, config.attributes if self._task.attributes else ())
        failed = sum("error" in record for record in records)
        told = {"part": part, "scored": len(names) - failed, "failed": failed, "pid": os.getpid()}
        return {name: np.array([number]) for name, number in told.items()}

    def _score(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Records in order. Photos of one kind are scored together: paths, and what URIs hold."""
        records: dict[str, dict[str, Any]] = {}
        lost: dict[str, PhotoError] = {}
        remote = [name for name in names if is_uri(name)]
        local = [name for name in names if not is_uri(name)]
        for kind, sources in ((local, iter(local)), (remote, _readable(remote, lost))):
            scores = self._sdk.score_many(
                sources,
                user=self._user,
                attributes=self._task.attributes,
                text=self._task.text,
            )
            found = [score.to_dict() for score in scores]
            scored = [name for name in kind if name not in lost]
            records |= {n: r | {"path": n} for n, r in zip(scored, found, strict=True)}
        return [records[name] if name in records else self._failed(name, lost) for name in names]

    def _failed(self, name: str, lost: dict[str, PhotoError]) -> dict[str, Any]:
        error = lost[name]
        record = {"path": name, "schema": 1, "model": self._sdk.backbone.id, "user": self._user}
        return record | {"error": {"code": error.code, "message": str(error)}}


def _readable(uris: Sequence[str], lost: dict[str, PhotoError]) -> Iterator[PhotoSource]:
    """The bytes of those that can be read; the others are told in ``lost``."""
    for uri, data in zip(uris, read_all(uris), strict=True):
        if isinstance(data, PhotoError):
            lost[uri] = data
        else:
            yield data
