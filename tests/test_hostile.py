"""Files that mean harm: each ends in an error that names the file, or does nothing; what is beside it is done."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import docx
import openpyxl
import pytest

import rupturekit as rk
from rupturekit import coding, inputs, treatment
from rupturekit.cli import main
from rupturekit.exchange import FORMATS
from rupturekit.readers import ReadError, read_sessions

TALK = (("T", "Which lantern was it?"), ("C", "The MARK one."), ("T", "And then?"), ("C", "Then it went out."))
GOOD = "\n\n".join(f"{who}: {what}" for who, what in TALK)
FAR = "http://127.0.0.1:9/x"
GROWING = "".join(f"<!ENTITY e{n + 1} '{f'&e{n};' * 10}'>" for n in range(9))
ENTITIES = {
    "laughs": f"<!DOCTYPE r [<!ENTITY e0 'ha'>{GROWING}]>",
    "quadratic": f'<!DOCTYPE r [<!ENTITY e9 "{"x" * 50_000}">]>',
    "local file": '<!DOCTYPE r [<!ENTITY e9 SYSTEM "file:///etc/passwd">]>',
    "far file": f'<!DOCTYPE r [<!ENTITY e9 SYSTEM "{FAR}">]>',
    "parameter": '<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    "far DTD": f'<!DOCTYPE r SYSTEM "{FAR}.dtd">',
    "after a long comment": f'<!--{" " * 40_000}--><!DOCTYPE r [<!ENTITY e9 "x">]>',
}  # fmt: skip


def word() -> bytes:
    document = docx.Document()
    for who, what in TALK:
        document.add_paragraph(f"{who}: {what}")
    document.save(data := io.BytesIO())
    return data.getvalue()


def workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in (("speaker", "text"), *TALK):
        book.active.append(row)
    book.save(data := io.BytesIO())
    return data.getvalue()


def eaf(prolog: str = "", words: str = "MARK") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<ANNOTATION_DOCUMENT><TIME_ORDER>'
        '<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="2"/></TIME_ORDER>'
        '<TIER TIER_ID="T" LINGUISTIC_TYPE_REF="x"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="c" '
        f'TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"><ANNOTATION_VALUE>{words}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>'
        "</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    ).encode()


def changed(data: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return out.getvalue()


def with_prolog(prolog: str) -> Callable[[bytes], bytes]:
    def change(xml: bytes) -> bytes:
        start = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
        return xml[:start] + prolog.encode() + xml[start:].replace(b"MARK", b"&e9;")

    return change


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ReadError) as error:
        read_sessions(path)
    assert str(path) in str(error.value)
    assert "lantern" not in str(error.value)
    return str(error.value)


PARTS = {
    "docx": (word, "word/document.xml", "word/styles.xml", "[Content_Types].xml", "word/_rels/document.xml.rels"),
    "xlsx": (workbook, "xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"),
}


@pytest.mark.parametrize("prolog", ENTITIES.values(), ids=ENTITIES)
@pytest.mark.parametrize("kind", ["docx", "xlsx", "eaf"])
def test_nothing_with_a_document_type_is_read(tmp_path: Path, kind: str, prolog: str) -> None:
    if kind == "eaf":
        assert "DOCTYPE" in refused(tmp_path / "a.eaf", eaf(prolog, "&e9;"))
        return
    make, *parts = PARTS[kind]
    for part in parts:
        assert "DOCTYPE" in refused(tmp_path / f"a.{kind}", changed(make(), part, with_prolog(prolog)))
    # in another encoding the bytes are others
    wide = changed(make(), parts[0], lambda xml: f"{prolog}<r/>".encode("utf-16"))
    assert "DOCTYPE" in refused(tmp_path / f"wide.{kind}", wide)


@pytest.mark.parametrize("kind", PARTS)
def test_an_archive_has_each_part_once_not_too_many_and_not_too_large(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, part, *_ = PARTS[kind]
    twice = io.BytesIO(make())
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr(part.upper(), b"<r/>")
    assert "two parts" in refused(tmp_path / f"twice.{kind}", twice.getvalue())
    large = changed(make(), part, lambda xml: xml + b" " * (260 << 20))
    assert len(large) < 1 << 20
    told = refused(tmp_path / f"large.{kind}", large)
    assert "250 are read" in told
    assert "RUPTUREKIT_UNPACKED_MB" in told
    with zipfile.ZipFile(other := io.BytesIO(make()), "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("media/picture", b"x")
    assert "unusual" in refused(tmp_path / f"other.{kind}", other.getvalue())
    monkeypatch.setenv("RUPTUREKIT_PARTS", "3")
    assert "3 are read" in refused(tmp_path / f"many.{kind}", make())


@pytest.mark.parametrize("kind", PARTS)
def test_names_and_links_in_an_archive_lead_nowhere(tmp_path: Path, kind: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    data = io.BytesIO(PARTS[kind][0]())
    link = zipfile.ZipInfo("media/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(data, "a") as archive:
        for name in ("../../above", "..\\above", str(tmp_path / "absolute")):
            archive.writestr(name, b"x")
        archive.writestr(link, b"/etc/passwd")
    (inside / f"a.{kind}").write_bytes(data.getvalue())
    assert len(read_sessions(inside / f"a.{kind}")[0].utterances) == 4
    assert list(tmp_path.rglob("*")) == [inside, inside / f"a.{kind}"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(ReadError, match=r"big\.txt: the file has 1048576 MB, and 500 are read.*RUPTUREKIT_FILE_MB"):
        read_sessions(tmp_path / "big.txt")
    (tmp_path / "small.txt").write_text(GOOD)
    monkeypatch.setenv("RUPTUREKIT_FILE_MB", "much")
    with pytest.raises(ValueError, match="RUPTUREKIT_FILE_MB is not a whole number"):
        read_sessions(tmp_path / "small.txt")


CUE = "00:01.000 --> 00:02.000\n"
MANY = {
    "a.txt": b"T: a\nC: b\n" * 2_000_000,
    "empty.txt": b"T: a\nC: b\n" + b"\n" * 20_000_000,
    "a.srt": (CUE + "a\n").encode() * 800_000,
    "voices.vtt": f"WEBVTT\n\n{CUE}".encode() + b"<v A>x" * 3_000_000,
    "a.csv": b"speaker,text\n" + b"T,a\nC,b\n" * 2_500_000,
    "a.tsv": b"speaker\ttext\n" + b"T\ta\nC\tb\n" * 2_500_000,
    "a.json": b"[" + b"{}," * 6_000_000 + b"{}]",
    "lists.json": b"[" + b"[]," * 6_000_000 + b"[]]",
    "a.jsonl": b'{"text":"a"}\n' * 1_500_000,
    "a.cha": b"@UTF8\n@Begin\n" + b"*CHI:\ta .\n" * 2_000_000,
    "a.eaf": eaf().replace(b"</TIER>", b"</TIER>" + b"<x/>" * 5_000_000),
    "a.TextGrid": b'File type = "ooTextFile"\n"TextGrid"\n0 9 <exists> 1\n"IntervalTier" "T" 0 9 9\n' + b'"x"' * 10**6,
}  # fmt: skip


@pytest.mark.parametrize("name", [*MANY, "a.docx"])
def test_a_file_of_very_many_very_short_turns_is_not_read(tmp_path: Path, name: str) -> None:
    many = changed(
        word(), "word/document.xml", lambda xml: xml.replace(b"<w:body>", b"<w:body>" + b"<w:p/>" * 3_000_000)
    )
    told = refused(tmp_path / name, MANY.get(name, many))
    assert "and 1000000 are read" in told
    assert "raise RUPTUREKIT_LINES" in told


@pytest.mark.parametrize("name", ["docx", "xlsx"])
def test_whoever_has_more_lines_raises_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("RUPTUREKIT_LINES", "4")
    (tmp_path / "a.csv").write_text("speaker,text\nT,a\nC,b\nT,c\n")
    assert len(read_sessions(tmp_path / "a.csv")[0].utterances) == 3
    (tmp_path / f"a.{name}").write_bytes(PARTS[name][0]())
    if name == "docx":
        assert "4 are read" in refused(tmp_path / "a.docx", word())
        monkeypatch.setenv("RUPTUREKIT_LINES", "100000")
    assert len(read_sessions(tmp_path / f"a.{name}")[0].utterances) == 4


def test_a_workbook_of_very_wide_rows_is_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in [("speaker", "text"), *(("TC"[n % 2], "a") for n in range(100))]:
        sheet.append([*row, *[None] * 897, "x"])
    book.save(tmp_path / "wide.xlsx")
    assert len(read_sessions(tmp_path / "wide.xlsx")[0].utterances) == 100
    monkeypatch.setenv("RUPTUREKIT_LINES", "1000")
    with pytest.raises(
        ReadError, match=r"wide\.xlsx, line 23: its rows come to more than 20000 cells.*RUPTUREKIT_LINES"
    ):
        read_sessions(tmp_path / "wide.xlsx")


MEMORY = """
import resource, sys
from rupturekit.readers import ReadError, read_sessions
import docx, openpyxl
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for path in sys.argv[1:]:
    try:
        print(sum(len(u.text) for u in read_sessions(path)[0].utterances))
    except ReadError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are kept on Linux only")
