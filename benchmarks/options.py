"""What to measure, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.timing import Budget


@dataclass(frozen=True)
class Options:
    """Sizes of a run.

    Attributes:
        threads: that torch computes on; every figure is taken for each.
        batches: images at a time.
        image: side of the images.
        encoders: ours, by preset.
        company: networks to measure them against.
        scanned: presets whose scans are measured alone.
        states: N of these scans.
        photos: in each folder of photos; a day's outing, over which a cold start is spread.
        cached: photos in a library that was scored before.
        unchanged: photos of a library that is scanned a second time.
        ranked: photos of a library that is ranked for a person, from the cache.
        hostile: files of a folder that is meant to do harm.
        megapixels: of the photos, a folder each.
        patience: multiplies the time that is spent on every figure.
    """

    threads: tuple[int, ...] = (2, 1)
    batches: tuple[int, ...] = (1, 8)
    image: int = 224
    encoders: tuple[str, ...] = ("nano", "tiny", "tiny-v0")
    company: tuple[str, ...] = ("swin_t", "convnext_t", "resnet50", "mobilenet_v2")
    scanned: tuple[str, ...] = ("nano", "tiny")
    states: tuple[int, ...] = (1, 16)
    photos: int = 128
    cached: int = 20_000
    unchanged: int = 10_000
    ranked: int = 100_000
    hostile: int = 1000
    megapixels: tuple[int, ...] = (24, 12)
    patience: float = 1.0

    @property
    def most_threads(self) -> int:
        return max(self.threads)

    @property
    def most_images(self) -> int:
        return max(self.batches)

    def budget(self, seconds: float, least: int = 3) -> Budget:
        return Budget(seconds * self.patience, least)
