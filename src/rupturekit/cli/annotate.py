"""``annotate`` and ``check``: transcripts in, tables out."""

from __future__ import annotations

import argparse
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..annotation import FAMILIES
from .options import add_parser, add_reading, exchange_formats, reading_of
from .screen import SHOWN, complain, plain, print_json, print_table

if TYPE_CHECKING:
    from ..batch import InputOutcome
    from ..deidentify import Deidentifier
    from ..inputs import Reading
    from ..tables import Pseudonyms


def add_annotate(commands: Any) -> None:
    """Add ``annotate``."""
    parser = add_parser(
        commands,
        "annotate",
        help="find markers in transcripts and write them as tables",
        description="Reads transcripts, finds rupture and resolution markers, and writes turns.csv, "
        "markers.csv, sessions.csv, annotations.jsonl and run.json.",
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="file, or folder of files")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the outputs")
    parser.add_argument("--overwrite", action="store_true", help="replace the outputs of an earlier run in DIR")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, metavar="DIR", help="a model of your own")
    model.add_argument("--no-model", action="store_true", help="rules alone")
    parser.add_argument(
        "--format",
        type=_formats,
        default=[],
        metavar="NAME,…",
        help="besides CSV: parquet, html (pages to look at), and for coders, each in a folder of its own: "
        + ", ".join(exchange_formats()),
    )
    parser.add_argument(
        "--no-text",
        action="store_true",
        help="leave the words out of every output, and names, ids and paths too",
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="with --no-text or --deidentify: the secret that ids are hashed with, to have the same hashes in every "
        "run; else a new one is drawn and forgotten",
    )
    parser.add_argument(
        "--deidentify",
        action="store_true",
        help="replace names, places, dates, ages over 89 and numbers of people by placeholders such as [NAME_1] before "
        "anything is written; no guarantee: a person has to read the result before it is shared",
    )
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="with --deidentify: names to replace, a line for each person"
    )
    parser.add_argument(
        "--recogniser",
        metavar="NAME",
        help="with --deidentify: an installed spaCy pipeline that looks for more names, by name or folder; nothing is "
        "downloaded",
    )
    parser.add_argument(
        "--clients",
        type=Path,
        metavar="FILE",
        help="CSV of session_id and client_id, where transcripts do not say whose they are; intervals go by client",
    )
    group = parser.add_argument_group("large archives")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes that share the work; as many as there are cores, where there is enough to do, if not given",
    )
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask cluster that does the work, such as tcp://10.0.0.1:8786"
    )
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="do part I of N and write no outputs yet; the same command without --shard then takes in all parts",
    )
    group.add_argument("--fail-fast", action="store_true", help="stop at the first session that fails")
    group.add_argument("--device", metavar="NAME", help="where torch runs the model: cuda, cuda:1, …")
    add_reading(parser)
    parser.set_defaults(run=_annotate, interrupted="What was done is kept: start the run again to go on")


def _formats(text: str) -> list[str]:
    from ..tables import FORMATS

    known = (*FORMATS, "html", *exchange_formats())
    names = [name.strip() for name in text.split(",")]
    if wrong := sorted(set(names) - set(known)):
        raise argparse.ArgumentTypeError(f"no format {', '.join(wrong)}; there is {', '.join(known)}")
    return list(dict.fromkeys(names))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("give a number; 0 is this process alone")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    number, slash, n = text.partition("/")
    if not (slash and number.isdecimal() and n.isdecimal() and 1 <= int(number) <= int(n)):
        raise argparse.ArgumentTypeError("give I/N, such as 3/32: the part's number, from 1, and how many there are")
    return int(number), int(n)


# Ids are short and follow a pattern: whoever has the hashes and guesses the secret has them all.
_SHORTEST_SECRET = 16


def _secret(path: Path) -> bytes:
    """Return what is in a key file, without the end of line that an editor adds."""
    todo = f"Write a random secret of {_SHORTEST_SECRET} characters or more into it, such as a password manager makes"
    try:
        key = path.read_bytes().strip()
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no file with the secret for the hashes. {todo}") from None
    if len(key) < _SHORTEST_SECRET:
        raise ValueError(f"{path}: the secret for the hashes has {len(key)} characters. {todo}")
    return key


