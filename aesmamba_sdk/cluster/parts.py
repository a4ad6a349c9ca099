"""Results in parts: a Parquet file for every so many photos, there whole or not at all.

A part's name follows from its photos alone. Whoever writes it, and how often, its rows are there
once; a part that is there is not made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from pyarrow import fs, parquet

from aesmamba_sdk.cluster.sources import open_place
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.scores import SCHEMA_VERSION

_PLAN = "_plan.json"  # readers of Parquet pass over names that begin so
MOST_TRIES = 3
"""How many workers may die with a part; one photo must not kill them for ever."""
_HIDDEN = ".part-"
_WHOLE = ("s3", "gcs", "abfs")
"""File systems on which a file appears once it is complete."""


@dataclass(frozen=True)
class Plan:
    """What a folder of results holds; another plan needs another folder.

    Attributes:
        model: id of the shared model.
        user, version: whose taste, and which of their models.
        attributes, text: as for ``AesMamba.score``.
        part_size: photos a part.
        photos: how many there are.
        listing: hash of all their names.
        precision: in which the encoder multiplies.
    """

    model: str
    user: str | None
    version: int | None
    attributes: bool
    text: str | None
    part_size: int
    photos: int
    listing: str
    precision: str = "float32"
    schema: int = SCHEMA_VERSION


def listing_hash(names: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        digest.update(os.fsencode(name) + b"\0")
    return digest.hexdigest()


class Output:
    """A folder or URI that results are written to."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._system, self._path = open_place(place)

    def begin(self, plan: Plan) -> set[int]:
        """Prepare for a plan; gives the parts that are there already.

        Raises:
            SetupError: the folder holds something else, or cannot be used.
        """
        try:
            self._system.create_dir(self._path, recursive=True)
            names = self._names()
            if _PLAN in names:
                self._compare(plan)
                self._clear()
            elif names:
                raise SetupError(
                    f"{self.place} is not empty: choose another folder", code="output_taken"
                )
            else:
                self._write(_PLAN, json.dumps(asdict(plan)).encode())
        except OSError as error:
            raise SetupError(f"{self.place} cannot be used: {error}", code="output") from error
        return {part for name in names if (part := _number(name)) is not None}

    def try_again(self, part: int) -> None:
        """Tell that a worker begins with a part.

        Raises:
            RuntimeError: workers have begun with it too often, and died each time.
        """
        for info in self._system.get_file_info(self._marks(part)):
            if info.type is fs.FileType.NotFound:
                self._system.open_output_stream(info.path).close()
                return
        raise RuntimeError(f"{MOST_TRIES} workers died with part {part}")

    def add(self, part: int, records: Sequence[dict[str, Any]], attributes: Sequence[str]) -> None:
        """Write a part, over one of this number."""
        table = pa.Table.from_pylist([_columns(r) for r in records], _schema(attributes))
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        self._write(_name(part), sink.getvalue())
        for info in self._system.get_file_info(self._marks(part)):
            if info.type is fs.FileType.File:
                self._system.delete_file(info.path)

    def parts(self) -> set[int]:
        """Numbers of the parts that are there."""
        return {part for name in self._names() if (part := _number(name)) is not None}

    def failures(self, part: int) -> int:
        """How many photos of a part have an error."""
        with self._system.open_input_file(f"{self._path}/{_name(part)}") as stream:
            errors = parquet.read_table(stream, columns=["error"])["error"]
        return len(errors) - int(errors.null_count)

    def _names(self) -> set[str]:
        infos = self._system.get_file_info(fs.FileSelector(self._path))
        return {info.base_name for info in infos if not info.base_name.startswith(".")}

    def _clear(self) -> None:
        """Remove what was begun and never finished."""
        for info in self._system.get_file_info(fs.FileSelector(self._path)):
            if info.base_name.startswith(_HIDDEN):
                self._system.delete_file(info.path)

    def _marks(self, part: int) -> list[str]:
        """One file for each time that a worker began with a part."""
        return [f"{self._path}/.{_name(part)}.begun.{number}" for number in range(MOST_TRIES)]

    def _compare(self, plan: Plan) -> None:
        with self._system.open_input_file(f"{self._path}/{_PLAN}") as stream:
            there = json.loads(stream.read())
        now = asdict(plan)
        other = [name for name in now if there.get(name) != now[name]]
        if other:
            told = ", ".join(f"{name} {there.get(name)!r}, not {now[name]!r}" for name in other)
            raise SetupError(
                f"{self.place} holds other results ({told}): choose another folder",
                code="output_taken",
            )

    def _write(self, name: str, data: Any) -> None:
        target = f"{self._path}/{name}"
        whole = self._system.type_name in _WHOLE
        written = target if whole else f"{self._path}/.{name}.{secrets.token_hex(4)}"
        with self._system.open_output_stream(written) as stream:
            stream.write(data)
        if not whole:
            self._system.move(written, target)


def _name(part: int) -> str:
    return f"part-{part:06}.parquet"


def _number(name: str) -> int | None:
    digits = name.removeprefix("part-").removesuffix(".parquet")
    return int(digits) if name.startswith("part-") and digits.isdecimal() else None


def _schema(attributes: Sequence[str]) -> pa.Schema:
    """The columns of ``--format jsonl``; what does not apply is null."""
    numbers = pa.struct([(name, pa.float64()) for name in attributes])
    error = pa.struct([("code", pa.string()), ("message", pa.string())])
    return pa.schema(
        [
            ("path", pa.string()),
            ("schema", pa.int32()),
            ("model", pa.string()),
            ("user", pa.string()),
            ("value", pa.float64()),
            ("scale", pa.list_(pa.float64())),
            ("percentile", pa.float64()),
            *([("attributes", numbers)] if attributes else []),
            ("generic", pa.float64()),
            ("std", pa.float64()),
            ("method", pa.string()),
            ("error", error),
        ]
    )


def _columns(record: dict[str, Any]) -> dict[str, Any]:
    """File names need not be text, but Parquet's are: bytes that are none are written as \\xNN."""
    told: dict[str, Any] = {"path": _text(record["path"])}
    if "error" in record:
        told["error"] = {name: _text(words) for name, words in record["error"].items()}
    return record | told


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
