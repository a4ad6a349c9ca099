"""The inventory's keys and its conversion to PARA's scale."""

from __future__ import annotations

from collections import Counter

import pytest

from aesmamba_sdk.errors import TraitError
from aesmamba_sdk.profiles.quiz import MINI_IPIP, score_quiz
from aesmamba_sdk.profiles.traits import BIG_FIVE, Traits


def test_each_trait_has_four_sentences():
    assert Counter(item.trait for item in MINI_IPIP) == dict.fromkeys(BIG_FIVE, 4)


def test_the_published_key():
    reversed_items = [i for i, item in enumerate(MINI_IPIP, 1) if item.reverse]
    assert reversed_items == [6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20]
    order = "EACNO" * 4
    expected = [next(t for t in BIG_FIVE if t[0].upper() == letter) for letter in order]
    expected[14], expected[19] = "openness", "openness"
    assert [item.trait for item in MINI_IPIP] == expected


def test_agreeing_with_every_sentence_for_a_trait_is_ten():
    answers = [1 if item.reverse else 5 for item in MINI_IPIP]
    assert score_quiz(answers) == dict.fromkeys(BIG_FIVE, 10.0)
    assert score_quiz([6 - a for a in answers]) == dict.fromkeys(BIG_FIVE, 1.0)


def test_the_middle_is_the_middle_and_makes_valid_traits():
    scores = score_quiz([3] * 20)
    assert scores == dict.fromkeys(BIG_FIVE, 5.5)
    Traits.from_dict(scores)


def test_a_skipped_answer_is_left_to_the_others_and_two_leave_the_trait_out():
    answers: list[int | None] = [1 if item.reverse else 5 for item in MINI_IPIP]
    answers[0] = None
    assert score_quiz(answers)["extroversion"] == 10
    answers[5] = None
    assert set(score_quiz(answers)) == set(BIG_FIVE) - {"extroversion"}


@pytest.mark.parametrize("answers", [[3] * 19, [0] + [3] * 19, [6] + [3] * 19, [True] + [3] * 19])
def test_wrong_answers_are_refused(answers):
    with pytest.raises(TraitError):
        score_quiz(answers)
