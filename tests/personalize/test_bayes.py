"""The closed-form head against slow and obvious Bayesian arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.personalize import bayes
from aesmamba_sdk.personalize.auto import fit_auto
from aesmamba_sdk.personalize.bayes import Evidence, Observations
from aesmamba_sdk.personalize.blend import Affine
from aesmamba_sdk.personalize.head import PersonalHead
from aesmamba_sdk.personalize.taste import TastePrior, uninformed
from tests import toy


def prior(width=4, features=6, seed=0):
    rng = np.random.default_rng(seed)
    return TastePrior(
        backbone="b",
        space=toy.linear_space(features),
        projection=rng.normal(size=(features, width - 2)),
        offset=rng.normal(size=width - 2),
        generic_center=3.0,
        mean=np.r_[3.2, 0.9, np.zeros(width - 2)],
        variance=np.r_[0.3, 0.1, np.ones(width - 2)],
        log_noise=(-0.4, 0.5),
        source="made",
    )


def person(known, count, seed=1, noise=0.5):
    """Photos and ratings of someone drawn from the prior."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, known.space.width))
    generic = rng.normal(3, 0.5, count)
    weights = known.mean + rng.normal(size=len(known.mean)) * np.sqrt(known.variance)
    design = known.design(features, generic)
    return features, generic, design, design @ weights + noise * rng.normal(size=count), weights


def hypotheses(known):
    """Every noise and amplitude with its log prior."""
    for amplitude, log_share in zip(bayes._AMPLITUDES, bayes._LOG_AMPLITUDE_PRIOR, strict=True):
        for step in bayes._NOISES:
            noise = np.exp(known.log_noise[0] + known.log_noise[1] * step)
            yield amplitude, noise, log_share - step**2 / 2


def reference(known, design, ratings):
    """(share, mean, covariance, noise) of each hypothesis by the textbook's formulas."""
    found, logs = [], []
    for amplitude, noise, log_prior in hypotheses(known):
        spread = np.diag(amplitude * known.variance)
        marginal = design @ spread @ design.T + noise * np.eye(len(ratings))
        expected = design @ known.mean
        logs.append(log_prior + multivariate_normal.logpdf(ratings, expected, marginal))
        covariance = np.linalg.inv(np.linalg.inv(spread) + design.T @ design / noise)
        start = np.linalg.solve(spread, known.mean)
        found.append((covariance @ (start + design.T @ ratings / noise), covariance, noise))
    shares = np.exp(np.array(logs) - max(logs))
    return [(s, *f) for s, f in zip(shares / shares.sum(), found, strict=True)]


@pytest.mark.parametrize("count", [1, 3, 12])  # fewer than the weights, and more
def test_the_posterior_is_the_textbooks(count):
    known = prior()
    _, _, design, ratings, _ = person(known, count)
    found = Evidence(known, Observations.of(design, ratings)).posterior()
    expected = reference(known, design, ratings)
    mean = sum(s * m for s, m, _, _ in expected)
    covariance = sum(s * (c + np.outer(m - mean, m - mean)) for s, m, c, _ in expected)
    np.testing.assert_allclose(found.mean, mean, atol=1e-9)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-9)
    assert found.noise == pytest.approx(sum(s * n for s, _, _, n in expected))


def test_a_held_out_rating_never_saw_its_group():
    known = prior()
    _, _, design, ratings, _ = person(known, 9)
    groups = list("aabcdefff")
    mean, std = Evidence(known, Observations.of(design, ratings)).held_out(groups)
    shares = [s for s, *_ in reference(known, design, ratings)]
    for i, group in enumerate(groups):
        kept = [j for j, other in enumerate(groups) if other != group]
        parts = reference(known, design[kept], ratings[kept])
        means = np.array([design[i] @ m for _, m, _, _ in parts])
        variances = np.array([design[i] @ c @ design[i] + n for _, _, c, n in parts])
        assert mean[i] == pytest.approx(shares @ means)
        spread = shares @ (variances + np.square(means - shares @ means))
        assert std[i] == pytest.approx(np.sqrt(spread))


