"""Precision and recall of the rules, on the half of the groups that they were not written from.

    python benchmarks/rules.py ../shared/data [--development]

Gold: at least half of a turn's raters gave the family (or the marker). The raters are language models reading
under the guidelines. Intervals resample groups. ``--development`` measures the other half, for writing rules.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from rupturekit.annotation import FAMILIES
from rupturekit.codebook import load_codebook
from rupturekit.coding import read_coded, votes
from rupturekit.evaluation import Judged, f1, interval, precision, recall
from rupturekit.rules import RuleDetector
from rupturekit.score import ROLE_OF

HERE = Path(__file__).parent
TABLES = ("annomi_train.csv", "hlqc_train.csv", "hlqc_pool.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--development", action="store_true")
    arguments = parser.parse_args()
    lines = (HERE / "rule_groups.txt").read_text("utf-8").splitlines()
    development = {line for line in lines if line and not line.startswith("#")}
    sessions = [
        s
        for table in TABLES
        for s in read_coded(arguments.data / table)
        if (s.transcript.meta["group"] in development) == arguments.development
    ]
    detector = RuleDetector()
    book = load_codebook()
    markers = [m.id for m in book.markers]
    fired: dict[str, list[bool]] = defaultdict(list)
    columns: dict[str, list[tuple[bool, bool, str]]] = defaultdict(list)
    for s in sessions:
        found = defaultdict(set)
        told = votes(s)
        for m in detector(s.transcript):
            if m.turn in told:
                found[m.turn] |= {m.family, m.marker}
                fired[m.rule_id].append(told[m.turn].is_gold(m.family))
        for t, v in told.items():
            for name in (*FAMILIES, *(m for m in markers if m != "therapist_defensive")):
                speaker = ROLE_OF[name] if name in FAMILIES else book[name].speaker
                if s.transcript[t].role == speaker:
                    columns[name].append((v.is_gold(name), name in found[t], s.transcript.meta["group"]))
    groups = {s.transcript.meta["group"] for s in sessions}
    print(f"{len(sessions)} sessions, {len(groups)} groups; {len(detector.rules)} rules\n")
    print("| | rules | gold | fired | precision | recall | F1 |\n|---|---|---|---|---|---|---|")
    for name in (*FAMILIES, *(m for m in markers if m != "therapist_defensive")):
        gold, marked, group = (np.array(c) for c in zip(*columns[name]))
        j = Judged(gold, marked.astype(float), marked, group)
        rules = sum(r.marker == name or book[r.marker].parent == name for r in detector.rules)
        if name in FAMILIES:
            shown = " | ".join("{:.2f} ({:.2f}–{:.2f})".format(*interval(j, m)) for m in (precision, recall, f1))
        else:
            shown = " | ".join(f"{m(j):.2f}" for m in (precision, recall, f1))
        print(f"| {name} | {rules} | {gold.sum()} | {marked.sum()} | {shown} |")
    never = [r.id for r in detector.rules if r.id not in fired]
    print(f"\nnever fired: {len(never)} of {len(detector.rules)}: {' '.join(never)}")
    if arguments.development:
        for rule_id in sorted(fired):
            print(rule_id, f"{sum(fired[rule_id])}/{len(fired[rule_id])}")


if __name__ == "__main__":
    main()
