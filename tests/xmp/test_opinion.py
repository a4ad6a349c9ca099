"""Whose stars count, in the layouts of real apps."""

from __future__ import annotations

import importlib.util
import zlib

import pytest
from PIL import Image

from aesmamba_sdk.xmp.embedded import read_embedded
from aesmamba_sdk.xmp.opinion import read_opinion
from aesmamba_sdk.xmp.packet import AESMAMBA, XMP
from aesmamba_sdk.xmp.sidecars import Sidecars
from tests.xmp.apps import (
    DARKTABLE,
    DIGIKAM,
    LIGHTROOM,
    PHOTOPRISM,
    image,
    needs_exiftool,
    tag,
)


def opinion(photo):
    return read_opinion(photo, Sidecars())


def sidecar(photo, *, rating, name=None, more=""):
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:aesmamba="{AESMAMBA}" xmlns:xmp="{XMP}" '
        f'xmp:Rating="{rating}" {more}/></rdf:RDF></x:xmpmeta>'
    )
    photo.with_name(name or photo.name + ".xmp").write_text(text, encoding="utf-8")


@needs_exiftool
def test_embedded_stars_are_read_from_every_format(tmp_path):
    suffixes = ["jpg", "png", "webp", "tif", "avif"]
    if importlib.util.find_spec("pillow_heif"):
        suffixes.append("heic")
    photos = {tmp_path / f"IMG.{suffix}": ["-XMP-xmp:Rating=4"] for suffix in suffixes}
    for photo in tag(photos):
        found = opinion(photo)
        assert (found.stars, found.source) == (4.0, f"xmp:Rating in {photo.name}")
        assert found.problems == []


@needs_exiftool
def test_every_place_is_read_and_the_first_that_says_something_counts(tmp_path):
    tags = ["-XMP-xmp:Rating=4", "-XMP-acdsee:Rating=5", "-XMP-microsoft:RatingPercent=50"]
    tags += ["-IFD0:Rating=2", "-IFD0:RatingPercent=1"]
    photos = tag({tmp_path / f"{i}.jpg": tags[i:] for i in range(5)})
    assert [(found.stars, found.source) for found in map(opinion, photos)] == [
        (4, "xmp:Rating in 0.jpg"),
        (5, "acdsee:rating in 1.jpg"),
        (3, "MicrosoftPhoto:Rating in 2.jpg"),
        (2, "EXIF Rating in 3.jpg"),
        (1, "EXIF RatingPercent in 4.jpg"),
    ]


@needs_exiftool
def test_picks_are_told_and_are_no_stars(tmp_path):
    passed, tagged, starred = tag(
        {
            tmp_path / "passed.jpg": ["-XMP-digiKam:PickLabel=2", "-XMP-acdsee:Tagged=False"],
            tmp_path / "tagged.jpg": ["-XMP-acdsee:Tagged=True"],
            tmp_path / "starred.jpg": ["-XMP-digiKam:PickLabel=3", "-XMP-xmp:Rating=2"],
        }
    )
    chosen = image(tmp_path / "chosen.jpg")  # exiftool does not know Lightroom's flag
    flag = LIGHTROOM.format(rating=0, pick=1, good="true")
    (tmp_path / "chosen.xmp").write_text(flag, encoding="utf-8")
    assert opinion(chosen).picked == "xmpDM:pick in chosen.xmp"
    assert opinion(passed).picked == ""
    assert opinion(tagged).picked == "acdsee:tagged in tagged.jpg"
    assert not any(opinion(photo).given for photo in (chosen, passed, tagged))
    both = opinion(starred)
    assert (both.stars, both.picked) == (2, "digiKam:PickLabel in starred.jpg")


