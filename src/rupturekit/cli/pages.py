"""``report``: pages to look at."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import add_annotated, add_codebook, add_parser
from .screen import complain, plain, print_json


def add_report(commands: Any) -> None:
    """Add ``report``."""
    parser = add_parser(
        commands,
        "report",
        help="write pages to look at: one for each session, one for all",
        description="Writes a folder of pages that need no network: index.html for all sessions, and one for each, in "
        "which markers can be checked, corrected and saved for `rupturekit agree` and `train`.",
    )
    add_annotated(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to make; ANNOTATED/html if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace the pages in DIR; nothing else is replaced")
    add_codebook(parser)
    parser.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    from ..codebook import load_codebook
    from ..report import write
    from ..tables import sessions_in

    if not args.annotated.exists():
        return complain(f"{args.annotated}: no such file or folder", 2)
    if not args.out and not args.annotated.is_dir():
        return complain("give the folder to make with --out", 2)
    out = args.out or args.annotated / "html"
    try:
        files = write(sessions_in(args.annotated), out, load_codebook(args.codebook), overwrite=args.overwrite)
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json({"out": out, "files": files})
    else:
        pages = "1 page of a session" if len(files) == 2 else f"{len(files) - 1} pages of sessions"
        print(f"{pages}; open {plain(str(out / 'index.html'))}")
    return 0
