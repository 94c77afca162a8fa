"""What a session is made of: turns, in order, and where they came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["client", "therapist", "other"]
ROLES: tuple[Role, ...] = ("client", "therapist", "other")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of talk.

    Parameters
    ----------
    index : int
        Place in the transcript, from 0.
    speaker : str
        The speaker's label as it stood in the input.
    role : {"client", "therapist", "other"}
        Who that is in the session.
    text : str
        The words, verbatim but for white space; never empty.
    start_s, end_s : float, optional
        Seconds from the start of the recording.
    line : int, optional
        1-based line (or table row) of the source file where the turn begins.
    source_ids : tuple of str
        The input's own numbers of the utterances that make up this turn.

    Examples
    --------
    >>> Turn(0, "T1", "therapist", "How was the week?").role
    'therapist'
    """

    index: int
    speaker: str
    role: Role
    text: str
    start_s: float | None = None
    end_s: float | None = None
    line: int | None = None
    source_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """A session: its turns in order, and what is known about it.

    Parameters
    ----------
    id : str
        Name of the session, unique in a run.
    turns : tuple of Turn
        ``turns[i].index == i``.
    language : str
        ISO 639-1 code.
    meta : mapping
        Facts that serialise to JSON. Keys in use: ``path``, ``format``, ``encoding``,
        ``client_id``, ``group``, ``session_number``, ``date``, ``role_source`` (``labels``, ``given``,
        ``inferred``), ``role_confidence`` (0 to 1), ``flags`` (list of session flags),
        ``numbered`` (the input numbered its own turns), ``raw`` (lines as they stood, by source id, where codes
        were taken out of them).

    Examples
    --------
    >>> t = Transcript("s1", (Turn(0, "T", "therapist", "Hello."), Turn(1, "C", "client", "Hi.")))
    >>> len(t), [turn.text for turn in t.of("client")]
    (2, ['Hi.'])
    """

    id: str
    turns: tuple[Turn, ...]
    language: str = "en"
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __getitem__(self, index: int) -> Turn:
        return self.turns[index]

    def of(self, role: Role) -> Iterator[Turn]:
        """Yield the turns of one role, in order."""
        return (turn for turn in self.turns if turn.role == role)
