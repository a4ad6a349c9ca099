"""Features are computed once a photo, whatever file it is in, and errors do not stop the stream."""

from __future__ import annotations

import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from aesmamba_sdk.embeddings import reading, stream
from aesmamba_sdk.embeddings.cache import EmbeddingCache, Seen
from aesmamba_sdk.embeddings.stream import embed_photos
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.photos import load_photo, photo_version
from tests import toy
from tests.files import opened_files


class CountingEncoder:
    """Mean colour as the feature; counts what it was shown."""

    key = "mean-colour"

    def __init__(self):
        self.shown = 0

    def __call__(self, images):
        self.shown += len(images)
        return np.stack([np.asarray(i, np.float32).mean((0, 1)) for i in images])


@pytest.fixture
def cache(tmp_path):
    opened = EmbeddingCache(tmp_path / "cache" / "embeddings.db")
    yield opened
    opened.close()


FATAL = """
import os, sys
from pathlib import Path
import numpy as np
from aesmamba_sdk.embeddings.cache import EmbeddingCache
from aesmamba_sdk.embeddings.stream import embed_photos

class Encoder:
    key, shown = "mean-colour", 0

    def __call__(self, images):
        if self.shown >= 32:
            os.kill(os.getpid(), 9)
        self.shown += len(images)
        return np.zeros((len(images), 3), np.float32)

cache = EmbeddingCache(Path(sys.argv[1]))
list(embed_photos(sys.argv[2:], Encoder(), cache, threads=1))  # one batch after the other
"""


def features(outcomes):
    return np.stack([o.feature for o in outcomes])


def test_a_second_run_opens_no_photo(tmp_path, cache):
    paths, encoder = toy.write_photos(tmp_path / "p", 40), CountingEncoder()
    first = list(embed_photos(paths, encoder, cache))
    with opened_files(paths[0].parent) as opened:
        second = list(embed_photos(paths, encoder, cache))
    assert encoder.shown == 40
    assert opened == []
    assert np.array_equal(features(first), features(second))
    assert [o.path for o in second] == [str(p) for p in paths]
    assert all(o.fresh for o in first)
    assert not any(o.fresh for o in second)


def test_what_takes_a_files_place_while_it_is_read_is_not_taken_for_its_copies(
    tmp_path, cache, monkeypatch
):
    file, other = toy.write_photos(tmp_path / "photos", 2)
    copy, moved = tmp_path / "copy.png", tmp_path / "moved.png"
    shutil.copy(file, copy)
    truth = load_photo(copy).photo_id

    def replaced(source):
        monkeypatch.undo()
        file.rename(moved)
        shutil.copy(other, file)
        return load_photo(source)

    monkeypatch.setattr(reading, "load_photo", replaced)
    encoder = CountingEncoder()
    list(embed_photos([file], encoder, cache))
    outcomes = list(embed_photos([copy, moved, file], encoder, cache))
    assert [outcome.photo_id for outcome in outcomes] == [truth, truth, load_photo(other).photo_id]


def test_a_changed_file_is_read_again(tmp_path, cache):
    path, encoder = toy.write_photos(tmp_path / "p", 1)[0], CountingEncoder()
    before = next(embed_photos([path], encoder, cache))
    toy.photo(0.95, 7).save(path)
    os.utime(path, ns=(1, 1))
    after = next(embed_photos([path], encoder, cache))
    assert after.photo_id != before.photo_id
    assert after.feature.mean() > before.feature.mean()


def test_a_file_that_was_put_in_anothers_place_is_read_though_it_looks_as_old(tmp_path, cache):
    path, other, encoder = tmp_path / "a.bmp", tmp_path / "b.bmp", CountingEncoder()
    toy.photo(0.2, 1).save(path)
    before = next(embed_photos([path], encoder, cache))
    toy.photo(0.8, 2).save(other)
    os.utime(other, ns=(1, path.stat().st_mtime_ns))
    other.replace(path)
    assert cache.photo_ids([str(path)]) == {}
    after = next(embed_photos([path], encoder, cache))
    assert after.photo_id != before.photo_id


