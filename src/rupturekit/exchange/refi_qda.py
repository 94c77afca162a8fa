"""REFI-QDA: sessions as a project for NVivo, MAXQDA, ATLAS.ti or QualCoder (``.qdpx``, codebook ``.qdc``), and back.

A project is a ZIP of ``project.qde`` (XML) and the texts in ``sources``; the form is that of the standard REFI-QDA 1.5
(25 September 2019, qdasoftware.org). A turn is a line, ``Anna (client): I guess.``; the words in front are not the
turn's. A marker is a selection with one coding. Its score, clarity, rule and note stand in the selection's comment,
one a line; a person may write ``clarity: 2`` there, and other lines are a note. Coders are the project's users, and
so are the machine's two halves. Whoever went through a session is named in its document's comment: ``coded by AB``.

Which codes are read
    A code is ours if its name begins with a marker's code (``C5``), or is a marker's name or label, with or without
    the levels above it; renamed, if the program kept its GUID. Any other code below one of our families is refused
    where it was used, the family included. Other codes are the team's own and are left alone.

Which words are meant
    By the standard (10.2) positions count Unicode code points from 0; its examples show that the end is not inside.
    Programs deviate: texts come back with a byte order mark and Windows line ends, which NVivo counts as two
    characters and ATLAS.ti as one (so QualCoder's source), and programs that keep text as UTF-16 may count an emoji
    as two. Of these ways of counting that one is taken under which most selections begin with the words that
    their name quotes or, failing that, begin and end at a word's edge; the standard's, if they are equal.
    Over several turns a selection is split, to those of the role whose marker it is. On a speaker's label alone it
    means the whole turn.

What XML 1.0 forbids (control characters) becomes U+FFFD in names and notes; the words stand in a text file as they are.
"""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
import zipfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker, coded_order, marker_order
from rupturekit.codebook import Codebook, CodebookMarker
from rupturekit.exchange.returned import Returned
from rupturekit.readers import archive, load
from rupturekit.readers.raw import ReadError, Source
from rupturekit.transcript import Transcript, Turn

__all__ = ["read", "write"]

_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "rupturekit.refi-qda")
_MACHINE = {"model": "rupturekit (model)", "rule": "rupturekit (rules)"}
_COLOURS = {
    "confrontation": "#C0392B",
    "withdrawal": "#2E6DA4",
    "resolution": "#2E8B57",
    "therapist_defensive": "#B9770E",
}
_NAME_LENGTH = 100  # to which the words that name a selection are cut, as in the standard's examples
_ELEMENTS = 1_000_000  # of a project; a coding has three

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_END = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")


class _Page(NamedTuple):
    """The text of a session as coders see it, where each line begins in it, and where the words of its turn do."""

    text: str
    lines: list[int]
    words: list[int]


def _page(transcript: Transcript) -> _Page:
    parts: list[str] = []
    lines, words = [], []
    at = 0
    for turn in transcript:
        label = _label(turn)
        lines.append(at)
        words.append(at + len(label))
        parts += (label, turn.text, "\n")
        at += len(label) + len(turn.text) + 1
    return _Page("".join(parts), lines, words)


