"""What a person thinks of a photo, as their photo app wrote it down.

Asked in this order, and the first that states stars, 0 included, is believed: the sidecar
``IMG.jpg.xmp``, the sidecar ``IMG.xmp``, the photo's XMP, the photo's EXIF; within XMP
``xmp:Rating`` before ``MicrosoftPhoto:Rating``, within EXIF stars before percentages. Stars that
this SDK wrote are nobody's opinion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.photos.formats import RAW_EXTENSIONS
from aesmamba_sdk.xmp.embedded import EXIF_PERCENT, EXIF_RATING, read_embedded
from aesmamba_sdk.xmp.packet import AESMAMBA, XMP, Packet
from aesmamba_sdk.xmp.sidecars import Sidecars

OUR_RATING = "Rating"
"""In our namespace: the ``xmp:Rating`` that we wrote, to know it again."""
_MICROSOFT = ("http://ns.microsoft.com/photo/1.0/", "http://ns.microsoft.com/photo/1.0")
_REJECTS = (
    ("xmpDM:pick", "http://ns.adobe.com/xmp/1.0/DynamicMedia/", "pick", "-1"),
    ("digiKam:PickLabel", "http://www.digikam.org/ns/1.0/", "PickLabel", "1"),
)
"""Flags of Lightroom Classic (from 13.2) and digiKam, and the value that rejects."""
_PERCENTAGES = ((1, 12, 1), (13, 37, 2), (38, 62, 3), (63, 87, 4), (88, 100, 5))
"""Windows' ranges of percentages, ends included, and the stars it shows for them."""


@dataclass(frozen=True)
class Opinion:
    """What is known of one photo.

    Attributes:
        stars: 1-5; ``None`` while unrated or rejected.
        rejected: thrown out by the person, whatever stars there are beside.
        source: where it was read, e.g. ``"xmp:Rating in IMG.jpg.xmp"``; empty where nothing is.
        ours: the stars that we wrote into a sidecar, if any are remembered there.
        problems: what could not be read or understood.
    """

    stars: float | None = None
    rejected: bool = False
    source: str = ""
    ours: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def given(self) -> bool:
        """Whether the person has judged the photo."""
        return self.stars is not None or self.rejected


def read_opinion(photo: Path, sidecars: Sidecars) -> Opinion:
    """Ask a photo's sidecars, then the photo; what is wrong is told in ``problems``, not raised."""
    problems: list[str] = []
    packets = []
    for sidecar in sidecars.of(photo):
        try:
            packets.append((sidecar.name, Packet.read(sidecar)))
        except XmpError as error:
            problems.append(str(error))
    exif: dict[int, Any] = {}
    try:
        embedded = read_embedded(photo)
        exif = embedded.exif
        if embedded.packet is not None:
            packets.append((photo.name, Packet(embedded.packet, str(photo))))
    except XmpError as error:
        if photo.suffix.lower() not in RAW_EXTENSIONS:  # whose stars are in sidecars
            problems.append(str(error))
    marks = (packet.get(AESMAMBA, OUR_RATING) for _, packet in packets)
    ours = next((stars for mark in marks if (stars := _mark(mark))), None)
    sources = [(name, list(_stated(packet)), _rejects(packet)) for name, packet in packets]
    sources.append((photo.name, list(_exif_stated(exif)), None))
    for name, stated, rejected in sources:
        stars, key = _first(stated, ours, name, problems)
        if rejected or (stars is not None and stars < 0):
            return Opinion(None, True, f"{rejected or key} in {name}", ours, problems)
        if stars is not None:
            source = f"{key} in {name}"
            return Opinion(stars or None, False, source, ours, problems)
    return Opinion(ours=ours, problems=problems)


def _first(
    stated: list[tuple[str, Any, bool]], ours: float | None, where: str, problems: list[str]
) -> tuple[float | None, str]:
    """The first value that can be understood and is not ours: -1, 0 or 1-5, and its name."""
    for key, value, percent in stated:
        try:
            stars = _percentage(value) if percent else _stars(value)
        except (TypeError, ValueError):
            problems.append(f"{where}: {key} {value!r} is no rating")
            continue
        # An app may have copied our stars to where it keeps stars, so equal ones say nothing.
        if stars != ours:
            return stars, key
    return None, ""


def _stated(packet: Packet) -> Iterator[tuple[str, Any, bool]]:
    """Name, value and whether it is a percentage, of what a packet states."""
    if value := packet.get(XMP, "Rating"):
        yield "xmp:Rating", value, False
    for namespace in _MICROSOFT:
        if value := packet.get(namespace, "Rating"):
            yield "MicrosoftPhoto:Rating", value, True


def _exif_stated(exif: dict[int, Any]) -> Iterator[tuple[str, Any, bool]]:
    for name, key, percent in (
        ("EXIF Rating", EXIF_RATING, False),
        ("EXIF RatingPercent", EXIF_PERCENT, True),
    ):
        if exif.get(key) is not None:
            yield name, exif[key], percent


def _rejects(packet: Packet) -> str | None:
    """The flag that throws the photo out, if one does."""
    for name, namespace, key, value in _REJECTS:
        if packet.get(namespace, key) == value:
            return name
    return None


def _mark(value: str | None) -> float | None:
    """Our stars as they were remembered; anything else was not written by us."""
    return float(value) if value in ("1", "2", "3", "4", "5") else None


def _stars(value: Any) -> float:
    number = float(value)
    if not (number in (-1, 0) or 1 <= number <= 5):
        raise ValueError(value)
    return number


def _percentage(value: Any) -> float:
    number = float(value)
    if number == 0:
        return 0.0
    if math.isfinite(number):
        for low, high, stars in _PERCENTAGES:
            if low <= round(number) <= high:
                return float(stars)
    raise ValueError(value)
