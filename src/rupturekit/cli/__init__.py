"""The command line: ``rupturekit annotate``, ``check``, ``export``, ``import``, ``agree`` and the rest.

A command is a function in `COMMANDS` that adds its parser and sets ``run``, which returns the exit code:
0 all done, 1 something failed, 2 wrong usage. Imports that take long stand inside ``run``, so that
``--help`` is quick.
"""

from __future__ import annotations

import argparse
import glob
import io
import os
import secrets
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .annotation import FAMILIES
from .transcript import ROLES

if TYPE_CHECKING:
    from .annotation import AnnotatedTranscript
    from .batch import InputOutcome
    from .inputs import Reading

SHOWN = 40
"""Sessions that the table on the screen shows; all of them are in sessions.csv."""


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
        args = _parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except BrokenPipeError:
        # the reader of our output (such as `head`) has left; nothing is to be told to nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rupturekit",
        description="Finds alliance-rupture markers in psychotherapy transcripts, on this machine alone.",
    )
    parser.add_argument("--version", action="version", version=f"rupturekit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser


def _add_reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reading, where it is not found out right")
    group.add_argument(
        "--roles",
        type=_roles,
        metavar="LABEL=ROLE,…",
        help='who is who: "Speaker 1=therapist,Speaker 2=client"; roles are client, therapist, other',
    )
    group.add_argument(
        "--columns",
        type=_pairs,
        metavar="FIELD=NAME,…",
        help="which column of a table holds what: text=utterance,speaker=who,session=id",
    )
    group.add_argument("--input-format", metavar="NAME", help="text, docx, vtt, csv, json, …")
    group.add_argument("--encoding", metavar="NAME", help="such as utf-8, utf-16, cp1252")


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.rpartition("="))
        if not (name and equals and value):
            raise argparse.ArgumentTypeError("give NAME=VALUE,NAME=VALUE")
        if name in pairs:
            raise argparse.ArgumentTypeError(f"{name} is given twice")
        pairs[name] = value
    return pairs


def _roles(text: str) -> dict[str, str]:
    roles = _pairs(text)
    if wrong := sorted(set(roles.values()) - set(ROLES)):
        raise argparse.ArgumentTypeError(f"no role {', '.join(wrong)}; roles are {', '.join(ROLES)}")
    return roles


def _formats(text: str) -> list[str]:
    from .tables import FORMATS

    known = (*FORMATS, *_exchange_formats())
    names = [name.strip() for name in text.split(",")]
    if wrong := sorted(set(names) - set(known)):
        raise argparse.ArgumentTypeError(f"no format {', '.join(wrong)}; there is {', '.join(known)}")
    return list(dict.fromkeys(names))


def _reading(args: argparse.Namespace) -> Reading:
    from .inputs import Reading, read_clients

    clients = getattr(args, "clients", None)
    return Reading(
        args.roles, args.input_format, args.columns, args.encoding, read_clients(clients) if clients else None
    )


