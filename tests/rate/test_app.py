"""The page's server: who is let in, and what they get."""

from __future__ import annotations

import io
import os
import shutil
import time

import pytest
from PIL import Image

from aesmamba_sdk.rate.session import RatingSession
from tests import toy
from tests.rate.serving import TOKEN, ask, served


@pytest.fixture
def address(sdk, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photos = toy.write_photos(tmp_path / "trip", 5)
    toy.photo(0.5, 9).resize((2400, 1200)).save(tmp_path / "trip" / "turned.jpg", exif=exif)
    (tmp_path / "secret.png").write_bytes(photos[0].read_bytes())
    sdk.users.add("alice")
    with served(RatingSession(sdk, "alice", [str(tmp_path / "trip")])) as found:
        yield found


@pytest.mark.parametrize("path", ["/", "/state", "/wrong/state", f"//{TOKEN}/state", "/rating/0"])
def test_nothing_is_answered_without_the_token(address, path):
    answer = ask(address, "GET", path)
    assert answer.status in (401, 404)
    assert TOKEN.encode() not in answer.body
    assert b"alice" not in answer.body


def test_other_names_and_other_pages_are_refused(address):
    assert ask(address, "GET", "state", host="evil.example").status == 403
    assert ask(address, "GET", "state", host="evil.example:80").status == 403
    foreign = ask(address, "PUT", "rating/0", {"score": 5}, origin="https://evil.example")
    assert foreign.status == 403
    assert "access-control-allow-origin" not in foreign.headers
    assert ask(address, "GET", "state").json()["ratings"] == {}
    assert ask(address, "OPTIONS", "rating/0", origin="https://evil.example").status == 403


@pytest.mark.parametrize("path", ["", "state", "photo/0/small", "page.js", "no-such-page"])
def test_every_answer_is_sealed(address, path):
    headers = ask(address, "GET", path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "private" in headers["cache-control"] or headers["cache-control"] == "no-store"


def test_photos_come_upright_and_small_enough(address):
    names = ask(address, "GET", "state").json()["names"]
    for size, expected in (("large", (800, 1600)), ("small", (160, 320))):
        answer = ask(address, "GET", f"photo/{names.index('turned.jpg')}/{size}")
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.body)) as image:
            assert image.size == expected


@pytest.mark.parametrize(
    "path",
    [
        "photo/6/large",
        "photo/-1/large",
        "photo/0/huge",
        "photo/..%2f..%2fsecret.png/large",
        "photo/../../secret.png/large",
        "../secret.png",
        "page.css/../../secret.png",
        "static/base.css",
    ],
)
def test_only_photos_of_the_folder_are_served(address, path):
    answer = ask(address, "GET", path)
    assert answer.status in (401, 404, 422)
    assert not answer.headers["content-type"].startswith("image/")


def test_ratings_are_kept_and_counted(address, sdk):
    assert ask(address, "PUT", "rating/1", {"score": 4}).json() == {"rated": 1}
    assert ask(address, "PUT", "rating/2", {"score": 1}).json() == {"rated": 2}
    assert [r.score for r in sdk.ratings.list("alice")] == [4, 1]
    assert ask(address, "DELETE", "rating/2").json() == {"rated": 1}
    assert ask(address, "GET", "state").json()["ratings"] == {"1": 4.0}


@pytest.mark.parametrize("score", [0, 6, 3.5, "3", True, None])
def test_only_one_to_five_is_a_rating(address, sdk, score):
    assert ask(address, "PUT", "rating/1", {"score": score}).status == 422
    assert sdk.ratings.list("alice") == []


def test_a_photo_that_went_away_is_an_error_that_names_it(address, tmp_path):
    (tmp_path / "trip" / "001.png").unlink()
    answer = ask(address, "PUT", "rating/1", {"score": 4})
    assert answer.status == 409
    assert answer.json()["error"]["code"] == "photo_missing"
    assert "001.png" in answer.json()["error"]["message"]
    assert ask(address, "GET", "photo/1/large").status == 409
    assert ask(address, "PUT", "rating/99", {"score": 4}).status == 404


def test_learning_is_a_job_that_can_be_watched(address):
    assert ask(address, "GET", "learning").json()["state"] == "idle"
    for photo, score in enumerate([1, 2, 5, 4, 3]):
        ask(address, "PUT", f"rating/{photo}", {"score": score})
    started = ask(address, "POST", "learning")
    assert started.status == 202
    deadline = time.monotonic() + 30
    while (told := ask(address, "GET", "learning").json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert told["state"] == "done"
    assert told["report"]["shots"] == 5
    assert len(told["ranking"]) == 6
    values = [after for _, _, after in told["ranking"]]
    assert values == sorted(values, reverse=True)


def test_a_rated_file_whose_name_is_no_text_does_not_keep_the_result_from_the_page(
    address, sdk, tmp_path
):
    for photo, score in enumerate([1, 2, 5, 4, 3]):
        ask(address, "PUT", f"rating/{photo}", {"score": score})
    image = toy.photo(0.5, seed=9)
    odd = tmp_path / os.fsdecode(b"im\xff.png")
    image.save(odd)
    sdk.rate(sdk.users.list()[0].name, odd, 3)
    odd.write_bytes(b"another")
    sdk.embeddings.close()
    shutil.rmtree(tmp_path / "home" / "cache")
    ask(address, "POST", "learning")
    deadline = time.monotonic() + 30
    while (told := ask(address, "GET", "learning").json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert told["state"] == "done"
    assert "im\ufffd.png" in told["report"]["problems"][0]
