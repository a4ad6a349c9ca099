"""Files that show the same, from copies on disk to groups."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from aesmamba_sdk import AesMamba
from tests import toy


@pytest.fixture
def folder(tmp_path):
    """Five photos, a copy of one of them, the same pixels in another format, and no photo."""
    photos = toy.write_photos(tmp_path / "photos", 5)
    shutil.copy(photos[1], photos[1].with_name("copy.png"))
    with Image.open(photos[1]) as image:
        image.save(photos[1].with_name("other.tif"))
    (photos[0].parent / "bad.jpg").write_bytes(b"no picture")
    return photos[0].parent


def test_copies_are_found_and_the_rest_stays_alone(run, folder):
    result = run("duplicates", folder, "--min-similarity", 1)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1, "a photo could not be read"
    names = [Path(r["path"]).name for r in records]
    assert sorted(names) == ["001.png", "copy.png", "other.tif"]
    assert [(r["group"], r["similarity"]) for r in records] == [(1, 1.0)] * 3
    assert "1 groups; 2 of 7 photos" in result.stderr


def test_rank_distinct_keeps_the_best_of_each_group(run, folder):
    everything = [json.loads(x)["path"] for x in run("rank", folder).stdout.splitlines()]
    distinct = run("rank", folder, "--distinct")
    kept = [json.loads(x) for x in distinct.stdout.splitlines()]
    scores = [r["value"] for r in kept if "value" in r]
    assert scores == sorted(scores, reverse=True)
    assert len(kept) < len(everything)
    assert len({"001.png", "copy.png", "other.tif"} & {Path(r["path"]).name for r in kept}) == 1
    assert kept[-1]["error"]["code"] == "photo_not_an_image"


def test_nothing_scored_is_no_group(sdk, tmp_path):
    assert sdk.group_similar([]) == []
    assert sdk.group_similar(sdk.score_many([tmp_path / "gone.jpg"])) == []


@pytest.mark.data
def test_real_photos_are_known_again_cropped_compressed_and_shot_at_once(tmp_path):
    archive = Path(os.environ["AESMAMBA_DATA"]) / "oasis" / "images.zip"
    with zipfile.ZipFile(archive) as opened:
        for i, name in enumerate(sorted(opened.namelist())[:300:50]):
            image = Image.open(io.BytesIO(opened.read(name))).convert("RGB")
            image.save(tmp_path / f"{i:02}.png")
            image.crop((10, 5, 395, 310)).save(tmp_path / f"{i:02}-cropped.jpg", quality=60)
    with AesMamba() as sdk:
        groups = sdk.group_similar(sdk.score_many(tmp_path))
    shots = [{Path(str(p.score.path)).name[:2] for p in group} for group in groups]
    assert [len(group) for group in groups] == [2] * 6
    assert all(len(shot) == 1 for shot in shots)
