"""One session, written in every format that is read, is one and the same session."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rupturekit.readers import FORMATS, read_sessions
from rupturekit.segment import segment

# What was said: speaker, start, end, words. It has what a format can lose: a speaker who goes on in the
# next utterance, a back-channel, a silence, quotes, commas, semicolons, brackets, other scripts.
SAID = [
    ("T", 0.25, 2.5, "Hello, Zoë. What's the week been like?"),
    ("C", 3.001, 5.2, 'Long; my brother said, "Get over it", and then he--'),
    ("T", 5.25, 5.75, "Mm-hmm."),
    ("C", 5.9, 8.123, "he hung up — just like that."),
    ("C", 8.5, 10.0, "[laughs] Typical, I know."),
    ("T", 10.4, 13.999, "You laugh, and it hurts. What's under the laugh?"),
    ("C", 14.0, 26.0, "[silence 12s]"),
    ("C", 26.1, 27.34, "Nothing. // I told [NAME] it's fine."),
    ("T", 28.0, 3599.9, "It's 50% of the room: the other half is «quiet» & <tight>, I'd say."),
    ("C", 3600.0, 3661.007, "I guess so 🙂."),
]
# What every format must give: role, words, start, end.
TURNS = [
    ("therapist", "Hello, Zoë. What's the week been like?", 0.25, 2.5),
    (
        "client",
        'Long; my brother said, "Get over it", and then he-- [Mm-hmm] he hung up — just like that. '
        "[laughs] Typical, I know.",
        3.001,
        10.0,
    ),
    ("therapist", "You laugh, and it hurts. What's under the laugh?", 10.4, 13.999),
    ("client", "[silence]", 14.0, 26.0),
    ("client", "Nothing. // I told [NAME] it's fine.", 26.1, 27.34),
    (
        "therapist",
        "It's 50% of the room: the other half is «quiet» & <tight>, I'd say.",
        28.0,
        3599.9,
    ),
    ("client", "I guess so 🙂.", 3600.0, 3661.007),
]
NAMES = {"T": "Therapist", "C": "Client"}
MACHINE = {"T": "SPEAKER_00", "C": "SPEAKER_01"}
ROLES = {"SPEAKER_00": "therapist", "SPEAKER_01": "client"}


def clock(seconds: float, point: str = ".") -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- the writers: each returns the file's bytes ---------------------------------------------------


def text_labels() -> bytes:
    return "".join(f"{who}: {words}\n" for who, _, _, words in SAID).encode()


def text_windows() -> bytes:
    # Windows-1252 has no emoji, so that one goes into none of its files
    lines = [f"{NAMES[who]}:\t{words}\r\n\r\n" for who, _, _, words in SAID]
    return "".join(lines).replace(" 🙂", "").encode("cp1252")


def text_utf16() -> bytes:
    return "".join(f"{who}: {words}\r\n" for who, _, _, words in SAID).encode("utf-16")


def text_times() -> bytes:
    lines = (f"[{clock(a)} - {clock(b)}] {NAMES[who]}: {words}\n" for who, a, b, words in SAID)
    return "".join(lines).encode("utf-8-sig")


def text_label_above() -> bytes:
    return "".join(f"{NAMES[who]}\n{words}\n\n" for who, _, _, words in SAID).encode()


def vtt_zoom() -> bytes:
    cues = (
        f"{n}\n{clock(a)} --> {clock(b)}\n{NAMES[who]}: {escaped(words)}\n"
        for n, (who, a, b, words) in enumerate(SAID, 1)
    )
    return ("WEBVTT\n\n" + "\n".join(cues)).encode()


def vtt_teams() -> bytes:
    cues = (f"{clock(a)} --> {clock(b)}\n<v {NAMES[who]}>{escaped(words)}</v>\n" for who, a, b, words in SAID)
    return ("WEBVTT\n\n" + "\n".join(cues)).encode()


def srt() -> bytes:
    cues = (
        f"{n}\r\n{clock(a, ',')} --> {clock(b, ',')}\r\n{NAMES[who]}: {words}\r\n"
        for n, (who, a, b, words) in enumerate(SAID, 1)
    )
    return "\r\n".join(cues).encode("utf-8-sig")


def rows() -> list[list[object]]:
    return [
        ["Speaker", "Start", "End", "Text"],
        *([NAMES[who], a, b, words] for who, a, b, words in SAID),
    ]


def delimited(delimiter: str) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows())
    return file.getvalue().encode()


def xlsx() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows():
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def docx_paragraphs() -> bytes:
    import docx

    document = docx.Document()
    for who, _, _, words in SAID:
        paragraph = document.add_paragraph()
        paragraph.add_run(f"{NAMES[who]}:").bold = True
        paragraph.add_run(f" {words}")
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def docx_table(*, times: bool) -> bytes:
    import docx

    document = docx.Document()
    table = document.add_table(rows=0, cols=3 if times else 2)
    for who, start, _, words in SAID:
        cells = [clock(start), NAMES[who], words] if times else [who, words]
        for cell, value in zip(table.add_row().cells, cells, strict=True):
            cell.text = value
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def utterances() -> list[dict[str, object]]:
    return [{"speaker": NAMES[who], "start": a, "end": b, "text": words} for who, a, b, words in SAID]


def json_list() -> bytes:
    return json.dumps(utterances(), ensure_ascii=False).encode()


def jsonl() -> bytes:
    return "".join(json.dumps(line) + "\n" for line in utterances()).encode()


def whisperx() -> bytes:
    segments = [
        {
            "start": a,
            "end": b,
            "text": f" {words}",
            "speaker": MACHINE[who],
            "words": [{"word": word, "start": a, "end": b, "score": 0.9} for word in words.split()],
        }
        for who, a, b, words in SAID
    ]
    return json.dumps({"segments": segments, "language": "en"}).encode()


def aws() -> bytes:
    segments = [
        {
            "id": n,
            "transcript": words,
            "start_time": f"{a:.3f}",
            "end_time": f"{b:.3f}",
            "speaker_label": {"T": "spk_0", "C": "spk_1"}[who],
            "items": [],
        }
        for n, (who, a, b, words) in enumerate(SAID)
    ]
    transcripts = [{"transcript": " ".join(words for *_, words in SAID)}]
    results = {"transcripts": transcripts, "items": [], "audio_segments": segments}
    return json.dumps({"jobName": "s", "status": "COMPLETED", "results": results}).encode()


def eaf() -> bytes:
    slots, tiers = [], {"T": "", "C": ""}
    for n, (who, a, b, words) in enumerate(SAID):
        slots += [(f"ts{2 * n + 1}", a), (f"ts{2 * n + 2}", b)]
        tiers[who] += (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{2 * n + 1}" '
            f'TIME_SLOT_REF2="ts{2 * n + 2}"><ANNOTATION_VALUE>{escaped(words)}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>\n"
        )
    order = "".join(f'<TIME_SLOT TIME_SLOT_ID="{id}" TIME_VALUE="{round(1000 * at)}"/>' for id, at in slots)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" '
        'FORMAT="3.0" VERSION="3.0"><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>'
        f"<TIME_ORDER>{order}</TIME_ORDER>\n"
        + "".join(
            f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{NAMES[who]}">\n{annotations}</TIER>\n'
            for who, annotations in tiers.items()
        )
        + '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>'
        "</ANNOTATION_DOCUMENT>\n"
    ).encode()


def textgrid() -> bytes:
    last = SAID[-1][2]
    out = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n{last}\n<exists>\n2\n'
    for who, name in NAMES.items():
        cut, at = [], 0.0
        for _, a, b, words in (said for said in SAID if said[0] == who):
            cut += [(at, a, "")] * (a > at) + [(a, b, words)]
            at = b
        cut += [(at, last, "")] * (last > at)
        out += f'"IntervalTier"\n"{name}"\n0\n{last}\n{len(cut)}\n'
        out += "".join(f'{a}\n{b}\n"{words.replace(chr(34), 2 * chr(34))}"\n' for a, b, words in cut)
    return out.encode()


# file name, format, writer, which times it has ("both", "start", "none")
FILES: list[tuple[str, str, Callable[[], bytes], str]] = [
    ("labels.txt", "text", text_labels, "none"),
    ("windows.txt", "text", text_windows, "none"),
    ("utf16.txt", "text", text_utf16, "none"),
    ("times.txt", "text", text_times, "both"),
    ("above.txt", "text", text_label_above, "none"),
    ("zoom.vtt", "vtt", vtt_zoom, "both"),
    ("teams.vtt", "vtt", vtt_teams, "both"),
    ("captions.srt", "srt", srt, "both"),
    ("table.csv", "csv", lambda: delimited(","), "both"),
    ("semicolons.csv", "csv", lambda: delimited(";"), "both"),
    ("table.tsv", "tsv", lambda: delimited("\t"), "both"),
    ("table.xlsx", "xlsx", xlsx, "both"),
    ("paragraphs.docx", "docx", docx_paragraphs, "none"),
    ("two.docx", "docx", lambda: docx_table(times=False), "none"),
    ("three.docx", "docx", lambda: docx_table(times=True), "start"),
    ("list.json", "json", json_list, "both"),
    ("lines.jsonl", "jsonl", jsonl, "both"),
    ("whisperx.json", "json", whisperx, "both"),
    ("aws.json", "json", aws, "both"),
    ("tiers.eaf", "eaf", eaf, "both"),
    ("tiers.TextGrid", "textgrid", textgrid, "both"),
]


@pytest.mark.parametrize(("name", "format", "write", "times"), FILES, ids=[name for name, *_ in FILES])
def test_every_format_gives_the_same_turns(
    tmp_path: Path, name: str, format: str, write: Callable[[], bytes], times: str
) -> None:
    path = tmp_path / name
    path.write_bytes(write())
    (raw,) = read_sessions(path)
    assert (raw.format, raw.numbered) == (format, False)
    roles = {"whisperx.json": ROLES, "aws.json": {"spk_0": "therapist", "spk_1": "client"}}.get(name)
    transcript = segment(raw, id="s", roles=roles)

    expected = [(role, words) for role, words, _, _ in TURNS]
    if name == "windows.txt":
        expected[-1] = ("client", "I guess so.")
    assert [(turn.role, turn.text) for turn in transcript] == expected
    starts = [start if times != "none" else None for *_, start, _ in TURNS]
    ends = [end if times == "both" else None for *_, end in TURNS]
    assert [turn.start_s for turn in transcript] == pytest.approx(starts, abs=0.001)
    assert [turn.end_s for turn in transcript] == pytest.approx(ends, abs=0.001)


def test_no_format_is_left_out() -> None:
    # in CHAT these brackets and quotes are codes: test_chat.py says what becomes of them
    assert {format for _, format, *_ in FILES} | {"cha"} == set(FORMATS)
