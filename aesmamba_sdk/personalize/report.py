"""What personalizing did, for people and programs; loads nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PersonalizeReport:
    """The outcome of one fine-tuning.

    Attributes:
        user: whose.
        version: of the personal model; ``None`` after a dry run.
        method: ``"bayes"``, ``"lora"``, ``"full"``; ``"affine"`` where the evidence supports no
            more than the generic score on the person's scale.
        shots: rated photos learned from.
        choices: choices between two photos learned from.
        seconds: in all, photos embedded included.
        srcc, mae: of the personal scores, each photo predicted without its own rating; ``None``
            with too few ratings.
        generic_srcc, generic_mae: of the generic score on the same photos.
        trust: share (0-1) of what was learned in the score; the rest is the generic score on the
            person's scale.
        size: bytes of the personal model.
        problems: ratings and photos that could not be used.
        notes: what else to know of how the model was made.
    """

    user: str
    version: int | None
    method: str
    shots: int
    choices: int
    seconds: float
    srcc: float | None
    mae: float | None
    generic_srcc: float | None
    generic_mae: float | None
    trust: float
    size: int
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)
