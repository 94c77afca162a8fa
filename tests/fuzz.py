"""Bytes that nobody wrote, for every reader and importer: ``python tests/fuzz.py READER --seconds N``.

Whatever the bytes, a reader gives a transcript that satisfies its rules or an error of ours that quotes no talk.
Real files are the seeds. With atheris installed the run is guided by coverage; without, it mutates the seeds. What
breaks the rule is kept in ``--found`` and the run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import math
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from coded_sessions import STUDY
from rupturekit import codebook, inputs, rules, sheets, tables, treatment
from rupturekit.annotation import FAMILIES, AnnotatedTranscript
from rupturekit.coding import read_coded
from rupturekit.exchange import export, import_codes
from rupturekit.readers import FORMATS, ReadError, read_sessions
from rupturekit.roles import RoleError
from rupturekit.segment import SESSION_FLAGS, segment
from rupturekit.transcript import ROLES, Transcript
from test_formats_agree import FILES, SAID

HERE = Path(__file__).parent
FOUND = HERE / "found"
EXAMPLES = HERE.parent / "examples" / "sessions"
SLOWEST_S = 20
"""Seconds of work after which a reader is taken to hang."""
BOOK = codebook.load_codebook()


class Broken(AssertionError):
    """A reader gave what breaks the rules."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


# --- the rules ------------------------------------------------------------------------------------


@cache
def talk_words() -> frozenset[str]:
    """Return the words of the seeds' talk that no message of ours has of its own."""
    said = [words for *_, words in TALK]
    ours = "".join(file.read_text("utf-8") for file in Path(tables.__file__).parent.rglob("*.py")).casefold()
    words = set(re.findall(r"[^\W\d_]{6,}", " ".join(said).casefold()))
    return frozenset(words - set(re.findall(r"[^\W\d_]{6,}", ours)))


TALK = [*((turn.speaker, turn.text) for turn in STUDY.transcript), *SAID] + [
    ("", path.read_text("utf-8")) for path in sorted(EXAMPLES.iterdir()) if path.suffix in (".txt", ".vtt", ".srt")
]


def check_error(error: Exception, *, of_talk: bool = True) -> None:
    said = set(re.findall(r"[^\W\d_]{6,}", str(error).casefold()))
    require(len(str(error)) > 10, "an error that says nothing")
    require(not of_talk or not said & talk_words(), "an error that quotes talk")


def check_text(text: object, what: str) -> None:
    require(isinstance(text, str), f"{what} is no text")
    require(not re.search("[\ud800-\udfff]", str(text)), f"{what} has half a character")


def check_transcript(transcript: Transcript) -> None:
    check_text(transcript.id, "an id")
    require(len(transcript) > 0, "no turns")
    require(set(transcript.meta.get("flags", ())) <= set(SESSION_FLAGS), "a flag of the session that there is none of")
    for n, turn in enumerate(transcript):
        require(turn.index == n, "a turn has another turn's number")
        require(turn.role in ROLES, "there is no such role")
        check_text(turn.speaker, "a speaker")
        check_text(turn.text, "a turn")
        require(turn.speaker != "" and turn.text != "" and turn.text == " ".join(turn.text.split()), "an empty turn")
        for time_s in (turn.start_s, turn.end_s):
            require(time_s is None or (math.isfinite(time_s) and time_s >= 0), "a time that is none")
        if turn.start_s is not None and turn.end_s is not None:
            require(turn.start_s <= turn.end_s, "a turn ends before it starts")
        require(turn.line is None or turn.line >= 1, "a line that there is none of")
        for id in turn.source_ids:
            check_text(id, "an utterance's number")
    json.dumps(transcript.meta, ensure_ascii=False, allow_nan=False).encode()
    check_annotated(AnnotatedTranscript(transcript))


def check_annotated(session: AnnotatedTranscript) -> None:
    n = len(session.transcript)
    for m in session.markers:
        require(type(m.turn) is int and 0 <= m.turn < n, "a marker on no turn")
        require(0 <= m.start < m.end <= len(session.transcript[m.turn].text), "a marker on no words")
        require(m.family in FAMILIES and (m.marker not in BOOK or BOOK[m.marker].parent == m.family), "a family")
        require(m.score is None or 0 <= m.score <= 1, "a score that is no probability")
        require(m.clarity in (None, 1, 2, 3), "a clarity")
        check_text(m.source, "a source")
        require(m.note is None or isinstance(m.note, str), "a note is no text")
    for part in session.coded:
        require(part.family in FAMILIES and 0 <= part.first <= part.last < max(n, 1), "coded turns")
    require(AnnotatedTranscript.from_json(session.to_json()) == session, "it is not read back as it was")
    tables.render(session, BOOK)


