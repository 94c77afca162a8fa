"""How often are shifts found that are there, and how often some that are not? On simulated sessions.

    python benchmarks/shifts.py [--tuning]

Prints Markdown. **Series**: nine series over a client's turns, drawn as counts and times and then standardised and
searched as those of a transcript. Neighbouring turns are alike by r (about 0.1 in real sessions, the same in all
measures), lengths go with talk shares, rates vary from turn to turn. A planted shift begins between a quarter and three
quarters of the session; its size d is in standard deviations (1.4826 MADs) of the client's turns before it. Found is a
shift of that measure and direction no further than five turns, or a tenth of the session, from its place. **Talk**:
pairs of turns from `data/synthetic`, drawn by what the client says. ``--tuning`` takes the seeds with which the
settings were chosen; what is reported comes from others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from scipy.special import ndtr

from rupturekit.segment import words
from rupturekit.shifts import MEASURES, SIDE, Part, changes, shifts_of
from rupturekit.transcript import Transcript, Turn

LENGTHS = (30, 60, 120, 300)
STABLE, SHIFTED, TALKS = 2000, 200, 200
RATES = {"emotion_words": 0.06, "self_reference": 0.1, "abstractness": 0.2, "hedges": 0.03, "politeness": 0.01}
AGREES = 0.1
PLANTED = {
    "reply_length": ("answers shrink by d", (-0.5, -1.0, -1.5, -2.0)),
    "agreement": ("agreement rises from 10 % by d", (0.5, 1.0, 1.5, 2.0)),
    "emotion_words": ("emotion words fall from 6 % to", (3.0, 1.5)),
}
TALK = Path(__file__).parent.parent / "data" / "synthetic" / "sessions.jsonl"


def alike(rng: np.random.Generator, n: int, r: float) -> np.ndarray:
    """Return n standard normal values, each alike to the one before by r."""
    drawn = rng.normal(size=n)
    for i in range(1, n):
        drawn[i] = r * drawn[i - 1] + np.sqrt(1 - r * r) * drawn[i]
    return drawn


def session(
    rng: np.random.Generator, n: int, r: float, *, quiet: bool = False, shifted: str = "", by: float = 0.0
) -> tuple[dict[str, np.ndarray], int]:
    """Return the series of a session, ready to be searched, and the turn at which one shifts."""
    cut = int(rng.integers(max(SIDE, n // 4), min(n - SIDE, n - n // 4) + 1))
    after = np.arange(n) >= cut
    lengths = alike(rng, n, r)
    # a median of 10 words a turn, or of 2
    n_words = np.maximum(1, np.exp(0.7 + 0.5 * lengths if quiet else 2.3 + 0.9 * lengths).astype(int))
    found: dict[str, list] = {
        "reply_length": [*(np.log(n_words) if quiet else lengths + by * after * (shifted == "reply_length"))],
        "talk_share": [*(0.7 * lengths + 0.7 * alike(rng, n, r))],
        "latency": [*np.exp(0.7 * alike(rng, n, r))],
    }
    for name, rate in RATES.items():
        of = np.maximum(1, n_words // 4) if name == "abstractness" else n_words
        rates = np.where(after & (shifted == name), by / 100, rate) * np.exp(0.5 * alike(rng, n, r) - 0.125)
        found[name] = [Part(int(h), int(k)) for h, k in zip(rng.binomial(of, np.minimum(rates, 0.9)), of)]
    risen = by * np.sqrt(AGREES * (1 - AGREES)) * after * (shifted == "agreement")
    # agreeing is alike from turn to turn too
    found["agreement"] = [Part(int(p), 1) for p in ndtr(alike(rng, n, r)) < AGREES + risen]
    nobody = Transcript("s", ())
    series = {}
    for name, values in found.items():
        measure = replace(MEASURES[name], values=lambda _, values=values: values)
        series[name] = measure.held(np.array(measure.standard(nobody, ()), dtype=float))
    return series, cut


def alarms(rng: np.random.Generator, n: int, r: float, quiet: bool) -> float:
    return sum(any(True for _ in changes(session(rng, n, r, quiet=quiet)[0])) for _ in range(STABLE)) / STABLE


def sensitivity(
    rng: np.random.Generator, n: int, measure: str, by: float
) -> tuple[float, list[tuple[float, float, float]]]:
    """Return how many planted shifts are found, and the sizes of those."""
    sizes = []
    down = by < 0 or measure == "emotion_words"
    for _ in range(SHIFTED):
        series, cut = session(rng, n, 0.1, shifted=measure, by=by)
        for name, (_, turn, _), size in changes(series):
            if name == measure and (size[0] < 0) == down and abs(turn - cut) <= max(5, n / 10):
                sizes.append(size)
                break
    return len(sizes) / SHIFTED, sizes


def pools() -> dict[str, list[tuple[str, str]]]:
    """Return pairs of a therapist's and a client's turn, by what the client says."""
    found: dict[str, list[tuple[str, str]]] = {"open": [], "quiet": [], "withdrawn": []}
    for line in TALK.read_text("utf-8").splitlines():
        item = json.loads(line)
        for (asks, asked, *_), (answers, said, *codes) in zip(item["turns"], item["turns"][1:]):
            if item["style"] != "transcript" or (asks, answers) != ("T", "C"):
                continue
            names = {code[0][0] for code in codes[0]} if codes else set()
            if names == {"W"}:
                found["withdrawn"].append((asked, said))
            elif not names and len(words(said)) >= 6:
                found["open"].append((asked, said))
            elif not names:
                found["quiet"].append((asked, said))
    return found


def talk(rng: np.random.Generator, pool: list[tuple[str, str]], n: int) -> list[tuple[str, str]]:
    return [pool[i] for i in rng.integers(len(pool), size=n)]


def transcript(pairs: list[tuple[str, str]]) -> Transcript:
    said = [(role, text) for pair in pairs for role, text in zip(("therapist", "client"), pair)]
    return Transcript("s", tuple(Turn(i, role, role, text) for i, (role, text) in enumerate(said)))  # type: ignore[arg-type]


def row(*cells: object) -> None:
    print(
        "|",
        " | ".join(f"{100 * cell:.0f}" if isinstance(cell, float) else str(cell) for cell in cells),
        "|",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tuning", action="store_true")
    seed = 1 if parser.parse_args().tuning else 2

    print(f"% of {STABLE} stable sessions with any alarm, over nine measures\n")
    row("client turns", *LENGTHS)
    row(*["---"] * (1 + len(LENGTHS)))
    for r, quiet in ((0.0, False), (0.1, False), (0.1, True), (0.2, False)):
        rates = [alarms(np.random.default_rng([seed, n, int(10 * r), quiet]), n, r, quiet) for n in LENGTHS]
        row(f"{'quiet clients, ' if quiet else ''}r = {r}", *[f"{100 * rate:.1f}" for rate in rates])

    print(f"\n% of {SHIFTED} planted shifts found, r = 0.1\n")
    row("client turns", *LENGTHS)
    row(*["---"] * (1 + len(LENGTHS)))
    for place, (measure, (name, steps)) in enumerate(PLANTED.items()):
        for by in steps:
            found = [
                sensitivity(np.random.default_rng([seed, n, place, int(10 * abs(by))]), n, measure, by) for n in LENGTHS
            ]
            row(f"{name} {abs(by):g}{' %' if measure == 'emotion_words' else ''}", *[rate for rate, _ in found])
            if measure == "reply_length":
                told = [f"{median(size for size, _, _ in sizes):.2f}" if sizes else "–" for _, sizes in found]
                row("&nbsp; size told, median", *told)

    print(f"\n% of {TALKS} sessions of synthetic talk, pairs of turns at random\n")
    row("client turns", *LENGTHS)
    row(*["---"] * (1 + len(LENGTHS)))
    pool = pools()
    for style in ("open", "quiet"):
        rates = []
        for n in LENGTHS:
            rng = np.random.default_rng([seed, n, len(style)])
            rates.append(sum(bool(shifts_of(transcript(talk(rng, pool[style], n)))) for _ in range(TALKS)) / TALKS)
        row(f"stable, {style}: any alarm", *[f"{100 * rate:.1f}" for rate in rates])
    counted: dict[int, Counter[str]] = {n: Counter() for n in LENGTHS}
    for n in LENGTHS:
        rng = np.random.default_rng([seed, n, 99])
        for _ in range(TALKS):
            found = shifts_of(transcript([*talk(rng, pool["open"], n // 2), *talk(rng, pool["withdrawn"], n - n // 2)]))
            near = {shift.name for shift in found if abs(shift.turn // 2 - n // 2) <= max(5, n / 10)}
            counted[n].update([*near, *(["any"] if near else [])])
    for name in [name for name, _ in counted[LENGTHS[-1]].most_common(7)]:
        row(f"open, then withdrawn: {name}", *[counted[n][name] / TALKS for n in LENGTHS])

    for n in (1_000, 10_000):
        series, _ = session(np.random.default_rng([seed, n]), n, 0.1, shifted="reply_length", by=-1.0)
        start = time.perf_counter()
        list(changes(series))
        print(f"\n{n:,} client turns, one shift: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
