"""What requests and answers look like, for the OpenAPI description and to check requests by."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aesmamba_sdk.personalize.methods import SEEDS, Method
from aesmamba_sdk.runs import State

Trait = Annotated[float | None, Field(ge=1, le=10)]
Range = Annotated[list[float], Field(min_length=2, max_length=2, description="Low and high.")]
Level = Literal["beginner", "competent", "proficient", "expert"]


class Request(BaseModel):
    """Unknown fields are refused: a misspelt one would be lost without a word."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Traits(Request):
    """What is known of a person, as in `aesmamba user`; all optional."""

    art_experience: Level | None = None
    photo_experience: Level | None = None
    openness: Trait = None
    conscientiousness: Trait = None
    extroversion: Trait = None
    agreeableness: Trait = None
    neuroticism: Trait = None
    age: str | None = None
    gender: str | None = None
    education: str | None = None
    sentences: list[str] | None = Field(default=None, description="Sentences in the first person.")

    def given(self) -> dict[str, Any]:
        """The traits that were named; null means that one is to be forgotten."""
        return self.model_dump(exclude_unset=True)


class NewUser(Request):
    name: str = Field(examples=["alice"], min_length=1, max_length=64)
    traits: Traits = Field(default=Traits(), examples=[{"openness": 4}])


class UserChanges(Request):
    traits: Traits = Field(examples=[{"photo_experience": "expert", "age": None}])


class Personalize(Request):
    """How to learn; the defaults are good."""

    shots: int | None = Field(default=None, ge=2, description="Learn from so many ratings at most.")
    method: Method = "auto"
    seed: int = Field(default=42, ge=0, lt=SEEDS)
    dry_run: bool = Field(default=False, description="Only tell how well it would work.")


class ScoreOptions(Request):
    """Query of both ways to score."""

    user: str | None = Field(default=None, description="Whose taste; nobody's by default.")
    attributes: bool = Field(default=False, description="Also the attributes.")
    text: str | None = Field(default=None, description="What is said of it, for caption models.")


# Kept where paths of files are kept: it must not name one.
Word = Annotated[str, Field(max_length=200, pattern=r"^[^/\\\x00-\x1f]*$")]


class GivenRating(Request):
    """Query of a photo that is rated."""

    score: float = Field(description="From `low` to `high`.")
    low: float = 1.0
    high: float = 5.0
    photo: Word = Field(default="", description="What your app calls it, for lists.")
    group: Word = Field(default="", description="What it belongs with, e.g. one burst.")


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Answer):
    code: str = Field(description="Stable name for programs.", examples=["user_not_found"])
    message: str = Field(description="For people: what was wrong, and what to do.")


class Error(Answer):
    error: ErrorDetail


class ScoreRecord(Answer):
    """One record as of `aesmamba score --format jsonl`; what does not apply is absent."""

    path: str | None = Field(description="The name that was sent with the photo.")
    # Called so in the records since their first version; pydantic keeps the plain name to itself.
    schema_version: Literal[1] = Field(alias="schema")
    model: str = Field(examples=["nano@7b462bfbe2977de7"])
    value: float | None = Field(
        default=None, description="The score, on `scale`; personal for a user."
    )
    scale: Range | None = Field(default=None, examples=[[1.0, 5.0]])
    percentile: float | None = Field(default=None, ge=0, le=1)
    attributes: dict[str, float] | None = None
    user: str | None = None
    generic: float | None = Field(
        default=None, description="What everyone gets; beside a personal score."
    )
    std: float | None = Field(default=None, description="How far a rating may lie from it.")
    method: str | None = Field(default=None, examples=["bayes"])
    error: ErrorDetail | None = Field(default=None, description="Why this photo has no score.")


class ScoreRecords(Answer):
    scores: list[ScoreRecord] = Field(description="One a photo, in order.")


class ServingModel(Answer):
    version: int
    method: str


class User(Answer):
    name: str
    created_at: datetime
    traits: dict[str, Any] = Field(examples=[{"openness": 4.0}])
    prompt: str = Field(description="What the text encoder reads of the person.")
    ratings: int = Field(description="How many photos the person rated.")
    model: ServingModel | None = Field(description="The personal model that serves.")


class Users(Answer):
    users: list[User]


class Rating(Answer):
    photo_id: str = Field(description="Hash of the upright pixels: metadata does not change it.")
    path: str = Field(examples=["upload:beach.jpg"])
    score: float = Field(ge=1, le=5)
    raw_score: float = Field(description="As it was given, on `raw_scale`.")
    raw_scale: Range = Field(examples=[[1.0, 7.0]])
    attributes: dict[str, float]
    source: str
    group: str
    rated_at: datetime


class Ratings(Answer):
    ratings: list[Rating]


class Progress(Answer):
    what: str = Field(examples=["photos"])
    done: int
    total: int


class Job(Answer):
    id: str
    user: str
    state: State
    progress: Progress | None
    created_at: datetime
    finished_at: datetime | None
    report: dict[str, Any] | None = Field(
        description="As of `aesmamba personalize --format json`, once done."
    )
    error: ErrorDetail | None


class Jobs(Answer):
    jobs: list[Job]


class Health(Answer):
    status: Literal["ok"]


class Model(Answer):
    id: str = Field(examples=["nano@7b462bfbe2977de7"])
    scale: Range = Field(examples=[[1.0, 5.0]])
    attributes: list[str]
    percentiles: bool = Field(description="Whether scores have a percentile.")
    captions: bool = Field(description="Whether the model reads a `text`.")
    device: str = Field(examples=["cpu"])
    version: str = Field(description="Of aesmamba-sdk.")
