"""Tables of the people who rated, with their traits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from aesmamba_sdk.errors import DatasetError, TraitError
from aesmamba_sdk.profiles.traits import BIG_FIVE, BIG_FIVE_SCALE, Traits
from aesmamba_sdk.train.datasets.table import read_csv


def read_people(
    file: Path, user: str, columns: Mapping[str, str], required: Sequence[str] = ()
) -> dict[str, Traits]:
    """Names to traits; empty values are unknown, underscores are spaces.

    Args:
        file: a table, one person a row.
        user: the column of names.
        columns: trait to its column; those that are not there are unknown.
        required: columns that must be there.

    Raises:
        DatasetError: the file or a column is missing, or a value is no such trait's.
    """
    people: dict[str, Traits] = {}
    for row in read_csv(file, [user, *required]):
        traits: dict[str, object] = {}
        for trait, column in columns.items():
            if value := row.values.get(column, "").strip():
                five = trait in BIG_FIVE
                traits[trait] = row.score(column, BIG_FIVE_SCALE) if five else value
        try:
            people[row.text(user)] = Traits.from_dict(_spaced(traits))
        except TraitError as error:
            raise DatasetError(f"{row}: {error}", code="dataset_value") from error
    return people


def _spaced(traits: Mapping[str, object]) -> dict[str, object]:
    return {k: v.replace("_", " ") if isinstance(v, str) else v for k, v in traits.items()}
