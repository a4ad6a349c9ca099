"""Routes of people: their traits, what they rated, and learning their taste."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.serve import schemas
from aesmamba_sdk.serve.answers import AnyText
from aesmamba_sdk.serve.bodies import Slots, read_photo
from aesmamba_sdk.serve.describe import answers, photo_body
from aesmamba_sdk.serve.jobs import Jobs
from aesmamba_sdk.serve.settings import PREFIX

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

Name = Annotated[str, Path(alias="user", description="The person's name.", examples=["alice"])]
JobId = Annotated[str, Path(alias="id")]


def people_routes(sdk: AesMamba, jobs: Jobs, slots: Slots) -> APIRouter:
    router = APIRouter(prefix=PREFIX)
    _add_users(router, sdk, jobs)
    _add_ratings(router, sdk, slots)
    _add_jobs(router, jobs)
    return router


def _add_users(router: APIRouter, sdk: AesMamba, jobs: Jobs) -> None:
    @router.get("/users", tags=["people"], summary="Everyone", responses=answers())
    def list_users() -> schemas.Users:
        return schemas.Users.model_validate({"users": [u.to_dict() for u in sdk.users.list()]})

    @router.post(
        "/users", tags=["people"], status_code=201, summary="Add a person", responses=answers(409)
    )
    def add_user(body: schemas.NewUser) -> schemas.User:
        added = sdk.users.add(body.name, **body.traits.given())
        return schemas.User.model_validate(added.to_dict())

    @router.get("/users/{user}", tags=["people"], summary="One person", responses=answers(404))
    def get_user(name: Name) -> schemas.User:
        return schemas.User.model_validate(sdk.users.get(name).to_dict())

    @router.patch("/users/{user}", tags=["people"], summary="Change traits", responses=answers(404))
    def change_user(name: Name, body: schemas.UserChanges) -> schemas.User:
        """Traits that are not named stay; null forgets one."""
        changed = sdk.users.set(name, **body.traits.given())
        return schemas.User.model_validate(changed.to_dict())

    @router.delete(
        "/users/{user}",
        tags=["people"],
        status_code=204,
        summary="Forget a person",
        responses=answers(404),
    )
    def remove_user(name: Name) -> None:
        """Traits, ratings, personal models and jobs."""
        jobs.forget(sdk.users.get(name).name)
        sdk.remove_user(name)


def _add_ratings(router: APIRouter, sdk: AesMamba, slots: Slots) -> None:
    place = "/users/{user}/ratings"

    @router.get(place, tags=["ratings"], summary="What a person rated", responses=answers(404))
    def list_ratings(name: Name) -> schemas.Ratings:
        """Oldest first."""
        found = [rating.to_dict() for rating in sdk.ratings.list(name)]
        return schemas.Ratings.model_validate({"ratings": found})

    @router.post(
        place,
        tags=["ratings"],
        status_code=201,
        summary="Rate a photo",
        response_model=schemas.Rating,
        responses=answers(404, 415),
        openapi_extra=photo_body(),
    )
    async def rate(
        request: Request, name: Name, given: Annotated[schemas.GivenRating, Query()]
    ) -> AnyText:
        """The body is the photo. A later rating of the same photo takes the earlier one's place.

        The photo itself is not kept.
        """
        scale = _scale(given.low, given.high)
        with slots.taken():
            data = await read_photo(request)
            rating = await asyncio.to_thread(
                sdk.rate,
                name,
                data,
                given.score,
                scale=scale,
                name=f"upload:{given.photo}",
                source="http",
                group=given.group,
            )
        return AnyText(rating.to_dict(), 201)

    @router.delete(
        place + "/{photo_id}",
        tags=["ratings"],
        status_code=204,
        summary="Forget a rating",
        responses=answers(404),
    )
    def remove_rating(name: Name, photo_id: str) -> None:
        """Personal models that learned from it stay until the next `personalize`."""
        if not sdk.ratings.remove(name, [photo_id]):
            message = f"{name} has not rated a photo with this id"
            raise RatingsError(message, code="rating_not_found")


def _add_jobs(router: APIRouter, jobs: Jobs) -> None:
    @router.post(
        "/users/{user}/personalize",
        tags=["jobs"],
        status_code=202,
        summary="Learn a person's taste",
        responses=answers(404),
    )
    def personalize(
        name: Name, response: Response, body: schemas.Personalize | None = None
    ) -> schemas.Job:
        """Starts a job that learns from all their ratings; `Location` tells where it is."""
        options = body or schemas.Personalize()
        job = jobs.start(name, options.model_dump())
        response.headers["Location"] = f"{PREFIX}/jobs/{job.id}"
        return schemas.Job.model_validate(job.to_dict())

    @router.get("/jobs", tags=["jobs"], summary="Jobs, oldest first", responses=answers())
    def list_jobs() -> schemas.Jobs:
        return schemas.Jobs.model_validate({"jobs": [job.to_dict() for job in jobs.list()]})

    @router.get("/jobs/{id}", tags=["jobs"], summary="How far a job is", responses=answers(404))
    def get_job(job_id: JobId) -> schemas.Job:
        return schemas.Job.model_validate(jobs.get(job_id).to_dict())

    @router.post("/jobs/{id}/cancel", tags=["jobs"], summary="Cancel a job", responses=answers(404))
    def cancel_job(job_id: JobId) -> schemas.Job:
        """It stops as soon as it can; the personal model from before serves on."""
        return schemas.Job.model_validate(jobs.cancel(job_id).to_dict())


def _scale(low: float, high: float) -> Scale:
    try:
        return Scale(low, high)
    except ValueError as error:
        raise RatingsError(str(error)) from error
