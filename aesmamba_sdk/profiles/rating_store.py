"""The ratings that people gave, by photo; reading them from files is left to ``ratings``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from numbers import Real
from types import MappingProxyType
from typing import Any

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.paths import printable
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.tables import (
    RatedFeatureRow,
    RatingRow,
    UserRow,
    find_user,
    parse_time,
)
from aesmamba_sdk.scores import UNIT_SCORES, Scale
from aesmamba_sdk.sqlite import in_parts

_RATINGS = RatingRow.metadata.tables[RatingRow.__tablename__]


@dataclass(frozen=True)
class Rating:
    """One photo as one person rated it.

    Attributes:
        photo_id: identity of the photo's content.
        path: where the photo was when it was rated.
        score: 1-5.
        raw_score: what the person gave, on ``raw_scale``.
        raw_scale: the scale that the person rated on.
        attributes: attribute name to score, 1-5.
        source: where the rating was read, e.g. ``"ratings.csv"``.
        rated_at: when it was given or read, with a time zone; now unless told.
        group: what the photo belongs with, e.g. one burst; empty where it stands alone, or as
            an earlier rating of it said.

    Raises:
        RatingsError: a text, score or time is none or out of range.
    """

    photo_id: str
    path: str
    score: float
    raw_score: float
    raw_scale: Scale
    attributes: dict[str, float] = field(default_factory=dict)
    source: str = ""
    rated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    group: str = ""

    def __post_init__(self) -> None:
        for name in ("photo_id", "path", "source", "group"):
            if not isinstance(getattr(self, name), str):
                raise RatingsError(f"{name} must be text, not {getattr(self, name)!r}")
        if not self.photo_id or not self.photo_id.isprintable():
            raise RatingsError(
                f"photo_id {self.photo_id!r} of {self.path!r} is none: give the photo's hash"
            )
        # Frozen: plain numbers take the place of what numpy or pandas give.
        checked = {
            "score": _number("score", self.score, UNIT_SCORES),
            "raw_score": _number("raw_score", self.raw_score, self.raw_scale),
            "attributes": {
                name: _number(f"attributes.{name}", value, UNIT_SCORES)
                for name, value in self.attributes.items()
            },
        }
        for name, plain in checked.items():
            object.__setattr__(self, name, plain)
        if self.rated_at.tzinfo is None:
            raise RatingsError(f"rated_at {self.rated_at} has no time zone: give UTC")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Rating:
        """The rating that :meth:`to_dict` wrote.

        Raises:
            RatingsError: a field is missing, unknown or invalid; the message names it.
        """
        names = {f.name for f in fields(cls)}
        for problem, found in (("missing", names - set(record)), ("unknown", set(record) - names)):
            if found:
                raise RatingsError(f"{sorted(found)[0]} is {problem}")
        if not isinstance(record["attributes"], Mapping):
            raise RatingsError(f"attributes must be an object, not {record['attributes']!r}")
        try:
            low, high = record["raw_scale"]
            scale = Scale(float(low), float(high))
        except (TypeError, ValueError, OverflowError):
            raise RatingsError(f"raw_scale {record['raw_scale']!r} must look like [1, 7]") from None
        try:
            rated_at = parse_time(record["rated_at"])
        except ValueError as error:
            raise RatingsError(f"rated_at {error}") from error
        attributes = dict(record["attributes"])
        parsed = {"raw_scale": scale, "rated_at": rated_at, "attributes": attributes}
        return cls(**{**record, **parsed})

    def to_dict(self) -> dict[str, Any]:
        """Every field in plain JSON types."""
        return {
            "photo_id": self.photo_id,
            "path": self.path,
            "score": self.score,
            "raw_score": self.raw_score,
            "raw_scale": [self.raw_scale.low, self.raw_scale.high],
            "attributes": dict(self.attributes),
            "source": self.source,
            "group": self.group,
            "rated_at": self.rated_at.astimezone(UTC).isoformat(),
        }


class RatingStore:
    """The ratings of everyone; one a person and photo."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        user: str,
        ratings: Iterable[Rating],
        *,
        added: datetime | None = None,
        features: Mapping[str, bytes] = MappingProxyType({}),
        encoder: str = "",
    ) -> int:
        """Keep ``ratings``, all or none; of two of the same photo the later counts.

        Args:
            user: whose.
            ratings: of any photos.
            added: when the user was added, where somebody else may have taken the name since.
            features: of those photos that are in no file, by photo id; they go with the rating.
            encoder: whose these are.

        Returns:
            The number of photos whose rating was written.

        Raises:
            UserNotFoundError: there is no such user.
        """
        ratings = list(ratings)
        with self._database.write() as session:
            owner = find_user(session, user, lock=True, added=added)
            count = write_ratings(session, owner, ratings)
            session.add_all(
                RatedFeatureRow(user_id=owner.id, photo_id=photo_id, encoder=encoder, data=data)
                for photo_id, data in features.items()
            )
            return count

    def features(self, photo_ids: Sequence[str], encoder: str) -> dict[str, bytes]:
        """What is kept of those photos that are in no file, whoever rated them."""
        found: dict[str, bytes] = {}
        columns = RatedFeatureRow.photo_id, RatedFeatureRow.data
        with self._database.read() as session:
            for part in in_parts(photo_ids):
                one = RatedFeatureRow.photo_id.in_(part)
                chosen = select(*columns).where(one, RatedFeatureRow.encoder == encoder)
                found |= dict(session.execute(chosen).all())
        return found

    def list(self, user: str) -> list[Rating]:
        """What ``user`` rated, oldest first.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.read() as session:
            return read_ratings(session, find_user(session, user))

    def remove(self, user: str, photo_ids: Iterable[str] | None = None) -> int:
        """Forget the ratings of these photos, of all when none are named.

        Returns:
            The number of ratings that were there.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.write() as session:
            owner = find_user(session, user, lock=True)
            rated = set(session.scalars(select(RatingRow.photo_id).filter_by(user_id=owner.id)))
            doomed = rated if photo_ids is None else rated.intersection(photo_ids)
            delete_ratings(session, owner, doomed)
            return len(doomed)


