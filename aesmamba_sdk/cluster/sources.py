"""Photos by name, on this computer's file systems or on any that pyarrow knows by URI."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from pyarrow import fs

from aesmamba_sdk.errors import PhotoError, SetupError
from aesmamba_sdk.photos import EXTENSIONS, MAX_BYTES, Selection, iter_photos

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
        raise SetupError(f"{place} cannot be opened: {error}", code="place_unusable") from error
    return system, path


def list_photos(named: Sequence[str], selection: Selection) -> list[str]:
    """Names of all photos in files, folders and URIs, each once: paths as they are, or URIs.

    Of a URI, hidden files and folders are passed over; the other rules for folders of this
    computer, of trash, renditions and RAW beside JPEG, do not hold there.

    Raises:
        SetupError: a URI cannot be listed.
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
    system, path = open_place(uri)
    start = uri[: uri.index("://") + 3]  # before the paths of its file system begin
    try:
        (named,) = system.get_file_info([path])
        if named.type is not fs.FileType.Directory:
            return [uri]  # as a file: what is not there is reported, not lost
        infos = system.get_file_info(fs.FileSelector(path, recursive=True))
    except _FINE as error:
        raise SetupError(f"{uri} cannot be listed: {error}", code="place_unusable") from error
    base = path.rstrip("/") + "/"
    paths = sorted(info.path for info in infos if info.type is fs.FileType.File)
    return [start + path for path in paths if _is_wanted(path.removeprefix(base), selection)]


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
