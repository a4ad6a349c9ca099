"""Subject Multi-character Prompts: a person's traits as the sentences AesMamba-P reads (3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from aesmamba_sdk.profiles.traits import BIG_FIVE, Traits

_BIG_FIVE_INTRODUCTION = "In the Big-Five personality traits test, my scores are as follows:"
# The paper and the public code capitalise the five names differently; both are kept as they are.
_PAPER_NAMES = dict(zip(BIG_FIVE, (*BIG_FIVE[:4], "Neuroticism"), strict=True))
_CODE_NAMES = _PAPER_NAMES | {"openness": "Openness"}

CHARACTERS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "art": ("art_experience",),
    "photo": ("photo_experience",),
    "personality": BIG_FIVE,
    "all": tuple(field.name for field in fields(Traits)),
}
"""Traits that a prompt may be made of, by the names of the ablation in section 4.5.2."""


@dataclass(frozen=True)
class SubjectPrompt:
    """The prompt of one person; only known traits are mentioned."""

    traits: Traits

    def paper(self) -> str:
        """The paper's sentences: art, photography, personality. Empty when nothing is known."""
        t = self.traits
        sentences = []
        if t.art_experience is not None:
            sentences.append(f"My artistic experience is {t.art_experience}.")
        if t.photo_experience is not None:
            sentences.append(f"My Photographic experience is {t.photo_experience}.")
        sentences.append(self._personality(_PAPER_NAMES))
        return " ".join(filter(None, sentences))

    def public_code(self) -> str:
        """The public code's one string: personality first, and no space between the sentences."""
        t = self.traits
        parts = []
        if t.art_experience is not None:
            parts.append(f"my artistic experience is {t.art_experience}")
        if t.photo_experience is not None:
            parts.append(f"my photographic experience is {t.photo_experience}")
        experience = ", while ".join(parts)
        if experience:
            experience = experience[0].upper() + experience[1:] + "."
        return self._personality(_CODE_NAMES) + experience

    def for_model(self) -> str:
        """What the SDK's models read: the paper's sentences, then what lies beyond the paper."""
        t = self.traits
        beyond = [
            f"My {name} is {value}."
            for name, value in (("age", t.age), ("gender", t.gender), ("education", t.education))
            if value is not None
        ]
        return " ".join(filter(None, [self.paper(), *beyond, *t.sentences]))

    def _personality(self, names: dict[str, str]) -> str:
        scores = [
            f"{label} score is {getattr(self.traits, name):g}"
            for name, label in names.items()
            if getattr(self.traits, name) is not None
        ]
        if not scores:
            return ""
        *others, last = scores
        listed = ", ".join(others) + ("," if len(others) > 1 else "")
        return f"{_BIG_FIVE_INTRODUCTION} {listed + ' and ' if others else ''}{last}."
