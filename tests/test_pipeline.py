from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rupturekit as rk
from rupturekit import rules
from rupturekit.annotation import FAMILIES
from rupturekit.codebook import load_codebook
from rupturekit.score import present

NAMES = tuple(marker.id for marker in load_codebook().markers)


class WordModel:
    """A model that knows one word: "whatever" is a minimal response, with certainty."""

    name = "word"
    sha256 = "00"

    def __init__(self) -> None:
        self.thresholds: dict[str, float] = {**dict.fromkeys(FAMILIES, 0.5), **dict.fromkeys(NAMES, 0.5)}

    def __call__(self, transcript: rk.Transcript) -> Any:
        at = [turn.text.lower().find("whatever") for turn in transcript]
        spans = [{"withdrawal": (i, i + 8)} if i >= 0 else {} for i in at]
        return SimpleNamespace(spans=spans, marker_names=NAMES, found=[i >= 0 for i in at])

    def probability(self, output: Any, rule_scores: np.ndarray) -> np.ndarray:
        table = np.zeros((len(rule_scores), 5))
        table[:, [0, 1, 3, 4]] = rule_scores
        table[:, 1] = np.maximum(table[:, 1], np.array(output.found, float))
        table[:, 2] = table[:, :2].max(axis=1)
        return table

    def marker_probability(self, output: Any, turn_probabilities: np.ndarray) -> np.ndarray:
        table = np.zeros((len(turn_probabilities), len(NAMES)))
        table[:, NAMES.index("minimal_response")] = output.found
        return table


def session(*texts: str) -> rk.Transcript:
    roles = ("therapist", "client")
    return rk.Transcript(
        "s",
        tuple(rk.Turn(i, roles[i % 2][0], roles[i % 2], text) for i, text in enumerate(texts)),  # type: ignore[arg-type]
    )


TALK = session(
    "How is it for you, coming here every week?",
    "To be honest, this isn't helping.",
    "Have I missed something important?",
    "Whatever you like.",
    "Let's look at the week, then.",
    "Tuesday was better, I went for a walk with my sister.",
)


def test_rules_and_model_both_leave_their_evidence() -> None:
    annotated = rk.Annotator(WordModel())(TALK)
    found = {(m.turn, m.marker, m.source) for m in annotated.markers}
    assert {(1, "complaint_progress", "rule"), (3, "minimal_response", "model")} <= found
    assert (2, "invite_feelings", "rule") in found
    assert present(annotated.markers)["rupture"] == {1, 3}
    rule = next(m for m in annotated.markers if m.turn == 1)
    assert rule.rule_id
    assert "isn't helping" in annotated.text_of(rule)
    assert [annotated.text_of(m) for m in annotated.markers if m.source == "model"] == ["Whatever"]


def test_scores_episodes_coded_and_provenance_come_with_the_markers() -> None:
    annotated = rk.Annotator(WordModel())(TALK)
    assert set(annotated.turn_scores()) == set(range(6))
    assert {s.level for s in annotated.scores} == {"turn", "segment", "session"}
    (episode,) = annotated.episodes
    assert (episode.first, episode.last, 2 in episode.repair) == (1, 5, True)
    assert {(c.source, c.family, c.first, c.last) for c in annotated.coded} == {
        (source, family, 0, 5) for source in ("rule", "model") for family in FAMILIES
    }
    facts = annotated.provenance
    assert facts is not None
    assert (facts.version, facts.model, facts.codebook) == (rk.__version__, "word", "3rs-2015 1.0")
    assert facts.rules_sha256
    assert len(facts.rules_sha256) == 64


def test_an_annotation_is_lossless_as_json() -> None:
    annotated = rk.Annotator(WordModel())(TALK)
    assert rk.AnnotatedTranscript.from_json(annotated.to_json()) == annotated


def test_without_rules_the_model_alone_marks() -> None:
    annotated = rk.Annotator(WordModel(), rules=False)(TALK)
    assert {m.source for m in annotated.markers} == {"model"}
    assert {c.source for c in annotated.coded} == {"model"}
    assert annotated.provenance is not None
    assert annotated.provenance.rules_sha256 is None


def test_a_threshold_given_replaces_the_models_own() -> None:
    class Unsure(WordModel):
        def probability(self, output: Any, rule_scores: np.ndarray) -> np.ndarray:
            return super().probability(output, rule_scores) * 0.6

    assert rk.Annotator(Unsure(), rules=False)(TALK).markers
    strict = rk.Annotator(Unsure(), rules=False, thresholds={"withdrawal": 0.7})
    assert strict(TALK).markers == ()
    assert strict(TALK).provenance.thresholds["withdrawal"] == 0.7  # type: ignore[union-attr]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a model nor rules"):
        rk.Annotator(None, rules=False)
    with pytest.raises(ValueError, match="'anger': no such family or marker"):
        rk.Annotator(None, thresholds={"anger": 0.5})
    with pytest.raises(ValueError, match="50 is not a probability"):
        rk.Annotator(None, thresholds={"withdrawal": 50})