def _add_annotate(commands: Any) -> None:
    parser = commands.add_parser(
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
        help=f"besides CSV: parquet, and for coders, each in a folder of its own: {', '.join(_exchange_formats())}",
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
        help="with --no-text: the secret that ids are hashed with, to have the same hashes in every run; "
        "else a new one is drawn and forgotten",
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
    _add_reading(parser)
    parser.set_defaults(run=_annotate)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("give a number; 0 is this process alone")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    number, slash, n = text.partition("/")
    if not (slash and number.isdecimal() and n.isdecimal() and 1 <= int(number) <= int(n)):
        raise argparse.ArgumentTypeError("give I/N, such as 3/32: the part's number, from 1, and how many there are")
    return int(number), int(n)


def _annotate(args: argparse.Namespace) -> int:
    from .batch import Stopped, annotate_folder, check_output
    from .pipeline import SHIPPED, Annotator
    from .tables import Pseudonyms

    if args.key_file and not args.no_text:
        return _complain("--key-file goes with --no-text", 2)
    for_coders = [name for name in args.format if name in _exchange_formats()]
    if for_coders and args.no_text:
        return _complain(f"--no-text leaves nothing to code in {', '.join(for_coders)}", 2)
    for name in for_coders:
        if (args.out / name).exists():
            # a coder's work may be in it: not even --overwrite takes it away
            return _complain(f"{args.out / name} is there already; move it, or give another --out", 2)
    try:
        check_output(args.out, args.overwrite)
        hide = None
        if args.no_text:
            key = args.key_file.read_bytes() if args.key_file else secrets.token_bytes(32)
            if not key.strip():
                return _complain("the key file is empty; write a long random secret into it", 2)
            hide = Pseudonyms(key)
        if args.device and args.no_model:
            return _complain("--device is for the model, and --no-model leaves it out", 2)
        annotator = Annotator(None if args.no_model else args.model or SHIPPED, device=args.device)
        reading = _reading(args)
        report = annotate_folder(
            args.inputs,
            args.out,
            annotator,
            reading=reading,
            formats=[name for name in args.format if name not in for_coders],
            hide=hide,
            overwrite=args.overwrite,
            workers=args.workers,
            client=_cluster(args.scheduler) if args.scheduler else None,
            shard=args.shard,
            fail_fast=args.fail_fast,
            progress=True,
        )
        if for_coders and not args.shard:
            _for_coders(args, for_coders)
    except Stopped as error:
        return _complain(f"stopped at a failure: {error}", 1)
    except KeyboardInterrupt:
        return _complain("interrupted. What was done is kept: start the run again to go on", 130)
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    if report.kept:
        print(f"{report.kept} sessions had been done by an earlier run that did not get to its end.")
    if args.shard:
        return _print_shard(report.inputs, args.shard)
    _print_found(report.inputs, args.out)
    met = {session.session_id for outcome in report.inputs for session in outcome.sessions}
    if lost := sum((hide.hash(id) if hide else id) not in met for id in reading.clients or ()):
        _complain(f"--clients: {lost} of its sessions are not in this run", 1)
    for number in report.unused_roles:
        _complain(f"--roles: label {number} is no speaker in any session", 1)
    return int(any(outcome.outcome == "failed" for outcome in report.inputs))


def _cluster(address: str) -> Any:
    try:
        from dask.distributed import Client
    except ImportError:
        raise ValueError('--scheduler needs Dask: pip install "rupturekit[dask]"') from None
    return Client(address)


def _for_coders(args: argparse.Namespace, formats: Sequence[str]) -> None:
    from .exchange import export
    from .inputs import find
    from .tables import load

    found = load(args.out)
    files = {entry.name: entry.path for entry in find(args.inputs, args.out)}
    originals = {s.transcript.id: files[s.transcript.meta["path"]] for s in found}
    for name in formats:
        export(found, name, args.out / name, originals=originals)


def _print_found(outcomes: Sequence[InputOutcome], out: Path) -> None:
    done = [s for outcome in outcomes for s in outcome.sessions if s.outcome == "done"]
    header = ["session", "turns", *(family.replace("_", " ") for family in FAMILIES)]
    table = [[s.session_id, s.n_turns, *s.found.values()] for s in done[:SHOWN]]
    if len(done) > SHOWN:
        table.append([f"… and {len(done) - SHOWN} more", *[""] * (len(header) - 1)])
    total = [sum(s.found[family] for s in done) for family in FAMILIES]
    table.append([f"{len(done)} in all", sum(s.n_turns for s in done), *total])
    print("Turns on which each was found:")
    _print_table(header, table)
    _print_failed(outcomes)
    if skipped := sum(outcome.outcome == "skipped" for outcome in outcomes):
        print(f"{skipped} files skipped; run.json says why.")
    print(f"Outputs are in {_plain(str(out))}: turns.csv, markers.csv, sessions.csv, …")


def _print_shard(outcomes: Sequence[InputOutcome], shard: tuple[int, int]) -> int:
    failed = _print_failed(outcomes)
    done = sum(s.outcome == "done" for outcome in outcomes for s in outcome.sessions)
    print(f"Part {shard[0]} of {shard[1]}: {done} sessions are done.")
    print("When all parts are, the same command without --shard puts them together.")
    return int(failed)


def _print_failed(outcomes: Sequence[InputOutcome]) -> bool:
    failed = [(n, outcome) for n, outcome in enumerate(outcomes, 1) if outcome.outcome == "failed"]
    for number, outcome in failed:
        _complain(f"failed: input {number} of {len(outcomes)}, {outcome.path}: {outcome.reason}", 1)
    return bool(failed)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="show how files are read, without their words",
        description="Shows how files are read: format, encoding, speakers, roles, turns, flags; no words.",
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="FILE")
    _add_reading(parser)
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from .inputs import reason
    from .segment import segment, session_flags

    reading = _reading(args)
    code = 0
    for path in args.inputs:
        print(_plain(str(path)))
        try:
            sessions = reading.sessions(path)
        except Exception as error:
            code = _complain(reason(error), 1)
            continue
        first = sessions[0]
        encoding = f", {first.encoding}" if first.encoding else ""
        print(f"  format {first.format}{encoding}; sessions: {len(sessions)}")
        for raw in sessions:
            id = raw.id if raw.id is not None else path.stem
            print(f"  session {_plain(id)}: {len(raw.utterances)} utterances")
            try:
                transcript = segment(raw, id=id, roles=reading.roles_in(raw), path=str(path))
            except Exception as error:
                labels = Counter(u.speaker or "(none)" for u in raw.utterances)
                _print_speakers((label, "?", n) for label, n in labels.items())
                code = _complain(f"{path}, session {id}: {reason(error)}", 1)
                continue
            speakers = Counter((turn.speaker, turn.role) for turn in transcript)
            _print_speakers((label, role, n) for (label, role), n in speakers.items())
            meta = transcript.meta
            confidence = meta.get("role_confidence")
            sure = f", confidence {confidence:.2f}" if confidence is not None else ""
            print(f"    roles from {meta.get('role_source', 'labels')}{sure}; turns: {len(transcript)}")
            flags = session_flags(transcript)
            print(f"    flags: {', '.join(sorted(flags)) or 'none'}")
    return code


