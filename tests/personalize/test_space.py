"""The view of photos that tastes are linear in, against loops and the textbook's kernels."""

from __future__ import annotations

import numpy as np
import pytest

from aesmamba_sdk.personalize.space import _LINEAR, PhotoSpace


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(30, 7)) * np.arange(1, 8) + 2


@pytest.fixture(scope="module")
def space(features):
    return PhotoSpace.of(features)


def kernel(space, a, b):
    """Of two photos' points, by the textbook."""
    return _LINEAR * a @ b + np.exp(-np.sqrt(np.square(a - b).sum()))


def test_a_view_is_where_a_photo_lies_and_how_near_each_landmark(space, features):
    photos = features[:4] + 0.5
    view = space(photos)
    axes, known = space.axes.astype(float), space.landmarks.astype(float)
    for photo, seen in zip(photos, view, strict=True):
        point = (photo - space.center) @ axes
        near = [np.exp(-np.linalg.norm(point - landmark)) for landmark in known]
        np.testing.assert_allclose(seen, np.r_[point, near], atol=1e-4)


def test_usual_photos_lie_about_one_from_the_centre(space, features):
    points = space(features)[:, : space.axes.shape[1]]
    assert np.square(points).sum(1).mean() == pytest.approx(1, abs=0.01)


def test_many_photos_are_seen_as_each_alone(space):
    photos = np.random.default_rng(1).normal(size=(2500, 7)) + 2
    alone = np.concatenate([space(photos[i : i + 1]) for i in (0, 1023, 1024, 2499)])
    np.testing.assert_allclose(space(photos)[[0, 1023, 1024, 2499]], alone, atol=1e-5)


def test_coordinates_of_landmarks_multiply_to_the_kernel(space, features):
    seen = space(features) @ space.basis()
    points = space(features)[:, : space.axes.shape[1]]
    expected = [[kernel(space, a, b) for b in points] for a in points]
    np.testing.assert_allclose(seen @ seen.T, expected, atol=4e-3)


def test_an_unseen_landmark_is_what_the_others_tell_of_it(space, features):
    axes = space.axes.shape[1]
    basis = space.basis()[axes:, axes:]
    unseen, known = space.unseen()[:, axes:] @ basis, space._likeness()
    for i in (0, 11, 29):
        others = np.delete(np.arange(30), i)
        told = np.linalg.solve(known[np.ix_(others, others)], known[others, i])
        np.testing.assert_allclose(unseen[i], told @ (known[others] @ basis), atol=1e-8)


def test_of_many_photos_some_are_landmarks():
    space = PhotoSpace.of(np.random.default_rng(2).normal(size=(1500, 3)))
    assert len(space.landmarks) == 600


def test_landmarks_that_are_the_same_photo_do_no_harm(features):
    twice = PhotoSpace.of(np.r_[features, features])
    once, again = (twice(photos) @ twice.basis() for photos in (features, features + 1e-6))
    np.testing.assert_allclose(once, again, atol=0.05)


@pytest.mark.parametrize("count", [1, 2])
def test_few_photos_or_all_the_same_are_finite(count):
    space = PhotoSpace.of(np.ones((count, 5)))
    assert np.isfinite(space(np.ones((2, 5)) * 1.5) @ space.basis()).all()


def test_photos_are_seen_along_given_axes_at_their_usual_distance(features):
    given = np.random.default_rng(3).normal(size=(7, 2)) * 50
    seen = PhotoSpace.of(features, given)
    points = seen(features)[:, :2]
    assert np.square(points).sum(1).mean() == pytest.approx(1, abs=0.01)
    wanted = (features - features.mean(0)) @ given
    np.testing.assert_allclose(points * (wanted[0, 0] / points[0, 0]), wanted, rtol=0.05, atol=2)
