"""The words and pieces that the ``nano`` model reads, made from English of our own.

``TextTokenizer.compact()`` reads the file. It is rebuilt from ``corpus.txt`` and the prompts with
``python -m aesmamba_sdk.model.vocabulary.build``; a model trained before reads text with the
tokenizer of its own folder.
"""

from __future__ import annotations

from pathlib import Path

CORPUS_FILE = Path(__file__).parent / "corpus.txt"
VOCABULARY_FILE = Path(__file__).parent / "tokenizer.json"
