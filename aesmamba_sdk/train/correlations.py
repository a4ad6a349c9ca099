"""How well predictions rank what was labelled: what validation reports and selects by."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from aesmamba_sdk.metrics import plcc, srcc
from aesmamba_sdk.train.data import PhotoSet, Rows

FEWEST = 3
"""Labels of one person that tell anything about ranking."""


def correlations(scores: Tensor, photos: PhotoSet, names: tuple[str, ...]) -> dict[str, float]:
    """SRCC and PLCC per attribute that has labels and predictions.

    Where the labels are single people's, both are computed for each person who rated some photos,
    and averaged; constant scores or labels count as 0.

    Args:
        scores: (examples, attributes).
        photos: the labels.
        names: of the attributes.
    """
    groups = people_rows(photos)
    report = {}
    for i, name in enumerate(names):
        predicted, target = scores[:, i].numpy(), photos.scores[:, i].numpy()
        known = ~(np.isnan(predicted) | np.isnan(target))
        labelled = [rows[known[rows]] for rows in groups]
        judged = [rows for rows in labelled if len(rows) >= FEWEST]
        if not judged:
            continue
        for kind, correlate in (("srcc", srcc), ("plcc", plcc)):
            values = [correlate(predicted[rows], target[rows]) for rows in judged]
            report[f"{kind}_{name}"] = float(np.mean(values))
    return report


def people_rows(photos: PhotoSet) -> list[Rows]:
    """The rows of each person; of everyone, where the labels are no one's in particular."""
    if photos.people is None:
        return [np.arange(len(photos))]
    _, person = np.unique(np.array(photos.people), return_inverse=True)
    order = np.argsort(person, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
