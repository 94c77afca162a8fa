"""INCEpTION: sessions as UIMA CAS XMI (XML 1.0), with the layer that its project needs, and annotations back.

``layers.json`` goes into the project first (Settings, Layers, Import), then every ``.xmi`` as a document of the format
*UIMA CAS XMI (XML 1.0)*; INCEpTION drops markers for which it has no layer yet. Back in comes what it exports as that
format: one annotator's document (ZIP or the bare XMI in it) or a whole project with it as secondary format.

A turn is a line and a sentence, ``Anna (client): I guess.``; the words in front are not the turn's. In what INCEpTION
exports for an annotator all is theirs that does not name another coder: also what the machine marked and they left.

Three things are not as they were. A character that XML 1.0 forbids is a space. A marker's edges are trimmed of white
space and invisible characters, because INCEpTION refuses a document with others. An empty text is none.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from rupturekit.annotation import AnnotatedTranscript, Marker, marker_order, whole
from rupturekit.codebook import Codebook, CodebookMarker
from rupturekit.exchange.returned import Returned
from rupturekit.readers import archive, load
from rupturekit.readers.raw import ReadError, Source
from rupturekit.transcript import Transcript

if TYPE_CHECKING:
    from cassis import Cas, TypeSystem

__all__ = ["read", "write"]

_MARKER = "webanno.custom.RuptureMarker"
_CODED = "webanno.custom.RuptureCoded"
_DOCUMENT = "de.tudarmstadt.ukp.dkpro.core.api.metadata.type.DocumentMetaData"
_SENTENCE = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Sentence"
_TOKEN = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token"
_FEATURES = {
    _MARKER: ("code", "clarity", "source", "score", "rule_id", "note"),
    _CODED: ("source", "family"),
    _DOCUMENT: ("documentTitle", "documentId", "documentUri", "collectionId", "documentBaseUri"),
}
_CLARITY = {1: "1 faint", 2: "2 clear", 3: "3 strong"}
_GRADES = {text: n for n, tag in _CLARITY.items() for text in (tag, str(n))}
_NOBODY = "INITIAL_CAS"  # INCEpTION's name for a document that no annotator has opened

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What INCEpTION trims off an annotation: white space, and the invisible characters of joining and direction.
_BLANK = r"\s\u200b-\u200f\u202a-\u202e\u2060-\u206f"
_WORD = re.compile(rf"[^{_BLANK}](?:\S*[^{_BLANK}])?")
_WORDS = re.compile(rf"[^{_BLANK}](?:.*[^{_BLANK}])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Page:
    """A session as the text of a document; where each turn's line begins, and where its words begin."""

    transcript: Transcript
    text: str
    lines: list[int]
    words: list[int]

    @classmethod
    def of(cls, transcript: Transcript) -> _Page:
        parts: list[str] = []
        lines: list[int] = []
        words: list[int] = []
        at = 0
        for turn in transcript:
            label = f"{turn.speaker} ({turn.role}): "
            lines.append(at)
            words.append(at + len(label))
            parts.append(label + turn.text)
            at += len(parts[-1]) + 1
        return cls(transcript, _legal("\n".join(parts)), lines, words)

    def turn_at(self, place: int) -> int:
        return bisect_right(self.lines, place) - 1

    def end_of(self, turn: int) -> int:
        return self.words[turn] + len(self.transcript[turn].text)

    def trimmed(self, begin: int, end: int) -> tuple[int, int]:
        found = _WORDS.search(self.text, begin, end)
        return found.span() if found else (begin, end)


def _legal(text: str) -> str:
    # one for one, so that offsets hold
    return _FORBIDDEN.sub(" ", text)