# --- what is fuzzed -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A reader: its real files, and what reads bytes that lie in a folder and checks the outcome."""

    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], None]


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def zipped(template: bytes, member_of: Callable[[bytes], str], data: bytes) -> bytes:
    """Return an archive with the data as one of its members; what is an archive already stays as it is."""
    if data.startswith(b"PK"):
        return data
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(template)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name == member_of(data) else old.read(name))
    return out.getvalue()


def members(archive: bytes, *suffixes: str) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        return [old.read(name) for name in old.namelist() if name.endswith(suffixes)]


def word_member(data: bytes) -> str:
    return "word/document.xml"


def sheet_member(data: bytes) -> str:
    strings, book = "xl/sharedStrings.xml", "xl/workbook.xml"
    return strings if b"<sst" in data[:400] else book if b"<workbook" in data[:400] else "xl/worksheets/sheet1.xml"


def transcripts(format: str | None) -> Target:
    name = f"s1.{format or 'txt'}"
    member = {"docx": word_member, "xlsx": sheet_member}.get(format or "")

    def seeds() -> list[bytes]:
        written = [write() for _, kind, write, _ in FILES if format in (None, kind)]
        folders = {"eaf": "elan", "textgrid": "praat", "cha": "chat"}
        real = [
            path for kind, folder in folders.items() if format in (None, kind) for path in (HERE / folder).iterdir()
        ]
        examples = [
            path for path in EXAMPLES.iterdir() if path.suffix in (f".{format}", ".txt" if format == "text" else "")
        ]
        found = written + [path.read_bytes() for path in sorted([*real, *examples])]
        if member:
            found += [part for one in found for part in members(one, "document.xml", "sheet1.xml", "Strings.xml")]
        return found

    def read(data: bytes, folder: Path) -> None:
        data = zipped(template(), member, data) if member else data
        try:
            sessions = read_sessions(put(folder, name, data), format=format)
        except ReadError as error:
            require(str(folder) in str(error), "an error that names no file")
            check_error(error)
            return
        for raw in sessions:
            speakers = [who for who, _ in Counter(u.speaker for u in raw.utterances if u.speaker).most_common(2)]
            for roles in (None, dict(zip(speakers, ("therapist", "client")))):
                try:
                    check_transcript(segment(raw, id="s1" if raw.id is None else raw.id, roles=roles))
                    break
                except RoleError as error:
                    check_error(error)

    @cache
    def template() -> bytes:
        return next(write() for _, kind, write, _ in FILES if kind == format)

    return Target(seeds, read)


@cache
def exported(format: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in export([STUDY], format, Path(folder, "out"))}


def codings(format: str, name: str) -> Target:
    def pack(data: bytes) -> bytes:
        if format == "refi-qda":
            texts = next(n for n in zipfile.ZipFile(io.BytesIO(exported(format)[name])).namelist() if "sources" in n)
            return zipped(exported(format)[name], lambda data: "project.qde" if b"<" in data[:9] else texts, data)
        return zlib.compress(data) if format == "docbin" and not data.startswith(b"x\x9c") else data

    def seeds() -> list[bytes]:
        first = exported(format)[name]
        more = {"refi-qda": lambda: members(first, ".qde", ".txt"), "docbin": lambda: [zlib.decompress(first)]}
        real = [path.read_bytes() for path in sorted((HERE / format).glob(f"*{Path(name).suffix}"))]
        return [first, *more.get(format, list)(), *real]

    def read(data: bytes, folder: Path) -> None:
        path = put(folder, name, pack(data))
        if format == "convokit":
            for other in exported(format).keys() - {name}:
                put(folder, other, exported(format)[other])
            path = folder
        try:
            found = import_codes(path, format, [STUDY.transcript], coder="AB")
        except ReadError as error:
            require(str(folder) in str(error), "an error that names no file")
            check_error(error)
            return
        for session in found:
            require(session.transcript == STUDY.transcript, "another transcript")
            require(all(m.source.startswith("coder:") for m in session.markers), "a marker that is nobody's")
            check_annotated(session)

    return Target(seeds, read)


def plain(name: str, seeds: Callable[[], list[bytes]], load: Callable[[Path], Any], *, of_talk: bool = True) -> Target:
    """A file of ours or of a study: what is wrong in it is a ValueError, which names it and quotes no talk in it."""

    def read(data: bytes, folder: Path) -> None:
        try:
            load(put(folder, name, data))
        except ValueError as error:
            kind = type(error)
            require(not issubclass(kind, UnicodeError) and kind is not json.JSONDecodeError, f"a bare {kind.__name__}")
            require(name.partition(".")[0] in str(error), "an error that names no file")
            check_error(error, of_talk=of_talk)

    return Target(seeds, read)


def load_annotations(path: Path) -> None:
    for session in tables.load(path):
        check_annotated(session)