def read_ratings(session: Session, user: UserRow) -> list[Rating]:
    """All ratings of ``user``, oldest first."""
    rows = session.scalars(
        select(RatingRow)
        .where(RatingRow.user_id == user.id)
        .order_by(RatingRow.rated_at, RatingRow.photo_id)
    )
    return [
        Rating(
            photo_id=row.photo_id,
            path=row.path,
            score=row.score,
            raw_score=row.raw_score,
            raw_scale=Scale(row.raw_low, row.raw_high),
            attributes=row.attributes,
            source=row.source,
            group=row.group_name,
            rated_at=row.rated_at,
        )
        for row in rows
    ]


def write_ratings(session: Session, user: UserRow, ratings: Sequence[Rating]) -> int:
    """Write ``ratings`` over earlier ones of the same photos; returns how many photos.

    What a photo belongs with stays known where the new rating does not say.
    """
    latest = {rating.photo_id: rating for rating in ratings}
    columns = RatingRow.photo_id, RatingRow.group_name
    known = select(*columns).where(RatingRow.user_id == user.id, RatingRow.group_name != "")
    groups: dict[str, str] = {}
    for part in in_parts(latest):
        groups |= dict(session.execute(known.where(RatingRow.photo_id.in_(part))).all())
    delete_ratings(session, user, latest)
    rows = [_columns(rating) | {"user_id": user.id} for rating in latest.values()]
    for row in rows:
        row["group_name"] = row["group_name"] or groups.get(row["photo_id"], "")
    if rows:
        session.execute(insert(RatingRow), rows)
    return len(rows)


def replace_ratings(session: Session, user: UserRow, ratings: Sequence[Rating]) -> None:
    """Let ``ratings`` be all of ``user``'s.

    What is kept of those photos that are in no file stays: nothing could tell it again.
    """
    columns = RatedFeatureRow.photo_id, RatedFeatureRow.encoder, RatedFeatureRow.data
    features = session.execute(select(*columns).where(RatedFeatureRow.user_id == user.id)).all()
    session.execute(delete(RatingRow).where(RatingRow.user_id == user.id))
    write_ratings(session, user, ratings)
    rated = {rating.photo_id for rating in ratings}
    session.add_all(
        RatedFeatureRow(user_id=user.id, photo_id=photo_id, encoder=encoder, data=data)
        for photo_id, encoder, data in features
        if photo_id in rated
    )


def delete_ratings(session: Session, user: UserRow, photo_ids: Iterable[str]) -> None:
    """Forget what ``user`` rated of ``photo_ids``."""
    doomed = [{"photo": photo_id} for photo_id in photo_ids]
    if doomed:
        one = _RATINGS.c.photo_id == bindparam("photo")
        statement = delete(_RATINGS).where(_RATINGS.c.user_id == user.id, one)
        session.connection().execute(statement, doomed)


def _columns(rating: Rating) -> dict[str, Any]:
    return {
        "photo_id": rating.photo_id,
        "path": rating.path,
        "score": rating.score,
        "raw_score": rating.raw_score,
        "raw_low": rating.raw_scale.low,
        "raw_high": rating.raw_scale.high,
        "attributes": rating.attributes,
        "source": printable(rating.source),
        "group_name": printable(rating.group),
        "rated_at": rating.rated_at,
    }


def is_number_of(value: Any, scale: Scale) -> bool:
    """Whether a value is a number, be it one of numpy's, and on the scale."""
    number: Any = value
    return not isinstance(value, bool) and isinstance(value, Real) and number in scale


def _number(name: str, value: Any, scale: Scale) -> float:
    if not is_number_of(value, scale):
        raise RatingsError(f"{name} {value!r} is no number of {scale}: convert it to that scale")
    return float(value)
