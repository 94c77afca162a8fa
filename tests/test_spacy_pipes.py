"""The spaCy pipes: the same as the Python path, and at home in spaCy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.tokens.underscore import Underscore
from spacy.training import Example

import rupturekit as rk
from coded_sessions import STUDY, coded_sessions, on
from rupturekit import spacy_pipes
from rupturekit.coding import read_synthetic
from rupturekit.spacy_pipes import from_doc, to_doc

ROOT = Path(__file__).parents[1]
RULES = ("rupture_turns", "rupture_rules", "rupture_scores")
MODEL = ("rupture_turns", "rupture_classifier", "rupture_scores")
BOTH = ("rupture_turns", "rupture_rules", "rupture_classifier", "rupture_scores")
TALK = "T: How has the work been going?\nC: Honestly, this isn't helping.\nT: Have I missed something?\nC: Whatever."


def pipeline(*pipes: str) -> Language:
    nlp = spacy.blank("en")
    for pipe in pipes:
        nlp.add_pipe(pipe)
    return nlp


@cache
def examples() -> list[rk.Transcript]:
    sessions = ROOT / "examples" / "sessions"
    return [session for path in sorted(sessions.iterdir()) if path.suffix != ".md" for session in rk.read_all(path)]


def synthetic(name: str, count: int) -> Iterator[rk.Transcript]:
    path = ROOT / "data" / "synthetic" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: the synthetic sessions are in the repository, not in a package")
    return (session.transcript for session in islice(read_synthetic(path), count))


# --- the same as the Python path ----------------------------------------------------------------------


def test_the_examples_are_marked_as_the_annotator_marks_them() -> None:
    nlp, annotate = pipeline(*BOTH), rk.Annotator()
    assert len(examples()) >= 9
    for transcript in examples():
        expected = annotate(transcript)
        assert expected.scores
        assert from_doc(nlp(to_doc(transcript, nlp))) == expected


def test_synthetic_exchanges_are_marked_as_the_annotator_marks_them() -> None:
    nlp, annotate = pipeline(*BOTH), rk.Annotator()
    sources = set()
    for transcript in synthetic("exchanges.jsonl", 250):
        found = from_doc(nlp(to_doc(transcript, nlp)))
        assert found == annotate(transcript)
        sources |= {marker.source for marker in found.markers}
    assert sources == {"rule", "model"}


def test_rules_alone_are_the_annotator_without_a_model() -> None:
    nlp, annotate = pipeline(*RULES), rk.Annotator(model=None)
    for transcript in synthetic("sessions.jsonl", 200):
        assert from_doc(nlp(to_doc(transcript, nlp))) == annotate(transcript)


def test_the_classifier_alone_is_the_annotator_without_rules() -> None:
    nlp, annotate = pipeline(*MODEL), rk.Annotator(rules=False)
    for transcript in examples()[:3]:
        assert from_doc(nlp(to_doc(transcript, nlp))) == annotate(transcript)


def test_a_doc_that_goes_through_again_is_as_after_the_first_time() -> None:
    both, alone = pipeline(*BOTH), pipeline(*MODEL)
    doc = to_doc(examples()[0], both)
    first = from_doc(both(doc))
    assert from_doc(both(doc)) == first
    assert from_doc(alone(doc)) == rk.Annotator(rules=False)(examples()[0])


def test_thresholds_are_those_given() -> None:
    nlp = pipeline("rupture_turns")
    nlp.add_pipe("rupture_classifier", config={"thresholds": {"withdrawal": 0.0}})
    found = from_doc(nlp(TALK))
    assert found.markers == rk.Annotator(rules=False, thresholds={"withdrawal": 0.0})(found.transcript).markers
    assert {m.turn for m in found.markers if m.family == "withdrawal"} == {1, 3}


def test_white_space_in_the_doc_does_not_hide_words() -> None:
    nlp, annotate = pipeline(*BOTH), rk.Annotator()
    doc = nlp("T:  How has it been?\r\n\r\nC: Honestly, this\r\n     isn't  helping\u00a0me. 🙈 So.\r\nT: Hm.\r\n")
    found = from_doc(doc)
    assert [turn.text for turn in found.transcript] == [
        "How has it been?", "Honestly, this isn't helping me. 🙈 So.", "Hm."
    ]  # fmt: skip
    assert found == annotate(found.transcript)
    (marker,) = (m for m in found.markers if m.source == "rule")
    assert found.text_of(marker).startswith("this isn't helping")
    (span,) = (s for s in doc.spans["markers"] if s.label_ == marker.marker and s.text.startswith("this"))
    assert span.text.startswith("this\r\n     isn't  helping")
    assert doc.text.startswith("T:  How has it been?\r\n")


# --- turns --------------------------------------------------------------------------------------------


def turns_of(doc: Doc) -> list[tuple[str, str, str]]:
    return [(turn.label_, turn.id_, turn.text) for turn in doc.spans["turns"]]


def test_lines_with_labels_are_turns() -> None:
    nlp = pipeline("rupture_turns")
    doc = nlp("Session 3\n\nTherapist: Hello.\nMe: then you.\nClient:\nIt's like this:\n  so.\nClient: And so. \n")
    assert turns_of(doc) == [
        ("therapist", "Therapist", "Hello.\nMe: then you."),
        ("client", "Client", "It's like this:\n  so."),
        ("client", "Client", "And so."),
    ]
    meta = from_doc(doc).transcript.meta
    assert (meta["role_source"], meta["flags"]) == ("labels", ["no_times"])


def test_the_labels_that_roles_names_are_labels() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("rupture_turns", config={"roles": {"ann": "client", "THE DOC": "therapist"}})
    doc = nlp("the doc: So?\nAnn: One thing:\nI left: at once.")
    assert turns_of(doc) == [("therapist", "the doc", "So?"), ("client", "Ann", "One thing:\nI left: at once.")]


def test_speakers_can_be_named_beside_the_text() -> None:
    nlp = pipeline("rupture_turns")
    doc = nlp.make_doc("How was the week?\n\n  I'd say: long.\nMm.\n")
    doc.user_data |= {"speakers": ["A", "B", "A"], "session": "s7"}
    with pytest.raises(rk.RoleError, match="labels name no roles"):
        nlp(doc.copy())
    nlp = spacy.blank("en")
    nlp.add_pipe("rupture_turns", config={"roles": {"a": "therapist", "Nobody here": "client"}})
    assert turns_of(nlp(doc)) == [
        ("therapist", "A", "How was the week?"), ("client", "B", "I'd say: long."), ("therapist", "A", "Mm.")
    ]  # fmt: skip
    (doc,) = DocBin(docs=[doc]).get_docs(nlp.vocab)  # user data is left out
    assert (from_doc(doc).transcript.id, from_doc(doc).transcript.meta["role_source"]) == ("s7", "given")


def test_turns_that_are_there_stay() -> None:
    nlp = pipeline("rupture_turns")
    doc = nlp.make_doc("C: Hello there. This isn't helping.")
    doc.spans["turns"] = [Span(doc, 2, 5, label="therapist"), Span(doc, 5, len(doc), label="client", span_id="Ann")]
    assert turns_of(nlp(doc)) == [("therapist", "", "Hello there."), ("client", "Ann", "This isn't helping.")]
    assert from_doc(pipeline("rupture_rules")(doc)).markers[0].turn == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line of this Doc begins with a speaker's label"),
        ("My secret is out.\nIt is.", "no line of this Doc begins with a speaker's label"),
        ("C: My secret is out.", "the only speaker"),
    ],
)
def test_a_text_without_speakers_is_refused_without_its_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        pipeline("rupture_turns")(text)
    assert "secret" not in str(caught.value)


def test_what_does_not_fit_is_refused() -> None:
    nlp = pipeline("rupture_turns")
    doc = nlp.make_doc("Hello there. My secret.")
    doc.user_data["speakers"] = ["T", "C"]
    with pytest.raises(ValueError, match="names 2 speakers, and the Doc has 1 lines"):
        nlp(doc)
    for spans, message in (
        ([Span(doc, 0, 0, label="client")], "turn 0 has no words"),
        ([Span(doc, 0, 3, label="PERSON")], "turn 0: the label of its span is no role"),
        ([Span(doc, 0, 3, label="client"), Span(doc, 2, 5, label="client")], "turn 1 begins before turn 0 ends"),
    ):
        doc.spans["turns"] = spans
        with pytest.raises(ValueError, match=message) as caught:
            nlp(doc)
        assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="role 1 of roles is none of client, therapist, other"):
        nlp.add_pipe("rupture_turns", name="again", config={"roles": {"Ann": "patient"}})
    with pytest.raises(ValueError, match="this Doc has no turns"):
        pipeline("rupture_rules")("Hello.")
    with pytest.raises(ValueError, match=r"has no spans 'markers'\. Put rupture_rules or"):
        pipeline("rupture_turns", "rupture_scores")(TALK)


def test_a_turn_that_is_taken_away_is_told_to_those_who_count_on_it() -> None:
    nlp = pipeline(*RULES)
    doc = to_doc(STUDY.transcript, nlp)
    turns = doc.spans["turns"]
    doc.spans["turns"] = SpanGroup(doc, name="turns", attrs=turns.attrs, spans=list(turns)[:-1])
    with pytest.raises(ValueError, match=r"4 turns, and attrs\['times'\] of their group tells of 5"):
        nlp(doc)


# --- at home in spaCy ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both() -> Language:
    return pipeline(*BOTH)


def test_several_processes_find_the_same(both: Language) -> None:
    transcripts = examples()[:4]
    expected = [from_doc(both(to_doc(t, both))) for t in transcripts]
    docs = [to_doc(t, both) for t in transcripts]
    assert [from_doc(doc) for doc in both.pipe(docs, n_process=2, batch_size=1)] == expected
    assert [from_doc(doc) for doc in both.pipe((to_doc(t, both) for t in transcripts), batch_size=3)] == expected


def test_processes_that_are_started_anew_find_the_same(tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(
        "import multiprocessing, spacy, rupturekit.spacy_pipes as pipes\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    nlp = spacy.blank('en')\n"
        f"    for pipe in {BOTH}: nlp.add_pipe(pipe)\n"
        f"    expected = pipes.from_doc(nlp({TALK!r}))\n"
        f"    assert expected.markers\n"
        f"    for doc in nlp.pipe([{TALK!r}] * 3, n_process=2, batch_size=1):\n"
        "        assert pipes.from_doc(doc) == expected\n",
        "utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_one_session_that_fails_can_be_passed_over() -> None:
    nlp = pipeline(*RULES)
    with pytest.raises(ValueError, match="no line of this Doc"):
        list(nlp.pipe([TALK, "No labels.", TALK]))
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((name, type(error))))
    assert len(list(nlp.pipe([TALK, "No labels.", TALK]))) == 2
    assert failed == [("rupture_turns", ValueError)]


def test_a_saved_pipeline_is_the_same_again(both: Language, tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("rupture_turns", config={"roles": {"Dr. Lee": "therapist", "Speaker 1": "client"}})
    nlp.add_pipe("rupture_rules")
    nlp.add_pipe("rupture_classifier", config={"thresholds": {"withdrawal": 0.25}})
    nlp.add_pipe("rupture_scores")
    text = TALK.replace("T:", "Dr. Lee:").replace("C:", "Speaker 1:")
    expected = from_doc(nlp(text))
    assert expected.markers
    nlp.to_disk(tmp_path / "nlp")
    assert from_doc(spacy.load(tmp_path / "nlp")(text)) == expected
    again = Language.from_config(nlp.config) if nlp.lang is None else spacy.blank("en").from_config(nlp.config)
    assert from_doc(again.from_bytes(nlp.to_bytes())(text)) == expected
    assert str(ROOT) not in (tmp_path / "nlp" / "config.cfg").read_text("utf-8")


def test_a_model_of_ones_own_is_found_by_its_path_or_told_where_it_is(tmp_path: Path) -> None:
    shipped = rk.Classifier.load().folder
    own, moved = tmp_path / "own", tmp_path / "moved"
    own.mkdir()
    for name in ("config.json", "model.onnx", "tokenizer.json"):
        (own / name).symlink_to(shipped / name)
    nlp = pipeline("rupture_turns")
    nlp.add_pipe("rupture_classifier", config={"model": str(own)})
    expected = from_doc(nlp(TALK))
    nlp.to_disk(tmp_path / "nlp")
    assert from_doc(spacy.load(tmp_path / "nlp")(TALK)) == expected
    own.rename(moved)
    with pytest.raises(
        ValueError, match=r"rupture_classifier: .*no config.json; .*components\.rupture_classifier\.model"
    ):
        spacy.load(tmp_path / "nlp")
    nlp = spacy.load(tmp_path / "nlp", config={"components.rupture_classifier.model": str(moved)})
    assert from_doc(nlp(TALK)) == expected


@pytest.mark.parametrize("store_user_data", [False, True])
def test_what_was_found_outlives_a_docbin(both: Language, store_user_data: bool) -> None:
    docs = [both(to_doc(transcript, both)) for transcript in examples()[:3]]
    expected = [from_doc(doc) for doc in docs]
    data = DocBin(docs=docs, store_user_data=store_user_data).to_bytes()
    assert data == DocBin(docs=docs, store_user_data=store_user_data).to_bytes()
    back = list(DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab))
    assert [from_doc(doc) for doc in back] == expected
    assert [from_doc(Doc(spacy.blank("en").vocab).from_bytes(doc.to_bytes())) for doc in docs] == expected
    assert [span.label_ for span in back[0].spans["markers"]] == [m.marker for m in expected[0].markers]


def test_the_docs_of_an_export_go_through_the_pipes(both: Language, tmp_path: Path) -> None:
    (path,) = rk.export([STUDY], "docbin", tmp_path / "out")
    (doc,) = DocBin().from_disk(path).get_docs(both.vocab)
    found = from_doc(both(doc))
    assert found.transcript.id == "s1"
    assert {m.source for m in found.markers} > {"coder:AB"}
    assert {c.source for c in found.coded} == {"rule", "model", "coder:AB", "coder:Zoë"}
    DocBin(docs=[doc]).to_disk(tmp_path / "back.spacy")
    (coding,) = rk.import_codes(tmp_path / "back.spacy", "docbin", [STUDY.transcript])
    assert set(coding.markers) == {m for m in STUDY.markers if m.source.startswith("coder:")}


def test_in_a_trained_pipeline_the_other_pipes_go_on() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("tagger")
    tags = [Example.from_dict(nlp.make_doc("I go"), {"tags": ["PRON", "VERB"]})]
    nlp.initialize(lambda: tags)
    nlp.update(tags)
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "ORG", "pattern": "NHS"}])
    plain = nlp("T: Did the NHS help?\nC: This isn't helping.")
    for pipe in RULES:
        nlp.add_pipe(pipe)
    doc = nlp(plain.text)
    assert [(t.text, t.tag_, t.is_sent_start) for t in doc] == [(t.text, t.tag_, t.is_sent_start) for t in plain]
    assert [ent.text for ent in doc.ents] == ["NHS"]
    assert [span.label_ for span in doc.spans["markers"]] == ["complaint_progress"]
    assert nlp.analyze_pipes()["problems"]["rupture_scores"] == []
    assert "complaint_progress" in nlp.pipe_labels["rupture_rules"]


def test_displacy_draws_the_markers() -> None:
    nlp = pipeline("rupture_turns", "rupture_rules")
    doc = nlp("T: Well?\nC: <script>alert(1)</script> This isn't helping.")
    html = displacy.render(doc, style="span", options={"spans_key": "markers"}, jupyter=False)
    assert "complaint_progress" in html
    assert "<script>" not in html


def test_nothing_is_put_on_the_classes_of_spacy() -> None:
    before = [dict(d) for d in (Underscore.doc_extensions, Underscore.span_extensions, Underscore.token_extensions)]
    doc = pipeline(*RULES)(TALK)
    after = [dict(d) for d in (Underscore.doc_extensions, Underscore.span_extensions, Underscore.token_extensions)]
    assert before == after
    assert doc.user_data == {}


def test_two_keys_hold_two_opinions() -> None:
    nlp = pipeline("rupture_turns", "rupture_rules")
    nlp.add_pipe("rupture_classifier", config={"spans_key": "model"})
    doc = nlp(TALK)
    assert {m.source for m in from_doc(doc).markers} == {"rule"}
    assert {m.source for m in from_doc(doc, spans_key="model").markers} == {"model"}


# --- scores and episodes ------------------------------------------------------------------------------


def test_episodes_are_spans_over_their_turns() -> None:
    doc = pipeline(*RULES)(TALK)
    (episode,) = doc.spans["episodes"]
    turns = doc.spans["turns"]
    assert (episode.start, episode.end, episode.label_) == (turns[1].start, turns[3].end, "episode")
    told = doc.spans["episodes"].attrs["episodes"][episode.id_]
    assert told == {
        "first": 1, "last": 3, "repair": [2], "defended": [], "type": "mixed", "depth": 1, "outcome": "unrepaired",
        "returns": [],
    }  # fmt: skip
    scores = doc.spans["markers"].attrs["scores"]
    assert scores["session"]["confrontation"] == 50.0
    assert scores["segment"]["0"] == scores["session"]
    assert set(scores["turn"][0]) == {"resolution", "therapist_defensive"}


def test_scores_heed_markers_that_were_taken_away() -> None:
    @Language.component("test_nothing_stands")
    def nothing_stands(doc: Doc) -> Doc:
        doc.spans["markers"] = SpanGroup(doc, name="markers", attrs=doc.spans["markers"].attrs)
        return doc

    nlp = pipeline("rupture_turns", "rupture_rules", "test_nothing_stands", "rupture_scores")
    doc = nlp(TALK)
    assert doc.spans["markers"].attrs["scores"]["session"]["rupture"] == 0
    assert len(doc.spans["episodes"]) == 0
    assert from_doc(doc).markers == ()


def test_a_coders_markers_are_summed_up() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("rupture_scores", config={"spans_key": "coder:AB"})
    doc = nlp(to_doc(STUDY, nlp))
    assert doc.spans["coder:AB"].attrs["scores"]["session"] == {
        "confrontation": 50.0, "withdrawal": 50.0, "rupture": 100.0, "resolution": 0.0, "therapist_defensive": 0.0
    }  # fmt: skip
    (episode,) = from_doc(doc).episodes
    assert (episode.first, episode.last) == (1, 4)


# --- there and back -----------------------------------------------------------------------------------


def tidied(session: rk.AnnotatedTranscript) -> rk.AnnotatedTranscript:
    """Return a drawn session as a reader would give it: single spaces, no turn without words."""
    turns = tuple(replace(turn, text=" ".join(turn.text.split()) or "Hm.") for turn in session.transcript)
    markers = tuple(m for m in session.markers if m.end <= len(turns[m.turn].text))
    return replace(session, transcript=replace(session.transcript, turns=turns), markers=markers)


@settings(max_examples=60, deadline=None)
@given(coded_sessions(in_part=True))
def test_a_session_comes_back_from_its_doc(sessions: list[rk.AnnotatedTranscript]) -> None:
    nlp = spacy.blank("en")
    for session in map(tidied, sessions):
        doc = Doc(nlp.vocab).from_bytes(to_doc(session, nlp).to_bytes())
        back = from_doc(doc)
        assert back.transcript == session.transcript
        assert sorted(map(repr, back.markers)) == sorted(map(repr, session.markers))
        assert set(back.coded) == set(session.coded)


def test_a_span_that_a_person_moves_is_where_it_is_now() -> None:
    nlp = pipeline(*RULES)
    doc = nlp(TALK)
    group = doc.spans["markers"]
    moved = [
        Span(doc, s.start + 1, s.end, label=s.label_, span_id=s.id_) for s in group if s.text == "this isn't helping"
    ]
    doc.spans["markers"] = SpanGroup(doc, name="markers", attrs=group.attrs, spans=moved)
    found = from_doc(doc)
    assert [(found.text_of(m), m.turn, m.source) for m in found.markers] == [("isn't helping", 1, "rule")]


def test_a_coders_group_can_be_asked_for() -> None:
    found = from_doc(to_doc(STUDY, spacy.blank("en")), spans_key="coder:AB")
    assert sorted(found.markers) == sorted(m for m in STUDY.markers if m.source == "coder:AB")
    assert len(found.coded) == len(set(found.coded)) == len(STUDY.coded)


def test_an_annotated_transcript_comes_back_whole() -> None:
    nlp = spacy.blank("en")
    for annotated in map(rk.Annotator(model=None), examples()):
        doc = to_doc(annotated, nlp)
        assert from_doc(doc) == annotated
        assert from_doc(next(DocBin(docs=[doc]).get_docs(nlp.vocab))) == annotated


def test_a_span_that_a_person_adds_is_read() -> None:
    nlp = pipeline(*RULES)
    doc = nlp(TALK)
    whatever = doc.text.index("Whatever")
    span = doc.char_span(whatever, whatever + 8, label="minimal_response")
    before = from_doc(doc).markers
    doc.spans["markers"].append(span)
    doc.spans["coder:JO"] = [span]
    found = from_doc(doc)
    added = rk.Marker(3, 0, 8, "withdrawal", "minimal_response", source="coder:")
    assert set(found.markers) == {*before, added, replace(added, source="coder:JO")}
    doc.spans["coder:JO"] = [Span(doc, 0, 1, label="minimal_response")]
    with pytest.raises(ValueError, match="code W2: the code does not stand on words of the turn"):
        from_doc(doc)


# --- evaluation ---------------------------------------------------------------------------------------


def example(nlp: Language, reference: rk.AnnotatedTranscript) -> Example:
    return Example(to_doc(reference.transcript, nlp), to_doc(reference, nlp))


GOLD = on(1, "don't see the point", "complaint_progress", source="coder:AB")


def coded(*markers: rk.Marker, first: int = 0, last: int = 4) -> rk.AnnotatedTranscript:
    rows = tuple(rk.Coded("coder:AB", family, first, last) for family in ("confrontation", "withdrawal"))
    return rk.AnnotatedTranscript(STUDY.transcript, markers, coded=rows)


def test_evaluation_compares_spans_and_labels() -> None:
    nlp = pipeline(*RULES)
    (found,) = (m for m in from_doc(nlp(to_doc(STUDY.transcript, nlp))).markers if m.family == "confrontation")
    same = replace(found, source="coder:AB", score=None, rule_id=None)
    scores = nlp.evaluate([example(nlp, coded(same))])
    assert (scores["spans_markers_p"], scores["spans_markers_r"], scores["spans_markers_f"]) == (1, 1, 1)
    other = replace(same, marker="rejects_intervention")
    missed = on(3, "whatever", "minimal_response", source="coder:AB")
    scores = nlp.evaluate([example(nlp, coded(same, other, missed))])
    assert (scores["spans_markers_p"], scores["spans_markers_r"]) == (1, pytest.approx(1 / 3))
    assert scores["spans_markers_per_type"] == {
        found.marker: {"p": 1, "r": 1, "f": 1},
        "rejects_intervention": {"p": 0, "r": 0, "f": 0},
        "minimal_response": {"p": 0, "r": 0, "f": 0},
    }


def test_what_nobody_coded_does_not_count() -> None:
    nlp = pipeline(*RULES)
    nothing = rk.AnnotatedTranscript(STUDY.transcript)
    scores = nlp.evaluate([example(nlp, nothing)])
    assert scores["spans_markers_f"] is None
    assert scores["spans_markers_per_type"] is None
    coded_none = nlp.evaluate([example(nlp, nothing), example(nlp, coded())])
    assert coded_none["spans_markers_p"] == 0
    # the resolution strategy of turn 2 was not looked for, and the rest of the session not read
    assert set(coded_none["spans_markers_per_type"]) <= {"complaint_progress", "rejects_intervention"}
    in_part = nlp.evaluate([example(nlp, coded(first=3, last=4))])
    assert in_part["spans_markers_per_type"] in ({}, None)


def test_with_several_coders_it_must_be_said_whose_codes_count() -> None:
    nlp = pipeline(*RULES)
    two = example(nlp, STUDY)
    with pytest.raises(ValueError, match=r"codes of AB, Zoë. Say whose count: nlp.evaluate\(examples, scorer_cfg="):
        nlp.evaluate([two])
    assert nlp.evaluate([two], scorer_cfg={"coder": "AB"})["spans_markers_per_type"]["deferential_appeasing"]["r"] == 0
    assert nlp.evaluate([two], scorer_cfg={"coder": "XY"})["spans_markers_f"] is None


def test_a_doc_of_the_pipes_can_be_the_reference() -> None:
    nlp = pipeline(*RULES)
    reference = nlp(TALK)
    scores = nlp.evaluate([Example(nlp.make_doc(TALK), reference)])
    assert scores["spans_markers_f"] == 1


# --- what it costs ------------------------------------------------------------------------------------


def test_importing_the_pipes_loads_nothing_that_spacy_has_not_loaded() -> None:
    code = (
        "import sys, spacy\nspacy.blank('en')\nbefore = set(sys.modules)\n"
        "import rupturekit.spacy_pipes\nprint(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # where the entry points are installed, spaCy has loaded the module already
    assert set(done.stdout.split()) <= {"rupturekit", "rupturekit.spacy_pipes"}


def test_spacy_finds_the_pipes_by_their_entry_points() -> None:
    mine = {point.name: point for point in entry_points(group="spacy_factories") if point.name.startswith("rupture_")}
    if not mine:
        pytest.skip("rupturekit's entry points are not installed: python -m pip install -e .")
    assert set(mine) == {"rupture_turns", "rupture_rules", "rupture_classifier", "rupture_scores"}
    for name, point in mine.items():
        assert point.load() is getattr(spacy_pipes, "".join(part.title() for part in name.split("_")))
    code = f"import spacy\nnlp = spacy.blank('en')\nfor pipe in {RULES}: nlp.add_pipe(pipe)\nassert nlp({TALK!r}).spans"
    subprocess.run([sys.executable, "-c", code], check=True)
