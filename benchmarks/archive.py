"""Write a simulated archive: sessions as long-winded as AnnoMI's, of invented talk, in the formats that clinics have.

    python benchmarks/archive.py DIR [--sessions 10000] [--turns 300] [--seed 7]

Turns are drawn from the project's synthetic talk, therapist and client by turns; as many words a turn, and as many
turns with a marker, as in AnnoMI. Seven sessions in ten are ``T: …`` / ``C: …`` lines, one each is DOCX, VTT and
CSV, in folders of a thousand. Session n is the same for a seed whatever the number of sessions, and no two are the
same. Prints the mean words a turn of the archive, and of AnnoMI where its table is at hand.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import zipfile
from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
ANNOMI = ROOT.parent / "shared" / "data" / "annomi_train.csv"
SHARES = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99, 0.998, 1)
WORDS = {
    "T": (1, 1, 3, 7, 10, 14, 19, 27, 33, 41, 52, 66, 95, 128, 190),
    "C": (1, 1, 2, 5, 7, 11, 16, 23, 29, 39, 52, 72, 102, 140, 246),
}
"""Words of AnnoMI's turns that are among the shortest ``SHARES`` of each speaker's."""
MARKED = {"T": 0.06, "C": 0.11}
"""Share of AnnoMI's turns on which at least half of the raters found a marker."""
LONGEST = 20
"""Words of the longest turn that is drawn whole; longer ones are put together."""
FORMATS = ("txt",) * 7 + ("docx", "vtt", "csv")

Talk = list[tuple[str, str]]


@lru_cache(maxsize=1)
def pool() -> dict[tuple[str, str, bool], list[list[str]]]:
    """Return the turns to draw from: (style, speaker, whether it has a marker) → number of words → texts."""
    found: dict[tuple[str, str, bool], list[list[str]]] = {}
    for name in ("sessions", "exchanges"):
        for line in (ROOT / "data" / "synthetic" / f"{name}.jsonl").read_text("utf-8").splitlines():
            item = json.loads(line)
            for who, text, *codes in item["turns"]:
                texts = found.setdefault((item["style"], who, any(codes)), [[] for _ in range(LONGEST + 1)])
                if len(words := text.split()) <= LONGEST:
                    texts[len(words)].append(text)
    return found


def talk(number: int, turns: int, seed: int, style: str = "transcript") -> Talk:
    """Return a session of so many turns, as (speaker, text)."""
    rng = random.Random(f"{seed} {number}")
    return [(who := "TC"[n % 2], _turn(rng, style, who)) for n in range(turns)]


def _turn(rng: random.Random, style: str, who: str) -> str:
    share = rng.random()
    above = bisect(SHARES, share)
    (a, b), (low, high) = SHARES[above - 1 : above + 1], WORDS[who][above - 1 : above + 1]
    left = round(low + (high - low) * (share - a) / (b - a))
    marked, parts = rng.random() < MARKED[who], []
    while left > 0:
        n = min(left, LONGEST)
        parts.append(rng.choice(pool()[style, who, marked][n]))
        left, marked = left - n, False
    return " ".join(parts)


def length(number: int, turns: int, seed: int) -> int:
    """Return the turns of a session: about so many."""
    return random.Random(f"length {seed} {number}").randint(round(0.8 * turns), round(1.2 * turns))


def table(path: Path, turns: int, each: int, seed: int) -> None:
    """Write one table of sessions of about ``each`` turns, so many turns in all."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("session_id", "speaker", "text"))
        number = 0
        while turns > 0:
            said = talk(number, min(turns, length(number, each, seed)), seed)
            rows.writerows((f"s{number:06}", *turn) for turn in said)
            number, turns = number + 1, turns - len(said)


def archive(folder: Path, sessions: int, turns: int, seed: int, formats: tuple[str, ...] = FORMATS) -> Iterator[Talk]:
    """Write the archive, and yield its sessions one by one."""
    for number in range(sessions):
        format = formats[number % len(formats)]
        said = talk(number, length(number, turns, seed), seed, "caption" if format == "vtt" else "transcript")
        path = folder / f"{number // 1000:03}" / f"s{number:06}.{format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WRITERS[format](said))
        yield said


def _txt(said: Talk) -> bytes:
    return "\n\n".join(f"{who}: {text}" for who, text in said).encode() + b"\n"


def _csv(said: Talk) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([("speaker", "text"), *said])
    return file.getvalue().encode()


def _vtt(said: Talk) -> bytes:
    cues, seconds = ["WEBVTT"], 0.0
    for who, text in said:
        end = seconds + 0.5 + 0.35 * len(text.split())
        cues.append(f"{_clock(seconds)} --> {_clock(end)}\n{who}: {text}")
        seconds = end + 0.4
    return "\n\n".join(cues).encode() + b"\n"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60:02}:{int(minutes) % 60:02}:{int(rest):02}.{int(rest % 1 * 1000):03}"


_OFFICE = "http://schemas.openxmlformats.org"
_DOCX = {
    "[Content_Types].xml": f'<Types xmlns="{_OFFICE}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_OFFICE}/package/2006/relationships"><Relationship Id="r1" '
    f'Type="{_OFFICE}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
}


def _docx(said: Talk) -> bytes:
    # by hand: python-docx takes ten times as long and writes the time of day
    paragraphs = "".join(f"<w:p><w:r><w:t>{escape(f'{who}: {text}')}</w:t></w:r></w:p>" for who, text in said)
    document = f'<w:document xmlns:w="{_OFFICE}/wordprocessingml/2006/main"><w:body>{paragraphs}</w:body></w:document>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        for name, part in {**_DOCX, "word/document.xml": document}.items():
            head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
            package.writestr(zipfile.ZipInfo(name), head + part, zipfile.ZIP_DEFLATED, 1)
    return file.getvalue()


WRITERS = {"txt": _txt, "docx": _docx, "vtt": _vtt, "csv": _csv}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--annomi", type=Path, default=ANNOMI, help="its table, to set the words a turn against")
    arguments = parser.parse_args()
    if arguments.folder.exists() and any(arguments.folder.iterdir()):
        parser.error(f"{arguments.folder} is not empty")
    turns = words = 0
    for said in archive(arguments.folder, arguments.sessions, arguments.turns, arguments.seed):
        turns, words = turns + len(said), words + sum(len(text.split()) for _, text in said)
    print(f"{arguments.sessions} sessions, {turns} turns, {words / turns:.2f} words a turn")
    if arguments.annomi.is_file():
        from rupturekit import read_all

        there = [len(turn.text.split()) for session in read_all(arguments.annomi) for turn in session]
        print(f"AnnoMI: {len(there)} turns, {sum(there) / len(there):.2f} words a turn")


if __name__ == "__main__":
    main()
