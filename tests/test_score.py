from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rupturekit.annotation import SCORES, Marker, Score
from rupturekit.codebook import load_codebook
from rupturekit.score import (
    TRUSTED,
    decide,
    present,
    rates,
    rule_scores,
    segments,
    without_model,
)
from rupturekit.transcript import Transcript, Turn

BOOK = load_codebook()
NAMES = tuple(marker.id for marker in BOOK.markers)
THRESHOLDS = {
    **{family: 0.5 for family in ("confrontation", "withdrawal", "resolution", "therapist_defensive")},
    **dict.fromkeys(NAMES, 0.4),
}


def talk(*roles: str, start: tuple[float | None, ...] = ()) -> Transcript:
    times = start or (None,) * len(roles)
    turns = (Turn(i, r[0], r, "one two three", t) for i, (r, t) in enumerate(zip(roles, times)))  # type: ignore[arg-type]
    return Transcript("s", tuple(turns))


def rule(turn: int, marker: str, weight: float, start: int = 0, end: int = 3, id: str = "X-1") -> Marker:
    return Marker(turn, start, end, BOOK[marker].parent, marker, weight, None, "rule", id)


def turn_score(scores: tuple[Score, ...], name: str, turn: int = 0) -> float:
    return next(s.value for s in scores if s.level == "turn" and (s.index, s.family) == (turn, name))


def with_model(
    transcript: Transcript,
    rules: list[Marker],
    p: dict[str, float],
    q: dict[str, float],
    thresholds: dict[str, float] = THRESHOLDS,
) -> tuple[tuple[Marker, ...], tuple[Score, ...]]:
    """Decide with a model that says the same of every turn."""
    n = len(transcript)
    output = SimpleNamespace(
        spans=[{"confrontation": (4, 7), "withdrawal": (4, 7), "resolution": (8, 13)}] * n,
        marker_names=NAMES,
    )
    probabilities = np.tile([p.get(name, 0.0) for name in SCORES], (n, 1))
    of_markers = np.tile([q.get(name, 0.0) for name in NAMES], (n, 1))
    return decide(transcript, rules, probabilities, thresholds, BOOK, output, of_markers)


def test_a_family_at_its_threshold_gets_every_marker_that_reaches_its_own() -> None:
    markers, scores = with_model(
        talk("client"),
        [],
        {"withdrawal": 0.5},
        {"denial": 0.45, "minimal_response": 0.4, "topic_shift": 0.39, "complaint_progress": 0.9},
    )
    assert [(m.marker, m.start, m.end, m.score, m.source) for m in markers] == [
        ("denial", 4, 7, 0.45, "model"),
        ("minimal_response", 4, 7, 0.4, "model"),
    ]
    assert turn_score(scores, "withdrawal") == 0.5


def test_the_likeliest_marker_is_written_when_none_reaches_its_threshold() -> None:
    markers, _ = with_model(
        talk("client"), [], {"confrontation": 0.6}, {"defends_self": 0.2, "control_pressure": 0.1, "denial": 0.9}
    )
    assert [(m.family, m.marker, m.score) for m in markers] == [("confrontation", "defends_self", 0.2)]


def test_a_rule_names_the_marker_when_no_marker_of_the_model_reaches_its_threshold() -> None:
    markers, _ = with_model(
        talk("client"), [rule(0, "control_pressure", 0.7)], {"confrontation": 0.6}, {"defends_self": 0.2}
    )
    assert [(m.marker, m.source, m.rule_id, m.score) for m in markers] == [("control_pressure", "rule", "X-1", 0.7)]


def test_below_the_threshold_there_is_no_marker_and_a_weak_rule_is_overruled() -> None:
    markers, scores = with_model(
        talk("client"), [rule(0, "denial", TRUSTED - 0.01)], {"withdrawal": 0.4999}, {"denial": 0.9}
    )
    assert markers == ()
    assert turn_score(scores, "withdrawal") == 0.4999


def test_a_trusted_rule_stays_and_lifts_the_family_and_rupture_to_the_threshold() -> None:
    markers, scores = with_model(
        talk("client"), [rule(0, "denial", TRUSTED)], {"withdrawal": 0.1, "rupture": 0.2}, {"denial": 0.9}
    )
    assert [(m.source, m.marker) for m in markers] == [("rule", "denial")]
    assert turn_score(scores, "withdrawal") == turn_score(scores, "rupture") == 0.5


