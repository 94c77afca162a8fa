"""How fast is an archive annotated, against what a user would write, and what does it take? Prints the table.

    python benchmarks/speed.py [TABLE] [--turns 10000] [--repeats 3] [--rows whole,overhead,rules,workers,memory,cold]
        [--memory-sessions 1000] [--memory-turns 300] [--memory-no-model] [--python PATH]

Without a table of sessions, simulated talk as long-winded as AnnoMI's (``archive.py``). Every figure is a median with
its range; what is compared runs by turns (A B A B), and a ratio is that of two runs of one round.

* whole: ``rupturekit annotate`` from a table to its files, against transformers' text-classification pipeline with the
  same encoder's weights (a head of two labels), float32, from the same table to a CSV; every turn with the turn before,
  128 tokens, one pair at a time and in batches of 32. Processes of their own, start-up counted on both sides.
* overhead: the part of a warm run on one core that is not spent in onnxruntime: reading, tokens, rules, scores, files.
* rules: ready transcripts, one core, processor time, after 10,000 turns of other talk, as anywhere in an archive (the
  rules keep what they know of a word, so the first turns of a process are dearer); the share of turns with a pattern
  to try.
* workers: one worker process against two, each on one core; start-up counted.
* memory: the highest resident size of each process of a run with two workers, with 100 sessions and with more.
* cold: a process from start to end on one session as long as AnnoMI's, against ``import spacy``, in the environment
  of ``--python``: one without torch.

Wanted: what stands in the column "goal". On a machine that does nothing else: torch's threads wait for each other, and
beside another job they lose more than the rest.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import archive

MODEL = archive.ROOT / "models" / "withdrawal-en"
SEED, EACH = 7, 300
ANNOMI_LENGTH = 76

WEIGHTS = """
import sys
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast
from rupturekit.classifier import Classifier
from rupturekit.encoder import new_encoder, read_base

model, out = sys.argv[1:]
tokenizer, recipe = read_base(model, Classifier.load(model).recipe)
base = new_encoder(model, tokenizer, recipe).base
network = AutoModelForSequenceClassification.from_config(base.config)
missing, unexpected = network.base_model.load_state_dict(base.state_dict(), strict=False)
assert not unexpected and all(name.startswith("pooler.") for name in missing), (missing, unexpected)
network.save_pretrained(out)
pad, cls, sep = map(tokenizer.id_to_token, (base.config.pad_token_id, recipe.cls, recipe.sep))
tokenizer.post_processor = TemplateProcessing(
    single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B {sep}", special_tokens=[(cls, recipe.cls), (sep, recipe.sep)]
)
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, model_max_length=512, pad_token=pad, unk_token="[UNK]", cls_token=cls, sep_token=sep,
    model_input_names=["input_ids", "attention_mask"],
).save_pretrained(out)
"""
"""Saves the model's encoder as transformers knows it: no part of what is timed."""

READ = """
import csv, sys
from transformers import pipeline

model, table, out = sys.argv[1:]
with open(table, encoding="utf-8-sig", newline="") as file:
    turns = list(csv.DictReader(file))
before = {"session_id": None}
pairs = []
for turn in turns:
    same = turn["session_id"] == before["session_id"]
    pairs.append({"text": before["text"] if same else "", "text_pair": turn["text"]})
    before = turn
classify = pipeline("text-classification", model=model, device="cpu")
"""
ONE_BY_ONE = "results = [classify(pair, truncation=True, max_length=128) for pair in pairs]"
BATCHES = "results = classify(pairs, truncation=True, max_length=128, batch_size=32)"
WRITE = """
with open(out, "w", encoding="utf-8", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(("session_id", "turn", "label", "score"))
    for n, (turn, result) in enumerate(zip(turns, results)):
        rows.writerow((turn["session_id"], n, result["label"], result["score"]))
"""

Run = Callable[[], float]


def by_turns(repeats: int, **runs: Run) -> dict[str, list[float]]:
    """Run each once, then each again …; return what each said every time."""
    said: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            said[name].append(run())
    return said


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(over, under)]


def shown(values: Sequence[float], form: str = "{:.2f}", unit: str = "") -> str:
    """Return the median with its range."""
    a, b, c = (form.format(x) for x in (median(values), min(values), max(values)))
    return f"{a}{unit} ({b}–{c})"


def row(what: str, goal: str, measured: str, of: str = "") -> None:
    print(f"| {what} | {goal} | {measured} | {of} |", flush=True)


def seconds(command: Sequence[str | Path], **more: Any) -> float:
    """Run a command to its end and return how long that took."""
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    took = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{command}\nended with {done.returncode}\n{done.stderr[-2000:]}")
    return took


def annotate(given: Path, folder: Path, *options: str, python: str = sys.executable) -> list[str | Path]:
    """Return the command that annotates a file or folder into a new folder."""
    out = Path(tempfile.mkdtemp(dir=folder))
    return [python, "-m", "rupturekit", "annotate", given, "--out", out, *options]


