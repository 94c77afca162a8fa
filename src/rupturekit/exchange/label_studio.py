"""Label Studio: a session is a task in its format for dialogue, a turn a paragraph, a marker a region.

Make a project with ``config.xml`` as its labelling interface and import ``tasks.json``. What the machine marked
comes as a prediction, which a coder's annotation begins with; coders' work comes as annotations. What comes back
is the project's export as JSON (not JSON-MIN).

* An annotation is one coder's coding of the whole session: without a region it says "none". What was skipped, a
  draft and a prediction are no coding.
* Who the coder is says the field *coder* of the annotation or, where that is empty, Label Studio: a user's e-mail or
  number. ``completed_by`` is not written, because an import with a user whom that server does not know fails.
* A region over several paragraphs is a marker on each of those turns that are the right speaker's.
* Offsets in a paragraph are UTF-16 code units, the browser's ``Range.toString().length`` (HtxParagraphs.jsx of Label
  Studio 1.23), unlike those of its plain texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker, whole
from rupturekit.codebook import Codebook
from rupturekit.readers import load
from rupturekit.transcript import Transcript, Turn

from .returned import Returned, coders_of, name_of, said

__all__ = ["read", "write"]

_CLARITY = {1: "1 faint", 2: "2 clear", 3: "3 strong"}
# codes beside the talk, which stay in sight while it scrolls
_COLUMNS = "display: flex; gap: 1em"
_CODES = "flex: 0 0 17em; position: sticky; top: 0; align-self: flex-start; max-height: 85vh; overflow: auto"
_COLOURS = {
    "confrontation": "#d1495b",
    "withdrawal": "#3d6fb6",
    "resolution": "#4b8f5a",
    "therapist_defensive": "#8a6d3b",
}


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write ``config.xml``, the labelling interface, and ``tasks.json``, a task for each session."""
    (folder / "config.xml").write_text(_config(codebook), "utf-8", newline="\n")
    with open(folder / "tasks.json", "w", encoding="utf-8", newline="\n") as file:
        between = "[\n"
        for session in sessions:
            file.write(between + json.dumps(_task(session, codebook), ensure_ascii=False))
            between = ",\n"
        file.write("\n]\n" if between == ",\n" else "[]\n")


def _config(codebook: Codebook) -> str:
    view = ElementTree.Element("View")
    add = ElementTree.SubElement
    add(view, "Header", value="Session $session")
    columns = add(view, "View", style=_COLUMNS)
    codes = add(columns, "View", style=_CODES)
    add(codes, "TextArea", name="coder", toName="dialogue", placeholder="coder", maxSubmissions="1", editable="true")
    clarity = add(codes, "Choices", name="clarity", toName="dialogue", perRegion="true", choice="single-radio")
    for value in _CLARITY.values():
        add(clarity, "Choice", value=value)
    labels = add(codes, "ParagraphLabels", name="marker", toName="dialogue", showInline="false")
    for family in FAMILIES:
        group = add(labels, "View")
        add(group, "Header", value=family.replace("_", " "), size="6")
        for marker in codebook.of(family):
            label = name_of(marker.id, codebook)
            add(group, "Label", value=label, background=_COLOURS[family], hint=marker.definition)
    talk = add(columns, "View", style="flex: 1")
    add(talk, "Paragraphs", name="dialogue", value="$dialogue", layout="dialogue", nameKey="author", textKey="text")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _task(session: AnnotatedTranscript, codebook: Codebook) -> dict[str, Any]:
    machine = [m for m in session.markers if not m.source.startswith("coder:")]
    scores = [m.score for m in machine if m.score is not None]
    prediction: dict[str, Any] = {"model_version": "rupturekit", "result": list(_regions(machine, session, codebook))}
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 4)
    annotations = []
    for source in coders_of(session):
        field = {"id": "coder", "from_name": "coder", "to_name": "dialogue", "type": "textarea"}
        name = [{**field, "value": {"text": [source.removeprefix("coder:")]}}] if source != "coder:" else []
        mine = [m for m in session.markers if m.source == source]
        annotations.append({"result": [*name, *_regions(mine, session, codebook)], "ground_truth": False})
    return {
        "data": {
            "session": session.transcript.id,
            "dialogue": [_paragraph(turn) for turn in session.transcript],
        },
        "predictions": [prediction] if machine else [],
        "annotations": annotations,
    }


def _paragraph(turn: Turn) -> dict[str, Any]:
    times = {"start": turn.start_s, "end": turn.end_s}
    return {
        "author": f"{turn.speaker} ({turn.role})",
        "text": turn.text,
        "turn": turn.index,
        **{name: time for name, time in times.items() if time is not None},
    }


def _regions(markers: Iterable[Marker], session: AnnotatedTranscript, codebook: Codebook) -> Iterator[dict[str, Any]]:
    for number, marker in enumerate(markers):
        text = session.transcript[marker.turn].text
        place = {
            "start": str(marker.turn),
            "end": str(marker.turn),
            "startOffset": _units(text[: marker.start]),
            "endOffset": _units(text[: marker.end]),
            "text": session.text_of(marker),
        }
        told = {key: value for key, value in said(marker).items() if key in ("source", "rule_id", "note")}
        remark = {"text": [shown]} if (shown := _shown(told)) else {}
        common: dict[str, Any] = {"id": f"m{number}", "to_name": "dialogue", "meta": {**remark, **told}}
        if marker.score is not None:
            common["score"] = marker.score
        label = {"paragraphlabels": [name_of(marker.marker, codebook)]}
        yield {**common, "from_name": "marker", "type": "paragraphlabels", "value": {**place, **label}}
        if marker.clarity is not None:
            choice = {"choices": [_CLARITY[marker.clarity]]}
            yield {**common, "from_name": "clarity", "type": "choices", "value": {**place, **choice}}


