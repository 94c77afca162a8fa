"""``export``, ``import``, ``sheet``, ``sample`` and ``agree``: the coding study."""

from __future__ import annotations

import argparse
import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .options import add_annotated, add_codebook, add_parser, annotated, exchange_formats, pairs, tools
from .screen import SHOWN, complain, plain, print_json, print_table

if TYPE_CHECKING:
    from ..annotation import AnnotatedTranscript
    from ..codebook import Codebook
    from ..transcript import Transcript

_Rating: TypeAlias = "dict[str, str | int | None]"
"""A coder's ratings of a whole session, as `sheets.read_ratings` returns them."""


def add_export(commands: Any) -> None:
    """Add ``export``."""
    parser = add_parser(
        commands,
        "export",
        help="write annotated sessions for another tool: ELAN, Praat, Label Studio, INCEpTION, NVivo, …",
        description="Writes annotated sessions, or codings, in the format of a tool in which people code.",
    )
    add_annotated(parser)
    parser.add_argument("--format", required=True, choices=exchange_formats(), metavar="NAME", help=tools())
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--originals",
        type=Path,
        metavar="DIR",
        help="folder of the files that were annotated: ELAN and Praat files get the markers in a copy",
    )
    parser.add_argument(
        "--blank", action="store_true", help="without the machine's markers, for coders who are to be blind to them"
    )
    add_codebook(parser)
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from ..codebook import load_codebook
    from ..exchange import export

    try:
        sessions = annotated(args.annotated)
        originals = _originals(args.originals, sessions, args.format) if args.originals else {}
        if args.blank:
            sessions = [_by_hand(session) for session in sessions]
        files = export(sessions, args.format, args.out, originals=originals, codebook=load_codebook(args.codebook))
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json({"out": str(args.out), "sessions": len(sessions), "files": files, "originals": len(originals)})
        return 0
    print(f"{len(sessions)} sessions, {len(files)} files in {plain(str(args.out))}")
    if args.originals:
        print(f"Originals were used for {len(originals)} of {len(sessions)} sessions.")
    return 0


def _originals(folder: Path, sessions: Iterable[AnnotatedTranscript], format: str) -> dict[str, Path]:
    """Find the files of a format that sessions were read from, in the folder that was annotated or anywhere in it."""
    from ..readers.praat import together

    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of originals")
    by_name: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        by_name.setdefault(file.name, []).append(file)
    originals, lost = {}, []
    for session in sessions:
        path = Path(str(session.transcript.meta.get("path")))
        if path.suffix.lower() != f".{format}":
            continue
        named = [folder / path] if (folder / path).is_file() else by_name.get(path.name, [])
        if len(named) != 1:
            lost.append(f"{session.transcript.id} ({len(named)} files are called {path.name})")
        elif not together(named[0]):  # two files of one session become a new one
            originals[session.transcript.id] = named[0]
    if lost:
        raise ValueError(f"{folder}: no one original for {', '.join(lost)}; give the folder that was annotated")
    return originals


def _by_hand(session: AnnotatedTranscript) -> AnnotatedTranscript:
    return replace(session, markers=tuple(m for m in session.markers if m.source.startswith("coder:")))


