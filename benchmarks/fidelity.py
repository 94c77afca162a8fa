"""Is the shipped int8 model the model that was trained? Compares it with the float weights beside it.

    python benchmarks/fidelity.py ../shared/data/annomi_train.csv [...]

Without tables, on the synthetic sessions. Of the (turn, family) pairs that either marks, the share that both mark
(wanted: at least 0.97), and the 99th percentile of the difference of their probabilities (wanted: at most 0.03).
Rules stay out: they are the same on both sides.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rupturekit import read_all
from rupturekit.annotation import FAMILIES, SCORES
from rupturekit.classifier import Classifier
from rupturekit.coding import read_synthetic
from rupturekit.encoder import new_encoder, read_base
from rupturekit.training import predict

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "withdrawal-en")
    arguments = parser.parse_args()
    transcripts = [t for table in arguments.tables for t in read_all(table)]
    if not transcripts:
        transcripts = [s.transcript for s in read_synthetic(ROOT / "data" / "synthetic" / "sessions.jsonl")]
    shipped = Classifier.load(arguments.model)
    tokenizer, recipe = read_base(arguments.model, shipped.recipe)
    whole = new_encoder(arguments.model, tokenizer, recipe).eval()
    either = both = 0
    apart = []
    for transcript, said in zip(transcripts, predict(whole, transcripts, tokenizer, recipe)):
        none = np.zeros((len(transcript), len(FAMILIES)))
        a = shipped.probability(shipped(transcript), none)
        b = shipped.probability(shipped.output(transcript, *said), none)
        for family in FAMILIES:
            column = SCORES.index(family)
            known = ~np.isnan(a[:, column])
            cut = shipped.thresholds[family]
            x, y = a[known, column] >= cut, b[known, column] >= cut
            either, both = either + int((x | y).sum()), both + int((x & y).sum())
            apart += list(np.abs(a[known, column] - b[known, column]))
    print(f"{len(transcripts)} sessions, {sum(map(len, transcripts))} turns, {len(apart)} scores")
    print(f"marked by either {either}, by both {both}: {both / max(either, 1):.4f}")
    print(f"difference of probabilities: 99th percentile {np.percentile(apart, 99):.4f}, largest {max(apart):.4f}")


if __name__ == "__main__":
    main()
