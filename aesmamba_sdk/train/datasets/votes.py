"""The tables of votes and comments that AesMamba's public code reads for Photo.Net and AVA."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path

from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.ava import mean
from aesmamba_sdk.train.datasets.dataset import Sample
from aesmamba_sdk.train.datasets.table import Row, read_csv

_COLUMNS = ("index", "comment", "label", "score")


def read_votes(file: Path, scale: Scale) -> Iterator[Sample]:
    """Rows of ``index, comment, label, score``; a further column ``class`` is computed instead.

    Args:
        file: ``index`` names the photo, with ``.jpg`` added where it has no suffix; ``comment`` is
            a list of strings as Python writes it; ``label`` counts the votes of 1 to K, separated
            by spaces.
        scale: 1 to K.
    """
    for row in read_csv(file, _COLUMNS):
        name = row.text("index")
        shares = _shares(row, int(scale.high))
        score = row.score("score", scale)
        if math.isnan(score) and shares:
            score = mean(shares)
        votes = {"aesthetic": shares} if shares else {}
        image = name if Path(name).suffix else f"{name}.jpg"
        yield Sample(image, (score,), str(row), votes, _comments(row))


def _shares(row: Row, bins: int) -> tuple[float, ...]:
    counts = row.values["label"].split()
    if not counts:
        return ()
    if len(counts) != bins:
        raise row.problem("label", f"{bins} counts of votes")
    columns = [f"votes of {k}" for k in range(1, bins + 1)]
    return Row(row.file, row.number, dict(zip(columns, counts, strict=True))).votes(columns)


def _comments(row: Row) -> tuple[str, ...]:
    text = row.values["comment"].strip()
    if not text:
        return ()
    try:
        comments = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        comments = None
    if not isinstance(comments, list) or not all(isinstance(c, str) for c in comments):
        raise row.problem("comment", "a list of strings such as ['first', 'second']")
    return tuple(comments)