def load_sheet(path: Path) -> None:
    for session in sheets.read(path, [STUDY.transcript], coder="AB"):
        check_annotated(session)


def load_labels(path: Path) -> None:
    table = "session_id,turn,speaker,text\n" + "".join(f'a,{n},{"TC"[n % 2]},"said {n}"\n' for n in range(4))
    put(path.parent, "table.csv", table.encode())
    for session in read_coded(path.parent / "table.csv"):
        check_annotated(session)


def sheet(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return sheets.write([STUDY], Path(folder, f"s{suffix}"))[0].read_bytes()


def data_file(*parts: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(tables.__file__).parent.joinpath("data", *parts).glob("*.toml"))]


def xlsx_sheet() -> Target:
    first = cache(lambda: sheet(".xlsx"))
    load = plain("sheet.xlsx", lambda: [], load_sheet).read
    return Target(
        lambda: [first(), *members(first(), "sheet1.xml", "Strings.xml")],
        lambda data, folder: load(zipped(first(), sheet_member, data), folder),
    )


LABEL = b'{"session": "a", "turn": 1, "raters": ["AB"], "codes": {"C5": {"AB": {"clarity": 2, "spans": [[0, 4]]}}}}\n'
FACTS = b"session_id,client_id,session_number,date,alliance\ns1,K1,1,2024-03-01,5.5\ns2,K1,2,,\n"
TARGETS: dict[str, Target] = {
    "any": transcripts(None),
    **{format: transcripts(format) for format in FORMATS},
    "from-eaf": codings("eaf", "s1.eaf"),
    "from-textgrid": codings("textgrid", "s1.TextGrid"),
    "from-label-studio": codings("label-studio", "tasks.json"),
    "from-inception": codings("inception", "s1.xmi"),
    "from-refi-qda": codings("refi-qda", "rupturekit.qdpx"),
    "from-prodigy": codings("prodigy", "annotations.jsonl"),
    "from-convokit": codings("convokit", "utterances.jsonl"),
    "from-convokit-conversations": codings("convokit", "conversations.json"),
    "from-docbin": codings("docbin", "sessions.spacy"),
    "annotations": plain("annotations.jsonl", lambda: [STUDY.to_json().encode() + b"\n"], load_annotations),
    "sheet-csv": plain("sheet.csv", lambda: [sheet(".csv")], load_sheet),
    "sheet-xlsx": xlsx_sheet(),
    "ratings": plain("sheet.csv", lambda: [b"session,coder,resolution\ns1,AB,4\n"], sheets.read_ratings),
    "clients": plain("clients.csv", lambda: [FACTS], inputs.read_clients),
    "facts": plain("clients.csv", lambda: [FACTS], treatment.read_facts),
    "messages": plain(
        "messages.csv", lambda: [b"client_id,time,text\nK1,2024-03-01T08:30,Late.\n"], treatment.read_messages
    ),
    "labels": plain("table.labels.jsonl", lambda: [LABEL], load_labels),
    "rules": plain(
        "rules.toml",
        lambda: [d[:4000] for d in data_file("rules")],
        lambda p: rules.load_rules(p.parent),
        of_talk=False,
    ),
    "codebook": plain(
        "book.toml", lambda: data_file("codebook"), lambda p: codebook.load_codebook(str(p)), of_talk=False
    ),
    "crosswalk": plain(
        "book.toml", lambda: data_file("codebook"), lambda p: codebook.load_crosswalk(str(p)), of_talk=False
    ),
}


# --- mutation -------------------------------------------------------------------------------------

_TOKENS = [
    b"\x00",
    b"\xff",
    b"\n",
    b"\r",
    b'"',
    b"'",
    b"<",
    b">",
    b"&#0;",
    b"[",
    b"]",
    b"{",
    b"}",
    b"null",
    b"NaN",
    b"1e999",
]
_TOKENS += [
    b"-1",
    b"0",
    b"9" * 400,
    b"9" * 5000,
    b"\\ud800",
    b"\xed\xa0\x80",
    "\u2028".encode(),
    "٣".encode(),
    "²".encode(),
]
_TOKENS += [
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"T: ",
    b"C: ",
    b"[silence 12s]",
    b"-->",
    b"00:00:01.000",
    b"\x15",
    b"@End",
    b"=",
    b",",
]
_PIECE = re.compile(rb"[A-Za-z_]+|[0-9.]+|\s+|[^A-Za-z_0-9.\s]")