def _shown(told: Mapping[str, Any]) -> str:
    """Return the remark that a coder sees on a region, and may change."""
    machine = "" if told["source"].startswith("coder:") else f"{told['source']} {told.get('rule_id', '')}".rstrip()
    return ": ".join(part for part in (machine, told.get("note")) if part)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _points(text: str, units: int) -> int:
    data = text.encode("utf-16-le")
    if not 0 <= 2 * units <= len(data):
        raise ValueError
    return len(data[: 2 * units].decode("utf-16-le"))


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read the annotations in Label Studio's JSON export."""
    file = Returned(path, sessions, codebook)
    tasks = file.json(load(path).data, "the file")
    if not isinstance(tasks, list):
        raise file.error("it is not a list of tasks", "Export the project from Label Studio as JSON")
    markers: dict[str, list[Marker]] = {}
    coded: dict[str, list[Coded]] = {}
    for number, task in enumerate(tasks, 1):
        if isinstance(task, dict) and "annotation_id" in task:
            raise file.error("this is Label Studio's JSON-MIN", "Export the project as JSON")
        with file.part(f"task {number}"):
            transcript = file.session(task["data"].get("session"))
            _check_dialogue(file, transcript, task["data"]["dialogue"])
            for annotation in task["annotations"]:
                if annotation.get("was_cancelled"):
                    continue
                source = f"coder:{_coder(annotation)}"
                before = coded.setdefault(transcript.id, [])
                if any(c.source == source for c in before):
                    raise file.error(
                        f"session {transcript.id} has two annotations by {source}", "Leave the one that stands"
                    )
                before += whole(transcript, source)
                markers.setdefault(transcript.id, []).extend(_markers(file, transcript, annotation["result"], source))
    return [AnnotatedTranscript(sessions[id], tuple(markers[id]), coded=tuple(coded[id])) for id in coded]


def _check_dialogue(file: Returned, transcript: Transcript, dialogue: list[dict[str, Any]]) -> None:
    if len(dialogue) != len(transcript):
        raise file.error(
            f"session {transcript.id} has {len(dialogue)} turns in it and {len(transcript)} in the transcript",
            "Give the transcripts that were coded",
        )
    for index, paragraph in enumerate(dialogue):
        file.check_words(transcript, index, paragraph["text"])


def _coder(annotation: Mapping[str, Any]) -> str:
    for result in annotation["result"]:
        if result.get("from_name") == "coder":
            text = result["value"]["text"]
            if name := (text if isinstance(text, str) else " ".join(text)).strip():
                return name
    user = annotation.get("completed_by")
    if isinstance(user, dict):
        user = user.get("email") or user.get("id")
    return "" if user is None else str(user)


def _markers(file: Returned, transcript: Transcript, result: list[dict[str, Any]], source: str) -> Iterator[Marker]:
    values = {value: number for number, value in _CLARITY.items()}
    clarity = {r["id"]: values[r["value"]["choices"][0]] for r in result if r.get("from_name") == "clarity"}
    for region in result:
        if region["type"] in ("choices", "textarea", "relation"):
            continue
        if region["type"] != "paragraphlabels":
            raise file.error(
                f"session {transcript.id} has another region than labels on paragraphs",
                "Code with the labelling interface in config.xml",
            )
        told = dict(region.get("meta") or {})
        text = told.pop("text", [])
        remark = text if isinstance(text, str) else "\n".join(text)
        # what is shown of a machine's marker is more than its note
        if "source" not in told or remark != _shown(told):
            told["note"] = remark or None
        told["clarity"] = clarity.get(region.get("id"))
        # a score without a source is that of a model behind Label Studio
        told["score"] = region.get("score") if "source" in told else None
        parts = list(_parts(file, transcript, region["value"]))
        for label in region["value"]["paragraphlabels"]:
            role = file.entry(label, f"session {transcript.id}, turn {parts[0][0]}").speaker
            # a code that runs over the other's turns stands on the speaker's own
            mine = [(turn, start, end) for turn, start, end in parts if start < end and transcript[turn].role == role]
            for turn, start, end in mine or parts[:1]:
                yield file.marker(transcript, turn, start, end, label, source, told)


def _parts(file: Returned, transcript: Transcript, value: Mapping[str, Any]) -> Iterator[tuple[int, int, int]]:
    """Yield the turns that a region stands on, each with its place in the turn's words."""
    first, last = int(value["start"]), int(value["end"])
    if not 0 <= first <= last < len(transcript):
        raise ValueError
    for turn in range(first, last + 1):
        text = transcript[turn].text
        start = _points(text, value["startOffset"]) if turn == first else 0
        end = _points(text, value["endOffset"]) if turn == last else len(text)
        # the browser may give other white space, and the time that stands under a paragraph which is selected whole
        words = "".join(value.get("text", text).split())
        if first == last and "".join(text[start:end].split()) not in words:
            raise file.error(
                f"session {transcript.id}, turn {turn}: the text of a region is not what its offsets stand on",
                "Offsets are UTF-16 code units in the paragraph",
            )
        yield turn, start, end