def test_photoprisms_heart_is_a_pick_and_its_quality_is_nobodys_opinion(tmp_path):
    photo = image(tmp_path / "IMG.jpg")
    sidecar = tmp_path / "IMG.yml"
    sidecar.write_text(PHOTOPRISM.format(quality=7, favorite=""), encoding="utf-8")
    found = opinion(photo)
    assert (found.stars, found.picked, found.problems) == (None, "", [])
    hidden = tmp_path / ".photoprism"
    hidden.mkdir()
    loved = PHOTOPRISM.format(quality=1, favorite="Favorite: true\n")
    for place in (sidecar, hidden / "IMG.yml"):
        place.write_text(loved, encoding="utf-8")
        assert opinion(photo).picked == "Favorite in IMG.yml"
        place.unlink()


def test_of_darktables_versions_the_one_with_most_stars_counts(tmp_path):
    photo, other = image(tmp_path / "IMG.jpg"), image(tmp_path / "OTHER_01.jpg")
    image(tmp_path / "OTHER.jpg")

    def rate(name, stars):
        (tmp_path / name).write_text(DARKTABLE.format(rating=stars), encoding="utf-8")

    rate("IMG.jpg.xmp", 1)
    rate("IMG_01.jpg.xmp", 4)
    rate("IMG_02.jpg.xmp", -1)
    found = opinion(photo)
    assert (found.stars, found.source) == (4, "xmp:Rating in IMG_01.jpg.xmp")
    rate("IMG_01.jpg.xmp", -1)
    assert opinion(photo).stars == 1
    rate("IMG.jpg.xmp", -1)
    assert opinion(photo).rejected
    rate("OTHER_01.jpg.xmp", 5)
    assert opinion(other).stars == 5
    assert not opinion(tmp_path / "OTHER.jpg").given, "that sidecar is another photo's"


def test_windows_percentages_are_read_as_windows_shows_them(tmp_path):
    photo = image(tmp_path / "IMG.jpg")
    for percent, stars in ((0, None), (1, 1), (25, 2), (37, 2), (50, 3), (75, 4), (99, 5)):
        xmp = DIGIKAM.format(rating="", percent=percent, pick=0)
        photo.with_name("IMG.xmp").write_text(xmp, encoding="utf-8")
        assert opinion(photo).stars == stars


@needs_exiftool
def test_a_large_packet_with_an_extension_is_read_without_it(tmp_path):
    """Adobe's extended XMP holds what does not fit: never the rating."""
    long = "-XMP-photoshop:History=" + "long " * 20_000
    (photo,) = tag({tmp_path / "IMG.jpg": ["-XMP-xmp:Rating=5", long]})
    assert photo.read_bytes().count(b"http://ns.adobe.com/xmp/extension/") > 1
    assert opinion(photo).stars == 5


def test_png_metadata_behind_the_pixels_is_read(tmp_path):
    photo = image(tmp_path / "IMG.png")
    packet = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/></rdf:RDF>'
    )
    end = photo.read_bytes()[-12:]
    for compressed in (False, True):
        text = zlib.compress(packet.encode()) if compressed else packet.encode()
        body = b"iTXtXML:com.adobe.xmp\0" + bytes([compressed, 0]) + b"\0\0" + text
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        photo.write_bytes(image(photo).read_bytes()[:-12] + chunk + end)
        assert opinion(photo).stars == 3


def test_a_png_that_lies_about_sizes_or_expands_without_end_stops(tmp_path):
    photo = tmp_path / "IMG.png"
    bomb = zlib.compress(b"\0" * (40 << 20))
    body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + bomb
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + (len(body) - 4).to_bytes(4, "big") + body + b"\0" * 4)
    assert len(read_embedded(photo).packet) <= (16 << 20) + 1
    assert "bytes of XMP" in opinion(photo).problems[0]
    photo.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffiTXt" + b"x" * 50)
    assert opinion(photo).stars is None


