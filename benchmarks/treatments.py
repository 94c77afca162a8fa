"""Are planted drifts, ruptures and repairs found in simulated treatments, and is nothing found in stable ones?

    python benchmarks/treatments.py [--repeats 200] [--talks 200] [--seed 29]

Prints Markdown. First treatments as rows of counts, without any words. In a session each client turn is a confrontation
with probability 2 % and a withdrawal with 5 %, both drawn anew for each session with a standard deviation of 0.5 on the
log-odds (`SPREAD`); the median turn has 12 words and varies by 20 % from session to session, the client's share of the
talk is 0.5 ± 0.05, the alliance is rated 5.5 ± 0.4 in steps of 0.1. Sessions have 0.6 to 1.4 times the stated number of
client turns. One of these is planted in a treatment:

* a rupture: the odds of confrontation are so many times as high in one, two or three sessions, from the middle on;
* a rupture that stays: the same for the last quarter of the treatment, three sessions at least;
* rising withdrawal: its odds rise steadily to so many times the first session's;
* shrinking answers: the median falls steadily by so many percent;
* a dip of the alliance in one session, by so many points (the client's own deviation is 0.4).

Found is a rupture with a signal of confrontation or of rupture in one of its sessions (one that stays: or with a drift
of confrontation), a drift with one of that measure and direction. Limits are as shipped; the first table says how often
they are passed where nothing is planted. At last the same with words: invented lines, annotated by the rules alone, so
that what the rules miss counts, too. The limits were chosen on other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from rupturekit import AnnotatedTranscript, Annotator, Transcript, Turn
from rupturekit.treatment import ALPHA, CHARTED, Row, Signal, _limits, _series, course_rows, drifts, excursions

SPREAD = 0.5
BASE = {"confrontation": 0.02, "withdrawal": 0.05}
SHAPES = {f"{n} × {turns}": (n, turns) for n in (8, 12, 20) for turns in (30, 80)}
"""Sessions, and client turns in each."""
Plant = Mapping[str, np.ndarray]
"""What is added, for each session: log-odds of a family, words as a factor, points of alliance."""


def noise(rng: np.random.Generator, n: int, alike: float = 0.0) -> np.ndarray:
    """Return standard normal noise for n sessions, each correlated with the one before."""
    drawn = rng.normal(size=n)
    for i in range(1, n):
        drawn[i] = alike * drawn[i - 1] + np.sqrt(1 - alike**2) * drawn[i]
    return drawn


def rates(
    rng: np.random.Generator, n: int, plant: Plant, base: Mapping[str, float], spread: float, alike: float
) -> Plant:
    """Return the probability of each family on a client turn, session by session."""
    odds = {
        family: np.log(p / (1 - p)) + spread * noise(rng, n, alike) + plant.get(family, 0.0)
        for family, p in base.items()
    }
    return {family: 1 / (1 + np.exp(-logit)) for family, logit in odds.items()}


def rows(
    rng: np.random.Generator,
    n: int,
    turns: int,
    plant: Plant,
    base: Mapping[str, float] = BASE,
    spread: float = SPREAD,
    alike: float = 0.0,
) -> list[Row]:
    """Return the rows of one treatment, drawn as counts."""
    p = rates(rng, n, plant, base, spread, alike)
    of = rng.integers(int(0.6 * turns), int(1.4 * turns) + 1, n)
    confronted, withdrawn = rng.binomial(of, p["confrontation"]), rng.binomial(of, p["withdrawal"])
    count = {"confrontation": confronted, "withdrawal": withdrawn, "rupture": np.minimum(of, confronted + withdrawn)}
    words = np.round(12 * np.exp(0.2 * noise(rng, n, alike)) * plant.get("words", 1.0) * 2) / 2
    share = 0.5 + 0.05 * noise(rng, n, alike)
    alliance = np.round(5.5 + 0.4 * noise(rng, n, alike) + plant.get("alliance", 0.0), 1)
    table: list[Row] = []
    for i in range(n):
        row: Row = {"client_id": "K", "session_id": f"s{i}", "number": i + 1, "date": None}
        for family, counted in count.items():
            row |= {f"n_{family}": int(counted[i]), f"of_{family}": int(of[i])}
            row[f"per100_{family}"] = 100 * int(counted[i]) / int(of[i])
        row |= {"turn_words_client": float(words[i]), "talk_share_client": float(share[i])}
        table.append(row | {"alliance": float(alliance[i])})
    return table


def bump(n: int, first: int, last: int, height: float) -> np.ndarray:
    """Return a height from one session to another, and 0 elsewhere."""
    return np.where((np.arange(n) >= first) & (np.arange(n) <= last), height, 0.0)


def ramp(n: int, top: float) -> np.ndarray:
    """Return what rises steadily from 0 to a height."""
    return top * np.arange(n) / (n - 1)


def rupture(n: int, odds: float, length: int) -> tuple[Plant, range]:
    first = n - max(3, n // 4) if length < 0 else n // 2
    last = n - 1 if length < 0 else first + length - 1
    return {"confrontation": bump(n, first, last, np.log(odds))}, range(first, last + 1)


def in_sessions(found: Sequence[Signal], measures: Sequence[str], where: range) -> list[Signal]:
    names = {f"s{i}" for i in where}
    return [signal for signal in found if signal.measure in measures and signal.session_id in names]


def ruptured(found: Sequence[Signal], where: range) -> bool:
    return bool(in_sessions(found, ("per100_confrontation", "per100_rupture"), where))


def drifted(found: Sequence[Signal], family: str) -> bool:
    return any(s.kind == "drift" and s.measure == f"per100_{family}" and s.value > 0 for s in found)


def shrunk(found: Sequence[Signal]) -> bool:
    return any(s.kind == "drift" and s.measure == "turn_words_client" and s.value < 0 for s in found)


# --- counts ---------------------------------------------------------------------------------------


def stable(repeats: int, seed: int) -> Iterator[str]:
    """Yield the table of false alarms: treatments in which nothing changes."""
    cases: Mapping[str, Mapping[str, object]] = {
        "as described": {},
        "quiet: 0.3 % confrontation, 1 % withdrawal": {"base": {"confrontation": 0.003, "withdrawal": 0.01}},
        "sessions differ by chance alone": {"spread": 0.0},
        "sessions differ more: 0.8 on the log-odds": {"spread": 0.8},
        "each session like the last: correlation 0.3": {"alike": 0.3},
    }
    yield f"| nothing planted | signal | {' | '.join(SHAPES)} |"
    yield f"|---|---|{'---|' * len(SHAPES)}"
    for name, how in cases.items():
        parts = []
        for n, turns in SHAPES.values():
            rng = np.random.default_rng([seed, 1, n, turns])
            drawn = (rows(rng, n, turns, {}, **how) for _ in range(repeats))  # type: ignore[arg-type]
            parts.append(np.array([(bool(excursions(table)), bool(drifts(table))) for table in drawn]))
        figures = {"any": [part.any(1) for part in parts]}
        figures |= {"beyond limits": [p[:, 0] for p in parts], "drift": [p[:, 1] for p in parts]}
        for signal, hits in figures.items():
            yield f"| {name} | {signal} | {' | '.join(map(_percent, hits))} |"


def _percent(hits: Sequence[bool] | np.ndarray) -> str:
    return f"{100 * np.mean(hits):.1f} %" if len(hits) else "–"


def planted(repeats: int, seed: int) -> Iterator[str]:
    """Yield the table of sensitivity."""
    ruptures = {
        f"rupture, {length} session{'s' * (length > 1)}": (length, (3.0, 6.0, 12.0)) for length in (1, 2, 3)
    } | {"rupture that stays": (-1, (3.0, 6.0, 12.0))}
    yield f"| planted | size | {' | '.join(SHAPES)} |"
    yield f"|---|---|{'---|' * len(SHAPES)}"
    for name, (length, sizes) in ruptures.items():
        for odds in sizes:

            def found_rupture(
                rng: np.random.Generator, n: int, turns: int, odds: float = odds, length: int = length
            ) -> bool:
                plant, where = rupture(n, odds, length)
                table = rows(rng, n, turns, plant)
                return ruptured(excursions(table), where) or (length < 0 and drifted(drifts(table), "confrontation"))

            yield _line(name, f"odds × {odds:g}", found_rupture, repeats, seed)
    drifting = {
        "rising withdrawal": ("odds × {}", (2, 4, 8)),
        "shrinking answers": ("−{} %", (25, 50, 75)),
    }
    for name, (size, tops) in drifting.items():
        for top in tops:

            def found_drift(rng: np.random.Generator, n: int, turns: int, name: str = name, top: int = top) -> bool:
                if name == "shrinking answers":
                    return shrunk(drifts(rows(rng, n, turns, {"words": 1 - ramp(n, top / 100)})))
                return drifted(drifts(rows(rng, n, turns, {"withdrawal": ramp(n, np.log(top))})), "withdrawal")

            yield _line(name, size.format(top), found_drift, repeats, seed)
    for points in (0.8, 1.6, 2.4):

        def found_dip(rng: np.random.Generator, n: int, turns: int, points: float = points) -> bool:
            found = excursions(rows(rng, n, turns, {"alliance": bump(n, n // 2, n // 2, -points)}))
            return bool(in_sessions(found, ("alliance",), range(n // 2, n // 2 + 1)))

        yield _line("dip of the alliance", f"−{points}", found_dip, repeats, seed)


def _line(name: str, size: str, is_found: Callable[..., bool], repeats: int, seed: int) -> str:
    cells = []
    for n, turns in SHAPES.values():
        rng = np.random.default_rng([seed, 2, n, turns])
        cells.append(f"{100 * np.mean([is_found(rng, n, turns) for _ in range(repeats)]):.0f} %")
    return f"| {name} | {size} | {' | '.join(cells)} |"


def kinds(repeats: int, seed: int) -> Iterator[str]:
    """Yield how what comes back is told from what stays."""
    yield "| planted, odds × 12, 80 turns | sessions | found | of these a peak | a rise |"
    yield "|---|---|---|---|---|"
    for name, length in (("two sessions, then repaired", 2), ("stays to the end", -1)):
        for n in (12, 20):
            rng = np.random.default_rng([seed, 3, n])
            plant, where = rupture(n, 12.0, length)
            told = [
                found[0].kind
                for _ in range(repeats)
                if (found := in_sessions(excursions(rows(rng, n, 80, plant)), ("per100_confrontation",), where))
            ]
            peaks, rises = (_percent([kind == wanted for kind in told]) for wanted in ("peak", "rise"))
            yield f"| {name} | {n} | {100 * len(told) / repeats:.0f} % | {peaks} | {rises} |"


def charts(repeats: int, seed: int) -> Iterator[str]:
    """Yield what other limits do on the same three rates: as they stand, and moved to where 5 % of stable ones pass."""
    yield "| limits | sessions × turns | false alarms | at 5 %: found, 1 session, odds × 6 | 2 sessions |"
    yield "|---|---|---|---|---|"
    for shape in ("12 × 30", "12 × 80", "20 × 80"):
        n, turns = SHAPES[shape]
        for name, score in LIMITS.items():
            rng = np.random.default_rng([seed, 4, n, turns])
            highest = np.array([score(rows(rng, n, turns, {})).max() for _ in range(5 * repeats)])
            cells = [_percent(highest > 1)]
            for length in (1, 2):
                plant, where = rupture(n, 6.0, length)
                scores = [score(rows(rng, n, turns, plant))[where].max() for _ in range(repeats)]
                cells.append(_percent(np.array(scores) > np.quantile(highest, 0.95)))
            yield f"| {name} | {shape} | {' | '.join(cells)} |"


def _shipped(table: Sequence[Row]) -> np.ndarray:
    """Return how far each session is out, 1 at the limit."""
    scores = []
    for family in CHARTED:
        series = _series(table, family)
        middles, limits = _limits(series, ALPHA / 2 / (len(CHARTED) * len(table)))
        scores.append((series.y - middles) / (limits - middles))
    return np.max(scores, axis=0)


def _three_sigma(kind: str) -> Callable[[Sequence[Row]], np.ndarray]:
    def score(table: Sequence[Row]) -> np.ndarray:
        scores = []
        for family in CHARTED:
            k, of = (np.array([row[f"{what}_{family}"] for row in table], float) for what in ("n", "of"))
            middle = (k / of).mean() if kind == "individuals" else k.sum() / of.sum()
            sigma = np.ones(len(k)) if kind == "individuals" else np.sqrt(middle * (1 - middle) / of)
            z = (k / of - middle) / np.maximum(sigma, 1e-9)
            width = 1.0 if kind == "p" else max(np.abs(np.diff(z)).mean() / 1.128, 1e-9)
            scores.append(z / (3 * width))
        return np.max(scores, axis=0)

    return score


LIMITS: Mapping[str, Callable[[Sequence[Row]], np.ndarray]] = {
    "as shipped": _shipped,
    "p-chart, 3 σ": _three_sigma("p"),
    "p′-chart (Laney), 3 σ": _three_sigma("laney"),
    "individuals, moving ranges, 3 σ": _three_sigma("individuals"),
}


# --- words ----------------------------------------------------------------------------------------

ASKS = """How has the week been?|What was that like for you?|Tell me more about that.|And what happened then?
Where do you notice it?|What do you think was going on for her?|How did the walk go?|What comes up as you say it?"""
ANSWERS = """It was better than last week, I slept through twice and I even called my sister back.
I was sad on Sunday, and then I went for the walk and it lifted a little by the evening.
She rang me, and we talked about the garden for an hour, which we had not done since spring.
The meeting went well, I said what I wanted and my manager took it up in front of all of them.
I keep thinking about the house, and how quiet it was after they had gone.
My chest got tight on the bus, so I did the breathing, and it passed before the bridge.
I wrote it down like we said, and there were three evenings on which I felt nearly calm.
I was cross with my brother, and then I saw that I was really scared for him."""
CONFRONTS = """This isn't helping.|I don't see the point of this.|You're not listening to me.|What's the point of this?
You don't understand me at all.|I don't want to do that exercise.|This is a waste of time.|It's getting us nowhere."""
WITHDRAWS = (
    "I don't know.|I guess.|If you say so.|I guess so.|Whatever you think is best.|I don't want to talk about it."
)


