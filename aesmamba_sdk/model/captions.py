"""Captions and comments as AesMamba-M reads them, cleaned as the public code does."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_WORDS = 200
_DROPPED = re.compile(r"[\[\]('\")*#:~]")


def clean_caption(texts: str | Iterable[str]) -> str:
    """One line of a caption, or of all comments on a photo.

    Brackets, quotes and the signs ``* # : ~`` go, line breaks (also written as ``\\n``) become
    spaces, case is kept, and the first 200 words count.
    """
    text = texts if isinstance(texts, str) else ", ".join(texts)
    return " ".join(_DROPPED.sub("", text.replace("\\n", " ")).split()[:MAX_WORDS])
