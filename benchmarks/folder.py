"""A folder of JPEGs, from a cold start to the last score, and where the time goes.

Decoding alone is the least it could take: every file is read and decoded at the reduced scale
that its JPEG allows without falling below ``MAX_SIDE``, on as many threads, and thrown away. The
files lie in the system's cache: disks are not measured.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from aesmamba_sdk import AesMamba
from aesmamba_sdk.embeddings.cache import EmbeddingCache, Seen
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.model.preprocess import prepare
from aesmamba_sdk.paths import HOME_VARIABLE
from aesmamba_sdk.photos import MAX_SIDE, load_photo, photo_version
from benchmarks.jpegs import write_photos
from benchmarks.options import Options
from benchmarks.timing import Budget, Timing, interleaved, once, threads

JUDGED = 24  # megapixels
WANTED = 1.5
ROUNDS = Budget(30.0, least=3)
_COMMAND = "from aesmamba_sdk.cli import main; main()"
_IMPORTS = "import aesmamba_sdk.scoring"
_BATCH = 16
_SAMPLE = 16  # photos of the breakdown

Call = Callable[[], object]


def measure(options: Options) -> Result:
    """Folders of every size of photo, on the most threads."""
    columns = ("megapixels", "photos", "MB each", "threads", "way", "s", "photos/s")
    ends = Table("A folder of JPEGs", (*columns, "by decoding alone"))
    ends.notes.append("cold: a new process with an empty cache; warm: the model is loaded")
    steps = Table("Where a folder's time goes", ("megapixels", "step", "ms", "each"))
    steps.notes.append("photo: on one thread; batch: of 16 photos, on all threads")
    bars = []
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory(prefix="aesmamba-bench-") as place:
            photos = write_photos(Path(place, "photos"), options.photos, megapixels)
            timings = _end_to_end(photos, Path(place), options)
            size = statistics.mean(p.stat().st_size for p in photos) / 1e6
            for way, timing in timings.items():
                ratio = 1 / timing.times_faster_than(timings["decoding alone"])
                shape = (megapixels, len(photos), size, options.most_threads)
                ends.add(*shape, way, timing.seconds, len(photos) / timing.seconds, ratio)
            for step, milliseconds, each in _steps(photos[:_SAMPLE], Path(place), options):
                steps.add(megapixels, step, milliseconds, each)
        if megapixels == JUDGED:
            found = 1 / timings["cold"].times_faster_than(timings["decoding alone"])
            what = f"{options.photos} photos of {JUDGED} megapixels, cold, by decoding alone"
            bars.append(Bar(what, found, WANTED, "at most"))
    return Result("folder", [ends, steps], bars)


def _end_to_end(photos: list[Path], place: Path, options: Options) -> dict[str, Timing]:
    folder, count = photos[0].parent, options.most_threads
    with _opened(place / "warm", count) as sdk:
        sdk.score(photos[0])
        calls: dict[str, Call] = {
            "decoding alone": lambda: _decode_all(photos, count),
            "cold": lambda: _score_cold(folder, place, count),
            "warm": lambda: _score_warm(sdk, folder),
        }
        return interleaved(calls, options.budget(ROUNDS.seconds, ROUNDS.least))


def decode(path: Path) -> Image.Image:
    """Read and decode at the smallest scale of JPEG that keeps ``MAX_SIDE``; nothing else."""
    with Image.open(path) as image:
        scale = max(1.0, max(image.size) / MAX_SIDE)
        width, height = (math.ceil(side / scale) for side in image.size)
        image.draft("RGB", (width, height))
        image.load()
        return image


def _decode_all(photos: list[Path], count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(decode, photos):
            pass


def _score_cold(folder: Path, place: Path, count: int) -> None:
    with tempfile.TemporaryDirectory(dir=place) as home:
        command = [sys.executable, "-c", _COMMAND, "score", str(folder)]
        command += ["--format", "jsonl", "--device", "cpu", "--threads", str(count)]
        environment = os.environ | {HOME_VARIABLE: home}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    _check(len(done.stdout.splitlines()), folder)


def _score_warm(sdk: AesMamba, folder: Path) -> None:
    sdk.close()
    for file in sdk.embeddings.file.parent.glob(f"{sdk.embeddings.file.name}*"):
        file.unlink()
    _check(sum(score.value is not None for score in sdk.score_many(folder)), folder)


def _check(scored: int, folder: Path) -> None:
    there = sum(1 for _ in folder.iterdir())
    if scored != there:
        raise AssertionError(f"{scored} of {there} photos were scored")


@contextmanager
def _opened(home: Path, count: int) -> Iterator[AesMamba]:
    """With torch on so many threads, as the SDK leaves it, only within the block."""
    with threads(count), AesMamba(device="cpu", home=home, threads=count) as sdk:
        yield sdk


def _steps(photos: list[Path], place: Path, options: Options) -> Iterator[tuple[str, float, str]]:
    """(step, milliseconds, of what), each step alone."""
    starts: dict[str, Call] = {
        "interpreter": lambda: _run("pass"),
        "interpreter and imports": lambda: _run(_IMPORTS),
    }
    for name, timing in interleaved(starts, options.budget(6.0)).items():
        yield name, timing.seconds * 1e3, "run"
    with _opened(place / "steps", options.most_threads) as sdk:
        yield "load the model", once(lambda: sdk.backbone) * 1e3, "run"
        for name, timing in _photo_steps(photos, options).items():
            yield name, timing.seconds * 1e3 / len(photos), "photo"
        for name, timing in _batch_steps(photos, sdk, options).items():
            yield name, timing.seconds * 1e3, "batch"


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def _photo_steps(photos: list[Path], options: Options) -> dict[str, Timing]:
    calls: dict[str, Call] = {
        "read and decode": lambda: [decode(photo) for photo in photos],
        "load_photo: also colours, size and identity": lambda: [load_photo(p) for p in photos],
    }
    return interleaved(calls, options.budget(6.0))


def _batch_steps(photos: list[Path], sdk: AesMamba, options: Options) -> dict[str, Timing]:
    loaded = [load_photo(photo) for photo in photos]
    loaded = [loaded[i % len(loaded)] for i in range(_BATCH)]
    images = [photo.image for photo in loaded]
    backbone = sdk.backbone
    features = backbone(images)
    cache = EmbeddingCache(sdk.embeddings.file)
    runs = iter(range(10**9))

    def remember() -> None:
        run = next(runs)
        named = {f"{run}-{i}": feature for i, feature in enumerate(features)}
        seen = [
            Seen(f"{photo.path}-{run}-{i}", version, photo.photo_id)
            for i, photo in enumerate(loaded)
            if (version := photo_version(str(photo.path))) is not None
        ]
        cache.remember(backbone.key, named, seen)

    calls: dict[str, Call] = {
        "prepare: to the model's square": lambda: prepare(images, backbone.config),
        "prepare and encode": lambda: backbone(images),
        "heads": lambda: backbone.scores(np.asarray(features)),
        "write to the cache": remember,
    }
    try:
        return interleaved(calls, options.budget(3.0))
    finally:
        cache.close()
