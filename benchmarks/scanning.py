"""Commands over whole libraries, from their start to their end: seconds, and memory at its peak.

A library that was scored before has empty files and made-up features, as in ``library``: from the
cache no photo is opened. The other holds hostile files, with real photos in between; it is read by
the real model, and whatever the report says of a file must be true. Needs Linux, which tells a
process its own most memory; what is counted for children includes their parent's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.paths import HOME_VARIABLE
from aesmamba_sdk.photos import load_photo
from benchmarks.hostile import Hostile, write_hostile
from benchmarks.library import USER, fill
from benchmarks.options import Options

STATUS = Path("/proc/self/status")
WANTED_SECONDS = 5.0
WANTED_MB = 1000.0
_COMMAND = f"""
import sys
from pathlib import Path
from aesmamba_sdk.cli import main
try:
    main()
finally:
    status = Path({str(STATUS)!r}).read_text()
    print("VmHWM:", status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
_ROUNDS = 3
_BOMBS = 3


@dataclass(frozen=True)
class Ran:
    """One command: how long it took, its most memory, and what it printed."""

    seconds: float
    megabytes: float
    code: int
    records: list[dict[str, Any]]
    said: str


def measure(options: Options) -> Result:
    """``options.unchanged`` and ``options.ranked`` cached photos, ``options.hostile`` files."""
    table = Table("Commands over a library", ("photos", "command", "s", "peak MB"))
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory(prefix="aesmamba-bench-") as place:
        for count, what in ((options.unchanged, "score"), (options.ranked, f"rank --user {USER}")):
            ran = _cached(count, what, Path(place, what.split()[0]), options)
            table.add(count, f"{what}, all cached", ran.seconds, ran.megabytes)
            named = f"{what}, {count} unchanged photos, start to end"
            bars.append(Bar(f"{named}, s", ran.seconds, WANTED_SECONDS, "at most"))
            bars.append(Bar(f"{named}, peak MB", ran.megabytes, WANTED_MB, "at most"))
        hostile = write_hostile(Path(place, "hostile"), options.hostile, bombs=_BOMBS)
        slowest = max(_seconds(path) for path in (*hostile.good, *hostile.bad, *hostile.either))
        ran = _run("score", hostile.folder, Path(place, "home"), options)
        wrong = _wrong(hostile, ran)
    table.add(options.hostile, "score, hostile files", ran.seconds, ran.megabytes)
    bars += [
        Bar("hostile files, peak MB", ran.megabytes, WANTED_MB, "at most"),
        Bar("the slowest hostile file alone, s", slowest, WANTED_SECONDS, "at most"),
        Bar("hostile files that were lost, unnamed or not scored", len(wrong), 0, "at most"),
    ]
    table.notes.append(f"cached: the fastest of {_ROUNDS} runs; {_BOMBS} of the hostile are bombs")
    return Result("scanning", tables=[table], bars=bars)


def _cached(count: int, command: str, place: Path, options: Options) -> Ran:
    place.mkdir()
    with AesMamba(device="cpu", home=place / "home") as sdk:
        fill(sdk, place / "library", count)
        sdk.personalize(USER)
    runs = [_run(command, place / "library", place / "home", options) for _ in range(_ROUNDS)]
    for ran in runs:
        scored = sum("value" in record for record in ran.records)
        if ran.code or scored != count:
            raise AssertionError(f"{scored} of {count} photos were scored: {ran.said}")
    return min(runs, key=lambda ran: ran.seconds)


def _run(command: str, folder: Path, home: Path, options: Options) -> Ran:
    arguments = [sys.executable, "-c", _COMMAND, *command.split(), str(folder), "--format", "jsonl"]
    arguments += ["--device", "cpu", "--threads", str(options.most_threads)]
    environment = os.environ | {HOME_VARIABLE: str(home)}
    started = time.perf_counter()
    done = subprocess.run(arguments, env=environment, capture_output=True)
    seconds = time.perf_counter() - started
    records = [json.loads(line) for line in done.stdout.splitlines()]
    said, _, peak = done.stderr.decode(errors="replace").rpartition("VmHWM:")
    return Ran(seconds, int(peak) * 1024 / 1e6, done.returncode, records, said)


def _seconds(path: Path) -> float:
    started = time.perf_counter()
    try:
        load_photo(path)
    except PhotoError as error:
        if path.name not in str(error):
            raise AssertionError(f"{path} is not named in: {error}") from error
    return time.perf_counter() - started


def _wrong(hostile: Hostile, ran: Ran) -> list[Path]:
    """Files that are missing in the report, good ones without a score, bad ones with one."""
    scored = {record["path"]: "value" in record for record in ran.records}
    named = {
        record["path"]: Path(record["path"]).name in record["error"]["message"]
        for record in ran.records
        if "error" in record
    }
    return [
        *(path for path in hostile.good if not scored.get(str(path))),
        *(path for path in hostile.bad if not named.get(str(path))),
        *(p for p in hostile.either if not (scored.get(str(p)) or named.get(str(p)))),
    ]
