"""Photos by name, on this computer's file systems or on any that pyarrow knows by URI."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pyarrow import fs

from aesmamba_sdk.errors import PhotoError, SetupError
from aesmamba_sdk.photos import EXTENSIONS, MAX_BYTES, Selection, iter_photos

_SECRETS = {"secret", "password", "key", "sas", "token", "sig", "signature", "credential"}
"""Words in the names of a query's parameters that hold what nobody is to know."""
_AHEAD = 8
"""Photos fetched while others are scored; all of them are held in memory."""
_FINE = (OSError, ValueError)
"""What pyarrow raises where a URI makes no sense or cannot be reached."""


def is_uri(name: str) -> bool:
    return "://" in name


def open_place(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a folder or URI, and the path there.

    Raises:
        SetupError: the URI cannot be understood, or its file system not be opened.
    """
    try:
        system, path = fs.FileSystem.from_uri(
            place if is_uri(place) else str(Path(place).absolute())
        )
    except _FINE as error:
        hint = "; in a URI a space is written %20" if is_uri(place) and " " in place else ""
        raise SetupError(
            f"{place} cannot be opened: {error}{hint}", code="place_unusable"
        ) from error
    return system, path


def list_photos(named: Sequence[str], selection: Selection) -> list[str]:
    """Names of all photos in files, folders and URIs, each once: paths as they are, or URIs.

    What a URI says behind its ``?``, like S3's ``endpoint_override``, is part of its photos' names.

    Of a URI, hidden files and folders are passed over; the other rules for folders of this
    computer, of trash, renditions and RAW beside JPEG, do not hold there.

    Raises:
        SetupError: a URI cannot be listed, or holds a password, which names would tell.
    """
    found: list[str] = []
    for name in named:
        if is_uri(name):
            found += _list_uri(name, selection)
        else:
            found += map(str, iter_photos([name], selection))
    return list(dict.fromkeys(found))


def read_all(uris: Sequence[str]) -> Iterator[bytes | PhotoError]:
    """What each URI holds, in order, a few read at once."""
    with ThreadPoolExecutor(_AHEAD) as pool:
        yield from _ahead(pool, uris)


def _list_uri(uri: str, selection: Selection) -> list[str]:
    _keep_secrets(uri)
    system, path = open_place(uri)
    try:
        (named,) = system.get_file_info([path])
        if named.type is not fs.FileType.Directory:
            return [uri]  # as a file: what is not there is reported, not lost
        infos = system.get_file_info(fs.FileSelector(path, recursive=True))
    except _FINE as error:
        raise SetupError(f"{uri} cannot be listed: {error}", code="place_unusable") from error
    base = path.rstrip("/") + "/"
    paths = sorted(info.path for info in infos if info.type is fs.FileType.File)
    wanted = (path for path in paths if _is_wanted(path.removeprefix(base), selection))
    return list(map(_named_like(uri, path), wanted))


def _keep_secrets(uri: str) -> None:
    """Refuse a URI with a password or key in it: every photo in the results would tell it."""
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise SetupError(f"a URI cannot be understood: {error}", code="place_unusable") from error
    named = (name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    words = {word for name in named for word in re.split(r"[^a-z]", name.lower())}
    if parts.password is not None or words & _SECRETS:
        raise SetupError(
            f"{parts.scheme}://…: results name every photo by its URI, and would tell the "
            "password in it: leave it out and set it in the environment, e.g. "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            code="place_unusable",
        )


def _named_like(uri: str, path: str) -> Callable[[str], str]:
    """How paths of its file system are written as URIs, where ``path`` is the one it names itself.

    Buckets are part of a path, hosts are not, and a drive has a slash more before it.

    Raises:
        SetupError: the URI names its path in another way.
    """
    parts = urlsplit(uri)
    whole, path = unquote(parts.netloc + parts.path).rstrip("/"), path.rstrip("/")
    if not whole.endswith(path):
        raise SetupError(
            f"photos in {uri} cannot be named by URIs of their own: use its file system by a "
            "folder, or copy them to one",
            code="place_unusable",
        )
    before = f"{parts.scheme}://{quote(whole.removesuffix(path), safe='/:@')}"
    after = f"?{parts.query}" if parts.query else ""
    return lambda path: before + quote(path, safe="/:") + after


def _is_wanted(relative: str, selection: Selection) -> bool:
    *folders, name = relative.split("/")
    if PurePosixPath(name).suffix.lower() not in EXTENSIONS:
        return False
    if any(part.startswith(".") for part in (*folders, name)):
        return False
    above = ("/".join(folders[: i + 1]) for i in range(len(folders)))
    dropped = any(selection.drops(path, path.rpartition("/")[2]) for path in above)
    return not dropped and selection.takes(relative, name)


def _read(uri: str) -> bytes | PhotoError:
    try:
        system, path = open_place(uri)
        with system.open_input_file(path) as stream:
            if stream.size() > MAX_BYTES:
                message = f"{uri} has {stream.size()} bytes; at most {MAX_BYTES} are accepted"
                return PhotoError(message, code="photo_too_large")
            data: bytes = stream.read()
            return data
    except FileNotFoundError:
        return PhotoError(f"{uri} does not exist", code="photo_missing")
    except (SetupError, *_FINE) as error:
        return PhotoError(f"{uri} cannot be read: {error}")


def _ahead(pool: ThreadPoolExecutor, uris: Sequence[str]) -> Iterator[bytes | PhotoError]:
    """Read in order, but only so many ahead of whoever takes them."""
    started: deque[Future[bytes | PhotoError]] = deque()
    for uri in uris:
        started.append(pool.submit(_read, uri))
        if len(started) > _AHEAD:
            yield started.popleft().result()
    while started:
        yield started.popleft().result()
