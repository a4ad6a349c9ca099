"""The 3000 words and pieces that the ``nano`` model reads, made from English of our own.

``FOLDER`` holds them as ``tokenizer.json``; ``TextTokenizer.compact()`` reads it. They are rebuilt
from ``corpus.txt`` and the prompts with ``python -m aesmamba_sdk.model.vocabulary.build``; a model
trained before reads text with the tokenizer of its own folder.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
