"""Chooses the words and pieces of the compact tokenizer and writes its file.

A trainer's choice may change with the version of ``tokenizers``; this one depends on the corpus and
the prompts alone: the commonest words are tokens as they are, the commonest pieces of words serve
all others.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer

from aesmamba_sdk.model.config import TextConfig
from aesmamba_sdk.model.text import SPECIAL_TOKENS, bert_tokenizer
from aesmamba_sdk.model.vocabulary import CORPUS_FILE, VOCABULARY_FILE
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.traits import BIG_FIVE, EXPERIENCE_LEVELS, Traits

SIZE = TextConfig.compact().vocab_size
PIECES = 400
"""How many tokens at least are parts of words."""

ENDINGS = ("s", "es", "d", "ed", "ing", "ly", "ness")
PIECE_LENGTHS = range(2, 6)
_ALPHANUMERIC = string.ascii_lowercase + string.digits
# Prose has these as well as ASCII. BERT splits at punctuation alone, so signs also follow a digit.
_TYPOGRAPHY = "‘’“”–—…"  # noqa: RUF001
_SIGNS = "°€£"
_COMMON = 2


def build() -> Tokenizer:
    """The compact tokenizer, the same at every call."""
    counts = count_words([*read_corpus(), *prompts(), *ages()])
    tokens = [*SPECIAL_TOKENS, *alphabet()]
    tokens += _without(tokens, whole_words(counts))[: SIZE - PIECES - len(tokens)]
    tokens += _without(tokens, pieces(counts))[: SIZE - len(tokens)]
    tokenizer: Tokenizer = bert_tokenizer({token: i for i, token in enumerate(tokens)})
    return tokenizer


def read_corpus() -> list[str]:
    """The lines of ``corpus.txt`` that are not headings."""
    lines = CORPUS_FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def prompts() -> Iterator[str]:
    """Prompts with every level and every score in halves; each wording that a person can get."""
    scores = [half / 2 for half in range(2, 21)]
    for level in EXPERIENCE_LEVELS:
        for score in scores:
            personality = dict.fromkeys(BIG_FIVE, score)
            traits = Traits.from_dict(
                {"art_experience": level, "photo_experience": level, **personality}
            )
            prompt = SubjectPrompt(traits)
            yield from (prompt.paper(), prompt.public_code())


def ages() -> Iterator[str]:
    for age in range(10, 100):
        yield f"My age is {age}."


def alphabet() -> list[str]:
    """Every character alone and, where it can follow another, as a piece."""
    alone = _ALPHANUMERIC + string.punctuation + _TYPOGRAPHY + _SIGNS
    return [*alone, *(f"##{character}" for character in _ALPHANUMERIC + _SIGNS)]


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word is used, split and lowercased as the tokenizer does."""
    reader = bert_tokenizer({token: i for i, token in enumerate(SPECIAL_TOKENS)})
    normalizer, splitter = reader.normalizer, reader.pre_tokenizer
    counts: Counter[str] = Counter()
    for text in texts:
        words = splitter.pre_tokenize_str(normalizer.normalize_str(text))
        counts.update(word for word, _ in words)
    return counts


def whole_words(counts: Counter[str]) -> list[str]:
    """All words, the commonest first and short before long.

    Rare ones that are another word with an ending come last: pieces read them well.
    """

    def rank(word: str) -> tuple[bool, int, int, str]:
        spare = counts[word] < _COMMON and _is_inflected(word, counts)
        return spare, -counts[word], len(word), word

    return sorted(counts, key=rank)


def pieces(counts: Counter[str]) -> list[str]:
    """Endings, then the parts that spare the most characters over all words of the corpus."""
    found = Counter(piece for word in counts for piece in _parts(word))
    ranked = sorted(found, key=lambda p: (-found[p] * (len(p.removeprefix("##")) - 1), p))
    endings = [f"##{ending}" for ending in ENDINGS]
    return [*endings, *_without(endings, ranked)]


def _is_inflected(word: str, counts: Counter[str]) -> bool:
    stems = (word.removesuffix(ending) for ending in ENDINGS if word.endswith(ending))
    return any(len(stem) > 2 and stem in counts for stem in stems)


def _parts(word: str) -> Iterator[str]:
    for length in PIECE_LENGTHS:
        for start in range(len(word) - length + 1):
            yield ("##" if start else "") + word[start : start + length]


def _without(known: Iterable[str], tokens: Iterable[str]) -> list[str]:
    taken = set(known)
    return [token for token in tokens if token not in taken]


def main() -> None:
    """Rewrite the file that ships."""
    build().save(str(VOCABULARY_FILE))


if __name__ == "__main__":
    main()