def _stem(id: str) -> str:
    """Return the name of a session's file; a session's id may be a path, or anything else."""
    safe = re.sub(r"[^\w .-]", "_", id)[:60]
    return id if safe == id else f"{safe}-{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write an XMI for each session, their ``TypeSystem.xml``, and ``layers.json`` with the codebook's codes as tags.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit.codebook import load_codebook
    >>> from rupturekit.transcript import Turn
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> found = AnnotatedTranscript(session, (Marker(0, 0, 7, "withdrawal", "minimal_response", 0.8),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write([found], Path(folder), load_codebook(), {})
    ...     read(Path(folder, "s1.xmi"), {"s1": session}, load_codebook()) == [found]
    True
    """
    types = _types()
    types.to_xml(folder / "TypeSystem.xml")
    layers = json.dumps(_layers(codebook), ensure_ascii=False, indent=2)
    (folder / "layers.json").write_text(f"{layers}\n", "utf-8", newline="\n")
    for session in sessions:
        _cas(session, types, codebook).to_xmi(folder / f"{_stem(session.transcript.id)}.xmi", pretty_print=True)


def _types() -> TypeSystem:
    import cassis

    types = cassis.load_dkpro_core_typesystem()
    for name, features in _FEATURES.items():
        super_ = "uima.tcas.DocumentAnnotation" if name == _DOCUMENT else "uima.tcas.Annotation"
        type_ = types.create_type(name, super_)
        for feature in features:
            types.create_feature(type_, feature, "uima.cas.String")
    types.create_feature(_DOCUMENT, "isLastSegment", "uima.cas.Boolean")
    return types


def _cas(session: AnnotatedTranscript, types: TypeSystem, codebook: Codebook) -> Cas:
    from cassis import Cas

    page = _Page.of(session.transcript)
    cas = Cas(types, sofa_string=page.text)

    def add(type_: str, begin: int, end: int, **features: str | None) -> None:
        said = {name: _legal(value) for name, value in features.items() if value}
        cas.add(types.get_type(type_)(begin=begin, end=end, **said))

    name = session.transcript.id
    add(_DOCUMENT, 0, len(page.text), language=session.transcript.language, documentTitle=name, documentId=name)
    for turn, line in enumerate(page.lines):
        add(_SENTENCE, *page.trimmed(line, page.end_of(turn)))
        for word in _WORD.finditer(page.text, line, page.end_of(turn)):
            add(_TOKEN, *word.span())
    for c in session.coded:
        if c.source.startswith("coder:"):
            span = page.trimmed(page.lines[c.first], page.end_of(c.last))
            add(_CODED, *span, source=c.source, family=c.family)
    for m in session.markers:
        begin = page.words[m.turn]
        add(
            _MARKER,
            *page.trimmed(begin + m.start, begin + m.end),
            code=_tag(codebook[m.marker]),
            clarity=_CLARITY[m.clarity] if m.clarity is not None else None,
            source=m.source,
            # text, because a number of a layer is never empty, and has seven digits
            score=repr(float(m.score)) if m.score is not None else None,
            rule_id=m.rule_id,
            note=m.note,
        )
    return cas


def _tag(entry: CodebookMarker) -> str:
    return f"{entry.code} {entry.id}"


def _layers(codebook: Codebook) -> list[dict[str, Any]]:
    """Return the layers as INCEpTION exports them, its tag sets inside."""
    codes = _tagset(
        f"Rupture markers {codebook.name} {codebook.version}",
        {_tag(m): f"{m.label}. {m.definition} Not when: {m.not_when or '-'}" for m in codebook.markers},
    )
    clarity = _tagset("Clarity of a rupture marker", {tag: tag for tag in _CLARITY.values()})
    marker = [
        _feature("code", "The marker", codes, required=True),
        _feature("clarity", "How plain it is", clarity),
        _feature("source", "rule or model: found by the machine; empty: yours", curatable=False),
        _feature("score", "The machine's probability", curatable=False),
        _feature("rule_id", "The rule that found it", visible=False, include_in_hover=True, curatable=False),
        _feature("note", "A remark", visible=False, include_in_hover=True),
    ]
    coded = [_feature("source", "Who coded these turns"), _feature("family", "For which family of markers")]
    return [
        _layer(_MARKER, "Rupture marker", "A marker on the words that carry it", marker, cross_sentence=False),
        # switched off, so that it is kept but not shown
        _layer(_CODED, "Rupture: coded turns", "What coders went through before", coded, enabled=False),
    ]


def _layer(name: str, title: str, description: str, features: list[dict[str, Any]], **other: object) -> dict[str, Any]:
    for rank, feature in enumerate(features):
        feature["rank"] = rank
    return {
        "name": name,
        "features": features,
        "uiName": title,
        "type": "span",
        "description": description,
        "enabled": True,
        "built_in": False,
        "readonly": False,
        "attach_type": None,
        "attach_feature": None,
        "allow_stacking": True,
        "cross_sentence": True,
        "show_hover": True,
        "anchoring_mode": "CHARACTERS",
        "overlap_mode": "ANY_OVERLAP",
        "validation_mode": "ALWAYS",
        "linked_list_behavior": False,
        "traits": None,
        **other,
    }


def _feature(name: str, description: str, tags: dict[str, Any] | None = None, **other: object) -> dict[str, Any]:
    return {
        "name": name,
        "tag_set": tags,
        "uiName": name,
        "type": "uima.cas.String",
        "enabled": True,
        "visible": True,
        "include_in_hover": False,
        "required": False,
        # a new annotation must not take over the machine's
        "remember": False,
        "hideUnconstraintFeature": False,
        "description": description,
        "multi_value_mode": "NONE",
        "link_mode": "NONE",
        "traits": None,
        "curatable": True,
        **other,
    }


def _tagset(name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "description": name,
        "language": "en",
        "tags": [{"tag_name": tag, "tag_description": description} for tag, description in tags.items()],
        "create_tag": False,
    }


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read an XMI, or an archive that INCEpTION exported: one document's, or a project's with all its annotators.

    Returns
    -------
    list of AnnotatedTranscript
        One for each session, with what all annotators in the file did to it.

    Raises
    ------
    ReadError
        If it is no such file, or its words or codes are not those of the sessions and the codebook.
    """
    found: dict[str, list[AnnotatedTranscript]] = {}
    for source, types in _documents(load(path)):
        coding = _coding(source, types, sessions, codebook)
        found.setdefault(coding.transcript.id, []).append(coding)
    return [
        AnnotatedTranscript(
            codings[0].transcript,
            # annotators share the markers that were there before them
            tuple(sorted(dict.fromkeys(m for c in codings for m in c.markers), key=marker_order)),
            coded=tuple(dict.fromkeys(part for c in codings for part in c.coded)),
        )
        for codings in found.values()
    ]


def _documents(source: Source, inner: bool = False) -> Iterator[tuple[Source, bytes | None]]:
    """Yield each XMI with its type system, if the archive has it."""
    if not source.data.startswith(b"PK\x03\x04"):
        yield source, None
        return
    packed = archive.opened(source)
    archive.check_size(source, _size(packed))
    parts = {name: archive.unpacked(source, packed, entry) for name, entry in _wanted(packed).items()}
    documents = [name for name in parts if name.suffix == ".xmi"]
    archives = [Source(source.path / name, parts[name]) for name in parts if name.suffix == ".zip" and not inner]
    # those of all annotators together
    archive.check_size(source, sum(_size(archive.opened(one)) for one in archives))
    if not documents and not archives:
        raise source.error(
            "there is no annotator's XMI in this archive",
            "Export from INCEpTION with the (secondary) format UIMA CAS XMI (XML 1.0)",
        )
    for name in documents:
        yield Source(source.path / name, parts[name]), parts.get(name.parent / "TypeSystem.xml")
    for one in archives:
        yield from _documents(one, inner=True)


def _wanted(packed: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    files = {PurePosixPath(e.filename.lstrip("/")): e for e in packed.infolist() if not e.is_dir()}
    return {name: files[name] for name in sorted(files) if _is_coding(name)}


def _size(packed: zipfile.ZipFile) -> int:
    return sum(entry.file_size for entry in _wanted(packed).values())


def _is_coding(name: PurePosixPath) -> bool:
    # A project also has the documents as they were imported, in source/, and a Mac adds ._ files.
    if name.parts[:1] == ("source",) or name.name.startswith(".") or name.stem == _NOBODY:
        return False
    return name.suffix in (".xmi", ".zip") or name.name == "TypeSystem.xml"


def _parsed(source: Source, types: bytes | None) -> tuple[Cas, bool]:
    """Return what is in the file, and whether all its annotations are within its text."""
    import cassis

    for data in (types, source.data):
        if data is not None:
            _refuse_doctype(source, data)
    try:
        with warnings.catch_warnings(record=True) as outside:
            warnings.simplefilter("ignore")  # other layers' types are passed over
            warnings.filterwarnings("always", message="Not mapping")  # beyond the text, or inside a character
            system = _types() if types is None else cassis.load_typesystem(BytesIO(types))
            cas = cassis.load_cas_from_xmi(BytesIO(source.data), system, lenient=True)
    except Exception:
        # Whatever else stands in the XML fails in many ways inside cassis.
        raise _damaged(source) from None
    if not cas.typesystem.contains_type(_MARKER):
        raise source.error(
            f"its project has no layer {_MARKER}", "Import layers.json into the project before the documents"
        )
    return cas, not outside


def _damaged(source: Source) -> ReadError:
    return source.error(
        "this is no UIMA CAS XMI, or its parts do not fit together",
        "Export it from INCEpTION again, and give the archive, which has the TypeSystem.xml in it",
    )


def _refuse_doctype(source: Source, data: bytes) -> None:
    """Raise unless the data are well-formed XML 1.0 without a DOCTYPE, and so without entities to expand."""

    def doctype(*_: object) -> None:
        raise source.error("it has a DOCTYPE, which no UIMA CAS XMI has", "Export it from INCEpTION again")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except ReadError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        # the last two are of encodings
        raise source.error(
            "this is not XML 1.0, or it is damaged or cut short",
            "Export it from INCEpTION again, as UIMA CAS XMI (XML 1.0)",
            getattr(error, "lineno", None),
        ) from None


def _coding(
    source: Source, types: bytes | None, sessions: Mapping[str, Transcript], codebook: Codebook
) -> AnnotatedTranscript:
    file = Returned(source.path, sessions, codebook)
    cas, fits = _parsed(source, types)
    about = next((_said(fs) for fs in _select(cas, _DOCUMENT)), {})
    page = _Page.of(_session(file, about.get("documentTitle")))
    _refuse_edited(file, cas.sofa_string or "", page)
    if not fits:
        raise _damaged(source)
    user = _annotator(about, page.transcript)
    markers = [_marker(file, fs, page, user) for fs in _select(cas, _MARKER)]
    coded = file.coded(page.transcript, [_row(fs, page) for fs in _select(cas, _CODED)])
    coded += whole(page.transcript, user) if user else []
    return AnnotatedTranscript(page.transcript, tuple(markers), coded=tuple(coded))


def _select(cas: Cas, type_: str) -> list[Any]:
    found = cas.select(type_) if cas.typesystem.contains_type(type_) else []
    return [fs for fs in found if fs.type.name == type_]


def _said(fs: Any) -> dict[str, Any]:
    """Return the features that are filled in, whatever types and features the project's layer has."""
    values = {name: getattr(fs, name, None) for name in _FEATURES[fs.type.name]}
    return {name: str(value) for name, value in values.items() if isinstance(value, (str, int, float)) and value != ""}


def _session(file: Returned, title: str | None) -> Transcript:
    names = {name: id for id in file.sessions for name in (f"{_stem(id)}.xmi", _stem(id), _legal(id))}
    return file.session(names.get(title, title) if title else None)


def _annotator(about: Mapping[str, str], transcript: Transcript) -> str | None:
    """Return whose document it is, as a source; older versions of INCEpTION, and we, call it by its own name."""
    stem = _stem(transcript.id)
    user = about.get("documentId")
    own = (None, about.get("documentTitle"), _legal(transcript.id), stem, f"{stem}.xmi", _NOBODY)
    return None if user in own else f"coder:{user}"


def _refuse_edited(file: Returned, text: str, page: _Page) -> None:
    if text == page.text:
        return
    pairs = enumerate(zip(text, page.text))
    same = next((place for place, (a, b) in pairs if a != b), min(len(text), len(page.text)))
    raise file.error(
        f"session {page.transcript.id}, turn {page.turn_at(same)}: its speaker or words are not those of the session",
        "They must not be edited, because codes are found by their place in them",
    )


def _marker(file: Returned, fs: Any, page: _Page, user: str | None) -> Marker:
    begin, end = _offsets(fs)
    turn = page.turn_at(begin)
    words = page.words[turn]
    told = _said(fs)
    if "clarity" in told:
        told["clarity"] = _GRADES.get(told["clarity"], told["clarity"])
    source = file.source(page.transcript, turn, told)
    if user and (source == "coder:" or not source.startswith("coder:")):
        source = user
    # a line selected from its beginning is a turn
    return file.marker(page.transcript, turn, max(begin - words, 0), end - words, told.get("code"), source, told)


def _row(fs: Any, page: _Page) -> tuple[str | None, str | None, int, int]:
    begin, end = _offsets(fs)
    told = _said(fs)
    return told.get("source"), told.get("family"), page.turn_at(begin), page.turn_at(end - 1)


def _offsets(fs: Any) -> tuple[int, int]:
    # an offset that is not written is 0
    return getattr(fs, "begin", None) or 0, getattr(fs, "end", None) or 0