def _print_speakers(speakers: Iterable[tuple[str, str, int]]) -> None:
    for label, role, n in speakers:
        print(f"    {_plain(label)} = {role} ({n})")


def _print_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    cells = [[_plain(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for first, *rest in cells:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *numbers]).rstrip())


def _plain(text: str) -> str:
    """Take out what could steer a terminal: ids and labels come from the files."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _complain(message: str, code: int) -> int:
    print("\n".join(map(_plain, f"rupturekit: {message}".split("\n"))), file=sys.stderr)
    return code


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="fit the classifier on coded sessions and write a model folder with its card",
        description="Cross-validates by group, calibrates out of fold, trains on all sessions, and writes "
        "model.onnx, tokenizer.json, config.json and README.md (the card). Needs the train extra.",
    )
    parser.add_argument(
        "tables", nargs="*", type=Path, metavar="TABLE", help="X.csv with its label layer X.labels.jsonl beside it"
    )
    parser.add_argument("--base", metavar="NAME", help="encoder to start from: a folder or a hub name")
    own = parser.add_argument_group("instead of TABLE and --base: go on from a model with a team's own codes")
    own.add_argument(
        "--codes", type=Path, metavar="DIR", help="codings: JSONL that `rupturekit import` wrote, or tables"
    )
    own.add_argument(
        "--init", type=Path, metavar="MODEL", help="model folder to start from, such as models/withdrawal-en"
    )
    own.add_argument("--whole", action="store_true", help="fit the whole encoder, not its heads alone; slower")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="model folder to write")
    parser.add_argument("--synthetic", nargs="*", type=Path, default=[], metavar="FILE", help="for training only")
    parser.add_argument(
        "--rule-groups",
        type=Path,
        metavar="FILE",
        help="groups that the rules were written from: they do not calibrate",
    )
    parser.add_argument("--version", default="1", metavar="V", help="of the model, for its card")
    parser.add_argument("--folds", type=int, default=3, metavar="K")
    parser.add_argument("--seed", type=int, default=13, metavar="N")
    parser.add_argument(
        "--ablations", action="store_true", help="then measure what each part of the recipe is worth; takes long"
    )
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    try:
        from .training import Settings, train
    except ImportError as error:
        return _complain(f'training needs {error.name}: pip install "rupturekit[train]"', 2)
    given = [bool(part) for part in (args.tables, args.base, args.codes, args.init)]
    if given not in ([True, True, False, False], [False, False, True, True]):
        return _complain("give tables and --base, or --codes and --init", 2)
    if args.codes and (args.synthetic or args.rule_groups or args.ablations):
        return _complain("--synthetic, --rule-groups and --ablations do not go with --codes", 2)
    command = shlex.join(["rupturekit", *sys.argv[1:]])
    try:
        if args.codes:
            from .adaptation import adapt
            from .coding import read_codings

            codings = read_codings(args.codes)
            facts = adapt(
                codings, args.init, args.out, whole=args.whole, version=args.version, seed=args.seed, command=command
            )
            print("As it was:")
            _print_figures(facts["init"])
            print("Fitted on, every client held out once:")
            _print_figures(facts["turns"])
            caution = facts["caution"].replace("**", "")
            print(f"{caution} The model and its card are in {_plain(str(args.out))}".strip())
            return 0
        facts = train(
            args.tables,
            args.base,
            args.out,
            synthetic=args.synthetic,
            rule_groups=args.rule_groups,
            n_folds=args.folds,
            settings=Settings(seed=args.seed),
            version=args.version,
            ablations=args.ablations,
            command=command,
        )
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    _print_figures(facts["turns"])
    print(f"The model and its card are in {_plain(str(args.out))}")
    return 0


def _print_figures(rows: Sequence[dict[str, Any]]) -> None:
    headline = [row for row in rows if row["turns"] == rows[0]["turns"]]
    shown = [[row["score"], *(f"{row[name][0]:.2f}" for name in ("AP", "F1"))] for row in headline]
    _print_table(["score", "AP", "F1"], shown)


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure annotations against coded sessions",
        description="Compares what `rupturekit annotate` wrote with sessions that people coded, and prints Markdown "
        "tables: ranking, decisions and calibration for each family, agreement of the raters with each other, counts, "
        "false alarms, markers and spans, with 95 % intervals by group. Needs the evaluate extra.",
    )
    parser.add_argument(
        "tables",
        nargs="+",
        type=Path,
        metavar="CODED",
        help="codings.jsonl that import wrote, or X.csv with its label layer X.labels.jsonl beside it",
    )
    parser.add_argument("--against", required=True, type=Path, metavar="DIR", help="folder that annotate wrote")
    parser.add_argument("--draws", type=int, default=500, metavar="N", help="resamples for each interval")
    _add_reading(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from .coding import merged, read_coded, read_codings
    from .tables import load

    try:
        import sklearn  # noqa: F401

        from .evaluation import evaluate, markdown
    except ImportError as error:
        return _complain(f'evaluating needs {error.name}: pip install "rupturekit[evaluate]"', 2)
    try:
        reading = {"roles": args.roles, "columns": args.columns, "format": args.input_format, "encoding": args.encoding}
        coded = merged(
            session
            for table in args.tables
            for session in (
                read_codings(table) if table.is_dir() or table.suffix == ".jsonl" else read_coded(table, **reading)
            )
        )
        found = load(args.against)
        figures = evaluate(coded, found, args.draws)
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    for title, rows in figures.items():
        if rows:
            print(f"## {title.capitalize()}\n\n{markdown(rows)}\n")
    missing = {s.transcript.id for s in coded if s.coded} - {s.transcript.id for s in found}
    if missing:
        return _complain(f"{len(missing)} coded sessions were not annotated and are not in these figures", 1)
    return 0


def _add_codebook(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--codebook",
        default="3rs-2015",
        metavar="NAME",
        help="the codes' codebook: a name, or a .toml file of your own",
    )


def _annotated(path: Path) -> list[AnnotatedTranscript]:
    """Read annotated sessions or codings, whichever a path holds."""
    from .coding import read_codings
    from .tables import load

    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if (path / "annotations.jsonl").is_file() or path.suffix == ".jsonl":
        return load(path)
    return read_codings(path)


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write annotated sessions for another tool: ELAN, Praat, Label Studio, INCEpTION, NVivo, …",
        description="Writes annotated sessions, or codings, in the format of a tool in which people code.",
    )
    parser.add_argument("annotated", type=Path, metavar="ANNOTATED", help="folder that annotate wrote, or a JSONL file")
    parser.add_argument("--format", required=True, choices=_exchange_formats(), metavar="NAME", help=_tools())
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--originals",
        type=Path,
        metavar="DIR",
        help="folder of the files that were annotated: ELAN and Praat files get the markers in a copy",
    )
    parser.add_argument("--blank", action="store_true", help="without the machine's markers")
    _add_codebook(parser)
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from .codebook import load_codebook
    from .exchange import export

    try:
        sessions = _annotated(args.annotated)
        originals = _originals(args.originals, sessions) if args.originals else {}
        if args.blank:
            sessions = [_by_hand(session) for session in sessions]
        files = export(sessions, args.format, args.out, originals=originals, codebook=load_codebook(args.codebook))
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    print(f"{len(sessions)} sessions, {len(files)} files in {_plain(str(args.out))}")
    if args.originals:
        print(f"Originals were used for {len(originals)} of {len(sessions)} sessions.")
    return 0


def _originals(folder: Path, sessions: Iterable[AnnotatedTranscript]) -> dict[str, Path]:
    """Find the files that sessions were read from, in the folder that was annotated or wherever they lie in it."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of originals")
    by_name: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        by_name.setdefault(file.name, []).append(file)
    originals, lost = {}, []
    for session in sessions:
        path = Path(str(session.transcript.meta.get("path")))
        named = [folder / path] if (folder / path).is_file() else by_name.get(path.name, [])
        if len(named) == 1:
            originals[session.transcript.id] = named[0]
        elif path.suffix.lower() in (".eaf", ".textgrid"):
            lost.append(f"{session.transcript.id} ({len(named)} files are called {path.name})")
    if lost:
        raise ValueError(f"{folder}: no one original for {', '.join(lost)}; give the folder that was annotated")
    return originals


