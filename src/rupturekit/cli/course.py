"""``course``: from session to session of a client."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_annotated, add_parser, annotated
from .screen import SHOWN, complain, plain, print_json, print_table

if TYPE_CHECKING:
    from ..annotation import AnnotatedTranscript
    from ..treatment import Row, Signal


def add_course(commands: Any) -> None:
    """Add ``course``."""
    parser = add_parser(
        commands,
        "course",
        help="what changes from session to session of a client: rows for mixed models, and signals",
        description="Puts annotated sessions in order by client, and writes course.csv, a row for each session with "
        "parts between and within clients, and signals.csv, what stands out among the client's own sessions. No words "
        "are written. A signal is a hint, never a diagnosis.",
    )
    add_annotated(parser, several=True)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the outputs")
    parser.add_argument(
        "--clients",
        type=Path,
        metavar="CSV",
        help="who and when: session_id, client_id, and session_number, date, alliance where they are known",
    )
    parser.add_argument(
        "--pattern",
        default="",
        metavar="REGEX",
        help="who and when from the sessions' names: '(?P<client>\\w+)_s(?P<number>\\d+)', or (?P<date>…); "
        "with a / in it also from their paths",
    )
    parser.add_argument("--ratings", type=Path, metavar="CSV", help="your alliance ratings: session_id, alliance")
    parser.add_argument(
        "--messages", type=Path, metavar="CSV", help="what clients wrote between sessions: client_id, time, text"
    )
    parser.set_defaults(run=_course)


def _course(args: argparse.Namespace) -> int:
    from ..readers import ReadError
    from ..treatment import course_rows, doubts, identified, read_facts, read_messages, signals, write

    try:
        facts = read_facts(args.clients) if args.clients else {}
        ratings = read_facts(args.ratings, "alliance", ["alliance"]) if args.ratings else {}
        rated = {session: known["alliance"] for session, known in ratings.items() if "alliance" in known}
        messages = read_messages(args.messages) if args.messages else []
        sessions = identified((s for path in args.annotated for s in annotated(path)), facts, args.pattern)
        _complain_of_unmet({"--clients": facts, "--ratings": ratings}, sessions)
        rows = course_rows(sessions, rated)
        found = signals(sessions, rated, messages, rows=rows)
        files = write(rows, found, args.out, sessions)
    except (ReadError, ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json({"out": args.out, "files": files, "sessions": len(rows), "signals": [asdict(s) for s in found]})
    else:
        _print_clients(rows, found)
        print(f"{', '.join(file.name for file in files)} are in {plain(str(args.out))}")
    if doubtful := doubts(sessions):
        more = [f"and {len(doubtful) - SHOWN} clients more"] if len(doubtful) > SHOWN else []
        shown = [*doubtful[:SHOWN], *more]
        complain("\n".join(["the order of some sessions is doubtful; --clients can tell it", *shown]), 0)
    return 0


def _complain_of_unmet(tables: Mapping[str, Collection[str]], sessions: Iterable[AnnotatedTranscript]) -> None:
    from ..treatment import spelled

    # the tables' ids are spelled so already
    met = {spelled(session.transcript.id) for session in sessions}
    for option, given in tables.items():
        if lost := len(set(given) - met):
            complain(f"{option}: {lost} of its sessions are not among these. Write ids as in sessions.csv", 1)


def _print_clients(rows: Sequence[Row], found: Sequence[Signal]) -> None:
    from ..treatment import LEAST_SESSIONS

    sessions = Counter(row["client_id"] for row in rows)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for signal in found:
        kinds[signal.client_id][signal.kind] += 1
    ruptures = {row["client_id"]: row["per100_rupture_between"] for row in rows}
    table = [
        [client, n, _figure(ruptures[client]), _told(kinds[str(client)]) or "–"]
        for client, n in list(sessions.items())[:SHOWN]
    ]
    if len(sessions) > SHOWN:
        table.append([f"… and {len(sessions) - SHOWN} more", "", "", ""])
    print_table(["client", "sessions", "ruptures per 100", "signals"], table)
    if few := sum(n < LEAST_SESSIONS for n in sessions.values()):
        print(
            f"{few} of {len(sessions)} clients have fewer than {LEAST_SESSIONS} sessions, too few to draw limits from."
        )


def _told(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in sorted(kinds.items()))


def _figure(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else "–"
