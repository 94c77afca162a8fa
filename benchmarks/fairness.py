"""Do the shipped rules and model err more on some varieties of English and styles of speech than on others?

    python benchmarks/fairness.py [--half development|held-out] [--card models/withdrawal-en]

Prints Markdown; with ``--card`` the section "By variety of English" of the model card is put in or replaced. Runs the
shipped pipeline, at the shipped thresholds, on `data/fairness/exchanges.jsonl`: the same exchanges in nine renderings,
each as written and as a caption. False alarms are of client turns without a marker, misses of turns with one where its
family is not found. Intervals resample base items; differences to standard English are paired by base item.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rupturekit import Annotator, Transcript
from rupturekit.annotation import CLIENT_FAMILIES
from rupturekit.coding import read_synthetic, votes
from rupturekit.evaluation import markdown, resampled

SET = Path(__file__).parents[1] / "data" / "fairness" / "exchanges.jsonl"
GROUPS = ("standard", "african-american", "indian", "irish", "nigerian", "second-language", "short-spoken",
          "formal-polite", "autistic-direct")  # fmt: skip
HEADING = "## By variety of English\n"
NEXT = "## Thresholds\n"
CAUTION = """\
Put in by `benchmarks/fairness.py`, not by the training run. The same 64 exchanges in nine renderings, written for
this project by a language model and coded by the same hand. They were **not collected from speakers**: they show how
this model treats such written renderings, and say nothing about real speakers beyond that. The set is never trained
on ([data/fairness](../../data/fairness/README.md)). Figures are per 100 client turns; false alarms: turns without a
marker that are marked; misses: turns with a marker whose family is not found. Most exchanges without a marker were
chosen to look like one. In brackets 95 % intervals over base items; "against standard" is the paired difference, and
a gap of 5 is two or three turns. Probability: how much higher that of a rupture (for rules alone: their weight) is
than in standard English, on turns without and with a marker. The rules were widened by looking at the odd base items,
which are half of the set: the other half stands beside it."""


@dataclass(frozen=True)
class Heard:
    """A client turn: what it holds, and what was found in it."""

    base: str
    group: str
    gold: str | None
    found: frozenset[str]
    probability: float

    @property
    def wrong(self) -> bool:
        """Whether it is a false alarm, or a miss."""
        return self.gold not in self.found if self.gold else bool(self.found)


def caption(text: str) -> str:
    """Return words as an automatic caption writes them: lower case, no punctuation but apostrophes and [noises]."""
    return " ".join(re.sub(r"[^\w\s'\[\]-]", " ", text.lower()).split())


def heard(annotator: Annotator, captions: bool, half: str | None) -> Iterator[Heard]:
    """Annotate the set; odd base items are the development half."""
    for session in read_synthetic(SET):
        base, group = session.transcript.id.split("-", 1)
        if half and (int(base[1:]) % 2 == 1) != (half == "development"):
            continue
        turns = session.transcript.turns
        if captions:
            turns = tuple(replace(turn, text=caption(turn.text)) for turn in turns)
        found = annotator(Transcript(session.transcript.id, turns))
        rupture = {s.index: s.value for s in found.scores if s.level == "turn" and s.family == "rupture"}
        for turn, vote in votes(session).items():
            if turns[turn].role == "client":
                gold = next((family for family in CLIENT_FAMILIES if vote.is_gold(family)), None)
                marked = frozenset(m.family for m in found.markers if m.turn == turn and m.family in CLIENT_FAMILIES)
                yield Heard(base, group, gold, marked, rupture[turn])


def rows(turns: Iterable[Heard]) -> Iterator[dict[str, object]]:
    """Yield a row for each group: rates, and their paired differences to standard English."""
    by_group: dict[str, list[Heard]] = {group: [] for group in GROUPS}
    for turn in turns:
        by_group[turn.group].append(turn)
    standard = by_group["standard"]
    gold = np.array([t.gold or "" for t in standard])
    base = np.array([t.base for t in standard])
    kinds = {"false alarms": gold == "", "misses": gold != ""}
    kinds |= {f"misses, {family}": gold == family for family in CLIENT_FAMILIES}
    reference = np.array([(t.wrong, t.probability) for t in standard], float)
    for group, own in by_group.items():
        figures = np.array([(t.wrong, t.probability) for t in own], float)
        row: dict[str, object] = {"group": group}
        for kind, where in kinds.items():
            row[kind] = _rate(base[where], figures[where, 0], "{:.0f}")
            if group != "standard":
                row[f"{kind}, against standard"] = _rate(base[where], (figures - reference)[where, 0], "{:+.0f}")
        shift = (figures - reference)[:, 1]
        row["probability"] = f"{shift[gold == ''].mean():+.2f}, {shift[gold != ''].mean():+.2f}"
        yield row


def _rate(base: np.ndarray, wrong: np.ndarray, form: str) -> str:
    found = resampled(base, lambda rows: float(100 * wrong[rows].mean()))
    value, low, high = (form.format(x) for x in found)
    return f"{value} ({low} to {high})" if np.isfinite(found).all() else value


def section(half: str | None) -> str:
    """Return the tables, the whole pipeline first; of the whole set, also those of its held-out half."""
    parts = [CAUTION]
    for name, annotator in (("Rules and model", Annotator()), ("Rules alone", Annotator(None))):
        for captions in (False, True):
            for items in (None, "held-out") if half is None and not captions else (half,):
                what = f"{name}, {'captions' if captions else 'transcripts'}"
                what += f", {items} half alone" if half is None and items else ""
                parts.append(f"{what}:\n\n{markdown(_named(heard(annotator, captions, items)))}")
    return "\n\n".join(parts) + "\n"


def _named(turns: Iterable[Heard]) -> list[dict[str, object]]:
    table = list(rows(turns))
    names = list(dict.fromkeys(name for row in table[::-1] for name in row))
    return [{name: row.get(name, "") for name in names} for row in table]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("development", "held-out"))
    parser.add_argument("--card", type=Path, help="model folder whose README.md gets the section")
    arguments = parser.parse_args()
    if arguments.card and arguments.half:
        parser.error("the card shows the whole set: leave out --half")
    text = section(arguments.half)
    if not arguments.card:
        print(text)
        return
    card = arguments.card / "README.md"
    before, rest = card.read_text("utf-8").split(NEXT)
    card.write_text(before.split(HEADING)[0] + HEADING + text + "\n" + NEXT + rest, "utf-8")


if __name__ == "__main__":
    main()
