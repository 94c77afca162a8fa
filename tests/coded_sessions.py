"""Sessions that people and the machine have coded, for the tests of the exchange formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import strategies as st

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker
from rupturekit.codebook import load_codebook
from rupturekit.readers.raw import ReadError
from rupturekit.score import FAMILIES_OF, ROLE_OF
from rupturekit.transcript import Transcript, Turn

BOOK = load_codebook()
CODERS = ("coder:AB", "coder:Zoë", "coder:ann@example.org")

TALK = (
    "How was the week, then?",
    "😀😀 I don't see the point of this, «really» & so.",
    "Have I missed something?",
    "אני לא יודע, whatever 🙈 e\u0301 you say.",
    "Time is up.",
)
SESSION = Transcript(
    "s1",
    tuple(
        Turn(i, who, role, text, 10.0 * i, 10.0 * i + 8)  # type: ignore[arg-type]
        for i, (who, role, text) in enumerate(
            zip("TCTCX", ("therapist", "client", "therapist", "client", "other"), TALK, strict=True)
        )
    ),
)


def on(turn: int, words: str, name: str, **said: Any) -> Marker:
    """Return a marker on words of a turn of SESSION."""
    start = TALK[turn].index(words)
    return Marker(turn, start, start + len(words), BOOK[name].parent, name, **said)


def coded_by(source: str, transcript: Transcript = SESSION) -> tuple[Coded, ...]:
    return tuple(Coded(source, family, 0, len(transcript) - 1) for family in FAMILIES)


# The machine marked two turns; AB marked three times, twice the same words; Zoë marked nothing.
MACHINE = (
    on(1, "don't see the point", "complaint_progress", score=0.83, source="rule", rule_id="C5-003", note="doubts it"),
    on(3, "whatever 🙈", "minimal_response", score=0.61, source="model"),
)
AB = (
    on(1, "I don't see the point of this", "complaint_progress", clarity=3, source="coder:AB", note="plain"),
    on(1, "I don't see the point of this", "rejects_intervention", source="coder:AB"),
    on(3, "you say", "deferential_appeasing", clarity=1, source="coder:AB"),
)
STUDY = AnnotatedTranscript(
    SESSION,
    tuple(sorted((*MACHINE, *AB), key=lambda m: (m.turn, m.start, m.source))),
    coded=coded_by("coder:AB") + coded_by("coder:Zoë"),
)

_CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    "😀🙈\u200d👧אבעe\u0301 \u2028\u00a0\t\n\r\"'<>&{}"
)
_TEXTS = st.text(_CHARACTERS, min_size=1, max_size=24)


@st.composite
def coded_sessions(draw: st.DrawFn, *, in_part: bool) -> list[AnnotatedTranscript]:
    """Draw sessions with markers of every source; ``in_part`` lets coders have gone through a part only."""
    sessions = []
    for id in draw(st.lists(st.sampled_from(["s1", "s 2", "ש:3"]), min_size=1, max_size=2, unique=True)):
        roles = draw(st.lists(st.sampled_from(["client", "therapist", "other"]), min_size=1, max_size=6))
        turns = tuple(Turn(i, role[0].upper(), role, draw(_TEXTS)) for i, role in enumerate(roles))
        transcript = Transcript(id, turns)
        coders = draw(st.lists(st.sampled_from(CODERS), max_size=3, unique=True))
        markers: set[Marker] = set()
        for turn in turns:
            names = [m.id for m in BOOK.markers if m.parent in FAMILIES_OF[turn.role]]
            for _ in range(draw(st.integers(0, 3)) if names else 0):
                start = draw(st.integers(0, len(turn.text) - 1))
                end = draw(st.integers(start + 1, len(turn.text)))
                name = draw(st.sampled_from(names))
                # two sources, now and then, on the very same words
                for source in draw(st.lists(st.sampled_from([*coders, "rule", "model"]), max_size=2, unique=True)):
                    machine = source in ("rule", "model")
                    markers.add(
                        Marker(
                            turn.index,
                            start,
                            end,
                            BOOK[name].parent,
                            name,
                            score=draw(st.none() | st.floats(0, 1)),
                            clarity=None if machine else draw(st.sampled_from([None, 1, 2, 3])),
                            source=source,
                            rule_id=draw(st.sampled_from([None, "C5-003"])),
                            note=draw(st.none() | _TEXTS),
                        )
                    )
        coded: list[Coded] = []
        for source in coders:
            for family in FAMILIES:
                first, last = 0, len(turns) - 1
                if in_part:
                    first = draw(st.integers(0, last))
                    last = draw(st.integers(first, last))
                coded.append(Coded(source, family, first, last))
        order = sorted(markers, key=lambda m: (m.turn, m.start, m.end, m.source, m.marker, repr(m)))
        sessions.append(AnnotatedTranscript(transcript, tuple(order), coded=tuple(coded)))
    return sessions


def coders_markers(session: AnnotatedTranscript) -> set[Marker]:
    return {marker for marker in session.markers if marker.source.startswith("coder:")}


def coded_turns(session: AnnotatedTranscript) -> set[tuple[str, str, int]]:
    """Return which turns were gone through, by whom and for what, of those on which it can be found."""
    return {
        (part.source, part.family, turn)
        for part in session.coded
        for turn in range(part.first, part.last + 1)
        if session.transcript[turn].role == ROLE_OF[part.family]
    }


def written(module: ModuleType, folder: Path, sessions: Iterable[AnnotatedTranscript] = (STUDY,)) -> Path:
    folder.mkdir()
    module.write(sessions, folder, BOOK, {})
    return folder


def read_back(module: ModuleType, path: Path, *sessions: AnnotatedTranscript) -> dict[str, AnnotatedTranscript]:
    given = {session.transcript.id: session.transcript for session in sessions or (STUDY,)}
    return {session.transcript.id: session for session in module.read(path, given, BOOK)}


def refused(module: ModuleType, path: Path, *sessions: AnnotatedTranscript) -> str:
    """Return the message with which a file is refused, having seen that it names the file and quotes no talk."""
    with pytest.raises(ReadError) as caught:
        read_back(module, path, *sessions)
    message = str(caught.value)
    assert str(path) in message
    assert not any(word in message for talk in TALK for word in talk.split() if len(word) > 4)
    return message
