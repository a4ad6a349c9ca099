"""The report's file: what is in it, and how it comes to its place."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re

import pytest
from PIL import Image

from aesmamba_sdk.errors import PhotoError, SetupError, UserNotFoundError
from aesmamba_sdk.pages.assets import json_in_html
from aesmamba_sdk.pages.thumbnails import side_for
from tests import toy


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "trip", 6)


@pytest.fixture
def page(tmp_path):
    return tmp_path / "report.html"


@pytest.fixture
def alice(sdk, tmp_path):
    sdk.users.add("alice")
    sdk.personalize("alice", toy.write_ratings(toy.write_photos(tmp_path / "rated", 40, seed=1)))
    return "alice"


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1]
    )


def test_a_page_holds_what_the_sdk_says_of_every_photo(sdk, photos, page, alice):
    written = sdk.report(photos[0].parent, page, user=alice, regions=3)
    data, scores = data_of(page), list(sdk.score_many(photos, user=alice, attributes=True))
    assert (written.photos, written.failures, written.explained) == (6, [], 3)
    assert written.size == page.stat().st_size
    assert (data["title"], data["user"], data["method"]) == ("trip", "alice", "bayes")
    assert data["shots"] == 40
    assert data["names"] == [photo.name for photo in photos]
    assert data["values"] == pytest.approx([s.value for s in scores], abs=5e-4)
    assert data["generic"] == pytest.approx([s.generic for s in scores], abs=5e-4)
    assert data["deviations"] == pytest.approx([s.std for s in scores], abs=5e-4)
    colors = [row[data["attributes"].index("color")] for row in data["attributeScores"]]
    assert colors == pytest.approx([s.attributes["color"] for s in scores], abs=5e-4)


def test_the_page_explains_as_the_sdk_does(sdk, photos, page, alice):
    sdk.report(photos, page, user=alice, regions=0)
    data = data_of(page)
    for i in (0, 5):
        explanation = sdk.explain(photos[i], user=alice)
        split = explanation.split
        parts = [split.offset, split.slope, split.taste, split.cut]
        assert data["splits"][i] == pytest.approx(parts, abs=1e-3)
        assert data["ranks"][i] == pytest.approx(list(explanation.percentiles.values()), abs=1e-3)
        assert data["generic"][i] + sum(parts) == pytest.approx(data["values"][i], abs=2e-3)
    assert dict(map(tuple, data["likes"])) == pytest.approx(explanation.likes, abs=0.01)
    assert data["maps"] == {}


def test_maps_are_of_the_best_and_the_worst(sdk, photos, page):
    sdk.report(photos, page, regions=3)
    order = sorted(range(6), key=lambda i: -sdk.score(photos[i]).value)
    maps = data_of(page)["maps"]
    assert set(maps) == {str(order[0]), str(order[1]), str(order[-1])}
    assert all(picture.startswith("data:image/webp;base64,") for picture in maps.values())


def test_nobodys_page_claims_nothing_personal(sdk, photos, page):
    sdk.report(photos, page, regions=0)
    data = data_of(page)
    personal = ("user", "method", "shots", "generic", "deviations", "splits", "likes")
    assert [data[key] for key in personal] == [None] * 7
    assert data["ratings"] == [None] * 6


def test_a_persons_own_ratings_are_on_their_page(sdk, page, alice, tmp_path):
    rated = tmp_path / "rated"
    sdk.report(rated, page, user=alice, regions=0)
    known = {os.path.basename(r.path): r.score for r in sdk.ratings.list(alice)}  # noqa: PTH119
    data = data_of(page)
    assert dict(zip(data["names"], data["ratings"], strict=True)) == known


def test_photos_that_fail_are_listed_and_do_not_stop_the_others(sdk, photos, page):
    photos[2].write_bytes(b"")
    photos[4].write_text("no photo")
    written = sdk.report(photos, page, regions=0)
    assert (written.photos, [f.code for f in written.failures]) == (
        4,
        ["photo_empty", "photo_not_an_image"],
    )
    assert [f["name"] for f in data_of(page)["failed"]] == ["002.png", "004.png"]
    assert data_of(page)["failed"][0]["message"] == "002.png is empty"
    assert str(photos[2].parent) not in page.read_text(encoding="utf-8")


def test_a_page_of_failures_alone_is_not_written(sdk, photos, page):
    page.write_text("earlier")
    for photo in photos:
        photo.write_bytes(b"")
    with pytest.raises(PhotoError, match=r"000\.png is empty; and 5 more"):
        sdk.report(photos, page)
    assert page.read_text() == "earlier"


def test_thumbnails_are_small_upright_and_keep_their_shape(sdk, tmp_path, page):
    lying = toy.photo(0.5, 0).resize((600, 400))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "turned.jpg", exif=exif)
    sdk.report(tmp_path / "turned.jpg", page, regions=0)
    data = data_of(page)
    encoded = data["thumbnails"][0].removeprefix("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert list(image.size) == data["sizes"][0] == [341, 512]
    assert [side_for(count) for count in (200, 1000, 5000)] == [512, 288, 160]


def test_the_policy_lets_in_this_style_and_script_and_no_network(sdk, photos, page):
    sdk.report(photos, page, regions=0)
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1].replace("&#x27;", "'")
    for tag in ("style", 'script type="module"'):
        kind = tag.split()[0]
        content = re.search(f"<{tag}>(.*?)</{kind}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    addresses = set(re.findall(r"https?://[^\s\"']+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place


def test_data_cannot_leave_its_element():
    name = "</script><script>alert(1)</script>&amp;<!--{{ data }}\u2028\udcff"
    text = json_in_html({"name": name})
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"name": name}


@pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
def test_links_lead_from_the_page_to_the_originals(sdk, tmp_path):
    folder = tmp_path / "trip" / "day 1"
    folder.mkdir(parents=True)
    names = ["javascript:alert(1).png", "100% #1?.png", os.fsdecode(b"odd\xff.png")]
    for name in names:
        toy.photo(0.5, 0).save(folder / name)
    (tmp_path / "out").mkdir()
    page = tmp_path / "out" / "report.html"
    sdk.report(folder, page, regions=0)
    data = data_of(page)
    assert sorted(data["links"]) == [
        "./../trip/day%201/100%25%20%231%3F.png",
        "./../trip/day%201/javascript%3Aalert%281%29.png",
        "./../trip/day%201/odd%FF.png",
    ]
    assert "odd\ufffd.png" in data["names"]


class TestWriting:
    def test_a_failing_run_leaves_the_earlier_page_and_nothing_else(self, sdk, photos, page):
        page.write_text("earlier")

        class CancelledError(Exception):
            pass

        def cancel(what, done, total):
            if what == "thumbnails":
                raise CancelledError

        with pytest.raises(CancelledError):
            sdk.report(photos, page, progress=cancel)
        assert page.read_text() == "earlier"
        assert not list(page.parent.glob(".partial-*"))

    def test_a_page_replaces_the_earlier_one_and_is_for_its_owner(self, sdk, photos, page):
        page.write_text("earlier")
        sdk.report(photos, page, regions=0)
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert not list(page.parent.glob(".partial-*"))
        if os.name == "posix":
            assert page.stat().st_mode & 0o077 == 0

    def test_progress_is_told(self, sdk, photos, page):
        told = []
        sdk.report(photos, page, regions=2, progress=lambda *event: told.append(event))
        assert [e for e in told if e[0] == "regions"] == [("regions", 1, 2), ("regions", 2, 2)]
        assert ("thumbnails", 6, 6) in told
        assert ("photos", 6, 0) in told

    @pytest.mark.parametrize(
        ("name", "told"),
        [("report.txt", "name the page .html"), ("gone/report.html", "gone does not exist")],
    )
    def test_a_bad_place_is_refused_before_anything_is_computed(self, sdk, tmp_path, name, told):
        with pytest.raises(SetupError, match=told):
            sdk.report("never looked at", tmp_path / name)

    def test_a_folder_in_its_place_is_an_error_that_names_it(self, sdk, photos, page):
        page.mkdir()
        with pytest.raises(SetupError, match=r"report\.html cannot be written"):
            sdk.report(photos[0], page, regions=0)
        assert not list(page.parent.glob(".partial-*"))

    def test_no_photos_and_unknown_people_are_errors(self, sdk, tmp_path, photos, page):
        (tmp_path / "empty").mkdir()
        with pytest.raises(SetupError, match="no photos"):
            sdk.report(tmp_path / "empty", page)
        with pytest.raises(UserNotFoundError, match="nobody"):
            sdk.report(photos, page, user="nobody")
        assert not page.exists()

    def test_too_many_photos_for_a_page_are_an_error(self, sdk, photos, page, monkeypatch):
        monkeypatch.setattr("aesmamba_sdk.pages.report.MOST_PHOTOS", 5)
        with pytest.raises(SetupError, match="more than 5 photos"):
            sdk.report(photos, page)
