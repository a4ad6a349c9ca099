"""Pairs of photos of which one was preferred."""

from __future__ import annotations

import pytest

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.ratings import read_choices


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "better,worse\na.jpg,b.jpg\n"),
        ("a.csv", "sep=;\nBetter;Worse\na.jpg;b.jpg\n\n"),
        ("a.json", '[{"better": "a.jpg", "worse": "b.jpg"}]'),
    ],
)
def test_photos_are_named_relative_to_the_table(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_choices(tmp_path / name) == [(tmp_path / "a.jpg", tmp_path / "b.jpg")]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "better,worse\na.jpg,a.jpg\n", "choice 1: better 'a.jpg' and worse 'a.jpg'"),
        ("a.csv", "first,second\na.jpg,b.jpg\n", "choice 1: better '' and worse ''"),
        ("a.csv", 'better,worse\na.jpg,"b.jpg\n', "line 2: quotes do not match"),
        ("a.csv", '"better,worse\na.jpg,b.jpg\n', "line 1: quotes do not match"),
        ("a.csv", "better,worse\nbeach, left.jpg,b.jpg\n", "line 2: 3 cells for 2 columns"),
        ("a.csv", "better,worse\n\n", "a.csv holds no choice"),
        ("a.csv", "", "a.csv holds no choice"),
        ("a.json", "[]", "a.json holds no choice"),
        ("a.json", "{}", "must hold a list"),
        ("a.json", "{", "is not valid JSON"),
        ("missing.csv", None, "missing.csv cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, content, expected):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(RatingsError, match=expected):
        read_choices(tmp_path / name)
