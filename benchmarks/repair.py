"""Episodes against people's readings of whole sessions; repair and defensiveness in poor and good sessions.

    rupturekit train TABLES … --held-out held_out.jsonl
    python benchmarks/repair.py held_out.jsonl TABLES … [--episodes data/labels/episodes.jsonl]

``held_out.jsonl`` are annotations by models that never saw a session's group. Episodes, client turn by client turn
against each reader: those of `rupturekit.episodes` on these markers and on the raters' own, and of two other ways: runs
of turns with a rupture that bridge three client turns without one, and a Gaussian hidden Markov model of two states
(hmmlearn) over rupture score, defensiveness before it and length of the turn, fitted to the readers of the development
half (there, by group, to the others). Type, depth and outcome where an episode overlaps one of a reader's. AUROC: how
well a figure of a session tells low quality from high. Intervals, 95 %, resample groups.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from rupturekit import load
from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Marker
from rupturekit.coding import group_of, read_coded, votes
from rupturekit.episodes import episodes
from rupturekit.score import ROLE_OF, present
from rupturekit.segment import words

DRAWS = 1000
GAP = 3
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("held_out", type=Path)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--episodes", type=Path, default=ROOT / "data" / "labels" / "episodes.jsonl")
    arguments = parser.parse_args()
    found = {a.transcript.id: a for a in load(arguments.held_out)}
    coded = {s.transcript.id: s for table in arguments.tables for s in read_coded(table)}
    readings = [json.loads(line) for line in arguments.episodes.read_text("utf-8").splitlines()]
    for half in ("development", "held_out"):
        of_episodes(half, readings, found, coded)
    quality: dict[str, str] = {}
    for table in arguments.tables:
        with open(table, encoding="utf-8-sig", newline="") as file:
            quality |= {
                row["session_id"]: row.get("quality") or row.get("mi_quality") or "" for row in csv.DictReader(file)
            }
    of_quality(quality, found, coded)


def of_episodes(
    half: str,
    readings: Sequence[Mapping],
    found: Mapping[str, AnnotatedTranscript],
    coded: Mapping[str, AnnotatedTranscript],
) -> None:
    mine = [r for r in readings if r["half"] == half]
    hmm = states(mine, [r for r in readings if r["half"] == "development"], found)
    ways: dict[str, Callable[[Mapping], Iterable[tuple[int, int]]]] = {
        "rupturekit.episodes": lambda r: [(e.first, e.last) for e in episodes(*of(found[r["session"]]))],
        "runs that bridge three turns": lambda r: runs(found[r["session"]]),
        "hidden Markov model": lambda r: hmm[r["session"]],
        "rupturekit.episodes, raters' markers": lambda r: [
            (e.first, e.last) for e in episodes(coded[r["session"]].transcript, given(coded[r["session"]]))
        ],
    }
    read = sum(len(theirs) for r in mine for theirs in r["readers"].values())
    print(f"\n{half}: {len(mine)} sessions, {read} readings of episodes\n")
    print("| client turns in an episode | F1 | precision | recall | F1 less that of runs |\n|---|---|---|---|---|")
    counts = {name: [overlap(found[r["session"]], way(r), r) for r in mine] for name, way in ways.items()}
    other = [overlap_of_readers(found[r["session"]], r) for r in mine]
    groups = [r["group"] for r in mine]
    base = counts["runs that bridge three turns"]
    for name, each in [*counts.items(), ("one reader against the other", other)]:
        tp, said, gold = np.sum(each, axis=0)
        own = interval(lambda i, e=each: f1(e, i), groups)
        less = interval(lambda i, e=each: f1(e, i) - f1(base, i), groups)
        print(f"| {name} | {f1(each):.2f} {own} | {tp / said:.2f} | {tp / gold:.2f} | {less} |")
    print("\n| where both have an episode | n | type, kappa | depth, weighted kappa | outcome, kappa |")
    print("|---|---|---|---|---|")
    of_whom = {
        "rupturekit.episodes": lambda r: of(found[r["session"]])[1],
        "raters' markers": lambda r: given(coded[r["session"]]),
    }
    for name, markers in of_whom.items():
        pairs = []
        for r in mine:
            for e in episodes(found[r["session"]].transcript, markers(r)):
                for read in (e2 for both in r["readers"].values() for e2 in both):
                    if min(read["last"], e.last) >= max(read["first"], e.first):
                        pairs.append(((e.type, read["type"]), (e.depth, read["depth"]), (e.outcome, read["outcome"])))
        kappas = [
            cohen_kappa_score(*zip(*(p[k] for p in pairs)), weights="quadratic" if k == 1 else None) for k in range(3)
        ]
        print(f"| {name} | {len(pairs)} | " + " | ".join(f"{kappa:.2f}" for kappa in kappas) + " |")


def of(annotated: AnnotatedTranscript) -> tuple:
    return annotated.transcript, annotated.markers


def given(session: AnnotatedTranscript) -> list[Marker]:
    """Return the raters' markers of what at least half of them gave."""
    return [
        m for vote in votes(session).values() for said in vote.given.values() for m in said if vote.is_gold(m.family)
    ]