@pytest.mark.parametrize(
    ("text", "stars", "rejected"),
    [
        (DARKTABLE.format(rating=3), 3, False),
        (DARKTABLE.format(rating=0), None, False),
        (DARKTABLE.format(rating=-1), None, True),
        (DIGIKAM.format(rating=4, percent=75, pick=3), 4, False),
        (DIGIKAM.format(rating=0, percent=0, pick=3), None, False),
        (DIGIKAM.format(rating=4, percent=75, pick=1), None, True),
        (LIGHTROOM.format(rating=2, pick=1, good="true"), 2, False),
        (LIGHTROOM.format(rating=2, pick=0, good="false"), 2, False),
        (LIGHTROOM.format(rating=0, pick=-1, good="false"), None, True),
    ],
)
@pytest.mark.parametrize("name", ["IMG.xmp", "IMG.jpg.xmp"])
def test_sidecars_of_photo_apps_are_understood(tmp_path, name, text, stars, rejected):
    photo = image(tmp_path / "IMG.jpg")
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = opinion(photo)
    assert (found.stars, found.rejected, found.problems) == (stars, rejected, [])


@needs_exiftool
def test_sidecars_win_over_the_photo_and_the_full_name_over_the_stem(tmp_path):
    (photo,) = tag({tmp_path / "IMG.jpg": ["-XMP-xmp:Rating=2"]})
    assert opinion(photo).stars == 2
    sidecar(photo, rating=3, name="IMG.xmp")
    assert opinion(photo).source == "xmp:Rating in IMG.xmp"
    sidecar(photo, rating=5)
    assert opinion(photo).source == "xmp:Rating in IMG.jpg.xmp"
    sidecar(photo, rating=0)
    assert opinion(photo).stars is None, "stars taken away in the sidecar are taken away"
    sidecar(photo, rating="five")
    found = opinion(photo)
    assert found.stars == 3
    assert found.problems == ["IMG.jpg.xmp: xmp:Rating 'five' is no rating"]


@pytest.mark.parametrize("value", ["4.0", " 4 ", "4.00"])
def test_numbers_are_read_as_people_write_them(tmp_path, value):
    photo = image(tmp_path / "IMG.jpg")
    sidecar(photo, rating=value)
    assert opinion(photo).stars == 4


@pytest.mark.parametrize("value", ["6", "-2", "0.5", "nan", "inf", "4,0", "****"])
def test_nonsense_is_named_and_passed_over(tmp_path, value):
    photo = image(tmp_path / "IMG.jpg")
    sidecar(photo, rating=value)
    found = opinion(photo)
    assert (found.stars, found.rejected) == (None, False)
    assert value in found.problems[0]


@needs_exiftool
def test_stars_that_we_wrote_are_nobodys_opinion(tmp_path):
    plain = image(tmp_path / "plain.jpg")
    rated, copied = tag(
        {tmp_path / f"{stars}.jpg": [f"-XMP-xmp:Rating={stars}"] for stars in (1, 4)}
    )
    for photo in (plain, copied, rated):
        sidecar(photo, rating=4, more='aesmamba:Rating="4"')
    assert not opinion(plain).given
    assert opinion(plain).ours == 4
    assert not opinion(copied).given, "an app copied them into the photo"
    assert opinion(rated).stars == 1
    sidecar(plain, rating=3, more='aesmamba:Rating="4"')
    assert opinion(plain).stars == 3


def test_metadata_are_read_of_no_picture_that_is_no_photo(tmp_path):
    photo = tmp_path / "IMG.jpg"
    Image.new("RGB", (4, 4)).save(photo, "EPS")
    assert opinion(photo).problems == [f"{photo} is not an image of a known format"]


def test_what_cannot_be_read_is_told(tmp_path):
    photo = tmp_path / "IMG.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe1\xff\xffnothing")
    photo.with_name("IMG.xmp").write_bytes(b'<!DOCTYPE a [<!ENTITY b "4">]><a/>')
    problems = opinion(photo).problems
    assert "document type" in problems[0]
    assert "IMG.jpg" in problems[1]