def mutated(data: bytes, seeds: list[bytes], dice: random.Random) -> bytes:
    """Return the data changed a few times: in bytes, pieces (words, numbers, signs), lines, or by a seed's."""
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        way, at = dice.randrange(8), dice.randrange(len(data) + 1)
        end = min(len(data), at + dice.choice((1, 4, 20, 200)))
        if way == 0:
            data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        elif way == 1:
            data = data[:at] + data[end:]
        elif way == 2:
            data = data[:end] + data[at:end] * dice.choice((1, 1, 2, 50)) + data[end:]
        elif way == 3:
            data = data[:at] + dice.choice(_TOKENS) + data[dice.choice((at, end)) :]
        elif way == 4:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            data = data[:at] + other[start : start + dice.choice((8, 60, 400))] + data[end:]
        elif way == 5:
            lines = data.split(b"\n")
            i, j = dice.randrange(len(lines)), dice.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            data = b"\n".join(lines)
        else:
            near = [m.span() for m in _PIECE.finditer(data, max(0, at - 40), min(len(data), at + 40))]
            if near:
                a, b = dice.choice(near)
                c, d = dice.choice(near)
                data = data[:a] + (data[c:d] if way == 6 else dice.choice(_TOKENS)) + data[b:]
    return data[:60_000]


def cases(name: str, seed: int) -> Iterator[bytes]:
    """Yield the seeds as they are, and then without end what mutation makes of them."""
    dice, seeds = random.Random(f"{name}{seed}"), TARGETS[name].seeds()
    yield from seeds
    while True:
        yield mutated(dice.choice(seeds), seeds, dice)


def run_case(name: str, data: bytes) -> None:
    """Read the bytes; raise if the rule is broken or it takes too long."""

    def hang(*_: object) -> None:
        raise Broken(f"it takes longer than {SLOWEST_S} s")

    # the time of this process, which a busy machine does not stretch
    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, SLOWEST_S)
    try:
        with tempfile.TemporaryDirectory() as folder:
            TARGETS[name].read(data, Path(folder))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# --- a long run -----------------------------------------------------------------------------------


class Run:
    """Counts cases and keeps the shortest that breaks the rule at each place."""

    def __init__(self, name: str, found: Path) -> None:
        self.name, self._found, self.n = name, found, 0
        self._shortest: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        self.n += 1
        try:
            run_case(self.name, data)
        except (Exception, RecursionError) as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "rupturekit" in f.filename]
            what = str(error) if isinstance(error, Broken) else type(error).__name__
            key = f"{what} {ours[-1] if ours else ''}"
            if len(data) < self._shortest.get(key, 1 << 30):
                self._shortest[key] = len(data)
                self._found.mkdir(parents=True, exist_ok=True)
                stem = f"{self.name}.{hashlib.sha256(key.encode()).hexdigest()[:8]}"
                (self._found / stem).write_bytes(data)
                (self._found / f"{stem}.why").write_text("".join(traceback.format_exception(error)), "utf-8")
                print(f"{self.name}: {key} ({len(data)} bytes)", flush=True)
        if self.n % 500 == 0:
            (self._found / f"{self.name}.n").write_text(str(self.n))


def guided(name: str, seconds: int, found: Path) -> None:
    """Run under atheris; called in a process that imported us instrumented."""
    import atheris

    run, dice = Run(name, found), random.Random(name)
    seeds = TARGETS[name].seeds()
    folder = Path(tempfile.mkdtemp())
    for n, seed in enumerate(seeds):
        (folder / str(n)).write_bytes(seed)

    def change(data: bytes, largest: int, seed: int) -> bytes:
        other = (
            mutated(data, seeds, dice) if dice.random() < 0.6 else atheris.Mutate(data, min(len(data) + 64, largest))
        )
        return other[:largest]

    options = [f"-max_total_time={seconds}", "-timeout=2000", "-max_len=60000", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([name, *options, str(folder)], run, custom_mutator=change)
    atheris.Fuzz()


def unguided(name: str, seconds: int, found: Path) -> None:
    run, end = Run(name, found), time.monotonic() + seconds
    for data in cases(name, 0):
        if time.monotonic() > end:
            break
        run(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir(), "rupturekit-found"))
    args = parser.parse_args()
    args.found.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("atheris") is None:
        unguided(args.reader, args.seconds, args.found)
    else:
        code = (
            "import atheris, pathlib\n"
            "with atheris.instrument_imports(include=['rupturekit']):\n    import fuzz\n"
            f"fuzz.guided({args.reader!r}, {args.seconds}, pathlib.Path({str(args.found.absolute())!r}))\n"
        )
        subprocess.run([sys.executable, "-c", code], cwd=HERE, check=False, stderr=subprocess.DEVNULL)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    minutes = sum(one.ru_utime + one.ru_stime for one in used) / 60
    counted = args.found / f"{args.reader}.n"
    n = counted.read_text() if counted.exists() else "0"
    print(f"{args.reader}: {n} cases or more, {minutes:.1f} CPU minutes", flush=True)


if __name__ == "__main__":
    main()
