"""What a person thinks of a photo, as their photo app wrote it down.

Asked in this order, and the first that states stars, 0 included, is believed: the sidecar
``IMG.jpg.xmp``, the sidecar ``IMG.xmp``, the photo's XMP, the photo's EXIF; within XMP
``xmp:Rating`` before ``acdsee:rating`` before ``MicrosoftPhoto:Rating``, as digiKam has it, within
EXIF stars before percentages. Of darktable's versions of one photo the one with most stars speaks.
Stars that this SDK wrote are nobody's opinion. Picks and favourites are no stars, and told apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
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
_ACDSEE = "http://ns.acdsee.com/iptc/1.0/"
_DYNAMIC_MEDIA = "http://ns.adobe.com/xmp/1.0/DynamicMedia/"
_DIGIKAM = "http://www.digikam.org/ns/1.0/"
_MICROSOFT = ("http://ns.microsoft.com/photo/1.0/", "http://ns.microsoft.com/photo/1.0")
_REJECTS = (
    ("xmpDM:pick", _DYNAMIC_MEDIA, "pick", "-1"),
    ("digiKam:PickLabel", _DIGIKAM, "PickLabel", "1"),
)
"""Flags of Lightroom Classic (from 13.2) and digiKam, and the value that rejects."""
_PICKS = (
    ("xmpDM:pick", _DYNAMIC_MEDIA, "pick", "1"),
    ("digiKam:PickLabel", _DIGIKAM, "PickLabel", "3"),
    ("acdsee:tagged", _ACDSEE, "tagged", "true"),
)
"""The same where they choose, and ACDSee's mark."""
_FAVORITE = re.compile(rb"^Favorite:[ \t]*true[ \t\r]*$", re.MULTILINE)
"""PhotoPrism's heart, at the outermost level of its YAML, where nothing else can begin a line."""
_MOST_YAML = 1 << 20
_Named = tuple[str, Packet]
_Said = tuple[float, str]
Stated = Iterator[tuple[str, Any, bool]]
"""Name, value and whether it is a percentage."""
_PERCENTAGES = ((1, 12, 1), (13, 37, 2), (38, 62, 3), (63, 87, 4), (88, 100, 5))
"""Windows' ranges of percentages, ends included, and the stars it shows for them."""


@dataclass(frozen=True)
class Opinion:
    """What is known of one photo.

    Attributes:
        stars: 1-5; ``None`` while unrated or rejected.
        rejected: thrown out by the person, whatever stars there are beside.
        source: where it was read, e.g. ``"xmp:Rating in IMG.jpg.xmp"``; empty where nothing is.
        picked: where it is marked as chosen or a favourite, likewise; empty where it is nowhere.
        ours: the stars that we wrote into a sidecar, if any are remembered there.
        problems: what could not be read or understood.
    """

    stars: float | None = None
    rejected: bool = False
    source: str = ""
    picked: str = ""
    ours: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def given(self) -> bool:
        """Whether the person has judged the photo."""
        return self.stars is not None or self.rejected


def read_opinion(photo: Path, sidecars: Sidecars) -> Opinion:
    """Ask a photo's sidecars, then the photo; what is wrong is told in ``problems``, not raised."""
    problems: list[str] = []
    beside = _read_all(sidecars.of(photo), problems)
    versions = _read_all(sidecars.versions(photo), problems)
    exif: dict[int, Any] = {}
    inside: list[_Named] = []
    try:
        embedded = read_embedded(photo)
        exif = embedded.exif
        if embedded.packet is not None:
            inside = [(photo.name, Packet(embedded.packet, str(photo)))]
    except XmpError as error:
        if photo.suffix.lower() not in RAW_EXTENSIONS:  # whose stars are in sidecars
            problems.append(str(error))
    packets = [*beside, *versions, *inside]
    marks = (packet.get(AESMAMBA, OUR_RATING) for _, packet in packets)
    ours = next((stars for mark in marks if (stars := _mark(mark))), None)
    picked = _picked(packets, sidecars.photoprism(photo))
    # Versions speak together with the first one, whose sidecar has the photo's full name.
    first = [named for named in beside if Path(named[0]).stem == photo.name] + versions
    others = [[named] for named in [*beside, *inside] if named not in first]
    for group in [first, *others]:
        said = [_judged(name, _stated(p), _rejects(p), ours, problems) for name, p in group]
        if any(said):
            return _opinion(max(filter(None, said), key=lambda s: s[0]), picked, ours, problems)
    last = _judged(photo.name, _exif_stated(exif), None, ours, problems)
    return _opinion(last or (0.0, ""), picked, ours, problems)


def _opinion(said: _Said, picked: str, ours: float | None, problems: list[str]) -> Opinion:
    stars, source = said
    rejected = stars < 0
    return Opinion(None if rejected else stars or None, rejected, source, picked, ours, problems)


def _read_all(sidecars: Iterable[Path], problems: list[str]) -> list[_Named]:
    """Packets of these files by their names; what is wrong with others."""
    packets = []
    for sidecar in sidecars:
        try:
            packets.append((sidecar.name, Packet.read(sidecar)))
        except XmpError as error:
            problems.append(str(error))
    return packets


def _judged(
    name: str, stated: Stated, rejected: str | None, ours: float | None, problems: list[str]
) -> _Said | None:
    """What one source says: -1 for a reject, 0 or stars, and where; ``None`` if nothing."""
    stars, key = _first(stated, ours, name, problems)
    if rejected or stars is not None:
        return (-1.0 if rejected else stars or 0.0), f"{rejected or key} in {name}"
    return None


def _picked(packets: Iterable[_Named], photoprism: Path | None) -> str:
    """Where the photo is marked as chosen; empty where it is nowhere."""
    for name, packet in packets:
        if flag := _flag(packet, _PICKS):
            return f"{flag} in {name}"
    if photoprism is not None and _is_favorite(photoprism):
        return f"Favorite in {photoprism.name}"
    return ""


def _is_favorite(photoprism: Path) -> bool:
    try:
        with photoprism.open("rb") as stream:
            return _FAVORITE.search(stream.read(_MOST_YAML)) is not None
    except OSError:
        return False


def _first(
    stated: Stated, ours: float | None, where: str, problems: list[str]
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


def _stated(packet: Packet) -> Stated:
    """Name, value and whether it is a percentage, of what a packet states."""
    if value := packet.get(XMP, "Rating"):
        yield "xmp:Rating", value, False
    if value := packet.get(_ACDSEE, "rating"):
        yield "acdsee:rating", value, False
    for namespace in _MICROSOFT:
        if value := packet.get(namespace, "Rating"):
            yield "MicrosoftPhoto:Rating", value, True


def _exif_stated(exif: dict[int, Any]) -> Stated:
    for name, key, percent in (
        ("EXIF Rating", EXIF_RATING, False),
        ("EXIF RatingPercent", EXIF_PERCENT, True),
    ):
        if exif.get(key) is not None:
            yield name, exif[key], percent


def _rejects(packet: Packet) -> str | None:
    """The flag that throws the photo out, if one does."""
    return _flag(packet, _REJECTS)


def _flag(packet: Packet, flags: Iterable[tuple[str, str, str, str]]) -> str | None:
    """The name of the first flag that has its value."""
    for name, namespace, key, value in flags:
        if (packet.get(namespace, key) or "").lower() == value:
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
