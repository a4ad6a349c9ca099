"""Where things live on this computer: one private home, one database, the models that ship."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import quote

import platformdirs

from aesmamba_sdk.errors import SetupError

HOME_VARIABLE = "AESMAMBA_HOME"
DATABASE_VARIABLE = "AESMAMBA_DATABASE_URL"


def home_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """The folder of all personal data: ``home``, else ``AESMAMBA_HOME``, else the platform's own.

    The folder need not exist; see :func:`ensure_private`.
    """
    chosen = home or os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_data_dir("aesmamba", appauthor=False))


def ensure_private(folder: Path) -> Path:
    """Create ``folder`` (and parents), readable by its owner alone.

    Raises:
        SetupError: it cannot be created or is not a folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise SetupError(
            f"cannot use {folder} for personal data: {error.strerror or error}. "
            f"Set {HOME_VARIABLE} to a folder you can write to.",
            code="home_unusable",
        ) from error
    return folder


def replace_file(file: Path, data: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone; a link to it stays.

    Raises:
        OSError: it cannot be written; an earlier one is as it was.
    """
    target = os.path.realpath(file)
    handle, partial = tempfile.mkstemp(
        prefix=".partial-",
        suffix=file.suffix,
        dir=os.path.dirname(target),  # noqa: PTH120
    )
    try:
        with open(handle, "wb") as stream:  # noqa: PTH123 -- a handle, not a path
            stream.write(data)
        os.replace(partial, target)  # noqa: PTH105
    finally:
        Path(partial).unlink(missing_ok=True)


def database_url(home: Path) -> str:
    """SQLAlchemy URL of the profile database: ``AESMAMBA_DATABASE_URL`` or SQLite in ``home``."""
    return os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{quote(str(home / 'aesmamba.db'))}"


def embeddings_file(home: Path) -> Path:
    """The disposable cache of image features."""
    return home / "cache" / "embeddings.db"


def personal_folder(home: Path) -> Path:
    """Parent of the personal models' folders."""
    return home / "personal"


def user_folder(home: Path, user: str) -> Path:
    """All versions of one person's model: a readable name, fit for every file system."""
    digest = hashlib.blake2b(user.casefold().encode(), digest_size=4).hexdigest()
    readable = re.sub(r"[^a-z0-9]+", "-", user.casefold())[:24].strip("-")
    return personal_folder(home) / f"{readable}-{digest}"


def models_folder(home: Path) -> Path:
    """Where imported and downloaded models are kept."""
    return home / "models"


def pretrained_folder() -> Path:
    """The model folders that ship: inside an installed wheel, or beside the package in a checkout.

    Raises:
        SetupError: neither is there, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "pretrained", package.parent / "pretrained"):
        if folder.is_dir():
            return folder
    raise SetupError(
        f"no pretrained models beside {package}: the installation is incomplete. "
        "Install the aesmamba-sdk wheel again, or run from a full checkout.",
        code="pretrained_missing",
    )


def printable(name: str) -> str:
    """A file name as text: bytes that are none become a replacement character."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
