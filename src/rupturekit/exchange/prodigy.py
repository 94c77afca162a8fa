"""Prodigy: a turn that can be coded is a line of JSON, with its words as tokens and its markers as spans.

``tasks.jsonl`` is to be coded, with what the machine marked already in place; ``labels.txt`` lists the codes::

    prodigy spans.manual rupture blank:en tasks.jsonl --label labels.txt

``annotations.jsonl`` has what coders have done, a line for a turn and coder, for ``prodigy db-in``. What comes back
is ``prodigy db-out``.

* ``accept`` is a coding of the turn with the spans that stand in the line, ``reject`` one that leaves none of them,
  ``ignore`` none. If a coder answered a turn more than once, the last answer counts.
* The coder is ``_annotator_id``, in Prodigy's words the data set's name, a hyphen and the session's name. Without a
  named session Prodigy writes the time there: such a line names nobody.
* Tokens are spaCy's, cut once more where a marker begins or ends. Offsets are code points, as in spaCy.
* Prodigy leaves out what it takes for a repetition, by a hash of ``text`` and ``input``. ``input`` holds session and
  turn, so that every "I don't know" is shown.

The format is that of the ``spans_manual`` interface (https://prodi.gy/docs/api-interfaces), version 1.11 and later.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Family, Marker, whole
from rupturekit.codebook import Codebook
from rupturekit.readers import load
from rupturekit.score import FAMILIES_OF, ROLE_OF
from rupturekit.transcript import Transcript

from .returned import Returned, coders_of, name_of, said

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer

__all__ = ["read", "write"]

_TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
_ANSWERS = ("accept", "reject", "ignore")


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write ``tasks.jsonl``, ``labels.txt`` and, if somebody has coded, ``annotations.jsonl``."""
    import spacy

    tokenizer = spacy.blank("en").tokenizer
    labels = [name_of(marker.id, codebook) for marker in codebook.markers]
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", "utf-8", newline="\n")
    answered = folder / "annotations.jsonl"
    with (
        open(folder / "tasks.jsonl", "w", encoding="utf-8", newline="\n") as tasks,
        open(answered, "w", encoding="utf-8", newline="\n") as answers,
    ):
        for session in sessions:
            task_lines, answer_lines = _lines(session, codebook, tokenizer)
            for file, lines in ((tasks, task_lines), (answers, answer_lines)):
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if not answered.stat().st_size:
        answered.unlink()


