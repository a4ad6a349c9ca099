"""The alterations themselves, measured on photographs, and the figures made of scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from aesmamba_sdk.cli import main
from aesmamba_sdk.cli.sample_photos import photograph_files
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.evaluate.robustness import (
    DAMAGES,
    STOPS,
    TRIFLES,
    blur,
    compress,
    crop,
    enlarge,
    flip,
    overexpose,
    robustness,
    underexpose,
)
from aesmamba_sdk.photos import load_photo
from tests import toy


@pytest.fixture(scope="module")
def photo():
    coffee = next(file for file in photograph_files() if file.stem == "coffee")
    return load_photo(coffee).image


def rng():
    return np.random.default_rng(0)


def small(image):
    """As a model sees it."""
    return np.asarray(image.resize((192, 192), Image.Resampling.BICUBIC), dtype=float)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_damage_keeps_the_size_and_survives_downsizing_from_any(photo, damage, scale):
    size = (round(photo.width * scale), round(photo.height * scale))
    large = photo.resize(size, Image.Resampling.BICUBIC)
    damaged = damage.apply(large, rng())
    assert (damaged.size, damaged.mode) == (large.size, "RGB")
    assert np.abs(small(damaged) - small(large)).mean() > 7, "levels of 255"


def test_light_changes_by_stops_in_linear_light():
    def linear(level):
        return ((level / 255 + 0.055) / 1.055) ** 2.4

    grey = Image.new("RGB", (4, 4), (80, 80, 80))
    for change, factor in ((overexpose, 2**STOPS), (underexpose, 2**-STOPS)):
        level = change(grey, rng()).getpixel((0, 0))[0]
        assert linear(level) == pytest.approx(linear(80) * factor, rel=0.05)
    assert overexpose(Image.new("RGB", (4, 4), (200, 90, 0)), rng()).getpixel((0, 0)) == (
        255,
        pytest.approx(230, abs=5),
        0,
    )


def test_noise_is_the_same_for_the_same_seed_alone(photo):
    noise = next(damage.apply for damage in DAMAGES if damage.name == "heavy noise")
    first, again = (np.asarray(noise(photo, rng())) for _ in range(2))
    assert (first == again).all()
    assert (first != np.asarray(noise(photo, np.random.default_rng(1)))).any()


def test_blur_and_compression_take_detail(photo):
    def detail(image):
        return np.abs(np.diff(small(image.convert("L")), axis=1)).mean()

    assert detail(blur(photo, rng())) < detail(photo) / 2
    blocks = np.asarray(compress(photo.resize((256, 256)), rng()), dtype=float).mean(2)
    steps = np.abs(np.diff(blocks, axis=1)).mean(0)
    assert steps[7::8].mean() > 2 * steps[3::8].mean(), "edges of 8x8 blocks are seen"


def test_trifles_are_what_they_say(photo):
    assert (np.asarray(flip(photo, rng()))[:, ::-1] == np.asarray(photo)).all()
    assert enlarge(photo, rng()).size == (4 * photo.width, 4 * photo.height)
    width, height = crop(photo, rng()).size
    assert width == pytest.approx(0.97 * photo.width, abs=1)
    assert height == pytest.approx(0.97 * photo.height, abs=1)


def test_shares_and_moves_are_those_of_the_scores(sdk, photo):
    photos = [photo, toy.photo(0.2, 1), toy.photo(0.8, 2)]
    result = robustness(sdk.backbone, photos, seed=3)
    lowered, moved = result.tables
    scores = [sdk.score(image).value for image in photos]
    dark = [sdk.score(underexpose(image, rng())).value for image in photos]
    row = next(row for row in lowered.rows if row[0] == "underexposure")
    assert row[1] == pytest.approx(np.mean(np.less(dark, scores)))
    assert row[2] == pytest.approx(np.mean(np.subtract(dark, scores)), abs=1e-5)
    flipped = [sdk.score(flip(image, rng())).value for image in photos]
    moves = np.abs(np.subtract(flipped, scores))
    assert moved.rows[0][-1] == pytest.approx(moves.max(), abs=1e-5)
    assert moved.rows[0][2] == pytest.approx(np.mean(moves < moved.rows[0][1]))
    assert len(result.bars) == len(DAMAGES) + len(TRIFLES), "the toy has no score of quality"


def test_no_photos_are_an_error(sdk):
    with pytest.raises(SetupError, match="no photos"):
        robustness(sdk.backbone, [], seed=0)


def test_a_folder_is_measured_past_a_bad_photo(toy_model, tmp_path):
    photos = toy.write_photos(tmp_path / "album", 3)
    photos[1].write_bytes(b"nonsense")
    arguments = ["evaluate", "robustness", str(tmp_path / "album"), "--model", str(toy_model)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "skipped: " in result.stderr
    assert "001.png" in result.stderr
    assert json.loads(result.stdout)["settings"]["photos"] == 2
