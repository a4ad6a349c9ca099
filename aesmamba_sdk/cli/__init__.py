"""The command line: one file a noun, every command a thin layer over the SDK.

Nothing heavy is imported before a command needs it. Exit codes: 0 all done; 1 some or all photos
failed; 2 wrong usage or set-up; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import platform
import sys
import warnings
from contextlib import suppress
from typing import Any

import click

from aesmamba_sdk import __version__
from aesmamba_sdk.cli.demo import demo
from aesmamba_sdk.cli.doctor import doctor
from aesmamba_sdk.cli.evaluate import evaluate
from aesmamba_sdk.cli.explain import explain
from aesmamba_sdk.cli.model import model
from aesmamba_sdk.cli.personalize import personalize
from aesmamba_sdk.cli.rate import rate
from aesmamba_sdk.cli.ratings import ratings
from aesmamba_sdk.cli.report import report
from aesmamba_sdk.cli.score import duplicates, rank, score
from aesmamba_sdk.cli.serve import serve
from aesmamba_sdk.cli.suggest import suggest
from aesmamba_sdk.cli.train import train
from aesmamba_sdk.cli.user import user
from aesmamba_sdk.errors import AesMambaError, PhotoError

_PHOTO_FAILED = 1
_USAGE_OR_SETUP = 2
_INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT)
_RARELY = (10_000, 20, 20)


class _Commands(click.Group):
    """Turns the SDK's errors into one line on standard error and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            try:
                return super().invoke(context)
            finally:
                sys.stdout.flush()  # a full disk is told now, not by the interpreter as it ends
        except AesMambaError as error:
            click.echo(f"Error: {error}", err=True)
            context.exit(_PHOTO_FAILED if isinstance(error, PhotoError) else _USAGE_OR_SETUP)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _drop_output()
            click.echo(f"Error: {error.filename or 'the output'}: {error.strerror}", err=True)
            context.exit(_USAGE_OR_SETUP)
        except KeyboardInterrupt as stopped:
            click.echo(f"\n{stopped}" if stopped.args else "\nstopped", err=True)
            context.exit(_INTERRUPTED)


def _drop_output() -> None:
    """Let what is still buffered go nowhere: the interpreter would fail on it once more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aesmamba")
def main() -> None:
    """Score photos, for everyone or for one person, on your own computer.

    \b
    Example:
      aesmamba user add alice --openness 4
      aesmamba personalize alice ./rated_photos
      aesmamba rank ~/Pictures/trip --user alice --top 20
    """
    # numpy's products are small, and its threads would wait for the one that runs the program: a
    # cached library takes a tenth longer with two of them. On other processors it is torch's too.
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Modules and scores live until the end: looking them through for cycles is a tenth of the time,
    # and half a second at the end where torch is loaded.
    gc.set_threshold(*_RARELY)
    atexit.register(gc.freeze)
    # Pillow warns of odd metadata and large photos; what cannot be used is named by ourselves.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be valid text; one such photo must not end the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")


for _command in (
    demo,
    doctor,
    duplicates,
    evaluate,
    explain,
    model,
    personalize,
    rank,
    rate,
    ratings,
    report,
    score,
    serve,
    suggest,
    train,
    user,
):
    main.add_command(_command)