def runs(annotated: AnnotatedTranscript) -> list[tuple[int, int]]:
    ruptures = present(annotated.markers)["rupture"]
    found: list[tuple[int, int]] = []
    quiet = GAP + 1
    for turn in annotated.transcript.of("client"):
        if turn.index not in ruptures:
            quiet += 1
            continue
        found.append((found.pop()[0] if quiet <= GAP else turn.index, turn.index))
        quiet = 0
    return found


def states(mine: Sequence[Mapping], taught: Sequence[Mapping], found: Mapping[str, AnnotatedTranscript]) -> dict:
    """Return, by session, the client turns that the hidden Markov model takes for strained, as (turn, turn)."""
    from hmmlearn.hmm import GaussianHMM

    out = {}
    for r in mine:
        series, strained = [], []
        for other in taught:
            if other["group"] == r["group"]:
                continue
            turns, x = observed(found[other["session"]])
            for read in other["readers"].values():
                series.append(x)
                strained.append(np.array([any(e["first"] <= t <= e["last"] for e in read) for t in turns], int))
        x, y = np.vstack(series), np.concatenate(strained)
        start, moves = np.ones(2), np.ones((2, 2))
        for one in strained:
            start[one[0]] += 0.5
            for a, b in pairwise(one):
                moves[a, b] += 0.5
        model = GaussianHMM(2, covariance_type="diag")
        model.n_features = x.shape[1]
        model.startprob_, model.transmat_ = start / start.sum(), moves / moves.sum(1, keepdims=True)
        model.means_ = np.array([x[y == k].mean(0) for k in (0, 1)])
        model.covars_ = np.array([x[y == k].var(0) + 0.05 for k in (0, 1)])
        turns, x = observed(found[r["session"]])
        out[r["session"]] = [(t, t) for t, k in zip(turns, model.predict(x)) if k]
    return out


def observed(annotated: AnnotatedTranscript) -> tuple[list[int], np.ndarray]:
    scores, rows, turns, before = annotated.turn_scores(), [], [], 0.02
    for turn in annotated.transcript:
        if turn.role == "therapist":
            before = scores[turn.index]["therapist_defensive"]
        elif turn.role == "client":
            p = np.clip([scores[turn.index]["rupture"], before], 0.005, 0.995)
            rows.append([*np.log(p / (1 - p)), np.log1p(len(words(turn.text)))])
            turns.append(turn.index)
    return turns, np.array(rows)


def overlap(annotated: AnnotatedTranscript, spans: Iterable[tuple[int, int]], reading: Mapping) -> list[int]:
    said = client_turns(annotated, spans)
    gold = [client_turns(annotated, ((e["first"], e["last"]) for e in read)) for read in reading["readers"].values()]
    return [sum(len(said & g) for g in gold), len(said) * len(gold), sum(map(len, gold))]


