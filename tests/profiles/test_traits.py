"""Traits are checked, converted and put into the paper's words."""

from __future__ import annotations

import pytest

from aesmamba_sdk.errors import TraitError
from aesmamba_sdk.profiles.prompts import CHARACTERS, SubjectPrompt
from aesmamba_sdk.profiles.traits import Traits
from aesmamba_sdk.scores import Scale

ALICE = Traits(
    art_experience="competent",
    photo_experience="expert",
    openness=4,
    conscientiousness=8,
    extroversion=7.5,
    agreeableness=9,
    neuroticism=3,
)


def test_the_prompt_is_worded_as_in_the_paper():
    assert SubjectPrompt(ALICE).paper() == (
        "My artistic experience is competent. My Photographic experience is expert. "
        "In the Big-Five personality traits test, my scores are as follows: openness score is 4, "
        "conscientiousness score is 8, extroversion score is 7.5, agreeableness score is 9, "
        "and Neuroticism score is 3."
    )


def test_the_public_codes_wording_is_kept():
    assert SubjectPrompt(ALICE).public_code() == (
        "In the Big-Five personality traits test, my scores are as follows: Openness score is 4, "
        "conscientiousness score is 8, extroversion score is 7.5, agreeableness score is 9, "
        "and Neuroticism score is 3.My artistic experience is competent, "
        "while my photographic experience is expert."
    )


@pytest.mark.parametrize(
    ("traits", "prompt"),
    [
        (Traits(), ""),
        (
            Traits(openness=4),
            "In the Big-Five personality traits test, my scores are as follows: "
            "openness score is 4.",
        ),
        (
            Traits(openness=4, neuroticism=2),
            "In the Big-Five personality traits test, my scores are as follows: "
            "openness score is 4 and Neuroticism score is 2.",
        ),
        (
            Traits(age="30-34", sentences=("I love fog.",)),
            "My age is 30-34. I love fog.",
        ),
    ],
)
def test_only_known_traits_are_mentioned(traits, prompt):
    assert SubjectPrompt(traits).for_model() == prompt


@pytest.mark.parametrize(
    ("characters", "words"),
    [
        ("none", []),
        ("art", ["artistic"]),
        ("photo", ["Photographic"]),
        ("personality", ["Big-Five"]),
        ("all", ["artistic", "Photographic", "Big-Five", "age"]),
    ],
)
def test_prompts_may_be_made_of_some_characters_alone(characters, words):
    known = Traits(**ALICE.to_dict(), age="30-34")
    prompt = SubjectPrompt(known.only(CHARACTERS[characters])).for_model()
    assert [word for word in ("artistic", "Photographic", "Big-Five", "age") if word in prompt] == (
        words
    )
    assert bool(prompt) == bool(words)


def test_other_scales_are_converted_to_paras():
    traits = Traits.from_dict({"openness": 1, "neuroticism": 5}, scale=Scale(1, 5))
    assert (traits.openness, traits.neuroticism) == (1.0, 10.0)


@pytest.mark.parametrize("value", [0, 10.5, float("nan"), "high", True])
def test_a_value_out_of_range_is_refused_with_the_range(value):
    with pytest.raises(TraitError, match=r"openness .* 1-10"):
        Traits.from_dict({"openness": value})


def test_unknown_names_and_levels_are_refused_with_the_known_ones():
    with pytest.raises(TraitError, match=r"'mood'; there are: .*openness"):
        Traits.from_dict({"mood": 3})
    with pytest.raises(TraitError, match=r"'guru' is not known; .*expert"):
        Traits(art_experience="guru")


def test_blank_words_say_nothing():
    blank = {"age": "", "gender": " ", "education": "\n", "sentences": ["", " ", "I love fog."]}
    assert Traits.from_dict(blank) == Traits(sentences=("I love fog.",))


def test_traits_survive_their_record():
    traits = Traits(openness=4, gender="female", sentences=("I love fog.",))
    assert Traits.from_dict(traits.to_dict()) == traits
