"""spaCy: the sessions as a DocBin, a session a Doc, turns and markers in its span groups.

::

    docs = DocBin().from_disk("sessions.spacy").get_docs(spacy.blank("en").vocab)

The text of a Doc is its turns, joined by line breaks. ``doc.spans["turns"]`` has them, with the role as label and
the speaker as ``id_``; ``doc.spans["markers"]`` has what the machine marked and ``doc.spans["coder:AB"]`` what AB did,
with the marker as label. A span consists of whole tokens: the exact words, score, clarity and rule of a marker are in
the group's ``attrs["markers"]`` under the span's ``id_``, and hold as long as the span stands where it stood. Both
outlive a ``DocBin`` without user data; values of ``span._`` do not, and two spans on the same words would share them.

A span that is added needs a label: ``complaint_progress`` or ``C5``. In ``doc.spans["coder:AB"]`` it is AB's, in
``doc.spans["markers"]`` nobody's. A group of a coder, even an empty one, says that they went through the session, or
through what its ``attrs["coded"]`` says.

A DocBin is msgpack in zlib; spaCy reads it without unpickling anything, so that a stranger's file cannot run code.
"""

from __future__ import annotations

import gc
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rupturekit.annotation import AnnotatedTranscript, Coded, Marker, whole
from rupturekit.codebook import Codebook
from rupturekit.limits import limit
from rupturekit.readers import ReadError, load
from rupturekit.transcript import Transcript

from .returned import Returned, coders_of, said

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer
    from spacy.tokens import Doc, Span, SpanGroup

__all__ = ["doc_of", "read", "record_of", "span_of", "write"]


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write ``sessions.spacy``."""
    import spacy
    from spacy.tokens import DocBin

    tokenizer = spacy.blank("en").tokenizer
    docs = DocBin()
    for session in sessions:
        docs.add(doc_of(session, codebook, tokenizer))
    (folder / "sessions.spacy").write_bytes(docs.to_bytes())


def _text(transcript: Transcript) -> tuple[str, list[int]]:
    """Return the text of a session's Doc, and where in it each turn begins."""
    texts = [turn.text for turn in transcript]
    return "\n".join(texts), list(accumulate((len(text) + 1 for text in texts), initial=0))[:-1]


def doc_of(session: AnnotatedTranscript, codebook: Codebook, tokenizer: Tokenizer) -> Doc:
    """Make the Doc of a session."""
    from spacy.tokens import SpanGroup

    text, begins = _text(session.transcript)
    doc = tokenizer(text)

    def group(name: str, spans: Iterable[Span], attrs: dict[str, Any]) -> None:
        doc.spans[name] = SpanGroup(doc, name=name, attrs=attrs, spans=list(spans))

    def markers(source: Iterable[Marker]) -> tuple[list[Span], dict[str, Any]]:
        spans, told = [], {}
        for number, m in enumerate(source):
            id = f"m{number}"
            spans.append(span_of(doc, begins[m.turn] + m.start, begins[m.turn] + m.end, m.marker, id))
            told[id] = record_of(m, codebook)
        return spans, told

    turns = [
        span_of(doc, begin, begin + len(turn.text), turn.role, turn.speaker)
        for begin, turn in zip(begins, session.transcript, strict=True)
    ]
    times = [[turn.start_s, turn.end_s] for turn in session.transcript]
    group("turns", turns, {"session": session.transcript.id, "times": times})
    coders = coders_of(session)
    spans, told = markers(m for m in session.markers if m.source not in coders)
    group("markers", spans, {"markers": told})
    for source in coders:
        spans, told = markers(m for m in session.markers if m.source == source)
        coded = [c for c in session.coded if c.source == source] or whole(session.transcript, source)
        group(source, spans, {"markers": told, "coded": [[c.family, c.first, c.last] for c in coded]})
    return doc


def record_of(marker: Marker, codebook: Codebook) -> dict[str, Any]:
    """Return what stands of a marker in its group's ``attrs["markers"]``."""
    place = {"turn": marker.turn, "start": marker.start, "end": marker.end}
    return {**place, "code": codebook[marker.marker].code, **said(marker)}


