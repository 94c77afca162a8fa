"""ConvoKit: the sessions as a corpus folder, a session a conversation, a turn an utterance, its markers in its meta.

``convokit.Corpus(filename=folder)`` opens it. An utterance's ``meta["markers"]`` is a list of
``{"start", "end", "text", "code", "marker", "family", …}``; one that is added needs ``start``, ``end`` and ``code`` or
``marker``, and has a coder if its ``source`` is ``coder:<name>``. A conversation's ``meta["coded"]`` says who went
through what, as rows of source, family, first and last turn. What comes back is the folder that ``corpus.dump`` wrote.

Files are ASCII, because ConvoKit opens them in the computer's own encoding. What ConvoKit pickles is never opened.
The format is that of ConvoKit 2 to 5 (https://convokit.cornell.edu/documentation/data_format.html).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rupturekit.annotation import AnnotatedTranscript, Marker
from rupturekit.codebook import Codebook
from rupturekit.readers import load
from rupturekit.transcript import Transcript

from .returned import Returned, said

__all__ = ["read", "write"]

_SESSION_META = ("client_id", "group", "session_number", "date")


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write the five files of a corpus."""
    corpus = {"name": "rupturekit", "codebook": f"{codebook.name} {codebook.version}"}
    speakers: dict[str, dict[str, Any]] = {}
    conversations: dict[str, dict[str, Any]] = {}
    # what ConvoKit wants to know of each component's meta: the types of every key
    types: dict[str, dict[str, set[str]]] = {"utterances": {}, "speakers": {}, "conversations": {}, "overall": {}}
    _note_types(types["overall"], corpus)
    with open(folder / "utterances.jsonl", "w", encoding="ascii", newline="\n") as file:
        for session in sessions:
            for utterance in _utterances(session, codebook):
                _note_types(types["utterances"], utterance["meta"])
                file.write(json.dumps(utterance) + "\n")
            transcript = session.transcript
            for turn in transcript:
                meta = {"session": transcript.id, "label": turn.speaker, "role": turn.role}
                speakers[_speaker(session, turn.speaker)] = meta
            people = [part for part in session.coded if part.source.startswith("coder:")]
            conversations[transcript.id] = {
                "language": transcript.language,
                "coded": [[part.source, part.family, part.first, part.last] for part in people],
                **{key: transcript.meta[key] for key in _SESSION_META if key in transcript.meta},
            }
    for name, metas in (("speakers", speakers), ("conversations", conversations)):
        for meta in metas.values():
            _note_types(types[name], meta)
        _dump(folder / f"{name}.json", {id: {"meta": meta, "vectors": []} for id, meta in metas.items()})
    _dump(folder / "corpus.json", corpus)
    index = {f"{name}-index": {key: sorted(met) for key, met in keys.items()} for name, keys in types.items()}
    _dump(folder / "index.json", {**index, "version": 1, "vectors": []})


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "ascii", newline="\n")


def _note_types(types: dict[str, set[str]], meta: Mapping[str, Any]) -> None:
    for key, value in meta.items():
        types.setdefault(key, set()).update([str(type(value))] if value is not None else [])


def _speaker(session: AnnotatedTranscript, label: str) -> str:
    return f"{session.transcript.id}:{label}"


def _utterances(session: AnnotatedTranscript, codebook: Codebook) -> Iterator[dict[str, Any]]:
    markers: dict[int, list[dict[str, Any]]] = {}
    for marker in session.markers:
        markers.setdefault(marker.turn, []).append(
            {
                "start": marker.start,
                "end": marker.end,
                "text": session.text_of(marker),
                "code": codebook[marker.marker].code,
                "marker": marker.marker,
                "family": marker.family,
                **said(marker),
            }
        )
    id = session.transcript.id
    for turn in session.transcript:
        yield {
            "id": f"{id}:{turn.index}",
            "conversation_id": id,
            "text": turn.text,
            "speaker": _speaker(session, turn.speaker),
            "meta": {
                "turn": turn.index,
                "role": turn.role,
                "end_s": turn.end_s,
                "markers": markers.get(turn.index, []),
            },
            "reply-to": f"{id}:{turn.index - 1}" if turn.index else None,
            "timestamp": turn.start_s,
            "vectors": [],
        }


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read the markers in a corpus folder."""
    file = Returned(path, sessions, codebook)
    if not path.is_dir():
        raise file.error("this is not a folder", "Give the folder of the corpus, with utterances.jsonl in it")
    conversations = file.json(load(path / "conversations.json").data, "conversations.json")
    markers: dict[str, list[Marker]] = {}
    turns: dict[str, set[int]] = {}
    for number, row in enumerate(load(path / "utterances.jsonl").data.split(b"\n"), 1):
        if not row.strip():
            continue
        with file.part(place := f"utterances.jsonl, line {number}"):
            utterance = file.json(row, place)
            transcript = file.session(utterance["conversation_id"])
            turn = file.check_words(transcript, utterance["meta"]["turn"], utterance["text"])
            met = turns.setdefault(transcript.id, set())
            if turn in met:
                raise file.error(f"session {transcript.id} has turn {turn} twice", "Leave one of them")
            met.add(turn)
            markers.setdefault(transcript.id, []).extend(
                _marker(file, transcript, turn, told) for told in utterance["meta"].get("markers") or ()
            )
    found = []
    for id, met in turns.items():
        if lost := set(range(len(sessions[id]))) - met:
            raise file.error(f"session {id} lacks turn {min(lost)} in it", "Give the corpus with all its utterances")
        with file.part(f"conversations.json, session {id}"):
            told = conversations.get(id, {})
            coded = file.coded(sessions[id], told.get("meta", told).get("coded") or ())
        found.append(AnnotatedTranscript(sessions[id], tuple(markers[id]), coded=tuple(coded)))
    return found


def _marker(file: Returned, transcript: Transcript, turn: int, told: Mapping[str, Any]) -> Marker:
    place = f"session {transcript.id}, turn {turn}"
    names = {file.entry(told[key], place).id for key in ("marker", "code") if told.get(key) is not None}
    if len(names) != 1:
        raise file.error(
            f"{place}: a marker has no name, or a name and a code that differ", "Give its marker or its code"
        )
    source = file.source(transcript, turn, told)
    marker = file.marker(transcript, turn, told["start"], told["end"], names.pop(), source, told)
    if told.get("text") not in (None, transcript[turn].text[marker.start : marker.end]):
        raise file.error(
            f"{place}: the text of a marker is not what its offsets stand on",
            "Correct its start and end, or leave its text out",
        )
    return marker