def _lines(
    session: AnnotatedTranscript, codebook: Codebook, tokenizer: Tokenizer
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a session's lines to be coded, and those that were."""
    coders = coders_of(session)
    coded = {source: _coded_of(session, source) for source in coders}
    markers: dict[int, list[Marker]] = {}
    for marker in session.markers:
        markers.setdefault(marker.turn, []).append(marker)
    tasks, answers = [], []
    for turn in session.transcript:
        if not FAMILIES_OF[turn.role]:
            continue
        mine = markers.get(turn.index, [])
        meta = {"session": session.transcript.id, "turn": turn.index, "speaker": turn.speaker, "role": turn.role}
        if turn.index:
            before = session.transcript[turn.index - 1]
            meta["before"] = f"{before.speaker}: {before.text}"
        line: dict[str, Any] = {
            "text": turn.text,
            "input": f"{session.transcript.id} {turn.index}",
            "tokens": _tokens(turn.text, mine, tokenizer),
            "meta": meta,
        }
        machine = [marker for marker in mine if marker.source not in coded]
        tasks.append({**line, "spans": _spans(machine, line["tokens"], codebook)})
        for source in coders:
            given = [marker for marker in mine if marker.source == source]
            families = [family for family in FAMILIES_OF[turn.role] if (turn.index, family) in coded[source]]
            if not given and not families:
                continue
            answer = {**line, "spans": _spans(given, line["tokens"], codebook), "answer": "accept"}
            answer["_view_id"] = "spans_manual"
            if name := source.removeprefix("coder:"):
                answer |= {"_annotator_id": name, "_session_id": name}
            if families != list(FAMILIES_OF[turn.role]):
                answer["families"] = families
            answers.append(answer)
    return tasks, answers


def _coded_of(session: AnnotatedTranscript, source: str) -> set[tuple[int, Family]]:
    told = [part for part in session.coded if part.source == source] or whole(session.transcript, source)
    return {(turn, part.family) for part in told for turn in range(part.first, part.last + 1)}  # type: ignore[misc]


def _tokens(text: str, markers: Collection[Marker], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Return spaCy's tokens, cut where a marker begins or ends; a space is one where a marker's edge needs it."""
    starts, ends = {m.start for m in markers}, {m.end for m in markers}
    edges = sorted(starts | ends)
    tokens: list[dict[str, Any]] = []
    for word in tokenizer(text):
        first, last = word.idx, word.idx + len(word)
        cuts = [first, *edges[bisect_right(edges, first) : bisect_left(edges, last)], last]
        space = bool(word.whitespace_)
        if space and (last in starts or last + 1 in ends):
            cuts.append(last + 1)
            space = False
        for start, end in pairwise(cuts):
            tokens.append({"text": text[start:end], "start": start, "end": end, "id": len(tokens), "ws": False})
        tokens[-1]["ws"] = space
    return tokens


def _spans(markers: Iterable[Marker], tokens: Iterable[dict[str, Any]], codebook: Codebook) -> list[dict[str, Any]]:
    by_start = {token["start"]: token["id"] for token in tokens}
    by_end = {token["end"]: token["id"] for token in tokens}
    return [
        {
            "start": marker.start,
            "end": marker.end,
            "token_start": by_start[marker.start],
            "token_end": by_end[marker.end],
            "label": name_of(marker.marker, codebook),
            **said(marker),
        }
        for marker in markers
    ]


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read the answers in a file that ``prodigy db-out`` wrote."""
    file = Returned(path, sessions, codebook)
    try:
        text = load(path).data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise file.error("it is not UTF-8", "Export it anew with prodigy db-out") from None
    # the last answer of a coder to a turn: the markers, and the families that were looked for
    answers: dict[str, dict[tuple[str, int], tuple[list[Marker], Collection[Family]]]] = {}
    unanswered = 0
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        with file.part(f"line {number}"):
            line = file.json(row, f"line {number}")
            if "answer" not in line:
                unanswered += 1
                continue
            if line["answer"] not in _ANSWERS:
                raise file.error(f"line {number} has another answer than {', '.join(_ANSWERS)}", "Correct it")
            transcript = file.session(line["meta"].get("session"))
            turn = file.check_words(transcript, line["meta"].get("turn"), line["text"])
            source = f"coder:{_coder(line)}"
            mine = answers.setdefault(transcript.id, {})
            mine.pop((source, turn), None)
            if line["answer"] != "ignore":
                given = list(_markers(file, transcript, turn, line, source)) if line["answer"] == "accept" else []
                families = line.get("families", FAMILIES_OF[transcript[turn].role])
                mine[source, turn] = given, [family for family in FAMILIES if family in families]
    if unanswered and not answers:
        raise file.error("no line in it has an answer", "Give what prodigy db-out wrote, not what was to be coded")
    return [_session(sessions[id], mine) for id, mine in answers.items() if mine]


def _coder(line: Mapping[str, Any]) -> str:
    name = line.get("_annotator_id") or line.get("_session_id") or ""
    return "" if _TIME.fullmatch(name) else name


def _markers(
    file: Returned, transcript: Transcript, turn: int, line: Mapping[str, Any], source: str
) -> Iterator[Marker]:
    for span in line.get("spans") or ():
        told = span.get("source")
        whose = told if source == "coder:" and told in ("rule", "model") else source
        # a score without a source is that of a model behind Prodigy
        score = {} if "source" in span else {"score": None}
        yield file.marker(transcript, turn, span["start"], span["end"], span["label"], whose, {**span, **score})


def _session(
    transcript: Transcript, answers: Mapping[tuple[str, int], tuple[list[Marker], Collection[Family]]]
) -> AnnotatedTranscript:
    turns: dict[tuple[str, Family], set[int]] = {}
    for (source, turn), (_, families) in answers.items():
        for family in families:
            turns.setdefault((source, family), set()).add(turn)
    return AnnotatedTranscript(
        transcript,
        tuple(marker for markers, _ in answers.values() for marker in markers),
        coded=tuple(part for (source, family), met in turns.items() for part in _runs(transcript, source, family, met)),
    )


def _runs(transcript: Transcript, source: str, family: Family, turns: Collection[int]) -> Iterator[Coded]:
    """Yield the stretches in which a source answered every turn that the family is coded on."""
    for inside, run in groupby(transcript, lambda turn: turn.index in turns or turn.role != ROLE_OF[family]):
        indices = [turn.index for turn in run]
        if inside and any(index in turns for index in indices):
            yield Coded(source, family, indices[0], indices[-1])
