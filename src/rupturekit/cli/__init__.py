"""The command line: ``rupturekit annotate``, ``check``, ``report``, ``course``, ``export``, ``import`` and the rest.

A command is a function in `COMMANDS` that adds its parser and sets ``run``, which returns the exit code:
0 all done, 1 something failed, 2 wrong usage, 128 and more where a signal ended it (130 is Ctrl-C). Imports that take
long stand inside ``run``, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import __version__
from . import annotate, course, model, pages, study
from .screen import complain

COMMANDS: Sequence[Callable[[Any], None]] = (
    annotate.add_annotate,
    annotate.add_check,
    pages.add_report,
    course.add_course,
    study.add_export,
    study.add_import,
    study.add_sheet,
    study.add_sample,
    study.add_agree,
    model.add_evaluate,
    model.add_train,
)
"""Each adds one command to the parser."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process when not given.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["check", "no-such-file.txt"])
    no-such-file.txt
    1
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="replace")
    try:
        args = parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace], int] = args.run
    _no_core_dump()
    try:
        with _signals_as_interrupts():
            code = run(args)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except KeyboardInterrupt as stop:
        number = signal.Signals(stop.args[0] if stop.args else signal.SIGINT)
        left = getattr(args, "interrupted", "No half-written output is left: start the command again")
        return complain(f"interrupted ({number.name}). {left}", 128 + number)
    except BrokenPipeError:
        # the reader of our output (such as `head`) has left; nothing is to be told to nobody
        _drop_output()
        return 1
    except OSError as error:
        if error.filename is not None:
            return complain(str(error), 2)
        _drop_output()
        return complain(f"the standard output cannot be written: {error.strerror}", 1)
    except Exception as error:
        from ..inputs import reason

        # the last line of a traceback may quote the session
        return complain(reason(error), 1)


def _no_core_dump() -> None:
    """See that a crash, of this process or of its workers, leaves no copy of the memory on the disk."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Let a request to end do what Ctrl-C does, so that what was begun is put in order."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # only the main thread may set these, and what nohup has ignored stays so
    main_thread = threading.current_thread() is threading.main_thread()
    ours = [n for n in numbers if main_thread and signal.getsignal(n) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _drop_output() -> None:
    # what is left in the buffer would fail again at the end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="rupturekit",
        description="Finds alliance-rupture markers in psychotherapy transcripts, on this machine alone.",
    )
    whole.add_argument("--version", action="version", version=f"rupturekit {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return whole