def _annotate(args: argparse.Namespace) -> int:
    from ..batch import FOLDERS, Stopped, annotate_folder, check_output
    from ..pipeline import SHIPPED, Annotator

    if wrong := _misused(args):
        return complain(wrong, 2)
    try:
        check_output(args.out, args.overwrite, [name for name in args.format if name in FOLDERS])
        hide, deidentifier = _hiding(args)
        if args.device and args.no_model:
            return complain("--device is for the model, and --no-model leaves it out", 2)
        annotator = Annotator(None if args.no_model else args.model or SHIPPED, device=args.device)
        reading = reading_of(args)
        report = annotate_folder(
            args.inputs,
            args.out,
            annotator,
            reading=reading,
            formats=args.format,
            hide=hide,
            deidentify=deidentifier,
            overwrite=args.overwrite,
            workers=args.workers,
            client=_cluster(args.scheduler) if args.scheduler else None,
            shard=args.shard,
            fail_fast=args.fail_fast,
            progress=True,
        )
    except Stopped as error:
        return complain(f"stopped at a failure: {error}", 1)
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json({"out": str(args.out), "shard": args.shard, **asdict(report)})
    elif report.kept:
        print(f"{report.kept} sessions had been done by an earlier run that did not get to its end.")
    failed = _complain_of_failed(report.inputs)
    if args.shard:
        if not args.json:
            _print_shard(report.inputs, args.shard)
        return int(failed)
    if not args.json:
        _print_found(report.inputs, args.out)
    if deidentifier:
        complain(f"--deidentify: {deidentifier.told['notice']}", 0)
        complain("ids and file names that are more than codes, such as P012_s03.txt, are hashed", 0)
    met = {session.session_id for outcome in report.inputs for session in outcome.sessions}
    given = hide.hash if hide else deidentifier.shown if deidentifier else str
    if lost := sum(given(id) not in met for id in reading.clients or ()):
        todo = "" if hide or deidentifier else ". Write ids as in sessions.csv"  # where they are hashes
        complain(f"--clients: {lost} of its sessions are not in this run{todo}", 1)
    _complain_of_unused(report.unused_roles)
    return int(failed)


def _misused(args: argparse.Namespace) -> str:
    """Return which of the options do not go together, "" where they all do."""
    if args.key_file and not (args.no_text or args.deidentify):
        return "--key-file goes with --no-text or --deidentify"
    if args.deidentify and args.no_text:
        return "--no-text leaves no words for --deidentify to replace; give one of them"
    if (args.names or args.recogniser) and not args.deidentify:
        return "--names and --recogniser go with --deidentify"
    for_coders = [name for name in args.format if name in exchange_formats()]
    if for_coders and args.no_text:
        return f"--no-text leaves nothing to code in {', '.join(for_coders)}"
    return ""


def _hiding(args: argparse.Namespace) -> tuple[Pseudonyms | None, Deidentifier | None]:
    """Return what takes the words out of every output, or what replaces names in them; one of them at most."""
    from ..tables import Pseudonyms

    if not (args.no_text or args.deidentify):
        return None, None
    hide = Pseudonyms(_secret(args.key_file) if args.key_file else secrets.token_bytes(32))
    if not args.deidentify:
        return hide, None
    from ..deidentify import Deidentifier, read_names

    return None, Deidentifier(read_names(args.names) if args.names else (), args.recogniser, hide)


def _cluster(address: str) -> Any:
    try:
        from dask.distributed import Client
    except ImportError:
        raise ValueError('--scheduler needs Dask: pip install "rupturekit[dask]"') from None
    return Client(address)


def _print_found(outcomes: Sequence[InputOutcome], out: Path) -> None:
    done = [s for outcome in outcomes for s in outcome.sessions if s.outcome == "done"]
    header = ["session", "turns", *(family.replace("_", " ") for family in FAMILIES)]
    table = [[s.session_id, s.n_turns, *s.found.values()] for s in done[:SHOWN]]
    if len(done) > SHOWN:
        table.append([f"… and {len(done) - SHOWN} more", *[""] * (len(header) - 1)])
    total = [sum(s.found[family] for s in done) for family in FAMILIES]
    table.append([f"{len(done)} in all", sum(s.n_turns for s in done), *total])
    print_table(header, table, "Turns on which each was found")
    if skipped := sum(outcome.outcome == "skipped" for outcome in outcomes):
        print(f"{skipped} files skipped; run.json says why.")
    if failed := sum(outcome.outcome == "failed" for outcome in outcomes):
        print(f"{failed} of {len(outcomes)} inputs failed; run.json says why.")
    print(f"Outputs are in {plain(str(out))}: turns.csv, markers.csv, sessions.csv, …")


def _print_shard(outcomes: Sequence[InputOutcome], shard: tuple[int, int]) -> None:
    done = sum(s.outcome == "done" for outcome in outcomes for s in outcome.sessions)
    print(f"Part {shard[0]} of {shard[1]}: {done} sessions are done.")
    print("When all parts are, the same command without --shard puts them together.")


