"""``aesmamba report`` as people and scripts use it."""

from __future__ import annotations

import pytest

from tests import toy


@pytest.fixture
def run(run):
    return lambda *arguments: run("report", *arguments)


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "trip", 3)


def test_the_page_is_named_and_standard_output_is_left_alone(run, photos, tmp_path):
    result = run(photos[0].parent, "-o", tmp_path / "trip.html", "--regions", 0)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "trip.html: 3 photos, 0.0 MB" in result.stderr
    assert (tmp_path / "trip.html").stat().st_size > 10_000


def test_a_bad_photo_is_named_and_the_exit_code_is_one(run, photos, tmp_path):
    photos[1].write_bytes(b"")
    result = run(*photos, "-o", tmp_path / "trip.html", "--regions", 0)
    assert result.exit_code == 1
    assert "001.png is empty" in result.stderr
    assert (tmp_path / "trip.html").is_file()


def test_a_name_that_is_none_leaves_an_earlier_page(run, photos, tmp_path):
    page = tmp_path / "trip.html"
    page.write_text("earlier")
    result = run(tmp_path / "typo", "-o", page)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "trip.html is not written, as no photo could be scored" in result.stderr
    assert "typo does not exist" in result.stderr
    assert page.read_text() == "earlier"


def test_ctrl_c_tells_how_many_photos_were_done(run, photos, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("aesmamba_sdk.pages.report.thumbnails", interrupt)
    result = run(*photos, "-o", tmp_path / "trip.html")
    assert result.exit_code == 130
    assert "stopped: 3 photos were done; their features are kept" in result.stderr


def test_wrong_use_is_one_line_and_exit_code_2(run, photos, tmp_path):
    result = run(*photos, "-o", tmp_path / "trip.pdf")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name the page .html" in result.stderr
