"""The blind sample for double coding, and the list of turns worth a look."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import pytest

import rupturekit as rk
from rupturekit import sampling, sheets
from rupturekit.annotation import FAMILIES, Coded
from rupturekit.sampling import blind, sample, worth_reading


def corpus(n: int = 8, seed: int = 1) -> list[rk.AnnotatedTranscript]:
    """Return sessions of 5 to 14 segments, most of which the machine finds quiet."""
    random = Random(seed)
    sessions = []
    for s in range(n):
        segments = random.randrange(5, 15)
        turns = (
            rk.Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], "well " * random.randrange(1, 30))
            for i in range(20 * segments)
        )
        scores = tuple(
            rk.Score("turn", 20 * k + 1, "withdrawal", max(0.0, round(random.random() * 2 - 1, 4)))
            for k in range(segments)
        )
        marker = rk.Marker(1, 0, 4, "withdrawal", "denial", 0.9, source="rule", rule_id="W1-1")
        sessions.append(rk.AnnotatedTranscript(rk.Transcript(f"s{s}", tuple(turns)), (marker,), scores))
    return sessions


def expected(units: list[sampling.Stretch]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for unit in units:
        for trait in ("session", "score", "length"):
            sums[trait, getattr(unit, trait)] += unit.probability  # type: ignore[assignment]
    return sums


def test_the_same_sample_in_any_order_of_input() -> None:
    sessions = corpus()
    drawn = sample(sessions, 20)
    assert sample(sessions[::-1], 20) == drawn
    assert sample(iter(sessions), 20, seed=13) == drawn
    assert sample(sessions, 20, seed=14) != drawn
    assert drawn == sorted(drawn, key=lambda s: (s.session, s.segment))


def test_the_sample_is_balanced_over_every_trait_at_once() -> None:
    sessions = corpus()
    everything = sample(sessions, 10_000)
    assert {s.probability for s in everything} == {1.0}
    assert Counter(s.score for s in everything)["low"] > len(everything) / 3 + 5, "ties at 0 make a large low third"
    p = sampling._probabilities([s.score for s in everything], 20)
    units = [replace(s, probability=q) for s, q in zip(everything, p)]
    wanted = expected(units)
    assert all(abs(wanted["score", level] - 20 / 3) < 1e-9 for level in ("low", "middle", "high"))
    for seed in range(40):
        drawn = sample(sessions, 20, seed=seed)
        assert len({(s.session, s.segment) for s in drawn}) == 20
        got = Counter((trait, getattr(s, trait)) for s in drawn for trait in ("session", "score", "length"))
        for key, value in wanted.items():
            assert abs(got[key] - value) < (2.5 if key[0] == "session" else 1.5), (key, got[key], value)


def test_segments_are_drawn_with_the_probability_that_is_stated() -> None:
    sessions = corpus(4)
    draws = 600
    times: Counter[tuple[str, int]] = Counter()
    stated: dict[tuple[str, int], float] = {}
    estimates = []
    for seed in range(draws):
        drawn = sample(sessions, 9, seed=seed)
        times.update((s.session, s.segment) for s in drawn)
        stated |= {(s.session, s.segment): s.probability for s in drawn}
        # how many segments are in the low third, estimated from the weights
        estimates.append(sum(s.weight for s in drawn if s.score == "low"))
    everything = sample(sessions, 10_000)
    assert len(stated) == len(everything)
    z = [(times[key] - draws * p) / (draws * p * (1 - p)) ** 0.5 for key, p in stated.items()]
    assert max(map(abs, z)) < 4
    assert sum(estimates) / draws == pytest.approx(sum(s.score == "low" for s in everything), rel=0.02)


def test_sessions_without_scores_and_with_times() -> None:
    talk = tuple(rk.Turn(i, "C", "client", "Yes.", 30.0 * i) for i in range(25))
    (stretch, *more) = sample([rk.AnnotatedTranscript(rk.Transcript("s", talk))], 9, segment_s=300)
    assert (stretch.first, stretch.last, stretch.score, stretch.weight, len(more)) == (0, 9, "unscored", 1.0, 2)
    assert sample([], 3) == []
    with pytest.raises(ValueError, match="give at least 1"):
        sample([], 0)
    with pytest.raises(ValueError, match="two sessions are called s0"):
        sample(corpus(1) * 2, 3)


def test_what_the_machine_said_is_hidden() -> None:
    sessions = corpus()
    drawn = sample(sessions, 12)
    hidden = list(blind(sessions, drawn, "AB"))
    assert {a.transcript.id for a in hidden} == {s.session for s in drawn}
    for a in hidden:
        assert (a.markers, a.scores, a.episodes, a.provenance) == ((), (), (), None)
        assert {c.source for c in a.coded} == {"coder:AB"}
        mine = [(s.first, s.last) for s in drawn if s.session == a.transcript.id]
        assert [(c.first, c.last) for c in a.coded if c.family == "resolution"] == mine
        assert {c.family for c in a.coded} == set(FAMILIES)


def test_a_study_from_the_sample_to_the_codings(tmp_path: Path) -> None:
    sessions = corpus()
    files = sampling.write(sessions, 6, tmp_path / "out", coders=("AB", "CD"), turns=5)
    assert [f.name for f in files] == ["AB.xlsx", "CD.xlsx", "design.csv", "worth_reading.csv", "made-by.json"]
    drawn = sample(sessions, 6)
    design = list(csv.DictReader(io.StringIO((tmp_path / "out" / "design.csv").read_bytes().decode("utf-8-sig"))))
    assert [(d["session"], int(d["segment"]), int(d["first turn"])) for d in design] == [
        (s.session, s.segment, s.first) for s in drawn
    ]
    assert float(design[0]["probability"]) * float(design[0]["weight"]) == pytest.approx(1, rel=1e-3)
    book = openpyxl.load_workbook(tmp_path / "out" / "AB.xlsx")
    header, *rows = book["Markers"].iter_rows(values_only=True)
    table = [dict(zip(header, row)) for row in rows]
    # a row for each marker in a drawn segment, and none elsewhere but those that say so
    assert {(r["session"], r["segment"]) for r in table if r["code"]} == {(s.session, s.segment) for s in drawn}
    assert len([r for r in table if r["code"]]) == 6 * 26
    assert not any(r[name] for r in table for name in ("clarity", "turns", "score", "source", "words"))
    (place,) = [n for n, r in enumerate(table, 2) if r["code"] == "W2" and r["first turn"] == drawn[0].first][:1]
    sheet = book["Markers"]
    sheet.cell(place, header.index("clarity") + 1).value = 2
    sheet.cell(place, header.index("turns") + 1).value = drawn[0].first + 1
    book.save(tmp_path / "AB back.xlsx")
    back = sheets.read(tmp_path / "AB back.xlsx", [a.transcript for a in sessions])
    given = [m for a in back for m in a.markers]
    assert [(m.turn, m.marker, m.clarity, m.source) for m in given] == [
        (drawn[0].first + 1, "minimal_response", 2, "coder:AB")
    ]
    assert [(a.transcript.id, a.coded) for a in back] == [
        (a.transcript.id, a.coded) for a in blind(sessions, drawn, "AB")
    ]
    with pytest.raises(FileExistsError):
        sampling.write(sessions, 6, tmp_path / "out")
    for wrong in ("../A", ""):
        with pytest.raises(ValueError, match="can be the name of a file"):
            sampling.write(sessions, 6, tmp_path / "other", coders=(wrong,))
    with pytest.raises(ValueError, match="no session to draw from"):
        sampling.write([], 6, tmp_path / "other")
    assert not (tmp_path / "other").exists()


# ---- turns worth a look


def turn_of(role: str, **more: Any) -> rk.AnnotatedTranscript:
    talk = rk.Transcript("s", (rk.Turn(0, "X", role, "=If you say so."),))  # type: ignore[arg-type]
    return rk.AnnotatedTranscript(talk, **more)


def score(family: str, value: float) -> tuple[rk.Score, ...]:
    return (rk.Score("turn", 0, family, value),)


def made(model: str | None = "m", **thresholds: float) -> rk.Provenance:
    return rk.Provenance("0.1.0", "3rs-2015 1.0", model=model, thresholds=thresholds)


def given(source: str, name: str = "denial") -> rk.Marker:
    return rk.Marker(0, 0, 3, "withdrawal", name, source=source)


def read_by(*coders: str, family: str = "withdrawal") -> tuple[Coded, ...]:
    return tuple(Coded(f"coder:{coder}", family, 0, 0) for coder in coders)


def test_the_nearer_to_the_threshold_the_more_uncertain() -> None:
    found = [
        worth_reading([turn_of("client", scores=score("withdrawal", p), provenance=made(withdrawal=0.2))], 5)
        for p in (0.2, 0.15, 0.28, 0.05, 0.9)
    ]
    assert [d[0].urgency if d else None for d in found] == [1.0, 0.75, 0.9, None, None]
    assert found[1][0].reasons == ("withdrawal: probability 0.15, threshold 0.2",)


def test_a_sure_rule_against_the_model() -> None:
    raised = {"scores": score("withdrawal", 0.2), "markers": (given("rule"),)}
    (doubt,) = worth_reading([turn_of("client", provenance=made(withdrawal=0.2), **raised)], 5)
    assert doubt.reasons == ("withdrawal: a rule marked it against the model",)
    (doubt,) = worth_reading([turn_of("client", provenance=made(None, withdrawal=0.2), **raised)], 5)
    assert doubt.reasons == ("withdrawal: probability 0.2, threshold 0.2",)


def test_coders_against_each_other_and_the_machine() -> None:
    split = turn_of("client", markers=(given("coder:A"),), coded=read_by("A", "B"))
    (doubt,) = worth_reading([split], 5)
    assert (doubt.urgency, doubt.reasons) == (1.0, ("withdrawal: 1 of 2 coders",))
    one_of_three = turn_of("client", markers=(given("coder:A"),), coded=read_by("A", "B", "C"))
    assert worth_reading([one_of_three], 5)[0].urgency == pytest.approx(2 / 3, abs=1e-4)
    # another marker of the same family is no dispute over the family
    agree = turn_of("client", markers=(given("coder:A"), given("coder:B", "topic_shift")), coded=read_by("A", "B"))
    assert worth_reading([agree], 5) == []
    against = turn_of(
        "client", markers=(given("model"),), scores=score("withdrawal", 0.93), coded=read_by("A", "B"),
        provenance=made(withdrawal=0.4),
    )  # fmt: skip
    (doubt,) = worth_reading([against], 5)
    assert (doubt.urgency, doubt.reasons) == (0.93, ("withdrawal: 0 of 2 coders, marked by the machine",))
    # nobody read it, so nobody disagrees; and without a machine's run there is nothing to disagree with
    assert (
        worth_reading([turn_of("client", markers=(given("model"),), coded=read_by("A", family="resolution"))], 5) == []
    )
    assert worth_reading([turn_of("client", markers=(given("coder:A"),), coded=read_by("A"))], 5) == []


def test_the_most_urgent_come_first_and_the_order_is_fixed(tmp_path: Path) -> None:
    sessions = corpus()
    doubts = worth_reading(sessions, 7)
    assert worth_reading(sessions[::-1], 7) == doubts == worth_reading(sessions, 10_000)[:7]
    assert [d.urgency for d in doubts] == sorted((d.urgency for d in doubts), reverse=True)
    sampling.write([turn_of("client", scores=score("withdrawal", 0.45))], 1, tmp_path / "o")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "o" / "worth_reading.csv").read_bytes().decode("utf-8-sig")))
    assert (row["urgency"], row["text"]) == ("0.9", "'=If you say so.")
