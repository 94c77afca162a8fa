"""Speed of the rules on ready transcripts, beside two phrase matchers: turns a second of one core.

    python benchmarks/rule_speed.py ../shared/data/annomi_train.csv [--medspacy PYTHON] [--edsnlp PYTHON] [--repeats 7]

medspaCy (TargetMatcher and ConText, with spaCy's sentencizer) and EDS-NLP (``eds.matcher``) look for literal phrases
on the same turns, each in the Python that has it (they may want another spaCy), this one unless told; one that is not
installed is left out. They get the literal phrases of the rules: for each pattern as many as its longest choice has
alternatives, the k-th phrase taking of every choice the k-th alternative (and again from the first), without gaps and
what may be missing. So every alternative of every pattern is in some phrase; a phrase with one of . ? ! , is left out.
The rules find these phrases and all other combinations, fillers in between, and scope. Last row of the rules: the
detector on the phrases alone, each a pattern.

Each is warmed up once and then measured in turn, by processor time; one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

Run = Callable[[], object]


def phrases() -> dict[str, list[str]]:
    """Return literal phrases for each rule."""
    from rupturekit.rules import _GAP, _expand, _load, load_codebook

    rules, slots, _ = _load(None, load_codebook())
    found: dict[str, dict[str, None]] = {}
    for rule in rules:
        for pattern in rule.patterns:
            choices = [e for e in _expand(pattern, slots) if "" not in e and not _GAP.match(e[0])]
            for k in range(max(map(len, choices))):
                phrase = " ".join(choice[k % len(choice)] for choice in choices)
                if not set(phrase) & set(".?!,"):
                    found.setdefault(rule.id, {})[phrase] = None
    return {name: list(listed) for name, listed in found.items()}


def literal(listed: Mapping[str, Iterable[str]], folder: Path) -> Any:
    """Return a detector of the literal phrases alone."""
    from rupturekit.rules import RuleDetector, load_rules

    marker = {rule.id: rule.marker for rule in load_rules()}
    for name, values in listed.items():
        (folder / f"{name}.toml").write_text(
            f'[[rule]]\nid = "{name}"\nmarker = "{marker[name]}"\nwhy = "Said."\nweight = 0.5\n'
            f"patterns = {json.dumps(list(values))}\nhits = ['x']\nmisses = ['y']\n",
            "utf-8",
        )
    return RuleDetector(folder)


def medspacy(listed: Mapping[str, Iterable[str]], texts: list[str]) -> Iterator[tuple[str, Run]]:
    import spacy
    from loguru import logger
    from medspacy.ner import TargetRule

    logger.remove()
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    matcher: Any = nlp.add_pipe("medspacy_target_matcher")
    matcher.add([TargetRule(phrase, name) for name, values in listed.items() for phrase in values])
    nlp.add_pipe("medspacy_context")
    versions = f"medspaCy {_version('medspacy')}, spaCy {spacy.__version__}"
    yield f"TargetMatcher + ConText ({versions})", lambda: [len(nlp(text).ents) for text in texts]


def edsnlp(listed: Mapping[str, Iterable[str]], texts: list[str]) -> Iterator[tuple[str, Run]]:
    import edsnlp
    import spacy

    for attribute in ("LOWER", "NORM"):
        nlp = edsnlp.blank("en")
        nlp.add_pipe("eds.matcher", config={"terms": dict(listed), "attr": attribute})
        versions = f"EDS-NLP {_version('edsnlp')}, spaCy {spacy.__version__}"
        yield f"eds.matcher, {attribute} ({versions})", lambda nlp=nlp: [len(nlp(text).ents) for text in texts]  # type: ignore[misc]


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def serve(name: str) -> None:
    """Build a matcher from the phrases on standard input; run one for each number that follows, say its time."""
    given = json.loads(sys.stdin.readline())
    said, sys.stdout = sys.stdout, sys.stderr
    try:
        runs = list({"medspacy": medspacy, "edsnlp": edsnlp}[name](given["phrases"], given["texts"]))
    except ImportError:
        runs = []
    print(json.dumps([label for label, _ in runs]), file=said, flush=True)
    for line in sys.stdin:
        print(timed(runs[int(line)][1]), file=said, flush=True)


def timed(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def elsewhere(name: str, python: str, given: str) -> Iterator[tuple[str, Callable[[], float]]]:
    """Return what a package of another Python offers: each with a call that runs it there once and says its time.

    The other Python ends when this one does.
    """
    server = subprocess.Popen(
        [python, __file__, "--serve", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin
    assert server.stdout
    server.stdin.write(given + "\n")
    server.stdin.flush()
    labels = json.loads(server.stdout.readline() or "[]")
    if not labels:
        print(f"{name}: not installed here; left out", file=sys.stderr)
    for number, label in enumerate(labels):

        def once(number: int = number) -> float:
            print(number, file=server.stdin, flush=True)
            return float(server.stdout.readline())  # type: ignore[union-attr]

        yield label, once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?")
    parser.add_argument("--medspacy", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--edsnlp", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--serve", choices=("medspacy", "edsnlp"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve)
    if arguments.table is None:
        parser.error("the following arguments are required: table")

    from rupturekit import Annotator, read_all
    from rupturekit.rules import RuleDetector, _blank

    _blank()  # spaCy's import is not the detector's
    sessions = read_all(arguments.table)
    turns = [turn for session in sessions for turn in session]
    start = time.process_time()
    detector = RuleDetector()
    building = time.process_time() - start
    annotate = Annotator(model=None)
    listed = phrases()
    with tempfile.TemporaryDirectory() as folder:
        by_phrase = literal(listed, Path(folder))
    rows: list[tuple[str, Callable[[], float]]] = [
        ("RuleDetector().scan", lambda: timed(lambda: [detector.scan(s) for s in sessions])),
        ("Annotator(model=None)", lambda: timed(lambda: [annotate(s) for s in sessions])),
        ("scan, the phrases alone", lambda: timed(lambda: [by_phrase.scan(s) for s in sessions])),
    ]
    given = json.dumps({"phrases": listed, "texts": [turn.text for turn in turns]})
    for name in ("medspacy", "edsnlp"):
        rows += elsewhere(name, getattr(arguments, name), given)
    times: list[list[float]] = [[] for _ in rows]
    for repeat in range(arguments.repeats + 1):
        for row, (_, once) in zip(times, rows, strict=True):
            seconds = once()
            if repeat:
                row.append(seconds)

    patterns = sum(len(rule.patterns) for rule in detector.rules)
    tried = [len(detector._anchors[t.role].find(detector._pieces.of(t.text))) for t in turns]
    print(
        f"{len(sessions)} sessions, {len(turns)} turns; {len(detector.rules)} rules, {patterns} patterns, built in"
        f" {building:.2f} s; {sum(map(len, listed.values()))} literal phrases\n"
        f"turns with a pattern to try: {sum(map(bool, tried)) / len(turns):.0%};"
        f" patterns to try a turn: {sum(tried) / len(turns):.1f}\n"
    )
    print("| | turns/s, median | range | scan is so many times as fast |\n|---|---|---|---|")
    for (label, _), row in zip(rows, times, strict=True):
        ratios = [theirs / ours for theirs, ours in zip(row, times[0], strict=True)]
        rates = [len(turns) / seconds for seconds in row]
        shown = f"{median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})" if row is not times[0] else ""
        print(f"| {label} | {median(rates):,.0f} | {min(rates):,.0f}–{max(rates):,.0f} | {shown} |")


if __name__ == "__main__":
    main()