def talk(rng: np.random.Generator, n: int, turns: int, plant: Plant, base: Mapping[str, float]) -> list[Transcript]:
    """Return the sessions of one client, as invented words."""
    asks, answers, confronts, withdraws = (
        text.replace("\n", "|").split("|") for text in (ASKS, ANSWERS, CONFRONTS, WITHDRAWS)
    )
    p = rates(rng, n, plant, base, SPREAD, 0.0)
    held = []
    for i in range(n):
        said: list[Turn] = []
        shortened = plant.get("words", np.ones(n))[i]
        for _ in range(rng.integers(int(0.6 * turns), int(1.4 * turns) + 1)):
            kind = rng.random()
            lines = confronts if kind < p["confrontation"][i] else answers
            lines = withdraws if 1 - kind < p["withdrawal"][i] else lines
            text = str(rng.choice(lines))
            if lines is answers:
                words = text.split()
                text = (
                    " ".join(words[: max(3, round(len(words) * shortened * rng.uniform(0.7, 1.0)))]).rstrip(",.") + "."
                )
            said.append(Turn(len(said), "T", "therapist", str(rng.choice(asks))))
            said.append(Turn(len(said), "C", "client", text))
        held.append(Transcript(f"s{i}", tuple(said), meta={"client_id": "K", "session_number": i + 1}))
    return held


