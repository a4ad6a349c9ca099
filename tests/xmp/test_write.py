"""Scores into sidecars: what is written, what survives, and whose stars stay."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from lxml import etree

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.scores import UNIT_SCORES, Score
from aesmamba_sdk.xmp.opinion import read_opinion
from aesmamba_sdk.xmp.packet import AESMAMBA, XMP, Packet
from aesmamba_sdk.xmp.sidecars import Sidecars
from aesmamba_sdk.xmp.write import plan_sidecar, save_sidecar
from tests.xmp.apps import DARKTABLE, DIGIKAM, LIGHTROOM, exiftool, image, needs_exiftool, tag
from tests.xmp.test_packet import canonical


@pytest.fixture
def photo(tmp_path):
    return image(tmp_path / "IMG.jpg")


def score(photo, value=3.4217, **more):
    return Score(str(photo), value, UNIT_SCORES, percentile=0.7, model="toy@1", **more)


def write(scored, **options):
    change = plan_sidecar(scored, Sidecars(), **options)
    save_sidecar(change)
    return change


def read(sidecar):
    return Packet(sidecar.read_bytes(), str(sidecar))


def test_a_score_goes_into_a_new_sidecar_and_the_photo_stays(photo):
    before = photo.read_bytes(), photo.stat().st_mtime_ns
    change = write(score(photo, attributes={"color": 2.5, "depth_of_field": 3.0}))
    assert (change.action, change.sidecar.name) == ("create", "IMG.jpg.xmp")
    packet = read(change.sidecar)
    found = {name: packet.get(AESMAMBA, name) for name in ("Score", "Percentile", "Scale", "Model")}
    assert found == {"Score": "3.4217", "Percentile": "0.7", "Scale": "1-5", "Model": "toy@1"}
    assert packet.get(AESMAMBA, "DepthOfField") == "3"
    assert packet.get(XMP, "Rating") is None, "stars only when asked"
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == before
    assert sorted(p.name for p in photo.parent.iterdir()) == ["IMG.jpg", "IMG.jpg.xmp"]


def test_the_same_again_touches_no_file(photo):
    sidecar = write(score(photo), stars=4).sidecar
    before = sidecar.stat().st_mtime_ns
    change = write(score(photo), stars=4)
    assert (change.action, change.fields) == ("none", {})
    assert sidecar.stat().st_mtime_ns == before


def test_attributes_of_another_model_go_with_it(photo):
    write(score(photo, attributes={"color": 2.5}))
    change = write(dataclasses.replace(score(photo), model="toy@2"))
    assert change.fields == {
        "aesmamba:Model": ("toy@1", "toy@2"),
        "aesmamba:Color": ("2.5", None),
    }


def test_people_have_scores_of_their_own(photo):
    write(score(photo))
    for user, value in [("alice", 4.1), ("bob", 2.0), ("alice", 4.5)]:
        personal = score(photo, value, user=user, generic=3.4217, std=0.5, method="bayes")
        change = write(personal)
    assert change.fields == {"aesmamba:Personal[alice].Score": ("4.1", "4.5")}
    assert write(personal).action == "none"
    text = change.sidecar.read_text(encoding="utf-8")
    assert text.count("<aesmamba:User>") == 2
    assert read(change.sidecar).get(AESMAMBA, "Score") == "3.4217"


@pytest.mark.parametrize(
    "entry",
    [
        '<rdf:li aesmamba:User="alice" aesmamba:Score="4.1" aesmamba:Method="old"/>',
        '<rdf:li><rdf:Description aesmamba:User="alice" aesmamba:Score="4.1"/></rdf:li>',
        '<rdf:li><rdf:Description aesmamba:Score="4.1"><!-- hers -->'
        "<aesmamba:User>alice</aesmamba:User></rdf:Description></rdf:li>",
    ],
    ids=["attributes", "description", "both"],
)
def test_a_persons_score_is_known_again_however_an_app_rewrote_it(photo, entry):
    packet = Packet.empty()
    etree.SubElement(packet.own(), f"{{{AESMAMBA}}}Personal").text = "HERE"
    bag = f"<rdf:Bag>{entry}</rdf:Bag>".encode()
    photo.with_name("IMG.xmp").write_bytes(packet.to_bytes().replace(b"HERE", bag))
    personal = score(photo, 4.5, user="alice")
    change = write(personal)
    assert change.fields["aesmamba:Personal[alice].Score"] == ("4.1", "4.5")
    assert change.fields.get("aesmamba:Personal[alice].Method") in (None, ("old", None))
    assert write(personal).action == "none"
    text = change.sidecar.read_text(encoding="utf-8")
    assert (text.count("alice"), text.count("4.1"), text.count("old")) == (1, 0, 0)


@pytest.mark.parametrize(
    "sidecar",
    [
        DARKTABLE.format(rating=0),
        DIGIKAM.format(rating=0, percent=0, pick=0),
        LIGHTROOM.format(rating=0, pick=0, good=""),
    ],
    ids=["darktable", "digikam", "lightroom"],
)
def test_everything_of_others_survives(photo, sidecar):
    place = photo.with_name("IMG.xmp")
    place.write_text(sidecar, encoding="utf-8")
    place.chmod(0o640)
    write(score(photo, attributes={"color": 2.5}), stars=4)
    write(score(photo, 4.1, user="alice", std=0.5, method="bayes"), stars=5)
    packet = read(place)
    assert (packet.get(XMP, "Rating"), packet.get(AESMAMBA, "Rating")) == ("5", "5")
    assert place.stat().st_mode & 0o777 == 0o640
    packet.own().getparent().remove(packet.own())
    packet.set(XMP, "Rating", "0")
    assert canonical(packet.to_bytes()) == canonical(sidecar.encode())


class TestStars:
    def stars(self, photo, stars=4):
        change = write(score(photo), stars=stars)
        packet = read(change.sidecar)
        return packet.get(XMP, "Rating"), packet.get(AESMAMBA, "Rating"), change.stars_kept

    def test_ours_may_change(self, photo):
        assert self.stars(photo, 4) == ("4", "4", "")
        assert self.stars(photo, 2) == ("2", "2", "")

    @pytest.mark.parametrize("rating", ["1", "5", "-1", "five"])
    def test_a_rating_that_was_there_stays(self, photo, rating):
        photo.with_name("IMG.xmp").write_text(DARKTABLE.format(rating=rating), encoding="utf-8")
        there, ours, kept = self.stars(photo)
        assert (there, ours) == (rating, None)
        assert "xmp:Rating" in kept

    @pytest.mark.parametrize("changed", ["3", "-1"])
    def test_a_person_who_changes_ours_has_the_last_word(self, photo, changed):
        self.stars(photo)
        sidecar = photo.with_name("IMG.jpg.xmp")
        sidecar.write_text(
            sidecar.read_text(encoding="utf-8").replace('xmp:Rating="4"', f'xmp:Rating="{changed}"')
        )
        for _ in range(2):
            there, ours, kept = self.stars(photo, 5)
            assert (there, ours) == (changed, None)
            assert kept == "xmp:Rating in IMG.jpg.xmp"

    @pytest.mark.parametrize("gone", ["", 'xmp:Rating="0"'])
    def test_a_person_who_takes_ours_away_does_not_get_them_back(self, photo, gone):
        self.stars(photo)
        sidecar = photo.with_name("IMG.jpg.xmp")
        text = sidecar.read_text(encoding="utf-8").replace(' xmp:Rating="4"', f" {gone}")
        sidecar.write_text(text, encoding="utf-8")
        there, _, kept = self.stars(photo, 5)
        assert there in (None, "0")
        assert "taken away" in kept

    @needs_exiftool
    def test_stars_inside_the_photo_are_the_persons_too(self, tmp_path):
        places = ["-XMP-xmp:Rating=2", "-IFD0:Rating=2", "-XMP-microsoft:RatingPercent=25"]
        for photo in tag({tmp_path / f"{i}.jpg": [place] for i, place in enumerate(places)}):
            there, ours, kept = self.stars(photo)
            assert (there, ours) == (None, None)
            assert photo.name in kept

    def test_flags_of_reject_are_respected(self, photo):
        text = LIGHTROOM.format(rating=0, pick=-1, good="false")
        photo.with_name("IMG.xmp").write_text(text, encoding="utf-8")
        assert self.stars(photo) == ("0", None, "xmpDM:pick in IMG.xmp")


@needs_exiftool
def test_exiftool_and_we_read_what_we_wrote(photo):
    change = write(score(photo, attributes={"color": 2.5}), stars=4)
    write(score(photo, 4.1, user="alice", std=0.5, method="bayes"), stars=4)
    (found,) = json.loads(exiftool("-j", "-struct", "-G1", change.sidecar))
    assert found["XMP-xmp:Rating"] == 4
    assert found["XMP-aesmamba:Score"] == 3.4217
    assert found["XMP-aesmamba:Color"] == 2.5
    (personal,) = found["XMP-aesmamba:Personal"]
    assert (personal["User"], personal["Score"]) == ("alice", 4.1)
    assert exiftool("-s3", "-validate", change.sidecar) == "OK"
    assert read_opinion(photo, Sidecars()).ours == 4


@needs_exiftool
def test_an_app_that_rewrites_the_sidecar_keeps_what_we_know(photo):
    """exiftool's layout: elements, one description a namespace."""
    sidecar = write(score(photo), stars=4).sidecar
    exiftool("-overwrite_original", "-XMP-dc:Subject=beach", sidecar)
    change = write(score(photo, 3.5), stars=3)
    packet = read(sidecar)
    assert change.fields["xmp:Rating"] == ("4", "3")
    assert (packet.get(XMP, "Rating"), packet.get(AESMAMBA, "Score")) == ("3", "3.5")
    assert exiftool("-s3", "-Subject", "-Rating", sidecar).split() == ["beach", "3"]
    exiftool("-overwrite_original", "-XMP-xmp:Rating=5", sidecar)
    assert write(score(photo), stars=1).stars_kept == "xmp:Rating in IMG.jpg.xmp"


