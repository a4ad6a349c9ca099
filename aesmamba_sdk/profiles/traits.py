"""What is known of a person: the paper's traits, each optional, and a few beyond them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from aesmamba_sdk.errors import TraitError
from aesmamba_sdk.scores import Scale

EXPERIENCE_LEVELS = ("beginner", "competent", "proficient", "expert")
BIG_FIVE = ("openness", "conscientiousness", "extroversion", "agreeableness", "neuroticism")
FREE_WORDS = ("age", "gender", "education")
BIG_FIVE_SCALE = Scale(1.0, 10.0)
"""PARA's range of the personality scores."""


@dataclass(frozen=True)
class Traits:
    """A person's traits; ``None`` or empty where unknown.

    Attributes:
        art_experience, photo_experience: one of ``EXPERIENCE_LEVELS``.
        openness, conscientiousness, extroversion, agreeableness, neuroticism: 1-10.
        age, gender, education: free words, beyond the paper.
        sentences: free sentences in the first person, beyond the paper.

    Raises:
        TraitError: a level is unknown or a score is out of range.
    """

    art_experience: str | None = None
    photo_experience: str | None = None
    openness: float | None = None
    conscientiousness: float | None = None
    extroversion: float | None = None
    agreeableness: float | None = None
    neuroticism: float | None = None
    age: str | None = None
    gender: str | None = None
    education: str | None = None
    sentences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("art_experience", "photo_experience"):
            level = getattr(self, name)
            if level is not None and level not in EXPERIENCE_LEVELS:
                raise TraitError(
                    f"{name} {level!r} is not known; choose one of {', '.join(EXPERIENCE_LEVELS)}"
                )
        for name in BIG_FIVE:
            if getattr(self, name) is not None:
                _check_score(name, getattr(self, name), BIG_FIVE_SCALE)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], *, scale: Scale = BIG_FIVE_SCALE) -> Traits:
        """Traits from names and values; ``None`` means unknown, as do blank words and sentences.

        Args:
            record: trait name to value.
            scale: the range the Big Five scores are given on; they are converted to 1-10.

        Raises:
            TraitError: a name is unknown, or a value is no number or out of range.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(record) - known)
        if unknown:
            raise TraitError(f"unknown trait {unknown[0]!r}; there are: {', '.join(sorted(known))}")
        values = {name: value for name, value in record.items() if not _says_nothing(name, value)}
        for name in BIG_FIVE:
            if name in values:
                score = _check_score(name, values[name], scale)
                values[name] = scale.convert(score, BIG_FIVE_SCALE)
        if "sentences" in values:
            values["sentences"] = tuple(s for s in values["sentences"] if s.strip())
        return cls(**values)

    def only(self, names: Collection[str]) -> Traits:
        """The same person, of whom nothing is known but the traits of these names."""
        return Traits(**{name: getattr(self, name) for name in names})

    def to_dict(self) -> dict[str, Any]:
        """The known traits alone."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        known = {name: value for name, value in values.items() if value not in (None, ())}
        return known | ({"sentences": list(self.sentences)} if self.sentences else {})


def _says_nothing(name: str, value: object) -> bool:
    """Whether a value, as an empty field of a form, leaves a trait unknown."""
    return value is None or (name in FREE_WORDS and isinstance(value, str) and not value.strip())


def _check_score(name: str, value: object, scale: Scale) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value not in scale:
        raise TraitError(f"{name} {value!r} is out of range: give a number of {scale}")
    return float(value)
