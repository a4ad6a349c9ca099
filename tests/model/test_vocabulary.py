"""The compact vocabulary, and BERT folders of any age."""

from __future__ import annotations

import json

import pytest
from transformers import BertTokenizerFast

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import TextConfig
from aesmamba_sdk.model.text import SPECIAL_TOKENS, TextTokenizer
from aesmamba_sdk.model.vocabulary import VOCABULARY_FILE
from aesmamba_sdk.model.vocabulary.build import build
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.traits import Traits

FULL = Traits(
    art_experience="competent",
    photo_experience="expert",
    openness=7.5,
    conscientiousness=10,
    extroversion=1,
    agreeableness=4,
    neuroticism=6.5,
    age="34",
    gender="female",
    education="university",
)


def test_the_committed_vocabulary_is_what_the_builder_makes(tmp_path):
    build().save(str(tmp_path / "tokenizer.json"))
    assert (tmp_path / "tokenizer.json").read_bytes() == VOCABULARY_FILE.read_bytes()


def test_it_fits_the_compact_encoder():
    assert TextTokenizer.compact().vocab_size == TextConfig.compact().vocab_size


def test_special_tokens_are_where_bert_has_padding():
    vocabulary = build().get_vocab()
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == list(range(5))


def test_a_full_prompt_is_short_and_of_whole_words():
    encoding = build().encode(SubjectPrompt(FULL).for_model())
    assert len(encoding.tokens) < 120
    assert not [token for token in encoding.tokens if token.startswith("##")]


@pytest.mark.parametrize(
    "text",
    [
        SubjectPrompt(FULL).paper(),
        SubjectPrompt(FULL).public_code(),
        "Supercalifragilistic bokeh @ f/1.8, ISO 6400 (handheld)!",
        "Café at dusk; naïve and unfinished",
    ],
)
def test_plain_words_are_never_unknown(text):
    assert "[UNK]" not in build().encode(text).tokens


def test_padding_is_masked():
    ids, mask = TextTokenizer.compact().encode(["a photo", "a much longer text about a photo"])
    assert ids.shape == mask.shape
    assert mask.sum(1).tolist() == [4, 9]
    assert (ids[mask == 0] == 0).all()


def test_long_texts_are_cut():
    ids, _ = TextTokenizer.compact().encode(["word " * 500], max_tokens=64)
    assert ids.shape == (1, 64)


def test_no_text_is_still_two_tokens():
    ids, mask = TextTokenizer.compact().encode([""])
    assert ids.tolist() == [[2, 3]]
    assert mask.tolist() == [[1, 1]]


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_folder_with_only_a_vocab_txt_reads_as_in_transformers(tmp_path, lowercase):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "Photo", "photo", "##s", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
    text = "A photo. Photos."
    vocabulary = {word: number for number, word in enumerate(words)}
    reference = BertTokenizerFast(vocab=vocabulary, do_lower_case=lowercase)
    ids, _ = TextTokenizer.load(tmp_path).encode([text])
    assert ids[0].tolist() == reference(text)["input_ids"]


def test_a_folder_without_words_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        TextTokenizer.load(tmp_path)