def test_a_file_is_known_where_files_have_no_number(tmp_path, cache):
    path = str(toy.write_photos(tmp_path / "p", 1)[0])
    version = photo_version(path)._replace(inode=0)
    cache.remember("key", {"id": np.ones(3, np.float32)}, [Seen(path, version, "id")])
    assert cache.photo_ids([path]) == {path: "id"}
    assert set(cache.known([path], "key")) == {path}


def test_a_file_that_got_anothers_former_number_is_not_taken_for_it(tmp_path, cache):
    """FAT is numbered anew at each mount, and the next of a burst is as large and as old."""
    paths, encoder = [tmp_path / "a.bmp", tmp_path / "b.bmp"], CountingEncoder()
    for i, path in enumerate(paths):
        toy.photo(0.2 + 0.6 * i, i).save(path)
        os.utime(path, ns=(1, 10**9))
    ids = [load_photo(path).photo_id for path in paths]
    now = [photo_version(path) for path in paths]
    before = [now[0]._replace(inode=now[1].inode), now[1]._replace(inode=now[0].inode)]
    seen = [Seen(str(path), *rest) for path, *rest in zip(paths, before, ids, strict=True)]
    cache.remember(encoder.key, {photo_id: np.ones(3, np.float32) for photo_id in ids}, seen)
    assert cache.photo_ids([str(path) for path in paths]) == {}
    assert [outcome.photo_id for outcome in embed_photos(paths, encoder, cache)] == ids


def test_a_renamed_photo_is_not_even_opened(tmp_path, cache):
    paths, encoder = toy.write_photos(tmp_path / "p", 3), CountingEncoder()
    before = list(embed_photos(paths, encoder, cache))
    moved = [path.rename(tmp_path / f"moved-{path.name}") for path in paths]
    for _ in range(2):
        with opened_files(tmp_path) as opened:
            after = list(embed_photos(moved, encoder, cache))
        assert [o.photo_id for o in after] == [o.photo_id for o in before]
        assert opened == []
    assert encoder.shown == 3


def test_a_copy_or_a_touched_file_is_not_decoded_again(tmp_path, cache, monkeypatch):
    path, encoder = toy.write_photos(tmp_path / "p", 1)[0], CountingEncoder()
    list(embed_photos([path], encoder, cache))
    copy = tmp_path / "copy.png"
    shutil.copy(path, copy)
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr(reading, "load_photo", None)
    outcomes = list(embed_photos([path, copy], encoder, cache))
    assert encoder.shown == 1
    assert outcomes[0].photo_id == outcomes[1].photo_id
    assert not any(o.fresh for o in outcomes)


def test_a_copy_is_decoded_for_another_encoder(tmp_path, cache):
    path, encoder = toy.write_photos(tmp_path / "p", 1)[0], CountingEncoder()
    list(embed_photos([path], encoder, cache))
    shutil.copy(path, tmp_path / "copy.png")
    other = CountingEncoder()
    other.key = "other"
    assert next(embed_photos([tmp_path / "copy.png"], other, cache)).fresh


def test_a_picture_altered_in_its_middle_is_another(tmp_path, cache):
    """Uncompressed pixels can change without the size, the start or the end of the file."""
    path, encoder = tmp_path / "a.tif", CountingEncoder()
    image = Image.new("RGB", (600, 600))
    image.save(path)
    before = next(embed_photos([path], encoder, cache))
    image.paste("white", (0, 200, 600, 210))
    image.save(path)
    os.utime(path, ns=(1, 1))
    after = next(embed_photos([path], encoder, cache))
    assert after.photo_id != before.photo_id


def test_metadata_written_into_a_file_do_not_encode_it_again(tmp_path, cache):
    path, encoder = tmp_path / "a.jpg", CountingEncoder()
    toy.photo(0.5, 1).save(path)
    before = next(embed_photos([path], encoder, cache))
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xfe\x00\x08stars!" + data[2:])
    after = next(embed_photos([path], encoder, cache))
    assert after.photo_id == before.photo_id
    assert encoder.shown == 1


