"""The example profiles beside the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.users import Users

EXAMPLES = sorted((Path(__file__).parents[2] / "profiles").glob("*.json"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_can_be_imported(file, home):
    users = Users(Database.open(home))
    person = users.import_(json.loads(file.read_text()))
    assert person.name == file.stem
    assert bool(SubjectPrompt(person.traits).for_model()) == bool(person.traits.to_dict())
    assert len(EXAMPLES) == 4
