"""``auto``: the closed-form head, blended with the generic score on the person's scale.

The blend is decided by ratings held out of the support set, from a prior that trusts the head:
shrinkage where evidence is thin, never a winner picked at ten ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.personalize.bayes import Evidence, Observations, Posterior
from aesmamba_sdk.personalize.blend import Affine, Vector
from aesmamba_sdk.personalize.taste import TastePrior

_TRUST_EVIDENCE = 4.0
"""Weight of what trust is before any rating, in units of addition² / noise."""


@dataclass(frozen=True)
class HeldOut:
    """Every rating of the support predicted without itself and its group.

    Attributes:
        affine: by the generic score on the person's scale, (n,).
        personal: by the closed-form head, (n,).
        std: deviation that the head gives itself, (n,).
    """

    affine: Vector
    personal: Vector
    std: Vector

    def blended(self, trust: float) -> Vector:
        blended: Vector = self.affine + trust * (self.personal - self.affine)
        return blended


def hold_out(
    evidence: Evidence,
    generic: NDArray[np.floating],
    groups: Sequence[str],
    unit: float,
) -> HeldOut:
    """Predict each rating from those of other groups.

    Args:
        evidence: of all ratings.
        generic: generic scores of the rated photos, (n,).
        groups: what each rated photo belongs with.
        unit: what a step of 1-5 is on their scale.
    """
    personal, std = evidence.held_out(groups)
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    affine = Affine.held_out(generic.astype(np.float64), evidence.said.ratings, members, unit)
    return HeldOut(affine, personal, std)


def trust_in(found: HeldOut, evidence: Evidence) -> float:
    """Weight (0-1) of the head: regression of what the affine score misses on what it adds.

    A head whose prior was learned from people, or that choices taught, starts trusted; another has
    to earn it.
    """
    addition = found.personal - found.affine
    knows = evidence.prior.learned or len(evidence.said.chosen) > 0
    start = _TRUST_EVIDENCE if knows else 0.0
    missed = evidence.said.ratings - found.affine
    gained = float(addition @ missed) / evidence.noise + start
    size = float(addition @ addition) / evidence.noise + _TRUST_EVIDENCE
    return float(np.clip(gained / size, 0.0, 1.0))


def blend(posterior: Posterior, affine: Affine, trust: float, generic_center: float) -> Posterior:
    """The head whose mean is ``trust`` of the posterior's and the rest of the affine score."""
    plain = np.zeros_like(posterior.mean)
    plain[0] = affine.mean + affine.slope * (generic_center - affine.centre)
    plain[1] = affine.slope
    mean = trust * posterior.mean + (1 - trust) * plain
    return Posterior(mean, posterior.covariance, posterior.noise)


def fit_auto(
    prior: TastePrior,
    said: Observations,
    generic: NDArray[np.floating],
    groups: Sequence[str],
    unit: float,
) -> tuple[Posterior, HeldOut, float]:
    """The blended head, the held-out predictions it was judged by, and the trust in it.

    Args:
        prior: over people.
        said: ratings, one or more, and choices.
        generic: generic scores of the rated photos, (n,).
        groups: what each rated photo belongs with.
        unit: what a step of 1-5 is on their scale.
    """
    evidence = Evidence(prior, said)
    found = hold_out(evidence, generic, groups, unit)
    trust = trust_in(found, evidence)
    affine = Affine.fit(generic.astype(np.float64), said.ratings, unit)
    return blend(evidence.posterior(), affine, trust, prior.generic_center), found, trust