def test_memory_is_bounded(tmp_path: Path) -> None:
    files = {
        "bomb.docx": changed(word(), "word/document.xml", lambda xml: xml.replace(b"MARK", b"x" * (249 << 20))),
        "line.txt": b"T: " + b"word " * 2_000_000 + b"\nC: no\n",
        "deep.json": b"[" * 1_000_000,
        "deep.eaf": eaf(words="<x>" * 300_000 + "</x>" * 300_000),
        "short.txt": b"a\n" * 20_000_000,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *(str(tmp_path / name) for name in files)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-500:]
    told = run.stdout.splitlines()
    assert [str(tmp_path / name) in line for name, line in zip(files, told, strict=True)] == [
        True,
        False,
        True,
        True,
        True,
    ]


def test_hundred_thousand_speakers_are_named_in_part(tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_text("speaker,text\n" + "".join(f"Speaker {n},Hello.\n" for n in range(100_000)))
    with pytest.raises(rk.RoleError) as error:
        rk.read(tmp_path / "many.csv")
    assert "and 99980 more" in str(error.value)
    assert len(str(error.value)) < 2000


ODD = {
    "surrogates": '{"speaker": "%s\\ud800", "text": "\\udfff lantern \\ud800", "session": "s\\ud800", "turn": "%s"}',
    "huge": '{"speaker": "%s", "text": "lantern", "start": 1e999, "end": -1e400, "turn": 1%s, "session": 1e308}',
    "not numbers": '{"speaker": "%s", "text": "lantern", "start": NaN, "end": Infinity, "turn": "%s", "session": NaN}',
    "dates": '{"speaker": "%s", "text": "lantern", "date": "9999-99-99", "turn": "%s"}',
    "NUL": '{"speaker": "%s\\u0000", "text": "lan\\u0000tern", "turn": "%s"}',
}


@pytest.mark.parametrize("row", ODD.values(), ids=ODD)
def test_odd_values_in_json_are_done_and_read_back(tmp_path: Path, row: str) -> None:
    rows = ",".join(row % (who, n) for n, (who, _) in enumerate(TALK))
    (tmp_path / "odd.json").write_text(f"[{rows}]")
    code = main(["annotate", str(tmp_path / "odd.json"), "--no-model", "--out", str(tmp_path / "out")])
    assert code == 0
    for name in ("turns.csv", "markers.csv", "sessions.csv", "annotations.jsonl", "run.json"):
        (tmp_path / "out" / name).read_bytes().decode("utf-8")
    json.loads((tmp_path / "out" / "run.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert all("tern" in turn.text for session in rk.load(tmp_path / "out") for turn in session.transcript)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_links_pipes_sockets_and_devices_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "good.txt").write_text(GOOD)
    (outside / "secret.txt").write_text(GOOD)
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(outside)
    (folder / "circle.txt").symlink_to("circle.txt")
    (folder / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.txt")
    monkeypatch.chdir(folder)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.txt")
        assert main(["annotate", str(folder), "--no-model", "--out", str(tmp_path / "out")]) == 1
    inputs = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["inputs"]
    outcome = {entry["path"]: (entry["outcome"], entry["reason"]) for entry in inputs}
    assert outcome.pop("good.txt")[0] == "done"
    assert set(outcome) == {"circle.txt", "zero.txt", "pipe.txt", "socket.txt"}  # folders behind links are not entered
    for what, why in outcome.values():
        assert what == "failed"
        assert "not a regular file" in why or "cannot be opened" in why
    capsys.readouterr()
    for format in FORMATS:
        with pytest.raises(ReadError, match=r"not a (regular file|folder)"):
            rk.exchange.import_codes(folder / "pipe.txt", format, [])


# --- what comes back from other tools -------------------------------------------------------------------

NEEDS = {"inception": "cassis", "docbin": "spacy", "prodigy": "spacy"}


def coded() -> rk.AnnotatedTranscript:
    roles: tuple[Literal["therapist", "client"], ...] = ("therapist", "client")
    turns = tuple(rk.Turn(n, who, roles[n % 2], what) for n, (who, what) in enumerate(TALK))
    marker = rk.Marker(1, 0, 8, "withdrawal", "denial", clarity=2, source="coder:AB")
    whole = tuple(rk.annotation.Coded("coder:AB", family, 0, 3) for family in rk.annotation.FAMILIES)
    return rk.AnnotatedTranscript(rk.Transcript("s1", turns), (marker,), coded=whole)


def came_back(format: str, folder: Path) -> Path:
    """Write a coding in a format, and return what is read of it."""
    if package := NEEDS.get(format):
        pytest.importorskip(package)
    files = rk.exchange.export([coded()], format, folder / "given")
    names = {"label-studio": "tasks.json", "prodigy": "annotations.jsonl", "inception": "s1.xmi"}
    file = next(f for f in files if f.suffix != ".qdc" and f.name == names.get(format, f.name))
    return file.parent if format == "convokit" else file


def read_back(path: Path, format: str) -> list[rk.AnnotatedTranscript]:
    return rk.exchange.import_codes(path, format, [coded().transcript])


def not_taken(path: Path, format: str, data: bytes | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ReadError) as error:
        read_back(path, format)
    assert str(path) in str(error.value)
    assert "lantern" not in str(error.value)
    return str(error.value)


def zipped(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(out := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("prolog", ENTITIES.values(), ids=ENTITIES)
@pytest.mark.parametrize("format", ["eaf", "inception", "refi-qda"])
def test_nothing_with_a_document_type_comes_back(tmp_path: Path, format: str, prolog: str) -> None:
    file = came_back(format, tmp_path)
    data = file.read_bytes()
    assert read_back(file, format) == [coded()]
    if format == "refi-qda":
        assert "DOCTYPE" in not_taken(file, format, changed(data, "project.qde", with_prolog(prolog)))
        return
    assert "DOCTYPE" in not_taken(file, format, with_prolog(prolog)(data))
    if format == "inception":
        types = with_prolog(prolog)((file.parent / "TypeSystem.xml").read_bytes())
        whole = io.BytesIO(zipped(data, "AB.xmi"))
        with zipfile.ZipFile(whole, "a") as archive:
            archive.writestr("TypeSystem.xml", types)
        assert "DOCTYPE" in not_taken(file, format, zipped(whole.getvalue(), "annotation/s1/AB.zip"))


@pytest.mark.parametrize("format", ["inception", "refi-qda"])
def test_archives_that_come_back_are_held_to_the_same(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = came_back(format, tmp_path)
    good, part = file.read_bytes(), "project.qde"
    if format == "inception":
        part = "s1.xmi"
        good = zipped(good, part)

    def with_more(*parts: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
        with zipfile.ZipFile(data := io.BytesIO(good), "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts:
                archive.writestr(name, content)
        return data.getvalue()

    link = zipfile.ZipInfo("link.txt")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    names = ("../../above.xml", "..\\above.txt", str(tmp_path / "absolute.txt"))
    before = sorted(tmp_path.rglob("*"))
    file.write_bytes(with_more(*((name, b"<x/>") for name in names), (link, b"/etc/passwd")))
    assert read_back(file, format)[0].markers == coded().markers
    assert sorted(tmp_path.rglob("*")) == before
    assert "two parts" in not_taken(file, format, with_more((part.upper(), b"<r/>")))
    large = changed(good, part, lambda xml: xml + b" " * (260 << 20))
    assert len(large) < 1 << 20
    assert "RUPTUREKIT_UNPACKED_MB" in not_taken(file, format, large)
    # bit 0 of the flags, in the part's own header and in the directory
    locked = bytearray(with_more())
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = locked.find(sign)
        while at >= 0:
            locked[at + place] |= 1
            at = locked.find(sign, at + 1)
    assert "password" in not_taken(file, format, bytes(locked))
    # a part of bzip2 or LZMA takes what it unpacks to, and not what it declares
    for how in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(other := io.BytesIO(), "w", how) as archive:
            archive.writestr(part, b"<r/>")
        assert "unusual" in not_taken(file, format, other.getvalue())
    monkeypatch.setenv("RUPTUREKIT_PARTS", "3")
    assert "3 are read" in not_taken(file, format, with_more(*((f"{n}.txt", b"") for n in range(4))))


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_comes_back_too_large_is_not_read(tmp_path: Path, format: str) -> None:
    path = came_back(format, tmp_path)
    with (path / "utterances.jsonl" if path.is_dir() else path).open("r+b") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    assert "500 are read" in not_taken(path, format)


@pytest.mark.parametrize(
    "read",
    [
        inputs.read_clients,
        treatment.read_facts,
        treatment.read_messages,
        lambda path: coding.read_coded(path.with_name("big.csv")),
    ],
    ids=["clients", "facts", "messages", "labels"],
)
def test_a_table_beside_the_sessions_that_is_too_large_is_not_read(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    with (tmp_path / "big.labels.jsonl").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(ReadError, match=r"big\.labels\.jsonl: .*500 are read.*RUPTUREKIT_FILE_MB"):
        read(tmp_path / "big.labels.jsonl")


@pytest.mark.parametrize("format", ["eaf", "textgrid"])
def test_an_original_that_is_too_large_or_no_file_is_not_copied(tmp_path: Path, format: str) -> None:
    original = tmp_path / f"s1.{format}"
    with original.open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(ReadError, match="500 are read"):
        rk.exchange.export([coded()], format, tmp_path / "out", originals={"s1": original})
    original.unlink()
    original.symlink_to("/dev/zero")
    with pytest.raises(ReadError, match="not a regular file"):
        rk.exchange.export([coded()], format, tmp_path / "out", originals={"s1": original})
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
@pytest.mark.parametrize("name", ["utterances.jsonl", "conversations.json"])
def test_links_and_pipes_in_a_corpus(tmp_path: Path, name: str) -> None:
    corpus = came_back("convokit", tmp_path)
    (corpus / name).unlink()
    (corpus / name).symlink_to("/dev/zero")
    assert "not a regular file" in not_taken(corpus, "convokit")
    (corpus / name).unlink()
    (corpus / name).symlink_to(name)
    assert "cannot be opened" in not_taken(corpus, "convokit")
    (corpus / name).unlink()
    os.mkfifo(corpus / name)
    assert "not a regular file" in not_taken(corpus, "convokit")


COMES_BACK = """
import resource, sys
import rupturekit as rk
import spacy
from rupturekit.exchange import import_codes
from rupturekit.readers import ReadError
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
turns = (rk.Turn(0, "T", "therapist", "Well?"), rk.Turn(1, "C", "client", "I guess."))
for pair in sys.argv[1:]:
    format, path = pair.split("=")
    try:
        import_codes(path, format, [rk.Transcript("s1", turns)])
    except ReadError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are kept on Linux only")
def test_memory_is_bounded_for_what_comes_back(tmp_path: Path) -> None:
    project = b"<Project>%s</Project>"
    grid = b'"ooTextFile" "TextGrid" 0 9 <exists> 1 "IntervalTier" "T" 0 2 1 0 2 "%s"'
    files = {
        "refi-qda=wide.qdpx": zipped(project % (b"<a/>" * (12 << 20)), "project.qde"),
        "refi-qda=deep.qdpx": zipped(project % (b"<a>" * (8 << 20) + b"</a>" * (8 << 20)), "project.qde"),
        "textgrid=long.TextGrid": grid % (b"W2; " * (4 << 20)),
        "eaf=deep.eaf": eaf(words="<x>" * 300_000 + "</x>" * 300_000),
        "label-studio=deep.json": b"[" * 1_000_000,
        "prodigy=deep.jsonl": b"[" * 1_000_000,
    }
    for name, data in files.items():
        (tmp_path / name.partition("=")[2]).write_bytes(data)
    run = subprocess.run([sys.executable, "-c", COMES_BACK, *files], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-500:]
    told = run.stdout.splitlines()
    assert [name.partition("=")[2] in line for name, line in zip(files, told, strict=True)] == [True] * len(files)


def test_a_character_with_a_number_beyond_all_is_no_character(tmp_path: Path) -> None:
    (tmp_path / "v.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nT: well &#" + "9" * 5000 + ";\n")
    (session,) = read_sessions(tmp_path / "v.vtt")
    assert session.utterances[0].text == "well \ufffd"


def test_the_other_half_of_a_pair_of_textgrids_is_held_to_the_limits(tmp_path: Path) -> None:
    tier = '"IntervalTier" "T" 0 4 2\n0 2 "How are you?"\n2 4 "Well?"\n'
    one = f'File type = "ooTextFile"\n"TextGrid"\n\n0 4 <exists> 1\n{tier}'
    (tmp_path / "s1_client.TextGrid").write_text(one)
    os.mkfifo(tmp_path / "s1_therapist.TextGrid")
    with pytest.raises(ReadError, match="not a regular file"):
        read_sessions(tmp_path / "s1_client.TextGrid")
    (tmp_path / "s1_therapist.TextGrid").unlink()
    (tmp_path / "s1_therapist.TextGrid").write_text(one + "\n" * 1_100_000)
    with pytest.raises(ReadError, match=r"therapist\.TextGrid.*RUPTUREKIT_LINES"):
        read_sessions(tmp_path / "s1_client.TextGrid")