def with_words(repeats: int, seed: int) -> Iterator[str]:
    """Yield the table of treatments that are made of words."""
    annotator = Annotator(model=None)
    n, turns = 12, 60
    short, staying = rupture(n, 12.0, 2), rupture(n, 12.0, -1)
    plants: Mapping[str, tuple[Plant, Callable[[Sequence[Signal]], bool]]] = {
        "nothing: any signal": ({}, bool),
        "rupture, 2 sessions, odds × 12": (short[0], lambda found: ruptured(found, short[1])),
        "rupture that stays, odds × 12": (
            staying[0],
            lambda found: ruptured(found, staying[1]) or drifted(found, "confrontation"),
        ),
        "rising withdrawal, odds × 8": (
            {"withdrawal": ramp(n, np.log(8))},
            lambda found: drifted(found, "withdrawal"),
        ),
        "shrinking answers, −50 %": ({"words": 1 - ramp(n, 0.5)}, shrunk),
    }
    yield f"| words, {n} sessions × {turns} client turns | treatments with the signal |"
    yield "|---|---|"
    for number, (name, (plant, is_found)) in enumerate(plants.items()):
        rng = np.random.default_rng([seed, 5, number])
        hits = []
        for _ in range(repeats):
            held: list[AnnotatedTranscript] = [annotator(session) for session in talk(rng, n, turns, plant, BASE)]
            table = course_rows(held)
            hits.append(is_found([*excursions(table), *drifts(table)]))
        yield f"| {name} | {_percent(hits)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200, help="treatments of counts in each cell; stable ones ×3")
    parser.add_argument("--talks", type=int, default=200, help="treatments of words in each row")
    parser.add_argument("--seed", type=int, default=29)
    given = parser.parse_args()
    tables = (
        stable(3 * given.repeats, given.seed),
        planted(given.repeats, given.seed),
        kinds(given.repeats, given.seed),
        charts(given.repeats, given.seed),
        with_words(given.talks, given.seed),
    )
    for table in tables:
        for line in table:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