def _label(turn: Turn) -> str:
    # a byte order mark at the start of the file would not come back
    speaker = " ".join(turn.speaker.replace("\ufeff", "").split())
    return f"{speaker}: " if speaker.casefold() == turn.role else f"{speaker} ({turn.role}): ".lstrip()


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _guid(*parts: str) -> str:
    return str(uuid.uuid5(_SPACE, "\n".join(parts)))


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write ``rupturekit.qdpx``, a project with every session, and ``codebook.qdc``.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
    folder : Path
        An empty folder.
    codebook : Codebook
        The codes that coders see. Families are codes that cannot be given.
    originals : mapping
        Not used.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit.codebook import load_codebook
    >>> session = Transcript("s1", (Turn(0, "Anna", "client", "I guess."),), meta={"client_id": "K7"})
    >>> found = AnnotatedTranscript(session, (Marker(0, 0, 7, "withdrawal", "minimal_response", 0.8),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write([found], Path(folder), load_codebook(), {})
    ...     with zipfile.ZipFile(Path(folder, "rupturekit.qdpx")) as archive:
    ...         print(archive.read(archive.namelist()[0]).decode(), archive.namelist()[-1])
    Anna (client): I guess.
    project.qde
    """
    project = ET.Element("Project", name="rupturekit", origin="rupturekit")
    users, cases, sources = ET.Element("Users"), ET.Element("Cases"), ET.Element("Sources")
    seen: set[str] = set()
    of_client: dict[str, ET.Element] = {}
    with zipfile.ZipFile(folder / "rupturekit.qdpx", "w", zipfile.ZIP_DEFLATED) as archive:
        for session in sessions:
            page = _page(session.transcript)
            source = _source(session, page, codebook)
            sources.append(source)
            _store(archive, f"sources/{source.attrib['guid']}.txt", page.text.encode())
            seen |= {m.source for m in session.markers} | {c.source for c in session.coded}
            if client := str(session.transcript.meta.get("client_id") or ""):
                if client not in of_client:
                    of_client[client] = ET.SubElement(cases, "Case", guid=_guid("case", client), name=_legal(client))
                ET.SubElement(of_client[client], "SourceRef", targetGUID=source.attrib["guid"])
        for source_name in sorted(seen - {"coder:"}):
            name = _MACHINE.get(source_name, source_name.removeprefix("coder:"))
            ET.SubElement(users, "User", guid=_guid("user", source_name), name=_legal(name))
        book = ET.Element("CodeBook")
        book.append(_codes(codebook))
        project.extend(part for part in (users, book, cases, sources) if len(part))
        _store(archive, "project.qde", _xml(project, "project"))
    book = ET.Element("CodeBook", origin="rupturekit")
    book.append(_codes(codebook))
    (folder / "codebook.qdc").write_bytes(_xml(book, "codebook"))


def _store(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # else it says on which system the archive was made
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def _xml(root: ET.Element, kind: str) -> bytes:
    root.set("xmlns", f"urn:QDA-XML:{kind}:1.0")
    ET.indent(root)
    text = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    # the serialiser leaves a carriage return in a text as it is, and a parser would turn it into a line feed
    return text.replace(b"\r", b"&#13;")


def _codes(codebook: Codebook) -> ET.Element:
    codes = ET.Element("Codes")
    for family in FAMILIES:
        if not (markers := codebook.of(family)):
            continue
        guid, colour = _guid("family", codebook.name, family), _COLOURS[family]
        parent = ET.SubElement(codes, "Code", guid=guid, name=family, isCodable="false", color=colour)
        for marker in markers:
            guid, name = _guid("code", codebook.name, marker.id), f"{marker.code} {marker.id}"
            code = ET.SubElement(parent, "Code", guid=guid, name=name, isCodable="true", color=colour)
            told = (f"{marker.code} {marker.label}", marker.definition, marker.not_when and f"Not: {marker.not_when}")
            ET.SubElement(code, "Description").text = _legal("\n".join(filter(None, told)))
    return codes


def _source(session: AnnotatedTranscript, page: _Page, codebook: Codebook) -> ET.Element:
    id = session.transcript.id
    guid = _guid("session", id)
    source = ET.Element("TextSource", guid=guid, name=_legal(id), plainTextPath=f"internal://{guid}.txt")
    if lines := list(_who_coded(session)):
        ET.SubElement(source, "Description").text = _legal("\n".join(lines))
    for number, marker in enumerate(session.markers):
        start, end = (page.words[marker.turn] + place for place in (marker.start, marker.end))
        words = page.text[start:end]
        selection = ET.SubElement(
            source,
            "PlainTextSelection",
            guid=_guid("selection", id, str(number)),
            name=_legal(words if len(words) <= _NAME_LENGTH else f"{words[:_NAME_LENGTH]}…"),
            startPosition=str(start),
            endPosition=str(end),
        )
        if told := _told(marker):
            ET.SubElement(selection, "Description").text = _legal(told)
        coding = ET.SubElement(selection, "Coding", guid=_guid("coding", id, str(number)))
        ET.SubElement(coding, "CodeRef", targetGUID=_guid("code", codebook.name, marker.marker))
        if marker.source != "coder:":
            for element in (selection, coding):
                element.set("creatingUser", _guid("user", marker.source))
    return source


def _told(marker: Marker) -> str:
    lines = {
        "score": None if marker.score is None else repr(float(marker.score)),
        "clarity": marker.clarity,
        "rule": marker.rule_id,
        "note": marker.note,
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value is not None)


def _who_coded(session: AnnotatedTranscript) -> Iterator[str]:
    """Say who went through what: ``coded by AB``, with the turns and families where it was not everything."""
    parts: dict[tuple[str, int, int], list[str]] = {}
    for c in session.coded:
        if c.source.startswith("coder:"):
            parts.setdefault((c.source.removeprefix("coder:"), c.first, c.last), []).append(c.family)
    for (coder, first, last), families in sorted(parts.items()):
        line = f"coded by {coder}"
        if (first, last) != (0, len(session.transcript) - 1) or set(families) != set(FAMILIES):
            line += f": turns {first}-{last}"
        yield line if set(families) == set(FAMILIES) else f"{line}: {', '.join(sorted(families))}"


_CODED = re.compile(r"coded by (.+?)(?:: turns (\d{1,9})-(\d{1,9})(?:: ([a-z_, ]+))?)?", re.IGNORECASE)
_TOLD = re.compile(r"(score): *(\d[\d.]*(?:e-\d+)?)|(clarity)(?:[:=] *| +)(\d{1,9})|(rule): *(\S.*)", re.IGNORECASE)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEVEL = re.compile(r"\s*(?:::|[:>/\\|])\s*")


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read the codings in a ``.qdpx`` project.

    Parameters
    ----------
    path : Path
        The project.
    sessions : mapping
        Session id → its transcript. A text is told by the GUID that it was written with, or by its name.
    codebook : Codebook
        Whose codes are read; see above what becomes of others.

    Returns
    -------
    list of AnnotatedTranscript
        One for each text that is among the sessions, marked or not.

    Raises
    ------
    ReadError
        If the file is no such project, or does not fit the transcripts or the codebook.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit.codebook import load_codebook
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> given = Marker(0, 0, 7, "withdrawal", "minimal_response", clarity=2, source="coder:AB")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write([AnnotatedTranscript(session, (given,))], Path(folder), load_codebook(), {})
    ...     (found,) = read(Path(folder, "rupturekit.qdpx"), {"s1": session}, load_codebook())
    >>> found.markers == (given,)
    True
    """
    returned = Returned(path, sessions, codebook)
    return _Project(returned, _Archive(load(path))).sessions()


class _Archive:
    """The files in a project, by their names without the folder: programs differ in how they spell that."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._zip = archive.opened(source)
        entries = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        self._entries = {_last(entry.filename): entry for entry in reversed(entries)}
        self._size = 0

    def project(self) -> bytes:
        names = [name for name in self._entries if name.endswith(".qde")]
        return self.read("project.qde" if len(names) != 1 else names[0], "its .qde file")

    def read(self, path: str, what: str) -> bytes:
        entry = self._entries.get(_last(path))
        if entry is None:
            raise self._source.error(f"{what} is not in it", "Export the project with its documents inside")
        self.count(entry.file_size)
        return archive.unpacked(self._source, self._zip, entry)

    def count(self, size: int) -> None:
        """Raise the error if texts, of which one may be referred to again and again, are too much together."""
        self._size += size
        archive.check_size(self._source, self._size)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path)[-1].casefold()


class _Builder(ET.TreeBuilder):
    def __init__(self, returned: Returned) -> None:
        super().__init__()
        self._returned = returned
        self._left = _ELEMENTS

    def start(self, tag: Any, attrs: Any) -> ET.Element:
        self._left -= 1
        if self._left < 0:
            raise self._returned.error(f"its .qde file has more than {_ELEMENTS} elements", "Export fewer documents")
        return super().start(tag, attrs)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        # where entities are declared, to be expanded without end or to fetch other files
        raise self._returned.error(
            "its .qde file has a DOCTYPE, which no project has", "Export the project as .qdpx again"
        )


def _parse(data: bytes, returned: Returned) -> ET.Element:
    try:
        parser = ET.XMLParser(target=_Builder(returned))
        # in pieces, because expat goes through all that it is given before an error of the builder counts
        for at in range(0, len(data), 1 << 16):
            parser.feed(data[at : at + (1 << 16)])
        root = parser.close()
    except ReadError:
        raise
    except (ET.ParseError, ValueError, LookupError):
        raise returned.error("its .qde file is not valid XML", "Export the project as .qdpx again") from None
    for element in root.iter():
        # programs write several versions of the namespace
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != "Project":
        raise returned.error("its .qde file is no REFI-QDA project", "Export the project, not only the codebook")
    return root


def _key(guid: str | None) -> str:
    return (guid or "").strip("{} ").lower()


class _Project:
    """What a project says, read against the transcripts."""

    def __init__(self, returned: Returned, archive: _Archive) -> None:
        self._returned = returned
        self._archive = archive
        self._root = _parse(archive.project(), returned)
        self._users = {_key(user.get("guid")): _source_of(user) for user in self._root.iterfind("Users/User")}
        self._notes = {_key(note.get("guid")): note for note in self._root.iterfind("Notes/Note")}
        self._codes = _codes_used(self._root, returned.codebook)
        self._by_guid = {_guid("session", id): id for id in returned.sessions}

    def sessions(self) -> list[AnnotatedTranscript]:
        """Return the coding of each session; a text that came back twice is one session."""
        markers: dict[str, list[Marker]] = {}
        coded: dict[str, set[Coded]] = {}
        for source in self._root.iterfind("Sources/TextSource"):
            given = list(self._given(source))
            if (transcript := self._transcript(source, bool(given))) is not None:
                markers.setdefault(transcript.id, []).extend(self._markers(source, transcript, given))
                coded.setdefault(transcript.id, set()).update(self._coded(source, transcript))
        return [
            AnnotatedTranscript(
                self._returned.sessions[id],
                tuple(sorted(found, key=marker_order)),
                coded=tuple(sorted(coded[id], key=coded_order)),
            )
            for id, found in markers.items()
        ]

    def _given(self, source: ET.Element) -> Iterator[tuple[ET.Element, ET.Element, CodebookMarker]]:
        """Yield selection, coding and marker for each coding with a code of ours."""
        for holder in (source, *source.iterfind("PlainTextSelection")):
            for coding in holder.iterfind("Coding"):
                ref = coding.find("CodeRef")
                entry = self._codes.get(_key(ref.get("targetGUID"))) if ref is not None else None
                place = f"document {source.get('name')!r}"
                if isinstance(entry, str):
                    # its name may be the client's own words
                    at = holder.get("startPosition", "")
                    where = f"the selection at character {at}" if at.isdecimal() else "one of its selections"
                    raise self._returned.error(
                        f"{place}: the code on {where} (GUID {entry}) is none of the codebook's markers, and is in one "
                        "of our families",
                        "Use one of the markers, or move the code out of our families",
                    )
                if entry is not None and holder is source:
                    raise self._returned.error(
                        f"{place}: code {entry.code} stands on the whole document", "Put it on the words"
                    )
                if entry is not None:
                    yield holder, coding, entry

    def _transcript(self, source: ET.Element, coded: bool) -> Transcript | None:
        """Return the session that a text is; None if it is another document of the team's, without our codes."""
        name = source.get("name") or None
        for id in (self._by_guid.get(_key(source.get("guid"))), name, name and name.rpartition(".")[0]):
            if id in self._returned.sessions:
                return self._returned.session(id)
        return self._returned.session(name) if coded else None

    def _text(self, source: ET.Element) -> str:
        if inline := source.findtext("PlainTextContent"):
            if source.tag == "Note":
                self._archive.count(len(inline.encode()))
            return inline
        # a note may be called after what was said
        what = "the text of a note" if source.tag == "Note" else f"the text of {source.get('name')!r}"
        data = self._archive.read(source.get("plainTextPath") or "", what)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise self._returned.error(f"{what} is not UTF-8", "Export the project as .qdpx again") from None

    def _markers(
        self,
        source: ET.Element,
        transcript: Transcript,
        given: Sequence[tuple[ET.Element, ET.Element, CodebookMarker]],
    ) -> Iterator[Marker]:
        page, text = _page(transcript), self._text(source)
        self._check_words(transcript, page, text)
        selections = source.findall("PlainTextSelection")
        with self._returned.part(f"session {transcript.id}: the place of a selection"):
            places = [(int(s.attrib["startPosition"]), int(s.attrib["endPosition"])) for s in selections]
            spans = _spans(text, page.text, places, [s.get("name") or "" for s in selections])
            if any(not 0 <= start <= end or start >= len(page.text) for start, end in spans):
                raise ValueError
        span_of = dict(zip(selections, spans, strict=True))
        for selection, coding, entry in given:
            author = selection.get("creatingUser") or selection.get("modifyingUser")
            source_of = self._users.get(_key(coding.get("creatingUser") or author), "coder:")
            told = self._said(selection, coding)
            # a comment is its selection's author's, who need not be the one who gave this code
            told["source"] = source_of if author is None else self._users.get(_key(author), "coder:")
            parts = _parts(page, transcript, *span_of[selection])
            mine = [part for part in parts if transcript[part[0]].role == entry.speaker]
            for turn, start, end in mine or parts[:1]:
                yield self._returned.marker(transcript, turn, start, end, entry.id, source_of, told)

    def _check_words(self, transcript: Transcript, page: _Page, text: str) -> None:
        was, now = (_LINE_END.sub("\n", one).rstrip() for one in (page.text, text))
        if was != now:
            same = next((n for n, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
            turn = max(0, bisect_right(page.lines, same) - 1)
            raise self._returned.error(
                f"session {transcript.id}, turn {turn}: the words or the speaker are not those of the transcript",
                "They must not be edited, because codes are found by their place in them",
            )

    def _said(self, selection: ET.Element, coding: ET.Element) -> dict[str, Any]:
        """Return what is said of a coding in the comment and the notes of its selection, and in its own."""
        texts = [selection.findtext("Description") or ""]
        refs = (*selection.iterfind("NoteRef"), *coding.iterfind("NoteRef"))
        # each once: a selection and its coding may refer to the same note
        for guid in dict.fromkeys(_key(ref.get("targetGUID")) for ref in refs):
            note = self._notes.get(guid)
            if note is not None and (note.findtext("PlainTextContent") or note.get("plainTextPath")):
                texts.append(self._text(note))
        told: dict[str, Any] = {}
        rest: list[str] = []
        lines = "\n".join(filter(None, texts)).split("\n")
        for number, line in enumerate(lines):
            if line.startswith("note:"):
                written = "\n".join(lines[number:]).removeprefix("note:").removeprefix(" ")
                return told | {"note": "\n".join([*rest, written])}
            if said := _TOLD.fullmatch(line.strip()):
                name, value = filter(None, said.groups())
                name = {"rule": "rule_id"}.get(name.lower(), name.lower())
                told[name] = int(value) if name == "clarity" else value
            else:
                rest.append(line.rstrip())
        return told | {"note": "\n".join(rest).strip() or None}

    def _coded(self, source: ET.Element, transcript: Transcript) -> list[Coded]:
        rows = []
        for line in (source.findtext("Description") or "").split("\n"):
            if said := _CODED.fullmatch(line.strip()):
                coder, first, last, families = said.groups()
                turns = (int(first), int(last)) if first else (0, len(transcript) - 1)
                for family in re.split(", *", families.strip()) if families else FAMILIES:
                    rows.append((f"coder:{coder}", family, *turns))
        return self._returned.coded(transcript, rows)


def _source_of(user: ET.Element) -> str:
    name = user.get("name") or user.get("id") or ""
    return next((source for source, machine in _MACHINE.items() if name == machine), f"coder:{name}")


def _codes_used(root: ET.Element, codebook: Codebook) -> dict[str, CodebookMarker | str]:
    """Return, by GUID, the markers that codes are, and, as they can be told, the GUIDs of others in our families."""
    by_guid = {_guid("code", codebook.name, marker.id): marker for marker in codebook.markers}
    names = [(re.compile(_pattern(marker), re.IGNORECASE), marker) for marker in codebook.markers]
    codes = list(root.iter("Code"))
    parents = {child: code for code in codes for child in code.iterfind("Code")}
    by_name = {name: _entry(name, names) for name in {code.get("name") or "" for code in codes}}
    entries = {code: by_name[code.get("name") or ""] or by_guid.get(_key(code.get("guid"))) for code in codes}
    ours = {code for code in codes if _key(code.get("guid")) in {_guid("family", codebook.name, f) for f in FAMILIES}}
    for code, entry in entries.items():
        parent = parents.get(code)
        # a team may have a code "withdrawal" of its own; ours is the one with our markers in it
        if entry is not None and parent is not None and (parent.get("name") or "").strip() == entry.parent:
            ours.add(parent)
    found: dict[str, CodebookMarker | str] = {}
    for code in codes:  # parents come before their children
        if parents.get(code) in ours:
            ours.add(code)
        if (entry := entries[code]) is not None:
            found[_key(code.get("guid"))] = entry
        elif code in ours:
            guid = _key(code.get("guid"))
            found[guid] = guid if _GUID.fullmatch(guid) else "not valid"
    return found


def _pattern(marker: CodebookMarker) -> str:
    # "C5" and "C5: no progress", but neither "C50" nor "C5.1"; "Denial (W1)", but not "Denial of guilt"
    names = "|".join(re.escape(name) for name in (marker.id, marker.label) if name)
    return rf"{re.escape(marker.code)}(?!\w|[.-]\w)|(?:{names})(?=\s*(?:$|[^\w\s]))"


def _entry(name: str, names: Sequence[tuple[re.Pattern[str], CodebookMarker]]) -> CodebookMarker | None:
    name = " ".join(name.split())
    for start in (0, *(level.end() for level in _LEVEL.finditer(name))):
        # of two labels that begin alike the longer one is meant
        if matches := [(match.end(), marker) for pattern, marker in names if (match := pattern.match(name, start))]:
            return max(matches, key=lambda pair: pair[0])[1]
    return None


def _spans(text: str, written: str, places: Sequence[tuple[int, int]], names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of selections in the written text, from their places in the returned one."""
    plain = _LINE_END.sub("\n", text)
    ways = _ways_of_counting(text, plain)
    # the first of equals is the standard's
    way = max(ways, key=lambda way: _fit(plain, [_in_plain(place, way) for place in places], names))
    if text == written and way == ways[0]:
        return list(places)
    # a turn may hold such a line end itself
    own = [match.start() - n for n, match in enumerate(re.finditer("\r\n", written))]
    return [
        (start + bisect_left(own, start), end + bisect_left(own, end))
        for start, end in (_in_plain(place, way) for place in places)
    ]


def _ways_of_counting(text: str, plain: str) -> list[list[list[int]]]:
    """Return the ways in which positions may have been counted, the standard's first.

    A way is the steps from a position as counted to one in the plain text: lists of the places that hold two units
    where one is meant.
    """
    ends = [match.start() for match in re.finditer("\r\n", text)]
    ways: list[list[list[int]]] = [[ends], [[]], [_pairs(text), ends], [_pairs(plain)]]
    distinct: list[list[list[int]]] = []
    for way in ways:
        steps = [step for step in way if step]
        if steps not in distinct:
            distinct.append(steps)
    return distinct


def _pairs(text: str) -> list[int]:
    """Return where the characters stand that are two units of UTF-16, counted in these units."""
    return [match.start() + n for n, match in enumerate(re.finditer("[\U00010000-\U0010ffff]", text))]


def _in_plain(place: tuple[int, int], way: Sequence[Sequence[int]]) -> tuple[int, int]:
    start, end = place
    for step in way:
        start, end = start - bisect_left(step, start), end - bisect_left(step, end)
    return start, end


def _fit(plain: str, spans: Sequence[tuple[int, int]], names: Sequence[str]) -> tuple[int, int]:
    """Count the selections that begin with the words that their name quotes, and those at the edges of words."""
    quoting = at_edges = 0
    for (start, end), name in zip(spans, names, strict=True):
        quote, words = (" ".join(_legal(one).split()) for one in (name, plain[start:end]))
        cut = quote.rstrip("….")
        quoting += bool(quote) and (words == quote or (cut != quote and words.startswith(cut)))
        inside = [plain[at - 1 : at].isalnum() and plain[at : at + 1].isalnum() for at in (start, end) if at]
        at_edges += not any(inside)
    return quoting, at_edges


def _parts(page: _Page, transcript: Transcript, start: int, end: int) -> list[tuple[int, int, int]]:
    """Cut a selection into the words of its turns; on a label or a line's end it means the turn of that line."""
    first = max(0, bisect_right(page.lines, start) - 1)
    parts = []
    for turn in range(first, bisect_left(page.lines, end)):
        words, length = page.words[turn], len(transcript[turn].text)
        part = max(start - words, 0), min(end - words, length)
        if part[0] < part[1]:
            parts.append((turn, *part))
    return parts or [(first, 0, len(transcript[first].text))]
