"""Measures of talk, each against a value that was worked out by hand."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from rupturekit import talk
from rupturekit.annotation import AnnotatedTranscript
from rupturekit.tables import Pseudonyms
from rupturekit.talk import MEASURES, NEED_NO_WORDS, talk_features
from rupturekit.transcript import Transcript, Turn


def session(*said: tuple[str, str], times: list[tuple[float, float]] | None = None) -> Transcript:
    roles = {"T": "therapist", "C": "client", "O": "other"}
    spans: list[tuple[float | None, float | None]] = [*times] if times else [(None, None)] * len(said)
    return Transcript("s", tuple(Turn(i, w, roles[w], text, *spans[i]) for i, (w, text) in enumerate(said)))  # type: ignore[arg-type]


def test_shares_and_lengths_count_words_of_client_and_therapist_alone() -> None:
    found = talk_features(
        session(("T", "One two three."), ("O", "Not me."), ("C", "[laughs] Four."), ("C", "Five six."))
    )
    assert found["talk_share_client"] == 3 / 6
    assert found["turn_words_client"] == 1.5
    assert found["turn_words_therapist"] == 3.0


def test_latencies_are_those_of_changes_and_overlaps_those_below_nought() -> None:
    # the client answers after 1, 2, 3, the therapist after -0.5, 0.5
    times = [(0.0, 1.0), (2.0, 3.0), (2.5, 4.0), (6.0, 7.0), (7.5, 8.0), (11.0, 12.0)]
    talked = session(*[("TC"[i % 2], "Well.") for i in range(6)], times=times)
    found = talk_features(talked)
    assert found["overlaps_per100"] == pytest.approx(20)
    assert found["latency_s_client"] is None  # three changes are too few
    longer = session(*[("TC"[i % 2], "Well.") for i in range(12)], times=[(i * 2.0, i * 2.0 + 1.5) for i in range(12)])
    assert talk_features(longer)["latency_s_client"] == pytest.approx(0.5)
    assert talk_features(session(("T", "Hello."), ("C", "Hi.")))["overlaps_per100"] is None


def test_a_silence_belongs_to_the_latency_of_the_words_after_it_also_where_words_are_withheld() -> None:
    turns: list[Turn] = []
    for i in range(0, 200, 20):
        turns += [
            Turn(len(turns), "T", "therapist", "What was that like?", i, i + 2.0),
            Turn(len(turns) + 1, "C", "client", "[silence]", i + 2.0, i + 10.0),
            Turn(len(turns) + 2, "C", "client", "Quite hard, that.", i + 10.0, i + 13.0),
        ]
    talked = Transcript("s", tuple(turns))
    found = talk_features(talked)
    assert (found["latency_s_client"], found["latency_s_therapist"]) == (8.0, 7.0)
    assert found["turn_words_client"] == 3
    bare = Pseudonyms(b"k")(AnnotatedTranscript(talked)).transcript
    assert {column: talk_features(bare)[column] for column in NEED_NO_WORDS} == {c: found[c] for c in NEED_NO_WORDS}


def test_questions_are_open_or_closed() -> None:
    talked = session(
        ("T", "How was that for you?"), ("C", "Hard?"), ("T", "Did you sleep?"), ("T", "I see."), ("T", "What came up?")
    )
    found = talk_features(talked)
    assert found["open_questions_per100"] == 50
    assert found["closed_questions_per100"] == 25


def test_style_matching_is_the_published_formula() -> None:
    # articles: a tenth of the client's words, a twentieth of the therapist's; nothing else of the nine classes
    client = " ".join(["the", *["word"] * 9] * 6)
    therapist = " ".join(["a", *["word"] * 19] * 3)
    found = talk_features(session(("C", client), ("T", therapist)))["style_matching"]
    articles = 1 - abs(10 - 5) / (10 + 5 + 0.0001)
    assert found == pytest.approx((8 * 1 + articles) / 9)
    same = talk_features(session(("C", client), ("T", client)))["style_matching"]
    assert same == pytest.approx(1)
    assert talk_features(session(("C", "the word"), ("T", therapist)))["style_matching"] is None


def test_contractions_are_the_words_that_they_are_made_of() -> None:
    # 50 words that are 60 parts: I, 'm, do, n't, ...
    client = " ".join(["I’m", "word", "word", "don't", "can't"] * 12)
    found = talk_features(session(("C", client), ("T", client)))
    assert found["i_talk_client"] == pytest.approx(100 * 12 / (12 * 8))
    # I, 'd, 've and could, n't, 've
    client = " ".join(["I’d’ve", "word", "couldn’t’ve", "word"] * 15)
    assert talk_features(session(("C", client)))["i_talk_client"] == pytest.approx(100 * 15 / (15 * 8))


def test_wont_and_shant_are_will_and_shall() -> None:
    table = ["table"] * 8
    short = " ".join(["won’t", *table, "shan't"] * 6)
    long = " ".join(["will", "not", *table, "shall", "not"] * 6)
    assert talk_features(session(("C", short), ("T", long)))["style_matching"] == pytest.approx(1)


@pytest.mark.skipif(find_spec("vaderSentiment") is None, reason="vaderSentiment is not installed")
def test_affect_words_by_the_lexicon_which_loads_no_http_library() -> None:
    client = " ".join(["happy", *["table"] * 7, "awful", "chair"] * 6)
    found = talk_features(session(("C", client), ("T", client)))
    assert found["positive_words_client"] == pytest.approx(10)
    assert found["negative_words_client"] == pytest.approx(10)
    assert "vaderSentiment.vaderSentiment" not in sys.modules


def test_without_the_lexicon_affect_is_unknown_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "lexicon", dict)
    client = " ".join(["happy", "I", "walk"] * 30)
    found = talk_features(session(("C", client), ("T", client)))
    assert found["positive_words_client"] is None
    assert found["i_talk_client"] == pytest.approx(100 / 3)


def test_an_empty_session_has_every_column_and_no_values() -> None:
    found = talk_features(Transcript("s", ()))
    assert list(found) == list(MEASURES)
    assert set(found.values()) == {None}


def test_words_that_are_withheld_are_unknown_not_none_said() -> None:
    talked = session(*[("TC"[i % 2], "") for i in range(12)], times=[(i * 2.0, i * 2.0 + 1.5) for i in range(12)])
    found = talk_features(Transcript("s", talked.turns, meta={"text_withheld": True}))
    assert found["latency_s_client"] == pytest.approx(0.5)
    assert found["turn_words_client"] is None
    assert found["open_questions_per100"] is None
