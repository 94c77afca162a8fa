"""The example sentences of the field's introductory texts, in a session, with the whole pipeline."""

import pytest

import rupturekit as rk

SAID = {
    "I don't feel heard.": "complaint_therapist",
    "This isn't helping.": "complaint_progress",
    "This isn't working for me.": "complaint_progress",
    "I don't think you understand my situation at all.": "complaint_therapist",
    "I feel worse after our sessions, not better.": "complaint_progress",
    "I don't see the point of therapy.": "complaint_progress",
}
NOT_SAID = [
    "I'm not saying I don't feel heard. You've been good about that.",
    "At my old job I didn't feel heard by my boss, that was the trouble there.",
    "My daughter told me she doesn't feel heard at school.",
    "I'm not saying this isn't helping, it is, I just wish I'd started sooner.",
    "If this stops helping I'll tell you, but so far I sleep better.",
    "The patch isn't helping, so I went back to the gum, and that's going well.",
    "My sister said hers isn't helping, she has a different counselor, and I told her to give it time.",
    "The new inhaler isn't working for me, so the doctor changed it on Monday.",
    "My husband says I don't understand his situation at all, and maybe he's right.",
    "I feel worse after my mother's visits, not better, so I started to keep them short.",
    "I used to say I don't see the point of therapy, but now I look forward to Thursdays.",
    "My brother doesn't see the point of therapy, he never has.",
]
REPAIR = [
    "I noticed a shift in our sessions. I wonder how you're feeling about our work together.",
    "Something feels different in the room today. Have I missed something important?",
    "I'm sensing some tension between us. Should we talk about that?",
]


def in_a_session(*turns: tuple[str, str]) -> rk.Transcript:
    around = [
        ("therapist", "How has the week been?"),
        ("client", "All right. I was at work till Thursday and then we drove up to see my parents."),
        ("therapist", "And how was that?"),
        ("client", "Nice, actually. My dad showed me the garden and we cooked together."),
    ]
    after = [
        ("therapist", "Tell me a bit more about that."),
        ("client", "Well, it has been on my mind since the weekend, because I had time to think on the drive."),
    ]
    talk = [*around, *turns, *after]
    return rk.Transcript("s", tuple(rk.Turn(i, role, role, text) for i, (role, text) in enumerate(talk)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def annotate() -> rk.Annotator:
    return rk.Annotator()


@pytest.mark.parametrize("sentence", SAID)
@pytest.mark.parametrize("caption", [False, True])
def test_what_the_textbooks_quote_is_found(annotate, sentence, caption):
    text = sentence.lower().replace("'", "").rstrip(".") if caption else sentence
    found = annotate(in_a_session(("therapist", "What is it like for you to be here?"), ("client", text)))
    assert SAID[sentence] in {m.marker for m in found.markers_of(5)}


@pytest.mark.parametrize("sentence", NOT_SAID)
def test_its_negated_reported_and_third_party_forms_are_not(annotate, sentence):
    found = annotate(in_a_session(("therapist", "What else has been going on?"), ("client", sentence)))
    assert [m.rule_id or m.marker for m in found.markers_of(5)] == []


@pytest.mark.parametrize("sentence", REPAIR)
def test_a_therapist_who_turns_to_the_relationship_is_found(annotate, sentence):
    found = annotate(in_a_session(("therapist", sentence), ("client", "I was a bit upset last time, yes.")))
    assert "resolution" in {m.family for m in found.markers_of(4)}


def test_an_answer_that_argues_for_therapy_is_defensive(annotate):
    doubt = ("client", "What's the point of therapy?")
    answer = (
        "therapist",
        "Well, the research shows that therapy is effective. It reduces anxiety and depression, it improves "
        "relationships, and most people who stay with it benefit from it.",
    )
    found = annotate(in_a_session(("therapist", "What's on your mind?"), doubt, answer, ("client", "Okay.")))
    assert "therapist_defensive" in {m.family for m in found.markers_of(6)}


def test_silences_and_gestures_are_evidence(annotate):
    asked = ("therapist", "What did you feel when he said that?")
    for reply in ("[silence]", "[silence 12s]"):
        found = annotate(in_a_session(asked, ("client", reply)))
        assert "minimal_response" in {m.marker for m in found.markers_of(5)}
    plain, laughing = (
        annotate(in_a_session(asked, ("client", f"He broke my arm{mark}."))).turn_scores()[5]["rupture"]
        for mark in ("", " [laughs]")
    )
    assert plain != laughing