def _by_hand(session: AnnotatedTranscript) -> AnnotatedTranscript:
    return replace(session, markers=tuple(m for m in session.markers if m.source.startswith("coder:")))


def _exchange_formats() -> Sequence[str]:
    from .exchange import FORMATS

    return tuple(FORMATS)


def _tools() -> str:
    return "one of " + ", ".join(_exchange_formats())


def _add_import(commands: Any) -> None:
    parser = commands.add_parser(
        "import",
        help="read what people coded in another tool, or in a sheet",
        description="Reads files that came back from a tool, and writes what people coded as JSONL. If one cannot "
        "be read, nothing is written.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--format", required=True, choices=(*_exchange_formats(), "sheet"), metavar="NAME", help=f"{_tools()}, sheet"
    )
    parser.add_argument(
        "--transcripts", required=True, type=Path, metavar="ANNOTATED", help="what was given out: folder or JSONL file"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl")
    parser.add_argument("--coder", metavar="ID", help="whose work it is, where the files name nobody")
    parser.add_argument("--coders", type=_pairs, metavar="NAME=ID,…", help="the tool's names of the coders → their ids")
    _add_codebook(parser)
    parser.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from .codebook import load_codebook
    from .coding import merged
    from .exchange import import_codes
    from .inputs import reason
    from .sheets import csv_bytes, read, read_ratings

    rated = args.out.with_suffix(".ratings.csv")
    for out in (args.out, rated):
        if out.exists():
            return _complain(f"{out} exists already; give another file", 2)
    try:
        given = [session.transcript for session in _annotated(args.transcripts)]
        book = load_codebook(args.codebook)
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    codings: list[AnnotatedTranscript] = []
    ratings: list[dict[str, str | int | None]] = []
    code = 0
    # not every shell puts file names in the place of a pattern
    for path in (Path(name) for file in args.files for name in sorted(glob.glob(str(file))) or [str(file)]):
        try:
            if args.format == "sheet":
                codings += read(path, given, coder=args.coder, codebook=book)
                if (rated_here := read_ratings(path)) is None:
                    print(f"{_plain(str(path))}: no table of ratings with it")
                ratings += rated_here or []
            else:
                codings += import_codes(path, args.format, given, coder=args.coder, coders=args.coders, codebook=book)
        except Exception as error:
            code = _complain(reason(error), 1)
    if code:
        return _complain("nothing was written", code)
    try:
        sessions = merged(codings)
        part = args.out.with_name(f".{args.out.name}.part")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("".join(session.to_json() + "\n" for session in sessions), "utf-8", newline="\n")
        part.replace(args.out)
        if ratings:
            rows = [{**row, "coder": row["coder"] or args.coder} for row in ratings]
            rated.write_bytes(csv_bytes(list(rows[0]), [list(row.values()) for row in rows]))
            print(f"{len(ratings)} rows of ratings in {_plain(str(rated))}")
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    coders = Counter(m.source for session in sessions for m in session.markers)
    coders.update({c.source: 0 for session in sessions for c in session.coded})
    _print_table(["coder", "markers"], [[source.removeprefix("coder:"), n] for source, n in sorted(coders.items())])
    print(f"{len(sessions)} sessions in {_plain(str(args.out))}")
    if empty := [s.transcript.id for s in sessions if not s.markers]:
        shown = ", ".join(map(_plain, empty[:SHOWN])) + (", …" if len(empty) > SHOWN else "")
        print(f"Read, and nothing marked: {shown}. If nobody read them, leave them out of what you import.")
    return 0


def _add_agree(commands: Any) -> None:
    parser = commands.add_parser(
        "agree",
        help="agreement between coders, and between coders and the machine",
        description="Compares any number of codings of the same sessions: kappa, alpha, AC1, ICC, spans and more, with "
        "95 % intervals over clients; with --out also the disagreements, a LaTeX table and a paragraph for a paper.",
    )
    parser.add_argument(
        "codings", nargs="+", type=Path, metavar="CODING", help="JSONL of codings, table with labels, annotated folder"
    )
    parser.add_argument("--level", choices=("turn", "segment", "session"), default="turn")
    parser.add_argument("--segment", type=float, default=300.0, metavar="SECONDS", help="length of a segment")
    parser.add_argument("--draws", type=int, default=2000, metavar="N", help="resamples for each interval")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to make, for everything")
    _add_codebook(parser)
    parser.set_defaults(run=_agree)


def _agree(args: argparse.Namespace) -> int:
    from .agree import agreement, write
    from .codebook import load_codebook

    if args.out and args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        return _complain(f"{args.out} exists and is not an empty folder; give another", 2)
    try:
        found = agreement(
            *map(_annotated, args.codings),
            level=args.level,
            segment_s=args.segment,
            codebook=load_codebook(args.codebook),
            draws=args.draws,
            seed=args.seed,
        )
        print(found.markdown())
        if args.out:
            files = write(found, args.out)
            print(f"\n{', '.join(file.name for file in files)} are in {_plain(str(args.out))}")
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    return 0


def _add_sheet(commands: Any) -> None:
    parser = commands.add_parser(
        "sheet",
        help="write the 3RS sheet: a row for each segment and marker, with global ratings to fill in",
        description="Writes a spreadsheet for human coders, filled in with what was found or blank. `rupturekit import "
        "--format sheet` reads it back.",
    )
    parser.add_argument("annotated", type=Path, metavar="ANNOTATED", help="folder that annotate wrote, or a JSONL file")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="FILE.xlsx or FILE.csv")
    parser.add_argument("--segment", type=float, default=300.0, metavar="SECONDS", help="length of a segment")
    parser.add_argument("--coder", metavar="ID", help="whom the sheet is for, or whose codes are in it")
    parser.add_argument("--blank", action="store_true", help="hide what the machine said")
    parser.add_argument("--crosswalk", metavar="NAME", help="show another scheme's names beside: 3rs-2022")
    _add_codebook(parser)
    parser.set_defaults(run=_sheet)