def test_features_of_an_older_cache_still_hold(tmp_path):
    path, encoder = toy.write_photos(tmp_path / "p", 1)[0], CountingEncoder()
    photo = load_photo(path)
    (tmp_path / "cache").mkdir()
    with sqlite3.connect(tmp_path / "cache" / "e.db") as connection:
        connection.executescript(
            "CREATE TABLE files (path BLOB, size INTEGER, mtime_ns INTEGER, photo_id TEXT);"
            "CREATE TABLE features (photo_id TEXT, encoder TEXT, vector BLOB,"
            " PRIMARY KEY (photo_id, encoder));"
        )
        vector = np.ones(3, np.float32).tobytes()
        connection.execute(
            "INSERT INTO features VALUES (?, ?, ?)", (photo.photo_id, encoder.key, vector)
        )
    cache = EmbeddingCache(tmp_path / "cache" / "e.db")
    assert next(embed_photos([path], encoder, cache)).feature.tolist() == [1, 1, 1]
    assert encoder.shown == 0
    cache.close()


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    """In a process of its own, which ends without a chance to put anything away."""
    paths = toy.write_photos(tmp_path / "p", 48)
    arguments = [sys.executable, "-c", FATAL, tmp_path / "e.db", *paths]
    assert subprocess.run(arguments).returncode == -9
    encoder, cache = CountingEncoder(), EmbeddingCache(tmp_path / "e.db")
    with opened_files(tmp_path / "p") as opened:
        outcomes = list(embed_photos(paths, encoder, cache))
    assert encoder.shown == 16
    assert set(opened) == {str(path) for path in paths[32:]}
    assert all(o.feature is not None for o in outcomes)
    cache.close()


def test_the_same_photo_twice_in_one_batch_is_encoded_once(cache):
    encoder = CountingEncoder()
    list(embed_photos([toy.photo(0.5, 1)] * 3, encoder, cache))
    assert encoder.shown == 1


def test_another_encoder_has_its_own_features(tmp_path, cache):
    paths, encoder, other = (
        toy.write_photos(tmp_path / "p", 2),
        CountingEncoder(),
        CountingEncoder(),
    )
    other.key = "other"
    list(embed_photos(paths, encoder, cache))
    list(embed_photos(paths, other, cache))
    assert (encoder.shown, other.shown) == (2, 2)


def test_what_another_encoder_saw_is_known_by_its_id_alone(tmp_path, cache):
    paths = [str(p) for p in toy.write_photos(tmp_path / "p", 3)]
    seen = list(embed_photos(paths, CountingEncoder(), cache))
    assert cache.photo_ids(paths) == {o.path: o.photo_id for o in seen}
    known = cache.known([*paths, "gone"], CountingEncoder.key)
    assert {path: photo_id for path, (photo_id, _) in known.items()} == cache.photo_ids(paths)
    assert all(np.array_equal(known[o.path][1], o.feature) for o in seen)
    assert cache.known(paths, "other") == {}


def test_a_broken_photo_is_an_outcome_among_others_in_order(tmp_path, cache):
    paths = toy.write_photos(tmp_path / "p", 20)
    paths[3].write_bytes(b"no image")
    paths[17].unlink()
    outcomes = list(embed_photos(paths, CountingEncoder(), cache))
    assert [i for i, o in enumerate(outcomes) if o.error] == [3, 17]
    assert outcomes[3].error.code == "photo_not_an_image"
    assert outcomes[17].error.code == "photo_missing"
    assert all(o.feature is not None for o in outcomes if o.error is None)


def test_an_image_that_cannot_be_loaded_is_an_outcome_too(cache):
    stream = io.BytesIO()
    toy.photo(0.5, 1).save(stream, "PNG")
    cut_short = Image.open(io.BytesIO(stream.getvalue()[:2000]))
    sources = [toy.photo(0.5, 1), cut_short, Image.new("RGB", (0, 3)), toy.photo(0.5, 2)]
    outcomes = list(embed_photos(sources, CountingEncoder(), cache))
    codes = [o.error and o.error.code for o in outcomes]
    assert codes == [None, "photo_truncated", "photo_empty", None]


