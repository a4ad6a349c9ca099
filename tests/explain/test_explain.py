"""Why a photo has its score."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import PersonalizeError, PhotoError, UserNotFoundError
from aesmamba_sdk.explain.regions import GRID, region_effects
from aesmamba_sdk.explain.taste import liked_attributes
from aesmamba_sdk.personalize.blend import Affine
from aesmamba_sdk.personalize.folder import PersonalRecord, save_record
from aesmamba_sdk.personalize.head import PersonalHead
from aesmamba_sdk.personalize.scorer import PersonalScorer
from tests import toy


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "photos", 3)


@pytest.fixture
def table(tmp_path):
    return toy.write_ratings(toy.write_photos(tmp_path / "rated", 40, seed=1))


def with_patch(row, column, *, side=1, under=60, patch=250):
    """A grey photo with ``side`` regions each way, from one on, of another grey."""
    pixels = np.full((60, 90, 3), under, np.uint8)
    pixels[row * 10 :, column * 15 :][: side * 10, : side * 15] = patch
    return Image.fromarray(pixels)


def mosaic(seed):
    """Squares of any light, as parts of a photo have."""
    squares = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return Image.fromarray(squares).resize((60, 60), Image.Resampling.NEAREST).convert("RGB")


def strongest(regions):
    """Row, column and value of the effect furthest from zero."""
    effects = np.array(regions)
    row, column = np.unravel_index(np.abs(effects).argmax(), effects.shape)
    return int(row), int(column), float(effects[row, column])


def person(folder, backbone, weights, *, affine=None, shots=40):
    """A personal model whose taste is ``weights`` · f_v."""
    width = len(weights)
    affine = affine or Affine(3.0, 1.0, 3.0)
    head = PersonalHead(
        space=toy.linear_space(width),
        projection=np.asarray(weights, np.float32)[:, None],
        offset=np.zeros(1, np.float32),
        generic_center=affine.centre,
        mean=np.array([affine.mean, affine.slope, 1.0], np.float32),
        root=np.zeros((3, 3), np.float32),
        noise=0.25,
    )
    folder.mkdir()
    head.save(folder)
    save_record(
        folder,
        PersonalRecord(backbone.hash, "bayes", "heads", affine, 1.0, 0.5, shots, 0, ""),
    )
    return PersonalScorer(folder, backbone)


class TestRegions:
    def test_a_region_counts_what_the_score_loses_without_it(self):
        def center_of_third(images):
            return np.array([float(np.asarray(image)[25, 37, 0]) for image in images])

        photo = with_patch(2, 2)
        usual = np.asarray(photo).mean()
        effects = region_effects(photo, center_of_third)
        assert effects[2, 2] == pytest.approx(250 - usual, abs=20)
        assert np.abs(effects[[0, 1, 4, 5]]).max() < 20
        assert effects[2, 2] > 2 * np.delete(effects.ravel(), 14).max()

    def test_covering_all_regions_one_by_one_covers_the_photo_once(self):
        def pixels(images):
            return np.array([float(np.asarray(image)[17, 71, 0]) for image in images])

        photo = toy.photo(0.8, 3).resize((90, 60))
        whole = pixels([photo])[0] - np.asarray(photo)[..., 0].mean()
        assert region_effects(photo, pixels).sum() == pytest.approx(whole, abs=3)

    def test_rows_go_down_and_columns_to_the_right(self):
        def mean_light(images):
            return np.array([np.asarray(image).mean() for image in images])

        effects = region_effects(with_patch(4, 1), mean_light)
        assert np.unravel_index(effects.argmax(), effects.shape) == (4, 1)
        dark = region_effects(with_patch(4, 1, under=200, patch=0), mean_light)
        assert np.unravel_index(dark.argmin(), dark.shape) == (4, 1)

    def test_the_mirror_image_has_the_mirrored_regions(self, tmp_path):
        config = replace(toy.CONFIG, brighter_left=True)
        with AesMamba(toy.save_toy(tmp_path / "model", config=config)) as sdk:
            photo = with_patch(2, 4)
            regions, mirrored = (
                np.array(sdk.explain(image).regions) for image in (photo, ImageOps.mirror(photo))
            )
        assert np.any(regions)
        assert mirrored == pytest.approx(regions[:, ::-1], abs=1e-3)

    def test_covering_what_makes_one_half_the_brighter_one_does_not_mirror_the_photo(
        self, tmp_path
    ):
        pixels = np.array(with_patch(2, 1))
        pixels[:, 45:] += 6  # what is brighter about the left half is one region
        photo = Image.fromarray(pixels)
        explained = []
        for brighter_left in (False, True):
            config = replace(toy.CONFIG, brighter_left=brighter_left)
            folder = toy.save_toy(tmp_path / str(brighter_left), config=config)
            with AesMamba(folder) as sdk:
                explained.append(sdk.explain(photo).regions)
        assert explained[0] == explained[1]

    def test_where_nothing_stands_out_no_region_counts(self, sdk):
        plain = Image.new("RGB", (50, 40), (90, 120, 30))
        assert not np.any(sdk.explain(plain).regions)

    def test_a_photo_smaller_than_the_grid_is_explained(self, sdk):
        regions = sdk.explain(Image.fromarray(np.eye(3, dtype=np.uint8) * 255)).regions
        assert np.shape(regions) == (GRID, GRID)

    @pytest.mark.parametrize("place", [(1, 3), (3, 1), (0, 0), (4, 4)])
    def test_a_taste_for_light_has_the_bright_region_raise_the_score_most(
        self, sdk, tmp_path, place
    ):
        mosaics = [mosaic(seed) for seed in range(80)]
        features = sdk.backbone(mosaics)
        light = np.array([np.asarray(image).mean() / 50 for image in mosaics])
        f_v = features[:, :24]  # how channels vary leads elsewhere: a patch varies more than light
        # A layer norm leaves one direction of f_v without anything but rounding errors.
        weights = np.linalg.lstsq(f_v - f_v.mean(0), light - light.mean(), rcond=1e-4)[0]
        weights = np.r_[weights, np.zeros(features.shape[1] - 24)]
        own = Affine(3.0, 0.0, 3.0)  # nothing of the toy's generic score, which is random
        lit = with_patch(*place, side=2)
        scorer = person(tmp_path / "v1", sdk.backbone, weights, affine=own)
        row, column, effect = strongest(explained(sdk, scorer, lit).regions)
        assert 0 <= row - place[0] < 2
        assert 0 <= column - place[1] < 2
        assert effect > 0


class TestAttributes:
    def test_ranks_are_those_of_the_reference_photos(self, sdk, photos):
        explanation = sdk.explain(photos[0])
        usual = sdk.backbone.scores(sdk.backbone.reference)
        own = sdk.score(photos[0], attributes=True)
        expected = (usual[:, 1] < own.attributes["color"]).mean()
        assert explanation.percentiles["color"] == pytest.approx(expected)
        assert explanation.percentiles["aesthetic"] == own.percentile
        assert explanation.standings() == [("color", pytest.approx(expected - own.percentile))]

    def test_the_farthest_from_the_whole_come_first(self, sdk, photos):
        ranks = {"aesthetic": 0.5, "light": 0.6, "color": 0.1, "quality": 0.5, "content": 0.8}
        explanation = replace(sdk.explain(photos[0]), percentiles=ranks)
        assert [name for name, _ in explanation.standings()] == [
            "color",
            "content",
            "light",
            "quality",
        ]

    def test_without_reference_photos_the_ranks_are_left_out_and_it_says_so(self, tmp_path, photos):
        with AesMamba(toy.save_toy(tmp_path / "bare", reference=False)) as sdk:
            explanation = sdk.explain(photos[0])
        assert explanation.percentiles == {}
        assert explanation.standings() == []
        assert "no reference photos" in explanation.notes[0]


class TestPerson:
    @pytest.mark.parametrize("method", ["auto", "affine", "lora"])
    def test_the_parts_add_up_to_the_personal_score(self, sdk, photos, table, method):
        sdk.users.add("alice")
        sdk.personalize("alice", table, method=method, shots=10)
        explanation = sdk.explain(photos[0], user="alice")
        served = sdk.score(photos[0], user="alice", attributes=True)
        split = explanation.split
        assert explanation.score == served
        assert split.value == pytest.approx(served.value, abs=2e-6)
        assert split.generic == served.generic
        assert (split.taste == 0) == (method == "affine")
        assert np.any(explanation.regions)

    def test_what_lies_beyond_the_end_of_the_scale_is_told_and_regions_still_count(
        self, sdk, photos, tmp_path
    ):
        width = sdk.backbone.reference.shape[1]
        scorer = person(tmp_path / "v1", sdk.backbone, np.ones(width), affine=Affine(9.0, 1.0, 3.0))
        explanation = explained(sdk, scorer, photos[0])
        assert explanation.score.value == explanation.split.value == 5.0
        assert explanation.split.cut < -1
        assert explanation.split.offset == 6.0
        assert np.any(explanation.regions)

    def test_taste_is_found_to_go_with_the_attribute_it_was_made_of(self, sdk, tmp_path):
        backbone = sdk.backbone
        color = backbone.scores(backbone.reference)[:, 1].astype(np.float64)
        weights = np.linalg.lstsq(backbone.reference, color - color.mean(), rcond=None)[0]
        for name, sign in (("likes", 1), ("dislikes", -1)):
            found = liked_attributes(person(tmp_path / name, backbone, sign * weights))
            assert found.keys() == {"color"}
            assert sign * found["color"] > 0.5

    def test_a_different_use_of_the_scale_is_no_taste(self, sdk, tmp_path):
        width = sdk.backbone.reference.shape[1]
        scale = Affine(3.7, 1.6, 3.0)
        scorer = person(tmp_path / "v1", sdk.backbone, np.zeros(width), affine=scale)
        assert liked_attributes(scorer) is None

    def test_without_a_model_it_is_everyones_score_and_says_so(self, sdk, photos):
        sdk.users.add("alice")
        explanation = sdk.explain(photos[0], user="alice")
        assert (explanation.split, explanation.likes) == (None, None)
        assert explanation.notes == ("alice has no personal model yet: this is everyone's score",)
        assert explanation.regions == sdk.explain(photos[0]).regions

    def test_thin_evidence_is_told(self, sdk, photos, table):
        sdk.users.add("alice")
        sdk.personalize("alice", table, shots=3)
        explanation = sdk.explain(photos[0], user="alice")
        assert explanation.likes is None
        assert "3 ratings of alice tell how they use the scale" in explanation.notes[0]
        sdk.personalize("alice", table, shots=10)
        assert "10 ratings alone" in sdk.explain(photos[0], user="alice").notes[0]
        sdk.personalize("alice", table)
        assert sdk.explain(photos[0], user="alice").notes == ()

    def test_a_model_that_sees_photos_in_its_own_way_cannot_tell_what_it_likes(
        self, sdk, photos, table
    ):
        sdk.users.add("alice")
        sdk.personalize("alice", table, method="lora-stage")
        explanation = sdk.explain(photos[0], user="alice")
        served = sdk.score(photos[0], user="alice", attributes=True)
        assert explanation.score == served
        assert explanation.split.value == pytest.approx(served.value, abs=2e-6)
        assert np.any(explanation.regions)
        assert explanation.likes is None
        assert any("sees photos in its own way" in note for note in explanation.notes)


def explained(sdk, scorer, photo):
    """As the SDK explains, for a model made by hand."""
    from aesmamba_sdk.embeddings.stream import embed_photos
    from aesmamba_sdk.explain.explainer import explain_photo
    from aesmamba_sdk.photos import load_photo
    from aesmamba_sdk.scoring import Scoring

    embedded = next(embed_photos([photo], sdk.backbone, sdk.embeddings))
    scoring = Scoring(sdk.backbone, "alice", scorer, attributes=True)
    return explain_photo(scoring, (embedded, embedded), load_photo(photo).image)


def test_the_record_is_strict_json_of_plain_types(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    record = sdk.explain(photos[0], user="alice").to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["split"].keys() == {"generic", "offset", "slope", "taste", "cut"}


def test_what_cannot_be_explained_is_named(sdk, photos, table, tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.jpg does not exist"):
        sdk.explain(tmp_path / "gone.jpg")
    with pytest.raises(PhotoError, match="is a folder, not a photo"):
        sdk.explain(tmp_path)
    with pytest.raises(UserNotFoundError, match="nobody"):
        sdk.explain(photos[0], user="nobody")
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    with (
        AesMamba(toy.save_toy(tmp_path / "new", seed=1), device="cpu") as renewed,
        pytest.raises(PersonalizeError, match="personalize again"),
    ):
        renewed.explain(photos[0], user="alice")


def test_a_model_that_reads_captions_is_explained_for_the_photo_alone(tmp_path, photos):
    from aesmamba_sdk.model.aesmamba import AesMamba as Network
    from aesmamba_sdk.model.folder import save_model

    config = replace(toy.CONFIG, attributes=("aesthetic",), reads="caption")
    save_model(Network(config, tokenizer=toy.tokenizer()), tmp_path / "m")
    with AesMamba(tmp_path / "m") as sdk:
        explanation = sdk.explain(photos[0])
        assert explanation.score.value == sdk.score(photos[0]).value
    assert explanation.percentiles == {}
