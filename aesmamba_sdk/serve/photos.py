"""Routes that score photos, and what they are scored by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request

from aesmamba_sdk import __version__
from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.serve import schemas
from aesmamba_sdk.serve.answers import AnyText
from aesmamba_sdk.serve.bodies import Slots, read_photo, read_photos
from aesmamba_sdk.serve.describe import answers, photo_body, photos_body
from aesmamba_sdk.serve.errors import ApiError
from aesmamba_sdk.serve.scorer import Ask, Scorer
from aesmamba_sdk.serve.settings import PREFIX, Settings

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

Options = Annotated[schemas.ScoreOptions, Query()]


def photo_routes(sdk: AesMamba, scorer: Scorer, slots: Slots, settings: Settings) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["photos"])

    @router.post(
        "/score",
        summary="Score one photo",
        response_model=schemas.ScoreRecord,
        responses=answers(404, 409, 415),
        openapi_extra=photo_body(),
    )
    async def score(request: Request, options: Options) -> AnyText:
        """The body is the photo, as `image/jpeg` or the like. A bad photo is an error."""
        ask = _ask(options)
        with slots.taken():
            (found,) = await scorer.score([await read_photo(request)], ask)
        if found.error is not None:
            raise PhotoError(found.error.message, code=found.error.code)
        return AnyText(found.to_dict())

    @router.post(
        "/scores",
        summary="Score several photos",
        response_model=schemas.ScoreRecords,
        responses=answers(404, 409, 415),
        openapi_extra=photos_body(settings.max_photos),
    )
    async def scores(request: Request, options: Options) -> AnyText:
        """A form with the photos as files, each named `photos`. A bad one has an `error`."""
        ask = _ask(options)
        with slots.taken():
            photos = await read_photos(request, settings.max_photos)
            found = await scorer.score([data for _, data in photos], ask)
        records = [
            one.to_dict() | {"path": name} for (name, _), one in zip(photos, found, strict=True)
        ]
        return AnyText({"scores": records})

    @router.get("/model", summary="The shared model", responses=answers())
    def model() -> schemas.Model:
        return schemas.Model(**describe_model(sdk))

    return router


def health_routes() -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["server"])

    @router.get(
        "/health", summary="Whether the server answers; needs no token", responses=answers()
    )
    async def health() -> schemas.Health:
        return schemas.Health(status="ok")

    return router


def describe_model(sdk: AesMamba) -> dict[str, Any]:
    """What an app may want to know of the shared model."""
    backbone, config = sdk.backbone, sdk.backbone.config
    return {
        "id": backbone.id,
        "scale": (config.scale.low, config.scale.high),
        "attributes": list(config.attributes),
        "percentiles": backbone.reference is not None,
        "captions": config.text is not None and config.reads == "caption",
        "device": str(sdk.device),
        "version": __version__,
    }


def _ask(options: schemas.ScoreOptions) -> Ask:
    if options.user is not None and options.text is not None:
        message = "a personal score reads who is asking, not a text: leave out one of them"
        raise ApiError(422, "invalid_request", message)
    return Ask(options.user, options.attributes, options.text)
