"""Groups around the best photos."""

from __future__ import annotations

import numpy as np

from aesmamba_sdk.similar.groups import group_similar, whitened
from aesmamba_sdk.similar.sketch import SIDE, alignment

UNKNOWN = np.nan


def vectors(*angles):
    """Unit vectors in a plane, by their angles in degrees."""
    turned = np.radians(angles)
    return np.stack([np.cos(turned), np.sin(turned)], 1).astype(np.float32)


def group(angles, values, taken=None, **options):
    """Groups of photos with one and the same sketch, so that the angles alone decide."""
    sketch = np.random.default_rng(0).integers(0, 255, SIDE * SIDE).astype(np.uint8)
    times = np.array([UNKNOWN] * len(angles) if taken is None else taken, float)
    found = group_similar(
        vectors(*angles), np.tile(sketch, (len(angles), 1)), values, times, **options
    )
    return [[i for i, _ in members] for members in found]


def test_the_best_leads_its_group_and_the_groups_come_by_their_best():
    assert group([0, 90, 5, 85], [1.0, 2.0, 3.0, 4.0]) == [[3, 1], [2, 0]]


def test_every_photo_is_like_the_best_not_only_like_some_other():
    assert group([0, 40, 80], [3.0, 2.0, 1.0]) == [[0, 1], [2]]
    assert group([0, 40, 80], [1.0, 3.0, 2.0]) == [[1, 2, 0]]


def test_less_is_enough_within_a_minute():
    apart = [0, 60], [2.0, 1.0]
    assert group(*apart) == [[0], [1]]
    assert group(*apart, taken=[100.0, 130.0]) == [[0, 1]]
    assert group(*apart, taken=[100.0, 161.0]) == [[0], [1]]
    assert group(*apart, taken=[100.0, UNKNOWN]) == [[0], [1]]
    assert group(*apart, same=0.7) == [[0, 1]]


def test_other_pictures_are_apart_however_alike_their_features():
    sketches = np.random.default_rng(0).integers(0, 255, (2, SIDE * SIDE)).astype(np.uint8)
    found = group_similar(vectors(0, 1), sketches, [2.0, 1.0], np.array([0.0, 1.0]))
    assert [len(members) for members in found] == [1, 1]


def one_after_the_other(seen, sketches, values, taken):
    """The definition, photo by photo."""
    groups = []
    pictures = sketches.reshape(-1, SIDE, SIDE).astype(np.float32)
    for i in sorted(range(len(seen)), key=lambda i: -values[i]):
        found = []
        for members in sorted(groups, key=lambda members: -float(seen[members[0]] @ seen[i])):
            leader = members[0]
            bar = 0.65 if abs(taken[leader] - taken[i]) <= 60 else 0.8
            near = float(seen[leader] @ seen[i])
            if near >= 2 * bar - 1 and len(found) < 16:
                alike = (near + alignment(pictures[i], pictures[leader][None])[0]) / 2
                found.append((alike - bar, members))
        margin, best = max(found, key=lambda pair: pair[0], default=(-1, None))
        if margin >= 0:
            best.append(i)
        else:
            groups.append([i])
    return groups


def test_many_photos_are_grouped_as_they_would_be_one_after_the_other():
    rng = np.random.default_rng(0)
    count, kinds = 150, np.arange(150) % 40
    seen = rng.normal(size=(40, 5))[kinds] + 0.3 * rng.normal(size=(count, 5))
    seen = (seen / np.linalg.norm(seen, axis=1, keepdims=True)).astype(np.float32)
    pictures = np.kron(rng.integers(40, 200, (8, 8, 8)), np.ones((4, 4))).reshape(8, -1)
    noise = rng.normal(0, 20, (count, SIDE * SIDE))
    sketches = (pictures[kinds % 8] + noise).clip(0, 255).astype(np.uint8)
    values, taken = rng.normal(size=count), rng.integers(0, 600, count).astype(float)
    taken[::5] = UNKNOWN
    found = group_similar(seen, sketches, values.tolist(), taken)
    expected = one_after_the_other(seen, sketches, values, taken)
    assert [[i for i, _ in members] for members in found] == expected
    assert 30 < len(found) < 140


def test_whitening_makes_all_directions_of_the_reference_count_alike():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6)) * np.array([100, 10, 1, 1, 1, 0])  # one direction is empty
    reference = (rng.normal(size=(500, 6)) @ mixing.T + 7).astype(np.float32)
    seen = whitened(reference, reference)
    assert seen.shape == (500, 5)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(seen.T @ seen / 500, np.eye(5) / 5, atol=0.03)