@pytest.mark.parametrize("given", ["Meadow said no.", Path("meadow.txt"), rk.AnnotatedTranscript(TALK), [TALK], None])
def test_what_is_no_transcript_is_refused_by_its_type(given: Any) -> None:
    annotator = rk.Annotator(None)
    for call in (annotator, lambda one: list(annotator.pipe([one]))):
        with pytest.raises(TypeError, match=f"of type {type(given).__name__}; give Transcripts") as error:
            call(given)
        assert "eadow" not in str(error.value)


@pytest.mark.parametrize("turn", [rk.Turn(1, "C", "client", "Meadow."), rk.Turn(0, "C", "Meadow", "I guess.")])  # type: ignore[arg-type]
def test_turns_that_do_not_fit_are_refused(turn: rk.Turn) -> None:
    with pytest.raises(ValueError, match="turn 0: number turns from 0") as error:
        rk.Annotator(None)(rk.Transcript("s1", (turn,)))
    assert "Meadow" not in str(error.value)


def test_a_threshold_may_be_a_number_of_numpy() -> None:
    annotated = rk.Annotator(None, thresholds={"withdrawal": np.float32(0.3)})(TALK)  # type: ignore[dict-item]
    assert rk.AnnotatedTranscript.from_json(annotated.to_json()) == annotated
    with pytest.raises(ValueError, match="not a probability"):
        rk.Annotator(None, thresholds={"withdrawal": "0.3"})  # type: ignore[dict-item]


def test_a_stream_gives_what_single_calls_give_in_order() -> None:
    annotator = rk.Annotator(WordModel())
    others = [TALK, session("And how did that feel?", "Whatever."), session()]
    stream = annotator.pipe(iter(others))
    assert list(stream) == [annotator(transcript) for transcript in others]


def test_read_gives_one_transcript_with_the_files_stem_as_id(tmp_path: Path) -> None:
    file = tmp_path / "s 12.txt"
    file.write_text("Speaker 1: How was the week?\n\nSpeaker 2: Long, and I was alone.\n", "utf-8")
    transcript = rk.read(file, roles={"Speaker 1": "therapist", "Speaker 2": "client"})
    assert (transcript.id, [turn.role for turn in transcript]) == ("s 12", ["therapist", "client"])
    assert transcript.meta["path"] == str(file)


def test_read_says_how_many_sessions_a_table_holds_and_read_all_gives_them(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    rows = [f"{s},{who},Well said {s}" for s in ("a", "b", "c") for who in ("therapist", "client")]
    file.write_text("\n".join(["id,who,words", *rows]) + "\n", "utf-8")
    columns = {"session": "id", "speaker": "who", "text": "words"}
    with pytest.raises(rk.ReadError, match="holds 3 sessions"):
        rk.read(file, columns=columns)
    assert [t.id for t in rk.read_all(file, columns=columns)] == ["a", "b", "c"]


def test_an_unclear_session_is_named_by_file_and_place(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text("session,speaker,text\nAna,T,Well?\nAna,C,So so.\nBen,,Well?\nBen,,So so.\n", "utf-8")
    with pytest.raises(rk.RoleError, match=r"all\.csv, session 2 of 2: no utterance has a speaker's label") as caught:
        rk.read_all(file)
    assert "Ben" not in str(caught.value)
    alone = tmp_path / "alone.txt"
    alone.write_text("Well?\nSo so.\n", "utf-8")
    with pytest.raises(rk.RoleError, match=r"alone\.txt: no utterance"):
        rk.read(alone)


def test_a_rupture_that_the_model_alone_found_is_told_to_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answers:
        """Marks a therapist turn, which counts only where it answers a rupture."""

        sha256 = "00"

        def scan(self, transcript: rk.Transcript) -> tuple[rk.Marker, ...]:
            return (rk.Marker(4, 0, 3, "resolution", "validate_defense", 0.9, None, "rule", "R9-001"),)

    monkeypatch.setattr(rules, "shipped", Answers)
    found = rk.Annotator(WordModel())(TALK).markers
    assert [(m.turn, m.marker) for m in found] == [(3, "minimal_response"), (4, "validate_defense")]
    assert rk.Annotator(None)(TALK).markers == ()
