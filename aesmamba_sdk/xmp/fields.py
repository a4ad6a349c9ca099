"""What this SDK writes into a packet, and nothing else in it changes.

Under the prefix ``aesmamba``: ``Score``, ``Scale``, ``Percentile``, ``Model`` and the attributes as
simple properties; ``Personal``, a bag with one structure a user; ``Rating``, the ``xmp:Rating``
that we wrote, so that ours may change and a person's change is respected.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from aesmamba_sdk.scores import ATTRIBUTES, Score
from aesmamba_sdk.xmp.opinion import OUR_RATING, Opinion
from aesmamba_sdk.xmp.packet import AESMAMBA, RDF, XMP, Packet, tag

Changes = dict[str, tuple[str | None, str | None]]
"""Fields that change, by name: what was there and what is now."""
_PERSONAL = "Personal"
_ATTRIBUTES = {name: name.title().replace("_", "") for name in ATTRIBUTES}


def write_score(packet: Packet, score: Score) -> Changes:
    """Put a score into a packet: everyone's beside, or a person's instead of their earlier one."""
    values = {
        "Score": _number(score.value),
        "Scale": str(score.scale),
        "Percentile": _number(score.percentile),
        "Model": score.model,
    }
    if score.user is not None:
        values |= {"StandardDeviation": _number(score.std), "Method": score.method}
        return _write_personal(packet, score.user, values)
    if packet.get(AESMAMBA, "Model") != score.model:  # attributes of another model say nothing
        values |= dict.fromkeys(_ATTRIBUTES.values())
    for name, number in (score.attributes or {}).items():
        values[_ATTRIBUTES.get(name, name)] = _number(number)
    changes: Changes = {}
    for name, value in values.items():
        _put(packet, AESMAMBA, name, value, changes)
    return changes


def write_stars(packet: Packet, stars: int, opinion: Opinion) -> tuple[Changes, str]:
    """Put stars into a packet, unless a person has spoken.

    Args:
        opinion: what is known of the photo, from all places.

    Returns:
        What changes, and why the stars were not written; empty if they were.
    """
    changes: Changes = {}
    there, ours = packet.get(XMP, "Rating"), packet.get(AESMAMBA, OUR_RATING)
    if opinion.given or _is_foreign(there, ours):
        _put(packet, AESMAMBA, OUR_RATING, None, changes)
        return changes, opinion.source or f"xmp:Rating {there!r} was there"
    if ours is not None and _is_nothing(there):
        return changes, "the stars written before were taken away"
    _put(packet, AESMAMBA, OUR_RATING, str(stars), changes)
    _put(packet, XMP, "Rating", str(stars), changes)
    return changes, ""


def _is_nothing(rating: str | None) -> bool:
    return rating is None or rating.strip("0. ") == ""


def _is_foreign(rating: str | None, ours: str | None) -> bool:
    """Whether there is a rating, understood or not, that is not ours."""
    try:
        return not _is_nothing(rating) and (ours is None or float(rating or 0) != float(ours))
    except ValueError:
        return True


def _put(packet: Packet, space: str, name: str, value: str | None, changes: Changes) -> None:
    before = packet.get(space, name)
    if before != value:
        prefix = "aesmamba" if space == AESMAMBA else "xmp"
        changes[f"{prefix}:{name}"] = (before, value)
        packet.set(space, name, value)


def _write_personal(packet: Packet, user: str, values: dict[str, str | None]) -> Changes:
    entry = _personal(packet, user)
    before = {} if entry is None else _fields(entry)
    after = {"User": user} | {name: text for name, text in values.items() if text is not None}
    changes: Changes = {
        f"aesmamba:{_PERSONAL}[{user}].{name}": (before.get(name), after.get(name))
        for name in [*after, *(name for name in before if name not in after)]
        if name != "User" and before.get(name) != after.get(name)
    }
    if changes:
        if entry is None:
            entry = etree.SubElement(_people(packet), tag(RDF, "li"))
        entry.clear(keep_tail=True)
        entry.set(tag(RDF, "parseType"), "Resource")
        for name, text in after.items():
            etree.SubElement(entry, tag(AESMAMBA, name)).text = text
    return changes


def _personal(packet: Packet, user: str) -> Any | None:
    """The structure of this user's score."""
    for description in packet.descriptions:
        for entry in description.iterfind(f"{tag(AESMAMBA, _PERSONAL)}/*/{tag(RDF, 'li')}"):
            if _fields(entry).get("User") == user:
                return entry
    return None


def _fields(entry: Any) -> dict[str, str | None]:
    """A structure's fields, which RDF allows as elements or attributes, in a description or not."""
    found: dict[str, str | None] = {}
    for place in (entry, *entry.iterchildren(tag(RDF, "Description"))):
        found |= place.attrib
        found |= {child.tag: child.text for child in place.iterchildren(tag(AESMAMBA, "*"))}
    ours = tag(AESMAMBA, "")
    return {name.removeprefix(ours): v for name, v in found.items() if name.startswith(ours)}


def _people(packet: Packet) -> Any:
    """The bag of people's scores, made when it is missing."""
    for description in packet.descriptions:
        bag = description.find(f"{tag(AESMAMBA, _PERSONAL)}/{tag(RDF, 'Bag')}")
        if bag is not None:
            return bag
    return etree.SubElement(
        etree.SubElement(packet.own(), tag(AESMAMBA, _PERSONAL)), tag(RDF, "Bag")
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{round(value, 4):g}"