def test_features_of_photos_in_memory_are_kept_only_if_that_is_asked(tmp_path, cache):
    path, encoder = toy.write_photos(tmp_path / "p", 1)[0], CountingEncoder()
    sources = [toy.photo(0.5, 1), path, toy.photo(0.5, 2), path.read_bytes()]
    ids = [o.photo_id for o in embed_photos(sources, encoder, cache, keep_unnamed=False)]
    assert set(cache.features(ids, encoder.key)) == {ids[1]}
    list(embed_photos(sources, encoder, cache))
    assert set(cache.features(ids, encoder.key)) == set(ids)


def test_sources_are_read_lazily(cache):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield Image.new("RGB", (4, 4))

    next(embed_photos(endless(), CountingEncoder(), cache))
    assert len(taken) <= stream._AHEAD_AT_FIRST * stream._BATCH


def test_whoever_stops_early_does_not_wait_for_the_rest(cache):
    class Slow:
        """Takes its time to turn out to be no photo."""

        @property
        def shape(self):
            time.sleep(0.05)

    outcomes = embed_photos(
        [toy.photo(0.5, 1)] * stream._BATCH + [Slow()] * 80, CountingEncoder(), cache, threads=2
    )
    next(outcomes)
    started = time.perf_counter()
    outcomes.close()
    assert time.perf_counter() - started < 1  # the rest would take two seconds