def add_import(commands: Any) -> None:
    """Add ``import``."""
    parser = add_parser(
        commands,
        "import",
        help="read what people coded in another tool, or in a sheet",
        description="Reads files that came back from a tool, and writes what people coded as JSONL. If one cannot "
        "be read, nothing is written.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what came back from one tool")
    parser.add_argument(
        "--format", required=True, choices=(*exchange_formats(), "sheet"), metavar="NAME", help=f"{tools()}, sheet"
    )
    parser.add_argument(
        "--transcripts", required=True, type=Path, metavar="ANNOTATED", help="what was given out: folder or JSONL file"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="file to make")
    parser.add_argument("--coder", metavar="ID", help="whose work it is, where the files name nobody")
    parser.add_argument("--coders", type=pairs, metavar="NAME=ID,…", help="the tool's names of the coders → their ids")
    add_codebook(parser)
    parser.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from ..codebook import load_codebook
    from ..coding import merged
    from ..folders import write_whole
    from ..inputs import reason
    from ..sheets import csv_bytes

    rated = args.out.with_suffix(".ratings.csv")
    for out in (args.out, rated):
        if out.exists():
            return complain(f"{out} exists already; give another file", 2)
    try:
        given = [session.transcript for session in annotated(args.transcripts)]
        book = load_codebook(args.codebook)
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    codings: list[AnnotatedTranscript] = []
    ratings: list[_Rating] = []
    code = 0
    # not every shell puts file names in the place of a pattern
    for path in (Path(name) for file in args.files for name in sorted(glob.glob(str(file))) or [str(file)]):
        try:
            coded, rated_here = _returned(args, path, given, book)
            codings += coded
            ratings += rated_here
        except Exception as error:
            code = complain(reason(error), 1)
    if code:
        return complain("nothing was written", code)
    try:
        sessions = merged(codings)
        files = {}
        if ratings:
            rows = _once({**row, "coder": row["coder"] or args.coder} for row in ratings)
            files[rated] = csv_bytes(list(rows[0]), [list(row.values()) for row in rows])
        # the codes come last: where they are, the ratings are too
        files[args.out] = "".join(session.to_json() + "\n" for session in sessions).encode()
        write_whole(files)
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    markers = Counter(m.source for session in sessions for m in session.markers)
    markers.update({c.source: 0 for session in sessions for c in session.coded})
    by_coder = {source.removeprefix("coder:"): n for source, n in sorted(markers.items())}
    empty = [s.transcript.id for s in sessions if not s.markers]
    if args.json:
        told = {"out": args.out, "ratings": rated if ratings else None, "sessions": len(sessions), "markers": by_coder}
        print_json({**told, "nothing_marked": empty})
        return 0
    if ratings:
        print(f"{len(ratings)} rows of ratings in {plain(str(rated))}")
    print_table(["coder", "markers"], list(by_coder.items()))
    others = "; the others count as not read" * (len(sessions) < len(given))
    print(f"{len(sessions)} of {len(given)} sessions in {plain(str(args.out))}{others}")
    if empty:
        shown = ", ".join(map(plain, empty[:SHOWN])) + (", …" if len(empty) > SHOWN else "")
        print(f"Read, and nothing marked: {shown}. If nobody read them, leave them out of what you import.")
    return 0


def _returned(
    args: argparse.Namespace, path: Path, given: Sequence[Transcript], book: Codebook
) -> tuple[list[AnnotatedTranscript], list[_Rating]]:
    """Return the codings in one file that came back, and the ratings in a sheet."""
    from ..exchange import import_codes
    from ..sheets import read, read_ratings

    if args.format != "sheet":
        return import_codes(path, args.format, given, coder=args.coder, coders=args.coders, codebook=book), []
    codings = read(path, given, coder=args.coder, coders=args.coders, codebook=book)
    ratings = read_ratings(path, given, coders=args.coders)
    if ratings is None:
        complain(f"{path}: no table of ratings with it", 0)
    return codings, ratings or []


def _once(ratings: Iterable[_Rating]) -> list[_Rating]:
    """Return one row for each session and coder; two that differ are two versions of a coder's work."""
    by: dict[tuple[object, object], _Rating] = {}
    for row in ratings:
        if by.setdefault((row["session"], row["coder"]), row) != row:
            raise ValueError(
                f"session {row['session']}: {row['coder']} rated it in two ways; give one version of their work"
            )
    return list(by.values())


