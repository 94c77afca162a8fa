"""A coding study, all the way round: machine codes, human codes in any tool, agreement, a model of one's own.

    python examples/study/study.py OUT

Ten invented sessions (`examples/sessions`) and two coders, AB and CD, whose codings are in `codings/`: written for
this example, so that it can be run without waiting for two people. Each step is a command that you would type; the
lines between them do what the coders do.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import rupturekit as rk
from rupturekit import exchange
from rupturekit.annotation import FAMILIES
from rupturekit.cli import main

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "models" / "withdrawal-en"
CODERS = ("AB", "CD")
RETURNED = {
    "eaf": "*.eaf",
    "textgrid": "*.TextGrid",
    "label-studio": "tasks.json",
    "inception": "*.xmi",
    "refi-qda": "*.qdpx",
    "prodigy": "annotations.jsonl",
    "convokit": ".",
    "docbin": "*.spacy",
}
"""What comes back from each tool: the files to import."""


def run(*arguments: str | Path) -> None:
    """Run one command, as in a shell, and stop when it fails."""
    shown = [a.name if isinstance(a, Path) else a for a in arguments]
    print("$ rupturekit", *shown[:3], *(["…"] if len(shown) > 12 else []), *shown[3:][-9:], flush=True)
    if main([str(a) for a in arguments]) != 0:
        raise SystemExit(1)


def coded_by(coder: str, sessions: Sequence[rk.AnnotatedTranscript]) -> list[rk.AnnotatedTranscript]:
    """Return what a coder has in a tool when the work is done: every session read, some turns marked."""
    book = rk.load_codebook()
    with (HERE / "codings" / f"{coder}.csv").open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    out = []
    for session in sessions:
        transcript = session.transcript
        markers = []
        for row in (row for row in given if row["session"] == transcript.id):
            entry, turn = book.by_code(row["code"]), int(row["turn"])
            start = transcript[turn].text.index(row["words"])
            end, clarity = start + len(row["words"]), int(row["clarity"])
            given_here = rk.Marker(turn, start, end, entry.parent, entry.id, clarity=clarity, source=f"coder:{coder}")
            markers.append(given_here)
        read = tuple(rk.Coded(f"coder:{coder}", family, 0, len(transcript) - 1) for family in FAMILIES)
        out.append(replace(session, markers=tuple(sorted(markers, key=lambda m: (m.turn, m.start))), coded=read))
    return out


def study(out: Path) -> None:
    """Walk the circle."""
    machine = out / "annotated"

    print("\n1. The machine reads the sessions.\n")
    run("annotate", HERE.parent / "sessions", "--out", machine)

    print("\n2. Coders get what they work with: here a blind sheet each, and the same sessions for every tool.\n")
    for coder in CODERS:
        run("sheet", machine, "--blank", "--coder", coder, "--out", out / "given" / f"{coder}.xlsx")
    for tool in exchange.FORMATS:
        run("export", machine, "--format", tool, "--blank", "--out", out / "given" / tool)
    run("sample", machine, "--n", "8", "--coders", ",".join(CODERS), "--out", out / "sample")

    print("\n3. AB and CD code. (Simulated: their work, as each tool would hold it.)\n")
    sessions = rk.load(machine)
    for coder in CODERS:
        for tool in exchange.FORMATS:
            exchange.export(coded_by(coder, sessions), tool, out / "returned" / coder / tool)

    print("\n4. Their work comes back. Whatever the tool, it is the same coding.\n")
    for coder in CODERS:
        for tool, files in RETURNED.items():
            folder = out / "returned" / coder / tool
            paths = [folder] if files == "." else sorted(folder.glob(files))
            back = out / "codes" / tool / f"{coder}.jsonl"
            run("import", *paths, "--format", tool, "--transcripts", machine, "--coder", coder, "--out", back)
            theirs = [(s.transcript.id, s.markers) for s in rk.load(back)]
            assert sorted(theirs) == sorted((s.transcript.id, s.markers) for s in coded_by(coder, sessions)), tool
    codes = out / "codes" / "eaf"

    print("\n5. How far do they agree, with each other and with the machine?\n")
    for level in ("turn", "segment", "session"):
        run(
            "agree", *(codes / f"{coder}.jsonl" for coder in CODERS), machine,
            "--level", level, "--out", out / "agreement" / level,
        )  # fmt: skip
    print((out / "agreement" / "turn" / "agreement.txt").read_text("utf-8"))

    print("\n6. A model fitted on from their codes, measured on clients held out.\n")
    run("train", "--codes", codes, "--init", MODEL, "--out", out / "own-model")

    print("\n7. That model reads the rest.\n")
    run("annotate", HERE.parent / "sessions", "--model", out / "own-model", "--out", out / "annotated-again")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/study/study.py OUT")
    study(Path(sys.argv[1]))