def test_presence_and_probability_agree_also_at_the_edge_of_rounding() -> None:
    for p in (0.49994, 0.49996):
        markers, scores = with_model(talk("client"), [], {"withdrawal": p}, {"denial": 0.9})
        assert bool(markers) == (turn_score(scores, "withdrawal") >= 0.5)


def test_rules_and_model_on_one_marker_are_two_rows_and_two_rules_are_one() -> None:
    rules = [rule(0, "denial", 0.6, 0, 3, "W1-1"), rule(0, "denial", 0.8, 4, 7, "W1-2")]
    markers, _ = with_model(talk("client"), rules, {"withdrawal": 0.9}, {"denial": 0.9})
    assert [(m.source, m.rule_id) for m in markers] == [("model", None), ("rule", "W1-2")]


def test_turns_are_scored_for_the_families_of_their_role_alone() -> None:
    everything = dict.fromkeys(SCORES, 0.9)
    markers, scores = with_model(
        talk("client", "therapist", "other"),
        [rule(1, "denial", 0.95), rule(2, "denial", 0.95)],
        everything,
        {"denial": 0.9, "control_pressure": 0.9, "invite_feelings": 0.9, "therapist_defensive": 0.9},
    )
    assert {(s.index, s.family) for s in scores} == {
        *((0, name) for name in ("confrontation", "withdrawal", "rupture")),
        *((1, name) for name in ("resolution", "therapist_defensive")),
    }
    assert {(m.turn, m.family) for m in markers} == {
        *((0, name) for name in ("confrontation", "withdrawal")),
        *((1, name) for name in ("resolution", "therapist_defensive")),
    }


def test_a_model_without_a_span_for_the_family_marks_the_whole_turn() -> None:
    markers, _ = with_model(talk("therapist"), [], {"therapist_defensive": 0.9}, {"therapist_defensive": 0.9})
    assert (markers[0].start, markers[0].end) == (0, len("one two three"))


def test_without_a_model_every_rule_marks_and_its_weight_is_the_score() -> None:
    transcript = talk("client", "client")
    rules = [rule(0, "denial", 0.3), rule(0, "control_pressure", 0.5)]
    p = without_model(rule_scores(transcript, rules))
    markers, scores = decide(transcript, rules, p, {}, BOOK)
    assert {m.marker for m in markers} == {"denial", "control_pressure"}
    assert turn_score(scores, "rupture") == pytest.approx(1 - 0.7 * 0.5)
    assert [turn_score(scores, name, 1) for name in ("withdrawal", "confrontation", "rupture")] == [0, 0, 0]
    markers, _ = decide(transcript, rules, p, {"withdrawal": 0.4}, BOOK)
    assert {m.marker for m in markers} == {"control_pressure"}


def test_rates_are_per_hundred_turns_of_the_role_in_the_segment_and_the_session() -> None:
    transcript = talk("therapist", *["client"] * 4, start=(0.0, 10.0, 20.0, 301.0, 302.0))
    found = [
        Marker(1, 0, 3, "withdrawal", "denial"),
        Marker(1, 0, 3, "confrontation", "control_pressure"),
        Marker(3, 0, 3, "withdrawal", "denial"),
    ]
    table = {(s.level, s.index, s.family): s.value for s in rates(transcript, found)}
    assert table["session", 0, "withdrawal"] == table["session", 0, "rupture"] == 50
    assert table["session", 0, "confrontation"] == 25
    assert table["segment", 0, "rupture"] == table["segment", 1, "rupture"] == 50
    assert table["segment", 1, "confrontation"] == 0
    assert ("segment", 1, "resolution") not in table  # no therapist turn there


def test_segments_are_of_twenty_turns_without_times_and_hold_every_turn_once() -> None:
    assert [len(turns) for turns in segments(talk(*["client"] * 45)).values()] == [20, 20, 5]
    jumping = talk("client", "client", "client", "client", start=(900.0, 1e12, 5.0, None))
    assert segments(jumping) == {0: [0], 3333333330: [1, 2, 3]}
    assert segments(talk()) == {}


def test_rupture_is_present_where_either_family_of_the_client_is() -> None:
    found = [Marker(2, 0, 3, "confrontation", "control_pressure"), Marker(4, 0, 3, "withdrawal", "denial")]
    found += [Marker(i, 0, 3, "resolution", "invite_feelings") for i in (1, 3, 7, 9)]
    assert present(found)["rupture"] == {2, 4}
