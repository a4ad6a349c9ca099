"""Rows of the PIAA tables that train a network for each person, just as the SDK does.

They start from the shipped score, which is the network's own, and take from seconds to hours a
person.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.evaluate.heads import Case, Prediction, Row
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.generic import Array
from aesmamba_sdk.personalize.fit import Support, fit_personal
from aesmamba_sdk.personalize.methods import Method
from aesmamba_sdk.personalize.scorer import PersonalScorer

_BATCH = 16


def network_row(backbone: Backbone, method: Method, seed: int) -> Row:
    """A method by its name in the SDK.

    Raises:
        DatasetError: photos have to be encoded anew, and the dataset has none at hand.
    """

    def row(case: Case) -> Prediction:
        support = Support(
            features=case.features[case.support],
            ratings=case.ratings[case.support],
            groups=[str(i) for i in case.support],
            load=lambda i: _load(case, case.support[i]),
        )
        with TemporaryDirectory() as name:
            folder = Path(name)
            fit_personal(folder, backbone, support, case.prompt, method=method, seed=seed)
            scorer = PersonalScorer(folder, backbone)
        features = _features(case, scorer)
        generic = case.shipped.scores[case.query].astype(np.float32)
        scores, deviations = scorer.judge(features, generic)
        return Prediction(scores.astype(np.float64), deviations.astype(np.float64))

    return row


def _features(case: Case, scorer: PersonalScorer) -> Array:
    """The query photos as the person's encoder sees them."""
    if not scorer.reencodes:
        return case.features[case.query]
    parts = np.array_split(case.query, -(-len(case.query) // _BATCH))
    return np.concatenate([scorer([_load(case, i) for i in part]) for part in parts])


def _load(case: Case, photo: np.int64) -> Image.Image:
    if case.load is None:
        raise DatasetError("the photos of this dataset are not at hand to be encoded anew")
    return case.load(int(photo))