def add_agree(commands: Any) -> None:
    """Add ``agree``."""
    parser = add_parser(
        commands,
        "agree",
        help="agreement between coders, and between coders and the machine",
        description="Compares any number of codings of the same sessions: kappa, alpha, AC1, ICC, spans and more, with "
        "95 % intervals over clients; with --out also the disagreements, a LaTeX table and a paragraph for a paper.",
    )
    parser.add_argument(
        "codings", nargs="+", type=Path, metavar="CODING", help="JSONL of codings, table with labels, annotated folder"
    )
    parser.add_argument("--level", choices=("turn", "segment", "session"), default="turn", help="what is a unit")
    parser.add_argument(
        "--segment",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="length of a segment; that of the sheets, if codes in them name no turn",
    )
    parser.add_argument("--draws", type=int, default=2000, metavar="N", help="resamples for each interval")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="a number; the same one draws the same")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to make, for everything")
    add_codebook(parser)
    parser.set_defaults(run=_agree)


def _agree(args: argparse.Namespace) -> int:
    from ..agree import agreement, write
    from ..codebook import load_codebook
    from ..folders import check_folder

    try:
        if args.out:
            check_folder(args.out)
        found = agreement(
            *map(annotated, args.codings),
            level=args.level,
            segment_s=args.segment,
            codebook=load_codebook(args.codebook),
            draws=args.draws,
            seed=args.seed,
        )
        files = write(found, args.out) if args.out else []
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json({"n": found.n, "coded": found.coded, "table": found.table, "notes": found.notes})
        return 0
    print(found.markdown())
    if files:
        print(f"\n{', '.join(file.name for file in files)} are in {plain(str(args.out))}")
    return 0


def add_sheet(commands: Any) -> None:
    """Add ``sheet``."""
    parser = add_parser(
        commands,
        "sheet",
        help="write the 3RS sheet: a row for each segment and marker, with global ratings to fill in",
        description="Writes a spreadsheet for human coders, filled in with what was found or blank. `rupturekit import "
        "--format sheet` reads it back.",
    )
    add_annotated(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="FILE.xlsx or FILE.csv")
    parser.add_argument("--segment", type=float, default=300.0, metavar="SECONDS", help="length of a segment")
    parser.add_argument("--coder", metavar="ID", help="whom the sheet is for, or whose codes are in it")
    parser.add_argument("--blank", action="store_true", help="hide what the machine said")
    parser.add_argument("--crosswalk", metavar="NAME", help="show another scheme's names beside: 3rs-2022")
    add_codebook(parser)
    parser.set_defaults(run=_sheet)


def _sheet(args: argparse.Namespace) -> int:
    from ..codebook import load_codebook, load_crosswalk
    from ..sheets import write

    try:
        files = write(
            annotated(args.annotated),
            args.out,
            codebook=load_codebook(args.codebook),
            segment_s=args.segment,
            coder=args.coder,
            blank=args.blank,
            crosswalk=load_crosswalk(args.crosswalk) if args.crosswalk else None,
        )
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    _print_files(args, files)
    return 0


def add_sample(commands: Any) -> None:
    """Add ``sample``."""
    parser = add_parser(
        commands,
        "sample",
        help="draw segments for blind double coding, and list the turns most worth reading",
        description="Draws segments, balanced over sessions, predicted score and length, and writes each coder a blank "
        "sheet. design.csv and worth_reading.csv tell what the machine said: they are for the researcher alone.",
    )
    add_annotated(parser)
    parser.add_argument("--n", type=int, required=True, metavar="N", help="segments to draw; all, if there are fewer")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make")
    parser.add_argument("--coders", default="A,B", metavar="ID,…", help="a blank sheet is written for each")
    parser.add_argument("--seed", type=int, default=13, metavar="N", help="a number; the same one draws the same")
    add_codebook(parser)
    parser.set_defaults(run=_sample)


def _sample(args: argparse.Namespace) -> int:
    from ..codebook import load_codebook
    from ..sampling import write

    coders = [coder.strip() for coder in args.coders.split(",") if coder.strip()]
    try:
        book = load_codebook(args.codebook)
        files = write(annotated(args.annotated), args.n, args.out, seed=args.seed, coders=coders, codebook=book)
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    _print_files(args, files)
    return 0


def _print_files(args: argparse.Namespace, files: Sequence[Path]) -> None:
    if args.json:
        print_json({"files": files})
    else:
        print("\n".join(plain(str(file)) for file in files))