def span_of(doc: Doc, start: int, end: int, label: str = "", id: str = "") -> Span:
    """Return the tokens that the characters are in."""
    span = doc.char_span(start, end, label=label, span_id=id, alignment_mode="expand")
    if span is None:
        raise ValueError(f"characters {start} to {end} are not in the text")
    return span


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read the markers in a DocBin."""
    file = Returned(path, sessions, codebook)
    found: dict[str, AnnotatedTranscript] = {}
    for doc in _docs(file, load(path).data):
        told = doc.spans["turns"].attrs if "turns" in doc.spans else {}
        transcript = file.session(told.get("session"))
        if transcript.id in found:
            raise file.error(f"session {transcript.id} is in it twice", "Leave one of its Docs")
        text, begins = _text(transcript)
        if doc.text != text:
            differs = next(i for i, (a, b) in enumerate(zip_longest(doc.text, text)) if a != b)
            turn = bisect_right(begins, differs) - 1
            raise file.error(
                f"session {transcript.id}, turn {turn}: the words are not those of the transcript",
                "They must not be edited, because codes are found by their place in them",
            )
        markers: list[Marker] = []
        coded: list[Coded] = []
        for name, group in doc.spans.items():
            with file.part(f"session {transcript.id}, spans {name}"):
                if name == "markers" or name.startswith("coder:"):
                    markers += _markers(file, transcript, name, group, begins)
                if name.startswith("coder:"):
                    rows = group.attrs.get("coded")
                    coded += (
                        whole(transcript, name) if rows is None else file.coded(transcript, ((name, *r) for r in rows))
                    )
        found[transcript.id] = AnnotatedTranscript(transcript, tuple(markers), coded=tuple(coded))
    return list(found.values())


def _docs(file: Returned, data: bytes) -> list[Doc]:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    unpacker, most = zlib.decompressobj(), limit("RUPTUREKIT_UNPACKED_MB")
    collects = gc.isenabled()
    try:
        raw = unpacker.decompress(data, (most << 20) + 1)
        if unpacker.unconsumed_tail:
            raise file.error(
                f"unpacked it has more than {most} MB",
                "Write fewer sessions into one file, or raise RUPTUREKIT_UNPACKED_MB in the environment",
            )
        _check_values(raw, limit("RUPTUREKIT_LINES"))
        return list(DocBin().from_bytes(data).get_docs(Vocab()))
    except ReadError:
        raise
    except _TooMany as error:
        raise file.error(
            f"it has more than {error} values",
            "Write fewer sessions into one file, or raise RUPTUREKIT_LINES in the environment",
        ) from None
    except Exception:  # spaCy promises nothing of what it raises on a damaged file
        raise file.error("it is not a DocBin, or is damaged", "Write it anew with DocBin.to_disk") from None
    finally:
        # srsly turns the collector off while it reads, and on an error leaves it so
        if collects:
            gc.enable()


class _TooMany(Exception):
    """There are more values than are read; it holds how many are."""


def _check_values(raw: bytes, most: int) -> None:
    """Raise `_TooMany` if there are more values in a DocBin than that: one of a single byte takes seventy in memory."""
    from srsly.msgpack import unpackb

    n = 0

    def counted(values: Any) -> Any:
        nonlocal n
        n += 1 + len(values)
        if n > most:
            raise _TooMany(most)
        return values

    def opened(packed: bytes) -> Any:
        return unpackb(packed, raw=False, list_hook=counted, object_pairs_hook=lambda pairs: dict(counted(pairs)))

    told = opened(raw)
    counted(range(len(told["lengths"]) // 4))
    for group in (group for groups in told.get("span_groups", ()) if groups for group in opened(groups)):
        opened(group)
    for user_data in told.get("user_data", ()):
        opened(user_data or b"\xc0")


def _markers(
    file: Returned, transcript: Transcript, name: str, group: SpanGroup, begins: Sequence[int]
) -> Iterator[Marker]:
    records = group.attrs.get("markers", {})
    for span in group:
        told = records.get(span.id_, {})
        turn, start, end = _place(span, told, begins)
        source = file.source(transcript, turn, told) if name == "markers" else name
        yield file.marker(transcript, turn, start, end, span.label_, source, told)


def _place(span: Span, told: Mapping[str, Any], begins: Sequence[int]) -> tuple[int, int, int]:
    """Return turn, start and end of a span: to the character where it stands as it was written, else its tokens."""
    if told:
        turn, start, end = told["turn"], told["start"], told["end"]
        written = span_of(span.doc, begins[turn] + start, begins[turn] + end)
        if (written.start, written.end) == (span.start, span.end):
            return turn, start, end
    turn = bisect_right(begins, span.start_char) - 1
    return turn, span.start_char - begins[turn], span.end_char - begins[turn]