def test_choices_move_the_head_to_the_mode_of_the_probit_posterior(monkeypatch):
    monkeypatch.setattr(bayes, "_AMPLITUDES", np.array([1.0]))
    monkeypatch.setattr(bayes, "_LOG_AMPLITUDE_PRIOR", np.array([0.0]))
    monkeypatch.setattr(bayes, "_NOISES", np.array([0.0]))
    known = prior()
    _, _, design, ratings, weights = person(known, 12)
    first, second = design[:6], design[6:]
    better = (first @ weights > second @ weights)[:, None]
    chosen, passed = np.where(better, first, second), np.where(better, second, first)
    said = Observations(design[:3], ratings[:3], chosen, passed)
    found = Evidence(known, said).posterior()
    noise = np.exp(known.log_noise[0])

    def log_posterior(w):
        rest = ratings[:3] - design[:3] @ w
        fit = -(rest @ rest) / (2 * noise) - np.sum((w - known.mean) ** 2 / known.variance) / 2
        return fit + norm.logcdf((chosen - passed) @ w / np.sqrt(2 * noise)).sum()

    steps = 1e-5 * np.eye(len(weights))
    slope = [log_posterior(found.mean + s) - log_posterior(found.mean - s) for s in steps]
    np.testing.assert_allclose(np.array(slope) / 2e-5, 0, atol=1e-5)
    curvature = np.array(
        [
            [
                log_posterior(found.mean + 100 * (a + b))
                - log_posterior(found.mean + 100 * (a - b))
                - log_posterior(found.mean - 100 * (a - b))
                + log_posterior(found.mean - 100 * (a + b))
                for b in steps
            ]
            for a in steps
        ]
    ) / (4 * 1e-6)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(-curvature), rtol=1e-3, atol=1e-6)


def test_however_many_choices_say_the_unexpected_the_mode_is_found():
    """From where the prior is, their mode is far away."""
    known = prior()
    pair = np.array([[0.0, 1.0, 0.0, 0.0]])
    for count in (100, 1000, 10_000):
        factor = 4 * np.diag(np.sqrt(known.variance))
        mean, covariance = bayes._prefer(known.mean, factor, np.repeat(-pair, count, 0), 0.2)
        slope, weight = bayes._probit(-mean[1:2] / np.sqrt(0.4))
        pull = (mean[1] - known.mean[1]) / factor[1, 1] ** 2
        assert pull == pytest.approx(-count * slope[0] / np.sqrt(0.4), rel=1e-5)
        expected = 1 / (1 / factor[1, 1] ** 2 + count * weight[0] / 0.4)
        assert covariance[1, 1] == pytest.approx(expected, rel=1e-4)


def test_choices_alone_tell_taste():
    known = prior()
    _, _, design, _, weights = person(known, 400, seed=5)
    first, second = design[:150], design[150:300]
    better = (first @ weights > second @ weights)[:, None]
    none = design[:0]
    said = Observations(
        none, np.zeros(0), np.where(better, first, second), np.where(better, second, first)
    )
    found = Evidence(known, said).posterior()
    after = np.corrcoef(design[300:] @ found.mean, design[300:] @ weights)[0, 1]
    before = np.corrcoef(design[300:] @ known.mean, design[300:] @ weights)[0, 1]
    assert after > 0.95 > before


def test_intervals_hold_what_they_say():
    known = prior(width=8, features=12)
    inside = []
    for seed in range(60):
        _, _, design, ratings, _ = person(known, 40, seed=seed, noise=np.exp(-0.2))
        said = Observations.of(design[:20], ratings[:20])
        mean, std = Evidence(known, said).posterior().predict(design[20:])
        inside.append(np.abs(ratings[20:] - mean) < 1.2816 * std)
    assert 0.76 < np.mean(inside) < 0.84


def test_auto_is_the_head_where_it_predicts_and_the_affine_score_where_it_does_not():
    known = prior(width=8, features=12)
    features, generic, design, ratings, _ = person(known, 40, noise=0.3)
    groups = [str(i) for i in range(40)]
    head, found, trust = fit_auto(known, Observations.of(design, ratings), generic, groups, 1.0)
    assert trust > 0.9
    assert np.abs(found.personal - ratings).mean() < np.abs(found.affine - ratings).mean()
    # Someone whose taste is the opposite of what the head believes, whatever it is told.
    stubborn = 3 + 0.2 * generic + np.random.default_rng(0).normal(size=40)
    _, _, less = fit_auto(known, Observations.of(design, stubborn), generic, groups, 1.0)
    assert less < trust
    assert head.predict(design)[0].shape == features.shape[:1]