class TestTrouble:
    def test_a_damaged_sidecar_stays_as_it_is(self, photo):
        sidecar = photo.with_name("IMG.xmp")
        sidecar.write_bytes(b"<x:xmpmeta")
        with pytest.raises(XmpError, match=r"IMG\.xmp: the XMP is damaged"):
            write(score(photo))
        assert sidecar.read_bytes() == b"<x:xmpmeta"

    def test_a_sidecar_that_changed_meanwhile_is_not_overwritten(self, photo):
        write(score(photo))
        change = plan_sidecar(score(photo, 2.0), Sidecars())
        change.sidecar.write_text(DARKTABLE.format(rating=5), encoding="utf-8")
        with pytest.raises(XmpError, match="another program"):
            save_sidecar(change)
        assert change.sidecar.read_text(encoding="utf-8") == DARKTABLE.format(rating=5)
        assert sorted(p.name for p in photo.parent.iterdir()) == ["IMG.jpg", "IMG.jpg.xmp"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may write anything")
    def test_a_protected_sidecar_is_named(self, photo):
        write(score(photo)).sidecar.chmod(0o444)
        with pytest.raises(XmpError, match="write-protected"):
            write(score(photo, 2.0))

    def test_a_sidecar_that_cannot_be_there_is_an_error_of_its_own(self, photo):
        change = plan_sidecar(score(photo), Sidecars())
        below_a_file = dataclasses.replace(change, sidecar=photo / "IMG.jpg.xmp")
        with pytest.raises(XmpError, match="cannot be written"):
            save_sidecar(below_a_file)

    def test_a_linked_sidecar_stays_a_link(self, photo, tmp_path):
        real = tmp_path / "elsewhere" / "a.xmp"
        real.parent.mkdir()
        real.write_text(DARKTABLE.format(rating=0), encoding="utf-8")
        photo.with_name("IMG.xmp").symlink_to(real)
        write(score(photo))
        assert photo.with_name("IMG.xmp").is_symlink()
        assert read(real).get(AESMAMBA, "Score") == "3.4217"


def test_raw_and_jpeg_never_share_what_is_written(photo):
    raw = photo.with_name("IMG.cr2")
    raw.touch()
    photo.with_name("IMG.xmp").write_text(LIGHTROOM.format(rating=0, pick=0, good=""))
    assert write(score(photo)).sidecar.name == "IMG.jpg.xmp"
    assert write(score(raw, 2.0), prefer="stem").sidecar.name == "IMG.xmp"
    assert read(photo.with_name("IMG.jpg.xmp")).get(AESMAMBA, "Score") == "3.4217"


def test_a_new_sidecar_is_indented(photo):
    data = plan_sidecar(score(photo), Sidecars(), stars=4).data
    assert data is not None
    assert etree.fromstring(data) is not None
    assert b'\n  <rdf:Description xmlns:aesmamba="' in data
    assert b"/>\n </rdf:RDF>\n</x:xmpmeta>" in data
