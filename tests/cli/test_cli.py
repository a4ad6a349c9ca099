"""The commands as people and scripts use them."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path, PurePath

import click
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from aesmamba_sdk import AesMamba
from aesmamba_sdk.cli import main, output, sample_photos
from aesmamba_sdk.cli.sample_photos import RATED, Taste, write_photos
from aesmamba_sdk.cli.score import CSV_COLUMNS
from aesmamba_sdk.model.selective_scan import choose_engine
from aesmamba_sdk.ratings import read_ratings
from tests import toy

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "photos", 5)


def commands(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda v: "-".join(v) if isinstance(v, tuple) else ""
)
def test_every_command_has_help_with_an_example(path, command):
    assert command.help
    assert f"Example:\n      aesmamba {' '.join(path)}".replace(
        "      ", "  "
    ) in command.help.replace("      ", "  ")


@pytest.mark.parametrize(
    "group", [main, *(c for c in main.commands.values() if isinstance(c, click.Group))]
)
def test_lists_of_commands_are_told_in_whole_sentences(group):
    listed = click.Context(group, info_name="aesmamba", terminal_width=80).get_help()
    assert "..." not in listed.partition("Commands:")[2]


PHOTO_COMMANDS = ("score", "rank", "duplicates", "suggest", "report", "rate", "explain")


@pytest.mark.parametrize("name", PHOTO_COMMANDS)
def test_no_command_refuses_all_photos_for_one_that_may_not_be_read(name):
    photos = next(p for p in main.commands[name].params if p.name in ("photo", "photos"))
    assert not photos.type.readable


class TestScore:
    def test_jsonl_is_one_strict_object_a_photo_in_order(self, run, photos):
        result = run("score", photos[0].parent, "--attributes", "--format", "jsonl")
        records = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.exit_code == 0
        assert [r["path"] for r in records] == [str(p) for p in photos]
        assert records[0].keys() == {
            "path",
            "schema",
            "model",
            "value",
            "scale",
            "percentile",
            "attributes",
        }
        assert (records[0]["schema"], records[0]["scale"]) == (1, [1.0, 5.0])

    def test_a_pipe_gets_jsonl_without_asking(self, run, photos):
        assert run("score", photos[0]).stdout == run("score", photos[0], "--format", "jsonl").stdout

    def test_json_is_the_same_as_one_array(self, run, photos):
        array = json.loads(run("score", *photos, "--format", "json").stdout)
        lines = run("score", *photos, "--format", "jsonl").stdout.splitlines()
        assert array == [json.loads(line) for line in lines]

    def test_csv_has_stable_columns(self, run, photos):
        photos[1].write_bytes(b"")
        result = run("score", *photos, "--format", "csv", "--attributes")
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert tuple(rows[0]) == CSV_COLUMNS
        assert rows[0]["scale"] == "1-5"
        assert float(rows[0]["attributes.color"]) > 0
        assert rows[1]["error.code"] == "photo_empty"

    def test_a_bad_photo_is_named_and_the_exit_code_is_one(self, run, photos):
        photos[2].write_bytes(b"nonsense")
        result = run("score", *photos, "--format", "jsonl")
        assert result.exit_code == 1
        assert "002.png" in result.stderr
        assert "1 of 5 photos" in result.stderr
        assert sum("value" in json.loads(line) for line in result.stdout.splitlines()) == 4

    def test_whether_a_photo_may_be_read_is_not_asked_before_its_turn(
        self, run, photos, monkeypatch
    ):
        # Rights do not bind root, who may run the tests: what could be asked beforehand says no.
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
        result = run("score", photos[0], photos[0].parent / "gone.png", photos[1])
        assert result.exit_code == 1
        assert "skipped:" in result.stderr
        assert sum("value" in json.loads(line) for line in result.stdout.splitlines()) == 2

    @pytest.mark.parametrize("command", [("score",), ("rank",), ("suggest", "alice")])
    def test_an_empty_folder_is_wrong_usage(self, run, tmp_path, command):
        run("user", "add", "alice")
        (tmp_path / "empty").mkdir()
        result = run(*command, tmp_path / "empty")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "no photos" in result.stderr

    @pytest.mark.parametrize("command", [("score",), ("rank",), ("suggest", "alice")])
    def test_patterns_choose_among_the_files_of_folders(self, run, photos, command):
        run("user", "add", "alice")
        out = run(*command, photos[0].parent, "--include", "00[0-2]*", "--exclude", "*1.PNG").stdout
        names = {PurePath(json.loads(line)["path"]).name for line in out.splitlines()}
        assert names == {"000.png", "002.png"}

    @pytest.mark.parametrize("command", [("score",), ("suggest", "alice"), ("report",)])
    def test_patterns_that_leave_nothing_are_named(self, run, photos, command):
        run("user", "add", "alice")
        result = run(*command, photos[0].parent, "--exclude", "*")
        assert result.exit_code == 2
        assert "What --include or --exclude leave out does not count" in result.stderr

    def test_an_unknown_user_is_wrong_usage(self, run, photos):
        result = run("score", photos[0], "--user", "nobody")
        assert result.exit_code == 2
        assert "nobody" in result.stderr

    def test_tables_name_photos_below_their_common_folder(self, run, photos):
        out = run("rank", photos[0].parent, "--format", "table", "--top", 2).stdout
        assert str(photos[0].parent) in out.replace("\n", "")
        assert sum(".png" in line for line in out.splitlines()) == 2

    def test_attributes_go_below_the_photo_where_their_columns_would_not_fit(
        self, run, photos, monkeypatch
    ):
        arguments = ("rank", *photos, "--attributes", "--format", "table")
        assert "┃ aesthetic ┃ color ┃" in run(*arguments).stdout
        monkeypatch.setattr(output, "_PIPE_WIDTH", 55)
        table = run(*arguments).stdout.partition("┏")[2]
        assert max(map(len, table.splitlines())) <= 55
        best = json.loads(run("rank", *photos, "--attributes").stdout.splitlines()[0])
        for name, value in best["attributes"].items():
            assert f"{name} {value:.2f}" in table

    @pytest.mark.parametrize("width", [36, 46, 60])
    def test_in_narrow_terminals_no_figure_is_torn(self, run, photos, monkeypatch, width):
        config = dataclasses.replace(toy.CONFIG, attributes=("aesthetic", "willingness_to_share"))
        model = toy.save_toy(photos[0].parent / "model", config=config)
        monkeypatch.setattr(output, "_PIPE_WIDTH", width)
        run("user", "add", "alice")
        arguments = ("rank", *photos, "--attributes", "--user", "alice", "--model", model)
        table = run(*arguments, "--format", "table").stdout.partition("┏")[2]
        assert max(map(len, table.splitlines())) <= width
        assert table.count(" willingness to ") == len(photos)
        for record in map(json.loads, run(*arguments).stdout.splitlines()):
            assert f"{record['value']:.2f} │" in table
            assert f"aesthetic {record['attributes']['aesthetic']:.2f}" in table
            assert f"share {record['attributes']['willingness_to_share']:.2f}" in table

    def test_columns_that_do_not_fit_are_named_instead(self, run, photos, monkeypatch):
        monkeypatch.setattr(output, "_PIPE_WIDTH", 40)
        run("user", "add", "alice")
        result = run("rank", photos[0].parent, "--user", "alice", "--format", "table")
        assert "┃ # ┃ Photo   ┃ Score ┃ Percentile ┃\n" in result.stdout
        assert all(f"│ {photo.name} │" in result.stdout for photo in photos)
        assert "too narrow for: Generic, ±\n" in result.stderr

    @pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
    @pytest.mark.parametrize("form", ["jsonl", "csv", "table"])
    def test_a_file_name_that_is_not_text_is_scored(self, toy_model, tmp_path, form):
        folder = tmp_path / "odd"
        folder.mkdir()
        toy.photo(0.5, 1).save(folder / os.fsdecode(b"caf\xe9.png"))
        result = aesmamba("score", folder, "--format", form, model=toy_model)
        assert result.returncode == 0, result.stderr

    @pytest.mark.skipif(os.name != "posix", reason="names hold no such characters elsewhere")
    def test_names_do_not_command_the_terminal(self, run, tmp_path):
        folder = tmp_path / "odd\x9b31m"
        folder.mkdir()
        name = "a\x1b[31m\n\u202eb.png"
        toy.photo(0.5, 1).save(folder / name)
        (folder / f"bad{name}").touch()
        shown = run("rank", folder, "--format", "table")
        for text in (shown.stdout, shown.stderr):
            assert r"a\x1b[31m\n\u202eb.png" in text
            assert r"odd\x9b31m" in text.replace("\n", "")
            assert not set("\x1b\x9b\u202e") & set(text)
        record = json.loads(run("rank", folder).stdout.splitlines()[0])
        assert record["path"] == str(folder / name)

    def test_only_a_photo_above_all_is_above_100_percent(self):
        assert [output.percent(share) for share in (0.0, 0.504, 0.997, 1.0)] == [
            "0%",
            "50%",
            "99%",
            "100%",
        ]

    def test_ranking_is_best_first(self, run, photos):
        lines = run("rank", *photos).stdout.splitlines()
        values = [json.loads(line)["value"] for line in lines]
        assert values == sorted(values, reverse=True)


class TestUser:
    def test_a_life(self, run, tmp_path):
        assert (
            run("user", "add", "alice", "--openness", 4, "--photo-experience", "expert").exit_code
            == 0
        )
        shown = json.loads(run("user", "show", "alice").stdout)
        assert shown["traits"] == {"openness": 4.0, "photo_experience": "expert"}
        assert "openness score is 4" in shown["prompt"]
        run("user", "set", "alice", "--openness", 5, "--unset", "photo-experience")
        result = run("user", "set", "alice", "--openness", 5, "--unset", "photo_experience")
        assert json.loads(result.stdout)["traits"] == {"openness": 5.0}
        run("user", "export", "alice", "-o", tmp_path / "a.json")
        assert run("user", "remove", "alice", "--yes").exit_code == 0
        assert json.loads(run("user", "import", tmp_path / "a.json").stdout)["name"] == "alice"
        assert "alice" in run("user", "list", "--format", "table").stdout

    def test_a_trait_is_not_given_and_unset_at_once(self, run):
        run("user", "add", "alice", "--age", "30")
        result = run("user", "set", "alice", "--age", "40", "--unset", "age")
        assert result.exit_code == 2
        assert "age is given and unset at once" in result.stderr
        assert json.loads(run("user", "show", "alice").stdout)["traits"] == {"age": "30"}

    def test_without_a_name_it_is_whoever_is_logged_in(self, run, monkeypatch):
        monkeypatch.setenv("LOGNAME", "carol")
        assert json.loads(run("user", "add", "--openness", 4).stdout)["name"] == "carol"
        assert json.loads(run("user", "show").stdout)["name"] == "carol"

    def test_scores_of_another_range_are_converted(self, run):
        added = run("user", "add", "alice", "--openness", 5, "--trait-scale", "1-5")
        assert json.loads(added.stdout)["traits"] == {"openness": 10.0}

    def test_a_value_out_of_range_names_it(self, run):
        result = run("user", "add", "alice", "--openness", 11)
        assert result.exit_code == 2
        assert "openness" in result.stderr
        assert run("user", "show", "alice").exit_code == 2, "nothing was added"

    def test_removing_asks_first(self, run):
        run("user", "add", "alice")
        assert run("user", "remove", "alice", input="n\n").exit_code == 1
        assert run("user", "show", "alice").exit_code == 0
        assert run("user", "remove", "alice", input="y\n").exit_code == 0

    def test_the_quiz_fills_in_five_scores(self, run):
        run("user", "add", "alice")
        result = run("user", "quiz", "alice", input="5\n" * 20)
        traits = json.loads(result.stdout)["traits"]
        assert set(traits) == {
            "openness",
            "conscientiousness",
            "extroversion",
            "agreeableness",
            "neuroticism",
        }
        assert "1 very inaccurate" in result.stderr

    def test_ctrl_c_at_a_question_ends_like_anywhere_else(self, run):
        class Keyboard(io.BytesIO):
            def read1(self, size=-1):
                raise KeyboardInterrupt

        run("user", "add", "alice")
        result = run("user", "quiz", "alice", input=Keyboard())
        assert result.exit_code == 130
        assert result.stderr.endswith("\nstopped\n")
        assert "Aborted" in run("user", "quiz", "alice", input="").stderr

    def test_an_export_replaces_nothing_but_an_earlier_one(self, run, photos, tmp_path):
        run("user", "add", "alice")
        for there in (photos[0], tmp_path / "other.json"):
            if not there.exists():
                there.write_text('{"name": "a package"}')
            before = there.read_bytes()
            result = run("user", "export", "alice", "-o", there)
            assert result.exit_code == 2
            assert f"{there} is there already and is no profile" in result.stderr
            assert there.read_bytes() == before
        for _ in range(2):
            assert run("user", "export", "alice", "-o", tmp_path / "alice.json").exit_code == 0

    def test_an_export_that_the_disk_does_not_take_leaves_the_earlier_one(self, run, tmp_path):
        folder, (_, most) = tmp_path / "exports", resource.getrlimit(resource.RLIMIT_FSIZE)
        folder.mkdir()
        run("user", "add", "alice", "--sentence", "long" * 2**15)
        assert run("user", "export", "alice", "-o", folder / "alice.json").exit_code == 0
        earlier = (folder / "alice.json").read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, most))
        try:
            result = run("user", "export", "alice", "-o", folder / "alice.json")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert result.exit_code == 2
        assert f"cannot write {folder / 'alice.json'}" in result.stderr
        assert [file.read_bytes() for file in folder.iterdir()] == [earlier]

    def test_an_export_to_a_device_or_a_link_leaves_it_one(self, run, tmp_path):
        run("user", "add", "alice")
        link = tmp_path / "link.json"
        link.symlink_to(tmp_path / "alice.json")
        for there in (link, "/dev/null"):
            assert run("user", "export", "alice", "-o", there).exit_code == 0
        assert json.loads((tmp_path / "alice.json").read_text())["name"] == "alice"
        assert link.is_symlink()
        assert Path("/dev/null").is_char_device()

    @pytest.mark.parametrize("text", ["not json", "[1]", '{"name": "x", "taste": 1}'])
    def test_a_bad_profile_is_refused(self, run, tmp_path, text):
        (tmp_path / "p.json").write_text(text)
        assert run("user", "import", tmp_path / "p.json").exit_code == 2
        assert run("user", "list").stdout == ""


class TestPersonalize:
    def test_the_report_is_for_people_or_programs(self, run, tmp_path):
        table = toy.write_ratings(toy.write_photos(tmp_path / "rated", 20))
        run("user", "add", "alice")
        record = json.loads(run("personalize", "alice", table).stdout)
        assert (record["shots"], record["version"]) == (20, 1)
        text = run("personalize", "alice", table, "--dry-run", "--format", "table").stdout
        assert "dry run" in text
        assert "rank correlation" in text

    def test_problems_are_named(self, run, tmp_path):
        table = toy.write_ratings(toy.write_photos(tmp_path / "rated", 20))
        with table.open("a") as stream:
            stream.write("gone.png,3\n")
        run("user", "add", "alice")
        result = run("personalize", "alice", table.parent)
        assert result.exit_code == 0
        assert "gone.png" in result.stderr

    def test_no_ratings_is_wrong_usage(self, run, tmp_path):
        run("user", "add", "alice")
        result = run("personalize", "alice", tmp_path)
        assert result.exit_code == 2
        assert "ratings.csv" in result.stderr


class TestKept:
    """Models and ratings of a person."""

    @pytest.fixture
    def alice(self, run, tmp_path):
        table = toy.write_ratings(toy.write_photos(tmp_path / "rated", 12))
        run("user", "add", "alice")
        for _ in range(2):
            assert run("personalize", "alice", table).exit_code == 0
        return tmp_path / "rated"

    def test_versions_are_listed_and_an_earlier_one_can_serve(self, run, alice):
        lines = run("user", "models", "alice", "--use", "1").stdout.splitlines()
        assert [(r["version"], r["active"]) for r in map(json.loads, lines)] == [
            (1, True),
            (2, False),
        ]
        wrong = run("user", "models", "alice", "--use", "7")
        assert wrong.exit_code == 2
        assert "no model of version 7; there are: 1, 2" in wrong.stderr
        assert "1 serves" in run("user", "models", "alice", "--format", "table").stdout

    @pytest.mark.parametrize("width", [40, 80])
    def test_versions_are_legible_in_narrow_terminals(self, run, alice, monkeypatch, width):
        monkeypatch.setattr(output, "_PIPE_WIDTH", width)
        result = run("user", "models", "alice", "--format", "table")
        assert max(map(len, result.stdout.splitlines())) <= width
        assert "│ 2 serves │" in result.stdout
        for column in ("Version", "Method", "Ratings", "Made", "correlation", "Backbone"):
            assert f" {column} " in result.stdout or column in result.stderr

    def test_ratings_are_listed_and_removed(self, run, alice):
        lines = run("ratings", "list", "alice").stdout.splitlines()
        assert len(lines) == 12
        record = json.loads(lines[0])
        removed = run("ratings", "remove", "alice", record["path"])
        assert "removed 1 rating(s)" in removed.stderr
        assert record["path"] not in run("ratings", "list", "alice", "--format", "table").stdout
        assert "has not rated" in run("ratings", "remove", "alice", record["path"]).stderr
        assert run("ratings", "remove", "alice").exit_code == 2
        assert "removed 11" in run("ratings", "remove", "alice", "--all").stderr

    def test_photos_to_rate_next_are_suggested(self, run, alice, photos):
        lines = run("suggest", "alice", *photos, alice, "--count", 3).stdout.splitlines()
        found = {json.loads(line)["path"] for line in lines}
        assert len(found) == 3
        assert found <= {str(p) for p in photos}
        assert "Doubt left" in run("suggest", "alice", *photos, "--format", "table").stdout
        assert "nothing to suggest" in run("suggest", "alice", alice).stderr


class TestDemo:
    def test_the_story_fits_eighty_columns_and_leaves_nothing_behind(self, run, home, monkeypatch):
        monkeypatch.setattr(output, "_PIPE_WIDTH", 80)
        result = run("demo")
        assert result.exit_code == 0, result.output
        for chapter in (
            "1. What everyone likes",
            "2. Two people",
            "4. Learning from bob",
            "5. The",
        ):
            assert chapter in result.stdout
        lines = result.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        best = lines.index("Best photos")
        assert [line[:4] for line in lines[best + 4 : best + 10]] == [
            f"│ {i} " for i in range(1, 7)
        ]
        assert not home.exists()

    def test_the_pages_can_be_followed_in_what_is_kept(self, run, tmp_path, monkeypatch):
        kept = tmp_path / "kept"
        assert run("demo", "--keep", kept).exit_code == 0
        monkeypatch.chdir(kept)
        assert run("user", "add", "alice").exit_code == 0
        learned = run("personalize", "alice", "rated")
        assert json.loads(learned.stdout)["shots"] == 75
        assert "skipped" not in learned.stderr
        ranked = run("rank", "trip", "--user", "alice", "--top", 4)
        assert "skipped: trip/broken.jpg is damaged or cut short" in ranked.stderr
        assert "1 of 19 photos could not be scored" in ranked.stderr
        for page in ("README.md", "docs/serve.md"):
            text = (ROOT / page).read_text("utf-8")
            shown = re.findall(r"\b(?:trip|album|rated)/[\w-]+\.(?:jpg|csv)", text)
            assert len(shown) > 4
            assert all(Path(name).is_file() for name in shown)

    def test_what_is_in_a_folder_already_is_left_alone(self, run, tmp_path, home):
        (tmp_path / "kept" / "album").mkdir(parents=True)
        result = run("demo", "--keep", tmp_path / "kept")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"Error: {tmp_path / 'kept'} is not empty")
        assert [path.name for path in (tmp_path / "kept").iterdir()] == ["album"]

    def test_a_photograph_is_rated_or_ranked_never_both(self, tmp_path):
        for rated in (True, False):
            write_photos(tmp_path / str(rated), rated=rated)
        rated, album = (
            {p.name.partition("-")[0] for p in (tmp_path / which).iterdir()}
            for which in ("True", "False")
        )
        assert rated == set(RATED)
        assert not rated & album

    def test_opposite_tastes_disagree_on_every_photograph(self, tmp_path):
        write_photos(tmp_path / "album", rated=False)
        for photo in (tmp_path / "album").iterdir():
            with Image.open(photo) as image:
                loves, hates = (Taste(s, s).rate(image, 0.0) for s in (1.0, -1.0))
            assert loves + hates == pytest.approx(6, abs=0.5)

    def test_kept_ratings_are_found_from_anywhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        kept = Path("kept")
        (kept / "rated").mkdir(parents=True)
        toy.photo(0.5, 0).save(kept / "rated" / "cat-whole-dark.jpg")
        for table in ("bob.csv", "rated/ratings.csv"):
            sample_photos.write_ratings(kept / "rated", Taste(1.0, 0.0), kept / table)
        monkeypatch.chdir("/")
        for source in ("bob.csv", "rated"):
            rated = read_ratings(tmp_path / "kept" / source)
            assert [r.path for r in rated.items] == [tmp_path / "kept/rated/cat-whole-dark.jpg"]

    def test_a_missing_package_is_named(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr(sample_photos, "find_spec", lambda package: None)
        result = run("demo", "--keep", tmp_path / "kept")
        assert result.exit_code == 2
        assert "aesmamba-sdk[demo]" in result.stderr
        assert not (tmp_path / "kept").exists(), "the next try finds it empty"


class TestModelAndDoctor:
    def test_a_public_file_becomes_a_named_model(self, run, photos):
        parity = next((Path(__file__).parents[1] / "model" / "parity").glob("gen1*.pt*"))
        assert run("model", "import", parity, "--name", "mine").exit_code == 0
        assert "mine" in run("model", "list", "--format", "table").stdout
        again = run("model", "import", parity, "--name", "mine")
        assert (again.exit_code, "exists already" in again.stderr) == (2, True)
        refused = run("score", photos[0], "--model", "mine")
        assert (refused.exit_code, "without heads" in refused.stderr) == (2, True)

    def test_doctor_says_what_is_in_use(self, run, toy_model):
        result = run("doctor")
        records = {r["check"]: r for r in map(json.loads, result.stdout.splitlines())}
        assert result.exit_code == 0
        chosen = choose_engine(torch.device("cpu")).name
        assert f"{chosen}: in use" in records["scan"]["message"]
        assert "torch: " in records["scan"]["message"]
        assert "toy@" in records["model"]["message"]
        assert "0 people" in records["database"]["message"]

    def test_what_a_model_can_do_without_is_nothing_broken(self, run, tmp_path):
        config = dataclasses.replace(toy.CONFIG, text=None)
        plain = toy.save_toy(tmp_path / "plain", config=config, reference=False)
        result = run("doctor", "--model", plain)
        records = {r["check"]: r for r in map(json.loads, result.stdout.splitlines())}
        assert result.exit_code == 0
        assert f"train.reference --model {plain}`" in records["percentiles"]["message"]
        assert "yes; without lora" in records["personalizable"]["message"]
        rated = toy.write_photos(tmp_path / "rated", 12)
        toy.write_ratings(rated)
        run("user", "add", "alice")
        learned = run("personalize", "alice", rated[0].parent, "--model", plain, "--dry-run")
        assert learned.exit_code == 0

    def test_doctor_knows_every_extra(self, run, monkeypatch):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        module = sys.modules["aesmamba_sdk.cli.doctor"]  # behind the command of its name
        monkeypatch.setattr(module, "_version", lambda package: "missing")
        told = run("doctor").stdout
        extras = project["optional-dependencies"]
        assert [name for name in extras if f"aesmamba-sdk[{name}]" not in told] == ["test"]

    def test_doctor_is_legible_in_narrow_terminals(self, run, monkeypatch):
        monkeypatch.setattr(output, "_PIPE_WIDTH", 40)
        out = run("doctor", "--format", "table").stdout
        assert max(map(len, out.splitlines())) <= 40
        assert "│ personalizable │ ok │ yes " in out

    def test_doctor_goes_on_past_what_is_broken(self, run):
        result = run("doctor", "--model", "nowhere", "--format", "table")
        assert result.exit_code == 1
        assert "no model 'nowhere'" in result.stdout
        assert "people" in result.stdout
        records = map(json.loads, run("doctor", "--model", "nowhere").stdout.splitlines())
        assert [r["check"] for r in records if not r["ok"]] == ["model"]


def aesmamba(*arguments, model=None, script=None, stdout=subprocess.PIPE):
    code = script or "from aesmamba_sdk.cli import main; main()"
    environment = os.environ | ({"AESMAMBA_MODEL": str(model)} if model else {})
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "command",
    [
        *(("model", "list", "--format", form) for form in ("csv", "json", "table")),
        ("--help",),
        ("--version",),
    ],
)
def test_a_full_disk_under_the_output_is_one_line(command):
    with Path("/dev/full").open("w") as full:
        result = aesmamba(*command, stdout=full)
    assert result.returncode == 2
    assert result.stderr.decode() == "Error: the output: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_stops_no_command(toy_model, tmp_path, closed):
    photos = tmp_path / "photos"
    toy.write_photos(photos, 2)
    (photos / "broken.png").write_bytes(b"no photo")  # told on standard error
    code = "from aesmamba_sdk.cli import main; main()"
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", code]
    command += ["score", "--model", str(toy_model), str(photos)]
    result = subprocess.run(command, capture_output=True)
    assert result.returncode == 1
    assert result.stdout.count(b"\n") == (0 if closed == ">&-" else 3)
    assert b"Traceback" not in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes break otherwise")
@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "table"])
def test_a_reader_that_goes_away_ends_the_program_quietly(toy_model, photos, form):
    for command in (("rank", *photos), ("user", "list"), ("model", "list"), ("--help",)):
        unread, pipe = os.pipe()
        os.close(unread)
        options = () if command == ("--help",) else ("--format", form)
        result = aesmamba(*command, *options, model=toy_model, stdout=pipe)
        os.close(pipe)
        assert result.returncode == 0
        assert b"Error" not in result.stderr
        assert b"Traceback" not in result.stderr


def test_a_pipe_of_our_own_that_breaks_is_no_success():
    script = (
        "from aesmamba_sdk.cli import main\n"
        "@main.command()\n"
        "def broken(): raise BrokenPipeError(32, 'Broken pipe')\n"
        "main()"
    )
    assert aesmamba("broken", script=script).returncode == 1


@pytest.mark.parametrize("code", ["EACCES", "EPERM", "EROFS", "ENOTDIR"])
def test_what_cannot_be_opened_or_made_is_one_line(code):
    @click.group(cls=type(main))
    def group():
        pass

    @group.command()
    def closed():
        raise OSError(getattr(errno, code), "so it is", "album")

    result = CliRunner().invoke(group, ["closed"])
    assert (result.exit_code, result.stderr) == (2, "Error: album: so it is\n")


def test_a_folder_that_cannot_be_made_is_named(tmp_path, run):
    file = tmp_path / "file"
    file.touch()
    result = run("demo", "--keep", file / "demo")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"Error: {file / 'demo'}")


@pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_an_encoding_cannot_hold_is_written_as_escapes(
    toy_model, tmp_path, monkeypatch, encoding
):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ("日本.png", os.fsdecode(b"caf\xe9.png")):
        toy.photo(0.5, 1).save(folder / name)
    aesmamba("user", "add", "alice")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for form in ("csv", "table"):
        arguments = ("rank", folder, folder / "無.png", "--user", "alice", "--format", form)
        result = aesmamba(*arguments, model=toy_model)
        assert result.returncode == 1, result.stderr
        assert rb"\u65e5\u672c.png" in result.stdout
        assert b"caf\xe9.png" in result.stdout
        assert rb"\u7121.png does not exist" in result.stderr


def processor_seconds(*arguments) -> float:
    """Of the child alone, at its best of three: other programs cannot slow it."""

    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert aesmamba(*arguments).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [(["--help"], 0.3), (["user", "list"], 0.8), (["user", "add", "--help"], 0.8)],
)
def test_light_commands_start_at_once(arguments, limit):
    assert processor_seconds(*arguments) < limit


def test_user_commands_load_neither_torch_nor_numpy():
    script = (
        "import sys; from aesmamba_sdk.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'numpy', 'transformers', 'peft'} & set(sys.modules)"
    )
    for arguments in (["user", "add", "alice", "--openness", "4"], ["user", "list"], ["--help"]):
        result = aesmamba(*arguments, script=script)
        assert result.returncode == 0, result.stderr


def test_photos_scored_for_everyone_need_no_database(toy_model, home, photos):
    with AesMamba(toy_model, device="cpu") as sdk:
        assert all(score.ok for score in sdk.score_many(photos[0].parent))
    script = (
        "import sys; from aesmamba_sdk.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'sqlalchemy', 'huggingface_hub'} & set(sys.modules)"
    )
    result = aesmamba("score", str(photos[0].parent), "--model", str(toy_model), script=script)
    assert result.returncode == 0, result.stderr


def test_photos_seen_before_need_neither_torch_nor_peft(toy_model, home, photos):
    with AesMamba(toy_model, device="cpu") as sdk:
        sdk.users.add("alice")
        assert all(score.ok for score in sdk.score_many(photos[0].parent))
    toy.write_ratings(photos)
    script = (
        "import sys; from aesmamba_sdk.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    folder, model = str(photos[0].parent), ("--model", str(toy_model))
    for arguments in (
        ("personalize", "alice", folder, "--method", "auto"),
        ("score", folder, "--user", "alice", "--attributes"),
        ("suggest", "alice", folder),
    ):
        result = aesmamba(*arguments, *model, script=script)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
@pytest.mark.parametrize("protocol", [None, "giaa", "fiaa", "piaa", "robustness", "suggest"])
def test_seeds_that_nothing_can_be_drawn_by_are_refused(protocol, seed):
    command = ("evaluate", protocol) if protocol else ("personalize", "alice")
    result = CliRunner().invoke(main, [*command, "--seed", seed])
    assert result.exit_code == 2
    assert f"{seed} is not in the range 0<=x<=4294967295" in result.stderr