def test_ratings_that_are_all_the_same_keep_the_generic_order():
    known = prior(width=2)
    _, generic, design, _, _ = person(known, 12)
    found = Evidence(known, Observations.of(design, np.full(12, 4.0))).posterior()
    scores, std = found.predict(design)
    assert np.abs(scores - 4).mean() < 0.3
    assert (np.argsort(scores) == np.argsort(generic)).all()
    assert np.isfinite(std).all()


def test_the_affine_map_leaves_out_what_fit_would_not_see():
    rng = np.random.default_rng(3)
    generic, ratings = rng.normal(3, 0.5, 9), rng.uniform(1, 5, 9)
    members = np.array([0, 0, 1, 2, 3, 4, 5, 5, 5])
    found = Affine.held_out(generic, ratings, members, 1.0)
    for i in range(9):
        kept = members != members[i]
        expected = Affine.fit(generic[kept], ratings[kept], 1.0)(generic[i : i + 1])
        assert found[i] == pytest.approx(expected[0])


def test_a_prior_comes_back_as_it_was_written(tmp_path):
    known = prior()
    known.save(tmp_path / "taste.safetensors")
    loaded = TastePrior.load(tmp_path / "taste.safetensors")
    np.testing.assert_allclose(loaded.projection, known.projection, rtol=1e-6)
    assert (loaded.backbone, loaded.log_noise, loaded.source) == ("b", (-0.4, 0.5), "made")
    np.testing.assert_array_equal(loaded.mean, known.mean)


@pytest.mark.parametrize("content", [None, b"", b"not a prior"])
def test_a_broken_prior_is_named(tmp_path, content):
    file = tmp_path / "taste.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PersonalizeError, match=r"taste\.safetensors is missing or no taste prior"):
        TastePrior.load(file)


def test_without_people_every_direction_is_alike():
    rng = np.random.default_rng(0)
    features, generic = rng.normal(size=(300, 6)), rng.normal(3, 0.4, 300)
    known = uninformed("b", features, generic)
    taste = features @ rng.normal(size=6)
    ratings = generic + taste / taste.std()
    design = known.design(features, generic)
    found = Evidence(known, Observations.of(design[:100], ratings[:100])).posterior()
    assert np.corrcoef(design[100:] @ found.mean, ratings[100:])[0, 1] > 0.8


def test_along_a_direction_in_which_known_photos_do_not_vary_nothing_is_expected(tmp_path):
    """One photo alone tells of none: all else must not look infinitely far away."""
    rng = np.random.default_rng(0)
    features, generic = rng.normal(size=(300, 6)).astype(np.float32), rng.normal(3, 0.4, 300)
    for rows, directions in (([0], 0), ([0] * 6, 0), ([0, 1, 1, 2], 2)):
        known = uninformed("b", features[rows], generic[rows])
        assert known.projection.shape[1] == directions
        posterior = Evidence(known, Observations.of(*_nothing(known))).posterior()
        score, std = posterior.predict(known.design(features, generic))
        np.testing.assert_allclose(score, generic, atol=1e-6)
        assert std.max() < 3
        PersonalHead.of(known, posterior).save(tmp_path)
        kept = PersonalHead.load(tmp_path)
        np.testing.assert_allclose(kept.predict(features, generic)[1], std, rtol=1e-3)


def _nothing(known):
    return np.zeros((0, len(known.mean))), np.zeros(0)


def test_what_thousands_of_ratings_take_does_not_grow_with_their_square():
    """Of 20,000, the distances to each other alone would be 3.2 GB."""
    known = prior()
    _, _, design, ratings, weights = person(known, 20_000)
    evidence = Evidence(known, Observations.of(design, ratings))
    found = evidence.posterior()
    mean, _ = evidence.held_out([str(i) for i in range(len(ratings))])
    np.testing.assert_allclose(found.mean, weights, atol=0.05)
    np.testing.assert_allclose(mean, design @ found.mean, atol=0.01)
