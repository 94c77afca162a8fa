"""The command line: ``rupturekit annotate``, ``check``, ``report``, ``course``, ``export``, ``import`` and the rest.

A command is a function in `COMMANDS` that adds its parser and sets ``run``, which returns the exit code:
0 all done, 1 something failed, 2 wrong usage. Imports that take long stand inside ``run``, so that
``--help`` is quick.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__
from . import annotate, course, model, pages, study

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
    try:
        return run(args)
    except BrokenPipeError:
        # the reader of our output (such as `head`) has left; nothing is to be told to nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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