def test_many_photos_are_encoded_each_batch_on_a_thread_of_its_own_and_one_on_all(cache):
    seen = []

    class Watched(CountingEncoder):
        def __call__(self, images):
            seen.append((len(images), threading.current_thread().name, torch.get_num_threads()))
            return super().__call__(images)

    torch.set_num_threads(2)
    try:
        one = list(embed_photos([toy.photo(0.1, 0)], Watched(), cache, threads=2))
        many = [toy.photo(0.5, i + 1) for i in range(5 * stream._BATCH)]
        outcomes = list(embed_photos(many, Watched(), cache, threads=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert len(one) == 1
    assert [o.source for o in outcomes] == many
    assert np.array_equal(
        features(outcomes), CountingEncoder()([load_photo(photo).image for photo in many])
    )
    here = threading.current_thread().name
    assert seen[0] == (1, here, 2)
    assert seen[1][1:] == (here, 1)  # it may have to load the encoder
    assert all(name != here and count == 1 for _, name, count in seen[2:])


def test_photos_behind_a_cached_library_are_decoded_a_few_at_a_time(tmp_path, cache, monkeypatch):
    cached, encoder = toy.write_photos(tmp_path / "p", 40), CountingEncoder()
    list(embed_photos(cached, encoder, cache))
    monkeypatch.setattr(stream, "_CACHED_BATCH", 20)
    shown = []

    def watched(images):
        shown.append(len(images))
        return encoder(images)

    watched.key = encoder.key
    unseen = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in range(60)]
    list(embed_photos([*cached, *unseen], watched, cache))
    assert sum(shown) == 60
    assert max(shown) <= 20


def test_photos_named_before_an_error_are_embedded_before_it_is_raised(tmp_path, cache):
    paths = toy.write_photos(tmp_path / "p", 20)

    def failing():
        yield from paths
        raise RuntimeError("the list ends here")

    for _ in range(2):  # decoded, then from the cache
        outcomes = []
        with pytest.raises(RuntimeError, match="the list ends here"):
            outcomes.extend(embed_photos(failing(), CountingEncoder(), cache))
        assert [outcome.source for outcome in outcomes] == paths


@pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
def test_a_file_name_that_is_not_text_is_cached(tmp_path, cache):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    toy.photo(0.5, 1).save(path)
    encoder = CountingEncoder()
    for _ in range(2):
        list(embed_photos([path], encoder, cache))
    assert encoder.shown == 1


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a working folder cannot go")
def test_a_photo_in_a_working_folder_that_has_gone_is_an_outcome(tmp_path, cache, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    (outcome,) = embed_photos(["a.png"], CountingEncoder(), cache)
    assert outcome.error.code == "photo_missing"


def test_a_path_that_no_file_can_have_is_an_outcome_among_others(tmp_path, cache):
    (file,) = toy.write_photos(tmp_path / "photos", 1)
    paths = ["half\ud800.png", "nul\0.png", str(file)]
    for _ in range(2):
        outcomes = list(embed_photos(paths, CountingEncoder(), cache))
        assert [outcome.error is None for outcome in outcomes] == [False, False, True]
        assert "half\ud800.png cannot be read" in str(outcomes[0].error)


def test_a_damaged_cache_is_started_anew(tmp_path, caplog):
    file = tmp_path / "embeddings.db"
    file.write_bytes(b"this is no database" * 100)
    cache = EmbeddingCache(file)
    cache.remember("key", {"a": np.ones(3, np.float32)})
    assert "damaged" in caplog.text
    assert np.array_equal(cache.features(["a"], "key")["a"], np.ones(3))


@pytest.mark.parametrize("first", ["read", "write"])
def test_a_cache_that_is_damaged_behind_its_header_is_started_anew(tmp_path, caplog, first):
    file = tmp_path / "embeddings.db"
    many = {str(i): np.full(300, i, np.float32) for i in range(1000)}
    cache = EmbeddingCache(file)
    cache.remember("key", many)
    cache.close()
    data = bytearray(file.read_bytes())
    data[8192:] = random.Random(0).randbytes(len(data) - 8192)
    file.write_bytes(data)
    if first == "read":
        assert cache.features(many, "key") == {}
    cache.remember("key", many)
    assert len(cache.features(many, "key")) == 1000
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    cache.close()


def test_two_connections_share_the_file(tmp_path):
    one, two = (EmbeddingCache(tmp_path / "e.db") for _ in range(2))
    one.remember("key", {"a": np.ones(3, np.float32)})
    assert set(two.features(["a", "b"], "key")) == {"a"}


def test_the_file_may_be_deleted_while_another_program_has_it_open(tmp_path):
    file = tmp_path / "e.db"
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from aesmamba_sdk.embeddings.cache import EmbeddingCache\n"
        "cache = EmbeddingCache(Path(sys.argv[1]))\n"
        "cache.remember('key', {'a': np.ones(3, np.float32)})\n"
        "print('open', flush=True); input()\n"
        "print(*cache.features(['a', 'b'], 'key'))\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        file.unlink()
        cache = EmbeddingCache(file)
        cache.remember("key", {"b": np.ones(3, np.float32)})
        assert set(cache.features(["a", "b"], "key")) == {"b"}
        assert other.communicate("\n")[0] == "a\n"
    cache.close()
    assert set(EmbeddingCache(file).features(["a", "b"], "key")) == {"b"}


def test_more_keys_than_a_statement_can_hold(cache):
    many = {str(i): np.full(2, i, np.float32) for i in range(2500)}
    cache.remember("key", many)
    assert len(cache.features(many, "key")) == 2500


def test_a_cache_that_cannot_be_written_says_which_file(tmp_path):
    cache = EmbeddingCache(tmp_path / "e.db")
    cache.features(["a"], "key")
    with sqlite3.connect(tmp_path / "e.db") as connection:
        connection.execute("DROP TABLE features")
    with pytest.raises(SetupError, match=r"e\.db"):
        cache.features(["a"], "key")


def test_after_trouble_the_cache_is_opened_anew_but_not_where_its_home_has_gone(tmp_path):
    home, one = tmp_path / "home", {"a": np.ones(3, np.float32)}
    cache = EmbeddingCache(home / "cache" / "e.db")
    cache.remember("key", one)
    with sqlite3.connect(cache.file) as connection:
        connection.execute("DROP TABLE features")
    home.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(SetupError, match=r"e\.db cannot be used"):
            cache.remember("key", one)
    assert not home.exists()
    (tmp_path / "elsewhere").rename(home)
    shutil.rmtree(home / "cache")  # as the message says
    cache.remember("key", one)
    assert set(EmbeddingCache(cache.file).features(["a"], "key")) == {"a"}