def overlap_of_readers(annotated: AnnotatedTranscript, reading: Mapping) -> list[int]:
    a, b = (client_turns(annotated, ((e["first"], e["last"]) for e in read)) for read in reading["readers"].values())
    return [len(a & b), len(a), len(b)]


def client_turns(annotated: AnnotatedTranscript, spans: Iterable[tuple[int, int]]) -> set[int]:
    inside = {turn for first, last in spans for turn in range(first, last + 1)}
    return {turn.index for turn in annotated.transcript.of("client")} & inside


def f1(counts: Sequence[Sequence[int]], chosen: Sequence[int] | None = None) -> float:
    tp, said, gold = np.sum([counts[i] for i in (range(len(counts)) if chosen is None else chosen)], axis=0)
    return 2 * tp / max(said + gold, 1)


def interval(figure: Callable[[Sequence[int]], float], groups: Sequence[str]) -> str:
    rng = np.random.default_rng(13)
    where = [[i for i, g in enumerate(groups) if g == name] for name in sorted(set(groups))]
    drawn = [figure([i for k in rng.integers(len(where), size=len(where)) for i in where[k]]) for _ in range(DRAWS)]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return f"({low:.2f}–{high:.2f})".replace("-", "−")


def of_quality(
    quality: Mapping[str, str], found: Mapping[str, AnnotatedTranscript], coded: Mapping[str, AnnotatedTranscript]
) -> None:
    print(
        "\n| corpus | low, high | figure of a session | AUROC for low | median, low | high |\n|---|---|---|---|---|---|"
    )
    corpora: dict[str, list[str]] = {}
    for id in found:
        if quality.get(id) in ("low", "high"):
            corpora.setdefault(coded[id].transcript.meta["corpus"].split("_")[0], []).append(id)
    for corpus, ids in corpora.items():
        low = np.array([quality[id] == "low" for id in ids])
        rows, groups = [figures(found[id]) for id in ids], [group_of(coded[id]) for id in ids]
        for name in rows[0]:
            x = np.array([row[name] for row in rows])

            def auroc(chosen: Sequence[int], x: np.ndarray = x, low: np.ndarray = low) -> float:
                return roc_auc_score(low[chosen], x[chosen]) if len(set(low[chosen])) == 2 else np.nan

            told = f"{auroc(range(len(ids))):.2f} {interval(auroc, groups)}"
            medians = f"{np.median(x[low]):.2f} | {np.median(x[~low]):.2f}"
            print(f"| {corpus} | {low.sum()}, {(~low).sum()} | {name} | {told} | {medians} |")


def figures(annotated: AnnotatedTranscript) -> dict[str, float]:
    scores = annotated.turn_scores().values()
    n = {role: sum(1 for _ in annotated.transcript.of(role)) for role in ("client", "therapist")}
    on = present(annotated.markers)
    per100 = {name: 100 * len(on[name]) / max(n[ROLE_OF[name]], 1) for name in ("rupture", *FAMILIES)}
    outcomes = [e.outcome for e in episodes(*of(annotated))]
    unrepaired = sum(outcome in ("unrepaired", "escalated") for outcome in outcomes)
    defensive = [s["therapist_defensive"] for s in scores if "therapist_defensive" in s]
    return {
        "defensiveness per 100 therapist turns": per100["therapist_defensive"],
        "mean probability of defensiveness": float(np.mean(defensive or [0])),
        "rupture per 100 client turns": per100["rupture"],
        "resolution per 100 therapist turns": per100["resolution"],
        "episodes": len(outcomes),
        "episodes left unrepaired": unrepaired,
        "share of client turns in an episode left unrepaired": sum(
            len(client_turns(annotated, [(e.first, e.last)]))
            for e in episodes(*of(annotated))
            if e.outcome in ("unrepaired", "escalated")
        )
        / max(n["client"], 1),
        "turns of the session, fewer": -sum(n.values()),
    }


if __name__ == "__main__":
    main()