def _sheet(args: argparse.Namespace) -> int:
    from .codebook import load_codebook, load_crosswalk
    from .sheets import write

    try:
        files = write(
            _annotated(args.annotated),
            args.out,
            codebook=load_codebook(args.codebook),
            segment_s=args.segment,
            coder=args.coder,
            blank=args.blank,
            crosswalk=load_crosswalk(args.crosswalk) if args.crosswalk else None,
        )
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    print("\n".join(_plain(str(file)) for file in files))
    return 0


def _add_sample(commands: Any) -> None:
    parser = commands.add_parser(
        "sample",
        help="draw segments for blind double coding, and list the turns most worth reading",
        description="Draws segments, balanced over sessions, predicted score and length, and writes each coder a blank "
        "sheet. design.csv and worth_reading.csv tell what the machine said: they are for the researcher alone.",
    )
    parser.add_argument("annotated", type=Path, metavar="ANNOTATED", help="folder that annotate wrote, or a JSONL file")
    parser.add_argument("--n", type=int, required=True, metavar="N", help="segments to draw, and turns to list")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make")
    parser.add_argument("--coders", default="A,B", metavar="ID,…", help="a blank sheet is written for each")
    parser.add_argument("--seed", type=int, default=13, metavar="N", help="the same draws the same")
    _add_codebook(parser)
    parser.set_defaults(run=_sample)


def _sample(args: argparse.Namespace) -> int:
    from .codebook import load_codebook
    from .sampling import write

    coders = [coder.strip() for coder in args.coders.split(",") if coder.strip()]
    try:
        book = load_codebook(args.codebook)
        files = write(_annotated(args.annotated), args.n, args.out, seed=args.seed, coders=coders, codebook=book)
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    print("\n".join(_plain(str(file)) for file in files))
    return 0


COMMANDS: Sequence[Callable[[Any], None]] = (
    _add_annotate,
    _add_check,
    _add_export,
    _add_import,
    _add_sheet,
    _add_sample,
    _add_agree,
    _add_evaluate,
    _add_train,
)
"""Each adds one command to the parser."""
