"""``aesmamba rate``."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aesmamba_sdk.cli.output import model_options, tell
from aesmamba_sdk.cli.selection import PHOTO, photo_progress, selection_options

if TYPE_CHECKING:
    from aesmamba_sdk.photos import Selection

_HOST = "127.0.0.1"
_GRACE_SECONDS = 5.0


@click.command()
@click.argument("user")
@click.argument("photos", nargs=-1, required=True, type=PHOTO)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the page's address.")
@selection_options
@model_options
def rate(
    user: str,
    photos: tuple[Path, ...],
    port: int,
    no_browser: bool,
    selection: Selection,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Let USER rate PHOTOS on a page of this computer.

    Those come first that teach most. Keys 1 to 5 rate, arrows move. Ratings are kept as they are
    given; a button learns from them and shows what that changes. Only who knows the printed address
    can open the page.

    \b
    Example:
      aesmamba rate alice ~/Pictures/trip
    """
    from aesmamba_sdk.sdk import AesMamba
    from aesmamba_sdk.web.listen import (
        bound,
        require_web,
        serve_until_stopped,
        url_of,
        web_server,
    )

    require_web()
    from aesmamba_sdk.rate.app import rating_app
    from aesmamba_sdk.rate.session import RatingSession
    from aesmamba_sdk.web.security import new_token

    with bound(_HOST, port) as listener, AesMamba(model, device=device, threads=threads) as sdk:
        with photo_progress(photos, selection) as progress:
            session = RatingSession(sdk, user, photos, selection=selection, progress=progress)
        for failure in session.failures:
            tell(f"skipped: {failure.message}")
        token = new_token()
        address = f"{url_of(listener)}/{token}/"
        tell(f"{len(session.photos)} photos for {session.user} to rate; Ctrl-C ends it:")
        click.echo(address)
        server = web_server(rating_app(session, token), grace=_GRACE_SECONDS)
        with nullcontext() if no_browser else _browser_at(address):
            serve_until_stopped(server, listener)
        session.close()
        tell(f"{session.user} has rated {session.rated()} photos")


@contextmanager
def _browser_at(address: str) -> Iterator[None]:
    """A browser that is led to ``address`` by a page which is there for the block.

    Other users see the arguments of all programs, but may not read the page.
    """
    # Browsers from snaps see no /tmp but their own.
    with tempfile.TemporaryDirectory(prefix="aesmamba-", dir=Path.home()) as folder:
        page = Path(folder) / "rate.html"
        page.touch(0o600)
        page.write_text(f'<meta http-equiv="refresh" content="0; url={address}">')
        webbrowser.open(page.as_uri())
        yield
