"""PARA in its official layout, with the people who rated, and as archives."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.scores import ATTRIBUTES
from aesmamba_sdk.train.data import data_folder
from aesmamba_sdk.train.datasets import read_dataset
from tests.train.datasets import made

STEMS = (
    "aestheticScore", "qualityScore", "compositionScore", "colorScore", "dofScore", "lightScore",
    "contentScore", "contentPreference", "willingnessToShare",
)  # fmt: skip
MEANS = ",".join(f"{stem}_mean,{stem}_std" for stem in STEMS)
NINE = (3.2, 1.9, 4.5, 3.0, 2.0, 5.0, 3.9, 1.0, 2.99)


def means(values=NINE) -> str:
    return ",".join(f"{value},0.5" for value in values)


@pytest.fixture
def para(tmp_path):
    giaa = f"sessionId,imageName,semantic,aestheticScore_1.0,{MEANS}"
    folder = tmp_path / "annotation"
    made.text(
        folder / "PARA-GiaaTrain.csv",
        giaa,
        f"session1,iaa_pub1_.jpg,plant,0,{means()}",
        f"session2,iaa_pub2_.jpg,scene,0,{means((2.0, *NINE[1:]))}",
    )
    made.text(folder / "PARA-GiaaTest.csv", giaa, f"session1,iaa_pub3_.jpg,night,0,{means()}")
    made.text(
        folder / "PARA-Images.csv",
        "sessionId,imageName,userId,aestheticScore,qualityScore,compositionScore,colorScore,"
        "dofScore,contentScore,lightScore,isObjectEmphasis,imgEmotion,difficultyOfJudgment,"
        "contentPreference,willingnessToShare,semantic",
        "session1,iaa_pub1_.jpg,A1,3.5,3,4,2,1,5,4,1,neutral,0,2,1,plant",
        "session1,iaa_pub1_.jpg,A2,2.0,3,4,2,1,5,4,1,neutral,0,2,1,plant",
        "session1,iaa_pub3_.jpg,A2,4.5,3,4,2,1,5,4,1,neutral,0,2,1,night",
    )
    made.text(
        folder / "PARA-UserInfo.csv",
        "userId,age,gender,EducationalLevel,artExperience,photographyExperience,"
        "personality-E,personality-A,personality-N,personality-O,personality-C",
        "A1,22-25,female,senior_high_school,proficient,beginner,8,8,5,10,9",
        "A2,30-34,male,university,expert,competent,6,9,4,7,10",
    )
    names = ("session1/iaa_pub1_.jpg", "session2/iaa_pub2_.jpg", "session1/iaa_pub3_.jpg")
    made.photos(tmp_path / "imgs", *names)
    return tmp_path


def test_means_of_nine_attributes_and_their_categories(para):
    dataset = read_dataset("para", para)
    assert dataset.attributes == ATTRIBUTES
    torch.testing.assert_close(dataset.scores()[0], torch.tensor(NINE))
    assert dataset.classes()[0].tolist() == [2, 0, 3, 2, 1, 3, 2, 0, 1]
    assert dataset.class_counts()[0].tolist() == [0, 1, 1, 0]
    assert dataset.photo_set(para / "cache", 4).names == (
        "session1/iaa_pub1_.jpg",
        "session2/iaa_pub2_.jpg",
    )


def test_the_splits_are_the_official_lists(para):
    assert [s.image for s in read_dataset("para", para, split="test").samples] == [
        "session1/iaa_pub3_.jpg"
    ]
    assert len(read_dataset("para", para, split="all")) == 3
    with pytest.raises(DatasetError, match="no split 'dev'; expected train, test, all"):
        read_dataset("para", para, split="dev")


def test_tables_may_lie_beside_the_photos(para):
    for file in (para / "annotation").iterdir():
        file.rename(para / file.name)
    assert len(read_dataset("para", para)) == 2


def test_ratings_are_those_of_the_splits_photos_with_the_raters_traits(para):
    dataset = read_dataset("para-people", para)
    assert [(r.user, r.sample, r.scores) for r in dataset.ratings] == [
        ("A1", 0, (3.5, 3, 4, 2, 1, 4, 5, 2, 1)),
        ("A2", 0, (2.0, 3, 4, 2, 1, 4, 5, 2, 1)),
    ]
    assert dataset.people["A1"].education == "senior high school"
    assert SubjectPrompt(dataset.people["A1"]).paper() == (
        "My artistic experience is proficient. My Photographic experience is beginner. In the "
        "Big-Five personality traits test, my scores are as follows: openness score is 10, "
        "conscientiousness score is 9, extroversion score is 8, agreeableness score is 8, and "
        "Neuroticism score is 5."
    )
    assert read_dataset("para-people", para, split="test").people.keys() == {"A2"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("PARA-GiaaTrain.csv", "dofScore_mean", "dof", "no column dofScore_mean"),
        ("PARA-GiaaTrain.csv", "4.5,", "5.5,", "row 2: compositionScore_mean is '5.5'"),
        ("PARA-Images.csv", ",A1,", ",A9,", "row 2: userId is 'A9'; expected a userId of"),
        ("PARA-Images.csv", ",3.5,", ",0.5,", "row 2: aestheticScore is '0.5'; expected a"),
        ("PARA-UserInfo.csv", "expert", "genius", "row 3: art_experience 'genius'"),
        ("PARA-UserInfo.csv", ",10,9", ",11,9", "row 2: personality-O is '11'"),
    ],
)
def test_what_is_wrong_is_named(para, file, old, new, expected):
    table = para / "annotation" / file
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(DatasetError, match=expected):
        read_dataset("para-people", para)


def test_a_missing_table_is_named_where_it_belongs(para):
    (para / "annotation" / "PARA-GiaaTrain.csv").unlink()
    with pytest.raises(DatasetError, match=r"annotation.PARA-GiaaTrain\.csv cannot be opened"):
        read_dataset("para", para)


@pytest.fixture
def archives(tmp_path):
    made.text(
        tmp_path / "giaa.csv",
        "image,split,session,aesthetic_mean,quality_mean_outlier_removed",
        "a.webp,train,session1,3.04,3.1583",
        "b.webp,dev,session1,3.5,3.6",
    )
    made.text(
        tmp_path / "fiaa.csv", f"image,sessionId,{MEANS}",
        f"b.webp,session1,{means()}", f"c.webp,session1,{means()}",
    )  # fmt: skip
    made.text(tmp_path / "fiaa_test.txt", "c.webp")
    return tmp_path


def test_archives_have_photos_to_learn_and_nine_attributes_of_others(archives):
    train = read_dataset("para", archives)
    assert train.scores()[0, :2].tolist() == pytest.approx([3.04, 3.1583])
    assert train.scores()[0, 2:].isnan().all()
    assert [s.image for s in read_dataset("para", archives, split="rest").samples] == ["b.webp"]
    assert [s.image for s in read_dataset("para", archives, split="test").samples] == ["c.webp"]
    with pytest.raises(DatasetError, match="no split 'dev'; expected train, rest or test"):
        read_dataset("para", archives, split="dev")


@pytest.mark.data
def test_the_real_archives_are_whole():
    folder = data_folder() / "para"
    train, rest, test = (read_dataset("para", folder, split=s) for s in ("train", "rest", "test"))
    assert (len(train), len(rest), len(test)) == (28_220, 2_000, 500)
    assert train.class_counts()[0].tolist() == [1438, 7216, 18974, 592], "the public code's counts"
    assert not rest.scores().isnan().any()
    assert not {s.image for s in rest.samples} & {s.image for s in test.samples}
    rows = range(0, 28_220, 3_000)
    with zipfile.ZipFile(folder / "train-0.zip") as members:
        for sample in train.subset(rows).samples:
            if sample.image not in members.namelist():
                continue
            with Image.open(io.BytesIO(members.read(sample.image))) as image:
                plain = np.asarray(image.convert("RGB"))
            assert (np.asarray(train.images.load(sample.image, "")) == plain).all()
    train.images.close()