# --- the rows -----------------------------------------------------------------------------------------


def whole(args: argparse.Namespace, folder: Path) -> None:
    model = folder / "transformers"
    seconds([sys.executable, "-c", WEIGHTS, MODEL, model])

    def theirs(how: str) -> Run:
        code = READ + how + WRITE
        return lambda: seconds([sys.executable, "-c", code, model, args.table, folder / "baseline.csv"])

    t = by_turns(
        args.repeats,
        ours=lambda: seconds(annotate(args.table, folder)),
        one=theirs(ONE_BY_ONE),
        batches=theirs(BATCHES),
    )
    with (folder / "baseline.csv").open() as file:
        n = sum(1 for _ in csv.reader(file)) - 1
    ours = shown(t["ours"], "{:.1f}", " s")
    for name, against in (("one", "one pair at a time"), ("batches", "batches of 32")):
        row(
            f"whole run against transformers, {against}",
            "3×, goal 6×",
            shown(ratios(t[name], t["ours"]), unit="×"),
            f"{n} turns: {ours} against {shown(t[name], '{:.1f}', ' s')}",
        )


def overhead(args: argparse.Namespace, folder: Path) -> None:
    # in a process of its own: it is held on one core, as a worker is
    parts = [json.loads(_child("_overhead", args.table, folder)) for _ in range(args.repeats)]
    row(
        "all that is not the encoder",
        "≤ 10 %",
        shown([100 * (1 - p["encoder"] / p["run"]) for p in parts], "{:.1f}", " %"),
        f"{parts[0]['turns']} turns, warm, one core: {shown([p['run'] for p in parts], '{:.1f}', ' s')}; "
        f"{shown([p['turns'] / p['run'] for p in parts], '{:.0f}')} turns/s",
    )


def _overhead(table: str, folder: str) -> str:
    _one_core()
    import onnxruntime

    from rupturekit import Annotator, annotate_folder

    spent = 0.0
    run = onnxruntime.InferenceSession.run

    def timed(*args: Any, **more: Any) -> Any:
        nonlocal spent
        start = time.perf_counter()
        try:
            return run(*args, **more)
        finally:
            spent += time.perf_counter() - start

    onnxruntime.InferenceSession.run = timed
    annotator = Annotator()
    first = Path(tempfile.mkdtemp(dir=folder), "first.csv")
    archive.table(first, 50, 50, SEED + 1)
    annotate_folder(first, first.parent / "out", annotator, workers=0)  # loads all that is loaded when first used
    spent, start = 0.0, time.perf_counter()
    report = annotate_folder(table, tempfile.mkdtemp(dir=folder), annotator, workers=0)
    took = time.perf_counter() - start
    turns = sum(session.n_turns for outcome in report.inputs for session in outcome.sessions)
    return json.dumps({"run": took, "encoder": spent, "turns": turns})


def rules(args: argparse.Namespace, folder: Path) -> None:
    said = [json.loads(_child("_rules", args.table, folder)) for _ in range(args.repeats)]
    row(
        "rules only, ready transcripts, one core",
        "≥ 15,000 turns/s",
        shown([p["rate"] for p in said], "{:.0f}", " turns/s"),
        f"{said[0]['turns']} turns, {said[0]['anchored']:.0%} with a pattern to try; "
        f"a process's first 10,000 {shown([p['first'] for p in said], '{:.0f}', ' turns/s')}",
    )


def _rules(table: str, folder: str) -> str:
    _one_core()
    from rupturekit import Annotator, read_all
    from rupturekit.rules import shipped

    annotator, detector = Annotator(model=None), shipped()

    def rate(path: str | Path) -> float:
        transcripts = read_all(path)
        start = time.process_time()
        for transcript in transcripts:
            annotator(transcript)
        return sum(map(len, transcripts)) / (time.process_time() - start)

    other = Path(tempfile.mkdtemp(dir=folder), "other.csv")
    archive.table(other, 10_000, EACH, SEED + 1)
    first, then = rate(other), rate(table)
    turns = [turn for transcript in read_all(table) for turn in transcript if turn.role != "other"]
    tried = sum(bool(detector._anchors[turn.role].find(detector._pieces.of(turn.text))) for turn in turns)
    return json.dumps({"first": first, "rate": then, "turns": len(turns), "anchored": tried / len(turns)})


def workers(args: argparse.Namespace, folder: Path) -> None:
    t = by_turns(
        args.repeats,
        one=lambda: seconds(annotate(args.table, folder, "--workers", "1")),
        two=lambda: seconds(annotate(args.table, folder, "--workers", "2")),
    )
    row(
        "two workers against one",
        "≥ 1.7×",
        shown(ratios(t["one"], t["two"]), unit="×"),
        f"{shown(t['one'], '{:.1f}', ' s')} against {shown(t['two'], '{:.1f}', ' s')}, start-up counted",
    )