def _complain_of_failed(outcomes: Sequence[InputOutcome]) -> bool:
    failed = [(n, outcome) for n, outcome in enumerate(outcomes, 1) if outcome.outcome == "failed"]
    for number, outcome in failed:
        complain(f"failed: input {number} of {len(outcomes)}, {outcome.path}: {outcome.reason}", 1)
    return bool(failed)


def _complain_of_unused(roles: Iterable[int]) -> None:
    for number in roles:
        complain(f"--roles: label {number} is no speaker in any session", 1)


def add_check(commands: Any) -> None:
    """Add ``check``."""
    parser = add_parser(
        commands,
        "check",
        help="show how files are read, without their words",
        description="Shows how files are read: format, encoding, speakers, roles, turns, flags; no words.",
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="file, or folder of files")
    add_reading(parser)
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    reading = reading_of(args)
    told = []
    met: set[str] = set()
    for path in (file for given in args.inputs for file in _files(given)):
        told.append(_checked(path, reading, met))
        if not args.json:
            _print_checked(told[-1])
    if args.json:
        print_json(told)
    _complain_of_unused(n for n, label in enumerate(reading.roles or {}, 1) if label not in met)
    return int(any("error" in part for file in told for part in (file, *file.get("sessions", ()))))


def _files(path: Path) -> list[Path]:
    """Return the file; of a folder the files that annotate would read, or the folder itself if there are none."""
    from ..inputs import find

    if not path.is_dir():
        return [path]
    return [entry.path for entry in find([path], path / "annotated") if not entry.skip] or [path]


LEFT_OUT = {
    "header_lines": "header lines",
    "duplicate_rows": "duplicate rows",
    "tiers_left_out": "tiers",
    "cells_left_out": "cells beside the talk",
}
"""What is no talk of a session, as ``meta`` counts it, and in words."""


def _checked(path: Path, reading: Reading, met: set[str]) -> dict[str, Any]:
    """Return how a file is read, without its words; where it is not, why. Labels of given roles go to ``met``."""
    from ..inputs import reason
    from ..segment import segment, session_flags

    if path.is_dir():
        return {"path": str(path), "error": f"{path}: no transcript in this folder"}
    try:
        sessions = reading.sessions(path)
    except Exception as error:
        return {"path": str(path), "error": reason(error)}
    file: dict[str, Any] = {"path": str(path), "format": sessions[0].format, "encoding": sessions[0].encoding}
    file["sessions"] = []
    for raw in sessions:
        session: dict[str, Any] = {"id": raw.id if raw.id is not None else path.stem, "utterances": len(raw.utterances)}
        session["left_out"] = {key: raw.meta[key] for key in LEFT_OUT if key in raw.meta}
        file["sessions"].append(session)
        roles = reading.roles_in(raw)
        met.update(roles)
        try:
            transcript = segment(raw, id=session["id"], roles=roles, path=str(path))
        except Exception as error:
            labels = Counter(u.speaker or "(none)" for u in raw.utterances)
            session["speakers"] = [{"label": label, "role": "?", "turns": n} for label, n in labels.items()]
            session["error"] = f"{path}, session {session['id']}: {reason(error)}"
            continue
        speakers = Counter((turn.speaker, turn.role) for turn in transcript)
        session["speakers"] = [{"label": label, "role": role, "turns": n} for (label, role), n in speakers.items()]
        session["role_source"] = transcript.meta.get("role_source", "labels")
        session["role_confidence"] = transcript.meta.get("role_confidence")
        session["turns"] = len(transcript)
        session["flags"] = sorted(session_flags(transcript))
    return file


def _print_checked(file: Mapping[str, Any]) -> None:
    print(plain(file["path"]))
    if "error" in file:
        complain(file["error"], 1)
        return
    encoding = f", {file['encoding']}" if file["encoding"] else ""
    print(f"  format {file['format']}{encoding}; sessions: {len(file['sessions'])}")
    for session in file["sessions"]:
        print(f"  session {plain(session['id'])}: {session['utterances']} utterances")
        if session["left_out"]:
            print(f"    left out: {', '.join(f'{LEFT_OUT[key]} ({n})' for key, n in session['left_out'].items())}")
        for speaker in session["speakers"]:
            print(f"    {plain(speaker['label'])} = {speaker['role']} ({speaker['turns']})")
        if "error" in session:
            complain(session["error"], 1)
            continue
        confidence = session["role_confidence"]
        sure = f", confidence {confidence:.2f}" if confidence is not None else ""
        print(f"    roles from {session['role_source']}{sure}; turns: {session['turns']}")
        print(f"    flags: {', '.join(session['flags']) or 'none'}")
