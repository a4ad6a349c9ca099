"""People are added, changed, forgotten, and carried to another computer."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, func, select

from aesmamba_sdk.errors import TraitError, UserError, UserNotFoundError
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.model_store import ModelStore
from aesmamba_sdk.profiles.rating_store import Rating, RatingStore
from aesmamba_sdk.profiles.tables import ModelRow, RatingRow, TraitRow
from aesmamba_sdk.profiles.traits import Traits
from aesmamba_sdk.profiles.users import Users
from aesmamba_sdk.scores import Scale

RATING = Rating("p1", "/photos/p1.jpg", 4.0, 5.5, Scale(1, 7), {"color": 2.5}, "ratings.csv")


@pytest.fixture
def users(database):
    return Users(database)


def test_a_person_is_kept_with_their_traits(users):
    before = datetime.now(UTC)
    added = users.add("alice", openness=4, photo_experience="expert", sentences=["I love fog."])
    assert added == users.get("alice")
    assert added.traits == Traits(openness=4, photo_experience="expert", sentences=("I love fog.",))
    assert (added.ratings, added.model) == (0, None)
    assert before <= added.created_at <= datetime.now(UTC)


def test_without_a_name_the_logged_in_user_is_added(users, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    assert users.add(openness=4).name == "ann"


def test_scores_on_another_scale_are_converted(users):
    assert users.add("alice", scale=Scale(1, 5), openness=5).traits.openness == 10
    assert users.set("alice", scale=Scale(0, 1), openness=0).traits.openness == 1


def test_everyone_is_listed_by_name_with_a_fixed_number_of_queries(users, database):
    users.add("Bob", openness=3)
    RatingStore(database).save("Bob", [RATING])
    few = _count_queries(database, users.list)
    for number in range(10):
        users.add(f"alice{number}")
    assert _count_queries(database, users.list) == few
    listed = users.list()
    assert [user.name for user in listed] == [*(f"alice{n}" for n in range(10)), "Bob"]
    assert listed[-1] == users.get("Bob")
    assert listed[-1].ratings == 1


def test_setting_changes_some_traits_and_none_removes_one(users):
    users.add("alice", openness=4, age="30-34")
    changed = users.set("alice", openness=6, age=None, gender="female")
    assert changed.traits == Traits(openness=6, gender="female") == users.get("alice").traits


def test_a_blank_word_removes_a_trait_as_none_does(users):
    users.add("alice", age="30", gender="")
    assert users.set("alice", age=" ").traits == Traits()
    assert [(change.name, change.value) for change in users.history("alice")] == [
        ("age", "30"),
        ("age", None),
    ]


def test_the_history_tells_every_change_oldest_first(users):
    users.add("alice", openness=4)
    users.set("alice", openness=6)
    users.set("alice", openness=6, age=None)
    users.set("alice", openness=None)
    history = users.history("alice")
    assert [(c.name, c.value) for c in history] == [
        ("openness", 4),
        ("openness", 6),
        ("openness", None),
    ]
    assert history == sorted(history, key=lambda change: change.set_at)


@pytest.mark.parametrize(
    "traits",
    [
        {"mood": 3},
        {"mood": None},
        {"openness": 11},
        {"age": 30},
        {"age": "half a letter \ud800"},
        {"sentences": "I love fog."},
        {"sentences": ["I love \udcff."]},
    ],
)
def test_unusable_traits_write_nothing(users, traits):
    users.add("alice", openness=4)
    exported = users.export("alice")
    with pytest.raises(TraitError):
        users.set("alice", conscientiousness=5, **traits)
    with pytest.raises(TraitError):
        users.add("bob", conscientiousness=5, **traits)
    assert users.export("alice") == exported
    assert [user.name for user in users.list()] == ["alice"]


@pytest.mark.parametrize("name", ["ALICE", "alice", "Alice"])
def test_names_are_unique_also_without_regard_to_case(users, name):
    users.add("Alice")
    with pytest.raises(UserError, match="exists already") as caught:
        users.add(name)
    assert caught.value.code == "user_exists"


@pytest.mark.parametrize(
    "name", ["a", "x" * 64, "Ann-Marie_O.2@home", "José María", "प्रिया", "李雷"]
)
def test_names_of_all_scripts_are_possible(users, name):
    assert users.add(name).name == name == users.get(name).name


def test_two_spellings_of_one_letter_are_one_name(users):
    users.add("Jose\u0301")
    assert users.get("Jos\u00e9").name == users.get("Jose\u0301").name == "Jos\u00e9"


@pytest.mark.parametrize(
    "name", ["", "x" * 65, " alice", "alice ", ".alice", "..", "a/b", "a\\b", "a:b", "a\nb", "a\0"]
)
def test_names_that_cannot_be_folders_are_refused(users, name):
    with pytest.raises(UserError, match="is not possible") as caught:
        users.add(name)
    assert caught.value.code == "user_name"
    with pytest.raises(UserNotFoundError):
        users.get(name)


def test_an_unknown_name_gets_advice(users):
    users.add("Alice")
    with pytest.raises(UserNotFoundError, match=r"no user 'alcie'; did you mean 'Alice'\?"):
        users.get("alcie")
    with pytest.raises(UserNotFoundError, match="aesmamba user add 'uncle bob'"):
        users.set("uncle bob", openness=4)


def test_removing_a_person_leaves_nothing_and_tells_the_folders(users, database):
    users.add("alice", openness=4)
    users.add("bob", openness=4)
    RatingStore(database).save("alice", [RATING])
    for version in (1, 2):
        _activate(database, "alice", version)
    assert users.remove("alice") == ["alice/1", "alice/2"]
    assert [user.name for user in users.list()] == ["bob"]
    with database.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(row))
            for row in (TraitRow, RatingRow, ModelRow)
        ]
    assert counts == [1, 0, 0]
    with pytest.raises(UserNotFoundError):
        users.remove("alice")


def test_an_export_is_strict_json_with_everything(users, database):
    users.add("alice", openness=4)
    RatingStore(database).save("alice", [RATING])
    _activate(database, "alice", 1)
    exported = users.export("alice")
    assert json.loads(json.dumps(exported, allow_nan=False)) == exported
    assert list(exported) == [
        "schema", "name", "created_at", "traits", "history", "ratings", "models",
    ]  # fmt: skip
    assert exported["ratings"][0]["raw_scale"] == [1.0, 7.0]
    assert exported["models"][0]["folder"] == "alice/1"


def test_an_export_imports_to_an_equal_person(users, database, tmp_path):
    users.add("alice", openness=4, age="30-34", sentences=["I love fog."])
    users.set("alice", openness=5, age=None)
    RatingStore(database).save("alice", [RATING])
    exported = users.export("alice")
    elsewhere = Users(Database(f"sqlite:///{tmp_path / 'elsewhere.db'}"))
    assert elsewhere.import_(json.loads(json.dumps(exported))) == users.get("alice")
    assert elsewhere.export("alice") == exported


def test_models_are_not_imported_as_their_weights_are_elsewhere(users, database):
    users.add("alice")
    _activate(database, "alice", 1)
    assert users.import_(users.export("alice"), name="bob").model is None
    assert users.remove("bob") == []


def test_an_example_profile_is_enough_to_import(users):
    users.import_({"name": "alice", "traits": {"openness": 4}})
    assert users.get("alice").traits == Traits(openness=4)
    assert [(c.name, c.value) for c in users.history("alice")] == [("openness", 4)]


def test_the_traits_of_an_edited_export_count(users):
    users.add("alice", openness=4, age="30-34")
    exported = users.export("alice") | {"traits": {"openness": 5}}
    assert users.import_(exported, name="bob").traits == Traits(openness=5)


def test_an_existing_person_is_replaced_only_when_told(users, database):
    users.add("alice", openness=4)
    RatingStore(database).save("alice", [RATING])
    _activate(database, "alice", 1)
    profile = {"name": "alice", "traits": {"age": "30-34"}}
    with pytest.raises(UserError, match="exists already") as caught:
        users.import_(profile)
    assert caught.value.code == "user_exists"
    replaced = users.import_(profile, replace=True)
    assert (replaced.traits, replaced.ratings) == (Traits(age="30-34"), 0)
    assert replaced.model is not None
    assert [change.name for change in users.history("alice")] == ["age"]
    with pytest.raises(UserError, match="exists already"):
        users.import_(profile, name="ALICE", replace=True)


def test_photos_in_no_file_are_known_to_a_person_who_is_replaced(users, database):
    """Nothing could tell their features again."""
    users.add("alice")
    store = RatingStore(database)
    features = {"p1": b"seen", "p2": b"seen too"}
    store.save("alice", [RATING, replace(RATING, photo_id="p2")], features=features, encoder="nano")
    record = users.export("alice")
    record["ratings"] = record["ratings"][:1]
    users.import_(record, replace=True)
    assert store.features(["p1", "p2"], "nano") == {"p1": b"seen"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2 is unknown"),
        ({"trait": {}}, "trait is unknown"),
        ({"name": "a/b"}, "'a/b' is not possible"),
        ({"name": 3}, "3 is no text"),
        ({"created_at": "yesterday"}, "created_at 'yesterday'"),
        ({"created_at": "2024-01-01T00:00:00"}, "created_at .* with a time zone"),
        ({"created_at": "0001-01-01T00:00:00+10:00"}, "created_at '0001.* is no ISO 8601 time"),
        ({"traits": []}, "traits must be an object"),
        ({"traits": {"openness": 99}}, "traits: openness 99"),
        ({"history": {}}, "history must be a list"),
        ({"history": [{"name": "age"}]}, r"history\[0\] must have"),
        (
            {"history": [{"name": "mood", "value": 1, "set_at": "2024-01-01T00:00:00Z"}]},
            r"history\[0\]: unknown trait 'mood'",
        ),
        ({"history": [{"name": "age", "value": "3", "set_at": 5}]}, r"history\[0\]\.set_at 5"),
        ({"ratings": [3]}, r"ratings\[0\] must be an object"),
        ({"ratings": [{}]}, r"ratings\[0\] is invalid: attributes is missing"),
        ({"ratings": [RATING.to_dict() | {"score": 6}]}, r"ratings\[0\] .*score 6 .*1-5"),
        ({"ratings": [RATING.to_dict() | {"score": 10**400}]}, r"ratings\[0\] .*score 10*"),
        ({"ratings": [RATING.to_dict() | {"raw_scale": 7}]}, r"ratings\[0\] .*raw_scale 7"),
        ({"ratings": [RATING.to_dict() | {"raw_scale": [1, 10**400]}]}, r"ratings\[0\] .*raw_sc"),
        ({"ratings": [RATING.to_dict() | {"rated_at": "x"}]}, r"ratings\[0\] .*rated_at 'x'"),
        (
            {"ratings": [RATING.to_dict() | {"rated_at": "9999-12-31T23:00:00-10:00"}]},
            r"ratings\[0\] .*rated_at '9999.* is no ISO 8601 time",
        ),
        ({"ratings": [RATING.to_dict() | {"photo_id": "\udcff"}]}, r"ratings\[0\] .*photo_id"),
        ({"ratings": [RATING.to_dict() | {"stars": 3}]}, r"ratings\[0\] .*stars is unknown"),
    ],
)
def test_an_invalid_record_names_the_field_and_writes_nothing(users, change, message):
    users.add("alice", openness=4)
    before = users.export("alice")
    with pytest.raises(UserError, match=message):
        users.import_(before | change, replace=True)
    assert users.export("alice") == before
    assert len(users.list()) == 1


def test_a_record_without_a_name_needs_one(users):
    with pytest.raises(UserError, match="name is missing"):
        users.import_({"traits": {}})
    assert users.import_({"traits": {}}, name="alice").name == "alice"


def test_users_start_without_numerical_libraries():
    heavy = "{'torch', 'numpy', 'transformers'}"
    code = f"import sys, aesmamba_sdk.profiles.users; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def _activate(database: Database, user: str, version: int) -> None:
    ModelStore(database).activate(
        user,
        version=version,
        folder=f"{user}/{version}",
        method="ridge",
        backbone="abc",
        shots=10,
        report={"gain": 0.1},
    )


def _count_queries(database: Database, work) -> int:
    statements = []

    def remember(connection, cursor, statement, *rest):
        statements.append(statement)

    event.listen(database._engine, "before_cursor_execute", remember)
    work()
    event.remove(database._engine, "before_cursor_execute", remember)
    return len(statements)
