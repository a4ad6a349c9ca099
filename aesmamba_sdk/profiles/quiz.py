"""Twenty questions to the Big Five: the Mini-IPIP (Donnellan et al. 2006).

Its sentences come from the International Personality Item Pool, which is in the public domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aesmamba_sdk.errors import TraitError
from aesmamba_sdk.profiles.traits import BIG_FIVE, BIG_FIVE_SCALE
from aesmamba_sdk.scores import Scale

ANSWERS = Scale(1.0, 5.0)
"""From "very inaccurate" to "very accurate"."""
_LEAST_ANSWERS = 3  # of the four sentences on a trait


@dataclass(frozen=True)
class Item:
    """One sentence.

    Attributes:
        text: in the first person.
        trait: the one of the Big Five it measures; the inventory's "intellect/imagination" is
            openness.
        reverse: agreeing speaks against the trait.
    """

    text: str
    trait: str
    reverse: bool = False


MINI_IPIP = (
    Item("I am the life of the party.", "extroversion"),
    Item("I sympathize with others' feelings.", "agreeableness"),
    Item("I get chores done right away.", "conscientiousness"),
    Item("I have frequent mood swings.", "neuroticism"),
    Item("I have a vivid imagination.", "openness"),
    Item("I don't talk a lot.", "extroversion", reverse=True),
    Item("I am not interested in other people's problems.", "agreeableness", reverse=True),
    Item(
        "I often forget to put things back in their proper place.",
        "conscientiousness",
        reverse=True,
    ),
    Item("I am relaxed most of the time.", "neuroticism", reverse=True),
    Item("I am not interested in abstract ideas.", "openness", reverse=True),
    Item("I talk to a lot of different people at parties.", "extroversion"),
    Item("I feel others' emotions.", "agreeableness"),
    Item("I like order.", "conscientiousness"),
    Item("I get upset easily.", "neuroticism"),
    Item("I have difficulty understanding abstract ideas.", "openness", reverse=True),
    Item("I keep in the background.", "extroversion", reverse=True),
    Item("I am not really interested in others.", "agreeableness", reverse=True),
    Item("I make a mess of things.", "conscientiousness", reverse=True),
    Item("I seldom feel blue.", "neuroticism", reverse=True),
    Item("I do not have a good imagination.", "openness", reverse=True),
)
"""The sentences in their published order."""


def score_quiz(answers: Sequence[int | None]) -> dict[str, float]:
    """Traits on 1-10 from answers on 1-5.

    Args:
        answers: one a sentence of ``MINI_IPIP``, ``None`` where skipped.

    Returns:
        Trait name to score; a trait with fewer than three answers is left out.

    Raises:
        TraitError: the number of answers or one of them is wrong.
    """
    if len(answers) != len(MINI_IPIP):
        raise TraitError(f"{len(answers)} answers to {len(MINI_IPIP)} questions")
    by_trait: dict[str, list[float]] = {name: [] for name in BIG_FIVE}
    for number, (item, answer) in enumerate(zip(MINI_IPIP, answers, strict=True), 1):
        if answer is None:
            continue
        if isinstance(answer, bool) or answer not in (1, 2, 3, 4, 5):
            raise TraitError(f"answer {number} is {answer!r}: give 1, 2, 3, 4 or 5, or skip it")
        by_trait[item.trait].append(ANSWERS.low + ANSWERS.high - answer if item.reverse else answer)
    return {
        trait: round(ANSWERS.convert(sum(given) / len(given), BIG_FIVE_SCALE), 2)
        for trait, given in by_trait.items()
        if len(given) >= _LEAST_ANSWERS
    }
