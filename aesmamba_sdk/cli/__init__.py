"""The command line: one file a noun, every command a thin layer over the SDK.

Nothing heavy is imported before a command needs it. Exit codes: 0 all done; 1 some or all photos
failed; 2 wrong usage or set-up; 130 stopped by Ctrl-C. Whoever stops reading, as ``| head`` does,
ends it quietly, with 0.
"""

from __future__ import annotations

import atexit
import codecs
import errno
import gc
import os
import platform
import select
import sys
import warnings
from contextlib import suppress
from typing import Any, TextIO

import click

from aesmamba_sdk import __version__
from aesmamba_sdk.cli.demo import demo
from aesmamba_sdk.cli.doctor import doctor
from aesmamba_sdk.cli.evaluate import evaluate
from aesmamba_sdk.cli.explain import explain
from aesmamba_sdk.cli.model import model
from aesmamba_sdk.cli.output import SOME_FAILED, tell
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

_DONE = 0
_USAGE_OR_SETUP = 2
_INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TOLD = (*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_SHOWN_ANYHOW = "aesmamba.shown-anyhow"
_RARELY = (10_000, 20, 20)


class _Commands(click.Group):
    """Turns the SDK's errors into one line on standard error and an exit code."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the command line; ``--help`` and ``--version`` print here."""
        _open_closed_streams()
        try:
            return super().make_context(*arguments, **options)
        except OSError as error:
            raise click.exceptions.Exit(_exit_code(error)) from error

    def invoke(self, context: click.Context) -> Any:
        try:
            try:
                return super().invoke(context)
            finally:
                sys.stdout.flush()  # a full disk is told now, not by the interpreter as it ends
        except AesMambaError as error:
            tell(f"Error: {error}")
            context.exit(SOME_FAILED if isinstance(error, PhotoError) else _USAGE_OR_SETUP)
        except OSError as error:
            context.exit(_exit_code(error))
        except (KeyboardInterrupt, click.Abort) as stopped:
            if not _is_interrupt(stopped):
                raise
            click.echo(f"\n{stopped}" if stopped.args else "\nstopped", err=True)
            context.exit(_INTERRUPTED)


def _exit_code(error: OSError) -> int:
    """The end that an error of the system brings, told in one line unless the reader has gone.

    Raises:
        OSError: it is none that a person could do something about.
    """
    if error.errno == errno.EPIPE and (_is_unread(sys.stdout) or _is_unread(sys.stderr)):
        _drop(sys.stdout, sys.stderr)
        return _DONE
    if error.errno not in _TOLD:
        raise error
    if error.errno in _FULL:
        _drop(sys.stdout)
    tell(f"Error: {error.filename or 'the output'}: {error.strerror}")
    return _USAGE_OR_SETUP


def _open_closed_streams() -> None:
    """Where a stream was closed, as by ``2>&-``, Python has none: what goes there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
            setattr(sys, name, nowhere)


def _is_unread(stream: TextIO) -> bool:
    """Whether its reader has gone; pipes to processes of our own may break as well."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(stream, 0)  # errors alone
    return bool(poll.poll(0))


def _is_interrupt(stopped: BaseException) -> bool:
    """Whether it was Ctrl-C; questions of click's abort at the end of the input, too."""
    return isinstance(stopped, KeyboardInterrupt) or isinstance(
        stopped.__context__, KeyboardInterrupt
    )


def _drop(*streams: TextIO) -> None:
    """Let what is still buffered go nowhere: the interpreter would fail on it once more."""
    for stream in streams:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show_anyhow(error: UnicodeError) -> tuple[bytes, int]:
    """Bytes of names that are no text as they are, and escapes of what a stream cannot hold."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    is_byte = "\udc80" <= character <= "\udcff"
    handler = "surrogateescape" if is_byte else "backslashreplace"
    return character.encode("ascii", handler), error.start + 1


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
    codecs.register_error(_SHOWN_ANYHOW, _show_anyhow)
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be valid text, nor text that the terminal or the file can hold; one
        # such photo must not end the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_SHOWN_ANYHOW)


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