def memory(args: argparse.Namespace, folder: Path) -> None:
    few, many = 100, args.memory_sessions
    given = {}
    for n in (few, many):
        given[n] = folder / f"archive-{n}"
        for _ in archive.archive(given[n], n, args.memory_turns, SEED):
            pass
    options = ["--workers", "2", *(["--no-model"] if args.memory_no_model else [])]
    peaks: dict[int, list[dict[str, float]]] = {few: [], many: []}
    for _ in range(args.memory_repeats):
        for n in (few, many):
            peaks[n].append(peak(annotate(given[n], folder, *options)))
    which = "rules only" if args.memory_no_model else "with the model"
    for who, goal in (("worker", "≤ 500 MB, the same within 10 %"), ("parent", ""), ("sum", "")):
        a, b = ([p[who] for p in peaks[n]] for n in (few, many))
        row(
            f"peak memory, {'the larger worker' if who == 'worker' else who}",
            goal,
            f"{shown(b, '{:.0f}', ' MB')} with {many} sessions, {shown(a, '{:.0f}', ' MB')} with {few}: "
            f"{median(b) / median(a) - 1:+.0%}",
            f"two workers, {which}, sessions of about {args.memory_turns} turns",
        )


def peak(command: Sequence[str | Path]) -> dict[str, float]:
    """Run a command; return the highest resident sizes (MB) of its process, of its largest worker, and of all.

    Highest so far is what the kernel keeps for each process, so that looking now and then is enough. Of
    ``sum`` no more is claimed than that the run never took more: not all need be at their highest at once.
    """
    highest: dict[int, tuple[float, bool]] = {}
    run = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    while run.poll() is None:
        for pid in _tree(run.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                # multiprocessing's own helper, which tracks what is shared, is no worker
                worker = "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    highest[pid] = float(line.split()[1]) * 1024 / 1e6, worker
        time.sleep(0.05)
    if run.returncode:
        raise SystemExit(f"{command}\nended with {run.returncode}")
    return {
        "parent": highest[run.pid][0],
        "worker": max(size for size, worker in highest.values() if worker),
        "sum": sum(size for size, _ in highest.values()),
    }


def _tree(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        found.append(here := todo.pop())
        for children in Path(f"/proc/{here}/task").glob("*/children"):
            try:
                todo += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def cold(args: argparse.Namespace, folder: Path) -> None:
    goal = "≤ 1.5 s more"
    if not args.python:
        row("cold start", goal, "not measured", "give --python of an environment without torch")
        return
    absent = "import importlib.util as u; raise SystemExit(u.find_spec('torch') is not None)"
    if subprocess.run([args.python, "-c", absent], check=False).returncode:
        raise SystemExit(f"{args.python}: no such Python, or torch is installed there")
    session = folder / "session.txt"
    session.write_bytes(archive.WRITERS["txt"](archive.talk(0, ANNOMI_LENGTH, SEED)))
    t = by_turns(
        # short runs: more of them, and the first round only fills the disk's cache
        2 * args.repeats + 1,
        spacy=lambda: seconds([args.python, "-c", "import spacy"]),
        ours=lambda: seconds(annotate(session, folder, python=args.python)),
    )
    spacy, ours = t["spacy"][1:], t["ours"][1:]
    row(
        "cold start, to the outputs of the first session",
        goal,
        shown([b - a for a, b in zip(spacy, ours)], unit=" s more"),
        f"{ANNOMI_LENGTH} turns: {shown(ours, unit=' s')} against import spacy {shown(spacy, unit=' s')}",
    )


def _child(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, __file__, name, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


ROWS = {f.__name__: f for f in (whole, overhead, rules, workers, memory, cold)}
CHILDREN = {f.__name__: f for f in (_overhead, _rules)}


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in CHILDREN:
        print(CHILDREN[sys.argv[1]](*sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "table", nargs="?", type=Path, help="CSV with session_id, speaker, text; simulated if not given"
    )
    parser.add_argument("--turns", type=int, default=10_000, help="turns of the simulated table")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", default=",".join(ROWS), help="which to measure")
    parser.add_argument("--memory-sessions", type=int, default=1000)
    parser.add_argument("--memory-turns", type=int, default=EACH, help="turns of each of these sessions")
    parser.add_argument("--memory-no-model", action="store_true", help="rules only, for the largest")
    parser.add_argument("--memory-repeats", type=int, default=1)
    parser.add_argument("--python", help="of an environment with rupturekit and without torch, for the cold start")
    args = parser.parse_args()
    names = args.rows.split(",")
    if wrong := sorted(set(names) - set(ROWS)):
        parser.error(f"no row {', '.join(wrong)}; there is {', '.join(ROWS)}")
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "spacy", "torch", "transformers"))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {packages}\n")
    print("| | goal | measured | of |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.table is None:
            args.table = folder / "sessions.csv"
            archive.table(args.table, args.turns, EACH, SEED)
        for name in names:
            ROWS[name](args, folder)


if __name__ == "__main__":
    main()
