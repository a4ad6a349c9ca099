"""Every exception the SDK raises on purpose.

Each carries a stable ``code`` for programs and a message for people that names the file or value
and says what to do. ``AesMambaError`` catches them all.
"""

from __future__ import annotations


class AesMambaError(Exception):
    """Base of all errors of the SDK.

    Attributes:
        code: short, stable, machine-readable name of what went wrong, e.g. ``"photo_missing"``.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class SetupError(AesMambaError):
    """Something of the installation or configuration is missing or unusable."""

    code = "setup"


class PhotoError(AesMambaError):
    """One photo cannot be used; others are not affected."""

    code = "photo_unreadable"


class CheckpointError(AesMambaError):
    """A model folder or weight file is incomplete, foreign or inconsistent."""

    code = "checkpoint"


class XmpError(AesMambaError):
    """A photo's metadata or sidecar cannot be read or written; others are not affected."""

    code = "xmp"


class PlaceError(AesMambaError):
    """A chosen photo cannot be copied or linked to where it should go."""

    code = "place"


class UserError(AesMambaError):
    """A person's profile is unknown, exists already or is described with invalid values."""

    code = "user"


class UserNotFoundError(UserError):
    """No user of that name."""

    code = "user_not_found"


class TraitError(UserError):
    """A trait has an unknown name or a value out of range."""

    code = "trait_invalid"


class RatingsError(AesMambaError):
    """Rated photos cannot be read: no ratings, unknown columns, values off their scale."""

    code = "ratings"


class PersonalizeError(AesMambaError):
    """A personal model cannot be trained, saved or loaded."""

    code = "personalize"


class DatasetError(AesMambaError):
    """A dataset for training is incomplete, laid out otherwise or holds a value it should not."""

    code = "dataset"


class TrainingError(AesMambaError):
    """A training run went wrong on its way and cannot go on as it is."""

    code = "training"
