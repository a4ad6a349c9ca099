"""``aesmamba serve``."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from aesmamba_sdk.cli.output import model_options, not_nan, tell
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.web.listen import (
    TOKEN_VARIABLE,
    bound,
    require_web,
    serve_until_stopped,
    url_of,
    web_server,
)

_MEGABYTE = 2**20
_DAY = 86_400  # seconds


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@click.option(
    "--token",
    envvar=TOKEN_VARIABLE,
    show_envvar=True,
    help="That requests must bring. Default: a random one, printed once.",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="Read the token from this file."
)
@click.option("--no-token", is_flag=True, help="Answer whoever can reach the server.")
@click.option(
    "--allow-host", multiple=True, help="A name it may be called by, e.g. a proxy's; repeatable."
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Megabytes of one request.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Requests with photos at once.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, _DAY),
    callback=not_nan,
    default=60.0,
    show_default=True,
    help="Seconds for one request.",
)
@model_options
def serve(
    host: str,
    port: int,
    token: str | None,
    token_file: Path | None,
    no_token: bool,
    allow_host: tuple[str, ...],
    max_body: int,
    concurrency: int,
    timeout: float,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Answer over HTTP, for apps that are not Python.

    Scores, people, ratings and personal models. Listens on this computer alone, and asks for a
    token. Ends on Ctrl-C or SIGTERM, once requests under way are answered.

    \b
    Example:
      aesmamba serve --port 8765
      curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: image/jpeg" \\
        --data-binary @beach.jpg http://127.0.0.1:8765/v1/score
    """
    from aesmamba_sdk.sdk import AesMamba

    require_web()
    from aesmamba_sdk.serve.app import create_app
    from aesmamba_sdk.serve.settings import Settings
    from aesmamba_sdk.web.security import LOOPBACK_NAMES, is_loopback, new_token

    settings = Settings(
        max_body=max_body * _MEGABYTE,
        concurrency=concurrency,
        body_seconds=timeout,
        score_seconds=timeout,
    )
    given = _given_token(token, token_file)
    if given and no_token:
        raise click.UsageError("--no-token and a token: choose one")
    wanted = None if no_token else given or new_token()
    local = is_loopback(host)
    hosts = {*LOOPBACK_NAMES, *map(str.lower, (host, *allow_host))} if local or allow_host else None
    with AesMamba(model, device=device, threads=threads) as sdk, bound(host, port) as listener:
        app = create_app(sdk, token=wanted, hosts=hosts, settings=settings)
        _ = sdk.backbone.network  # loaded now, not by whoever asks first
        tell(f"{sdk.backbone.id} at {url_of(listener)}, described in /openapi.json")
        if wanted and not given:
            tell(f"token: {wanted}")
        if not local:
            tell(_open_warning(host, wanted))
        elif no_token:
            tell("warning: without a token, every program and user of this computer is answered")
        _log_to_standard_error()
        serve_until_stopped(web_server(app, grace=timeout), listener)
    tell("stopped")


def _given_token(token: str | None, file: Path | None) -> str | None:
    if file is None:
        return token
    try:
        read = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SetupError(f"the token file {file} cannot be read: {error}") from error
    if not read:
        raise SetupError(f"the token file {file} is empty: write one line into it")
    return read


def _open_warning(host: str, token: str | None) -> str:
    who = "whoever has the token" if token else "WHOEVER REACHES IT, WITHOUT A TOKEN,"
    return (
        f"warning: listening on {host}, so on the network: {who} can use it, read who rated what, "
        "and read along, since it is plain HTTP. Put a proxy with TLS in front."
    )


def _log_to_standard_error() -> None:
    from aesmamba_sdk.serve.logs import JsonLines

    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
