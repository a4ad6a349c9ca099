"""Captions as the public code cleans them."""

from __future__ import annotations

import pytest

from aesmamba_sdk.model.captions import clean_caption


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('Nice *light*, #1 (really): "I\'d" [frame]~', "Nice light, 1 really Id frame"),
        ("two\\nlines\nand   spaces ", "two lines and spaces"),
        (["First one.", "it's soft"], "First one., its soft"),
        ([], ""),
        ("w " * 300, " ".join("w" * 200)),
    ],
)
def test_signs_go_case_stays_and_length_is_bounded(given, expected):
    assert clean_caption(given) == expected
