"""Scores into sidecars: planned, shown, and written whole or not at all. Photos never change."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.scores import Score
from aesmamba_sdk.xmp.choices import SidecarName
from aesmamba_sdk.xmp.fields import Changes, write_score, write_stars
from aesmamba_sdk.xmp.opinion import read_opinion
from aesmamba_sdk.xmp.packet import Packet
from aesmamba_sdk.xmp.sidecars import Sidecars

_Version = tuple[int, int]
"""Size and modification time in ns."""


@dataclass(frozen=True)
class SidecarChange:
    """What writing one score would do.

    Attributes:
        photo, sidecar: the files.
        fields: what changes, by field; empty if all is there already.
        stars_kept: why no stars are written though they were asked for, e.g. where the person's
            own were found; else empty.
        data: the sidecar as it will be; ``None`` if it stays as it is.
        version: of the sidecar when it was read; ``None`` if there was none.
    """

    photo: Path
    sidecar: Path
    fields: Changes
    stars_kept: str
    data: bytes | None
    version: _Version | None

    @property
    def action(self) -> str:
        """``create``, ``update`` or ``none``."""
        if self.data is None:
            return "none"
        return "create" if self.version is None else "update"


def plan_sidecar(
    score: Score, sidecars: Sidecars, *, prefer: SidecarName = "full", stars: int | None = None
) -> SidecarChange:
    """Work out what a score changes in the photo's sidecar; nothing is written.

    Args:
        score: of a file, without error.
        sidecars: of the photos' folders.
        prefer: name of a sidecar that is not there yet.
        stars: also give stars 1-5, unless the person has judged the photo anywhere.

    Raises:
        XmpError: the sidecar that is there cannot be read; it stays as it is.
    """
    assert score.path is not None
    assert score.value is not None
    photo = Path(score.path)
    sidecar = sidecars.target(photo, prefer)
    version = _version(sidecar)
    packet = Packet.empty() if version is None else Packet.read(sidecar)
    fields, kept = write_score(packet, score), ""
    if stars is not None:
        changes, kept = write_stars(packet, stars, read_opinion(photo, sidecars))
        fields |= changes
    data = packet.to_bytes() if fields else None
    return SidecarChange(photo, sidecar, fields, kept, data, version)


def save_sidecar(change: SidecarChange) -> None:
    """Write what was planned: beside its place, then moved there, permissions kept.

    Raises:
        XmpError: the sidecar may not be written, or has changed since it was read.
    """
    if change.data is None:
        return
    # What a link points to is written, and the link stays.
    target = Path(os.path.realpath(change.sidecar))
    partial = target.with_name(f".aesmamba-{secrets.token_hex(6)}.tmp")
    try:
        if change.version is not None and not os.access(target, os.W_OK):
            raise PermissionError(None, "it is write-protected")
        with partial.open("xb") as stream:
            stream.write(change.data)
            if change.version is not None:  # people's edits are in it: survive a power cut
                stream.flush()
                os.fsync(stream.fileno())
        if change.version is not None:
            _keep_permissions(target, partial)
        if _version(target) != change.version:
            raise XmpError(f"{target} was changed by another program meanwhile; run again")
        partial.replace(target)
    except OSError as error:
        raise XmpError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # a read-only disk refuses to, whether it is there or not
            partial.unlink()


def _keep_permissions(target: Path, partial: Path) -> None:
    status = target.stat()
    partial.chmod(stat.S_IMODE(status.st_mode))
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only an administrator writes into others' files
            os.chown(partial, status.st_uid, status.st_gid)


def _version(file: Path) -> _Version | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise XmpError(f"{file} cannot be read: {error.strerror or error}") from error
    return status.st_size, status.st_mtime_ns
