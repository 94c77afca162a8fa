"""INCEpTION: what is written is read here with the standard library and, where it is installed, with Apache UIMA."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker
from rupturekit.codebook import load_codebook
from rupturekit.exchange import export, import_codes, inception
from rupturekit.readers.raw import ReadError
from rupturekit.transcript import Transcript, Turn

BOOK = load_codebook()
HERE = Path(__file__).parent / "inception"
XMI = "{http://www.omg.org/XMI}"
CUSTOM = "{http:///webanno/custom.ecore}"
SEGMENT = "{http:///de/tudarmstadt/ukp/dkpro/core/api/segmentation/type.ecore}"
UIMA = Path("/usr/share/java/uimaj-core.jar")  # Debian: apt-get install libuima-core-java

# The session that three people coded in inception/*.xmi, which Apache UIMA 2.10.2 wrote as INCEpTION has it written.
SESSION = Transcript(
    "s1",
    (
        Turn(0, "Th", "therapist", "What came up for you after last week? \U0001f642"),
        Turn(1, "Dana", "client", "Nothing much. I don't see the point of this, honestly."),
        Turn(2, "Th", "therapist", "Have I missed something that matters to you?"),
        Turn(3, "Dana", "client", "You're the expert. לא יודעת – whatever you think is best."),
    ),
)
GIVEN = {"s1": SESSION}


def written(session: AnnotatedTranscript, folder: Path) -> Path:
    inception.write([session], folder, BOOK, {})
    return next(folder.glob("*.xmi"))


def marker(turn: int, words: str, code: str, **other: object) -> Marker:
    start = SESSION[turn].text.index(words)
    entry = BOOK.by_code(code)
    return Marker(turn, start, start + len(words), entry.parent, entry.id, **{"source": "coder:", **other})


def units(text: str, begin: str, end: str) -> str:
    """Return what stands between two offsets of UIMA, which counts in units of UTF-16."""
    return text.encode("utf-16-le", "surrogatepass")[2 * int(begin) : 2 * int(end)].decode("utf-16-le")


# ---- sessions of every kind --------------------------------------------------------------------------------------

SPICE = [*"abc  .'\"&<>]\t\n\r\x07\x1c\x85", "\u2028", "\U0001f642", "\U0001f469\u200d\U0001f469", "e\u0301"]
SPICE += ["שלום", "\u200f", "\u202b", "\u202c", "\ufeff", "\uffff", "\ufffd", "C5"]
texts = st.lists(st.sampled_from(SPICE), min_size=1, max_size=12).map("".join)
xml_texts = texts.filter(lambda text: not re.search("[\x07\x1c\uffff]", text))
# What INCEpTION trims off (TrimUtils), spelled out: Java's white space, no-break spaces, invisible characters.
TRIMMED = set("\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \u00a0\u1680\u202f\u205f\u3000\u2028\u2029")
TRIMMED |= {chr(n) for n in (*range(0x2000, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))}
NOT_WORDS = TRIMMED | set("\x07\x85\uffff")  # also what is a space in XML


@st.composite
def markers(draw: st.DrawFn, turns: list[Turn]) -> Marker | None:
    turn = draw(st.sampled_from(turns))
    entries = [entry for entry in BOOK.markers if entry.speaker == turn.role]
    start = draw(st.integers(0, len(turn.text) - 1))
    end = draw(st.integers(start + 1, len(turn.text)))
    while start < end and turn.text[start] in NOT_WORDS:
        start += 1
    while start < end and turn.text[end - 1] in NOT_WORDS:
        end -= 1
    if start == end or not entries:
        return None
    entry = draw(st.sampled_from(entries))
    return Marker(
        turn.index,
        start,
        end,
        entry.parent,
        entry.id,
        score=draw(st.none() | st.floats(0, 1)),
        clarity=draw(st.sampled_from([None, 1, 2, 3])),
        source=draw(st.sampled_from(["rule", "model", "coder:A", "coder:B. ü", "coder:"])),
        rule_id=draw(st.none() | xml_texts),
        note=draw(st.none() | xml_texts),
    )


@st.composite
def codings(draw: st.DrawFn) -> AnnotatedTranscript:
    roles = st.sampled_from(["client", "client", "therapist", "other"])
    said = draw(st.lists(st.tuples(texts, roles, texts), min_size=1, max_size=5))
    turns = [Turn(i, *one) for i, one in enumerate(said)]
    found = [m for m in draw(st.lists(markers(turns), max_size=6)) if m]
    # the same words twice: a second coder's
    found += [Marker(m.turn, m.start, m.end, m.family, m.marker, source="coder:Z") for m in found[:2]]
    spans = st.tuples(st.integers(0, len(turns) - 1), st.integers(0, len(turns) - 1)).map(sorted)
    coded = draw(
        st.lists(
            st.builds(
                lambda who, what, span: Coded(f"coder:{who}", what, *span), xml_texts, st.sampled_from(FAMILIES), spans
            ),
            max_size=3,
        )
    )
    session = Transcript(draw(texts), tuple(turns), draw(st.sampled_from(["en", "he"])))
    return AnnotatedTranscript(session, tuple(found), coded=tuple(coded))


@settings(max_examples=60, deadline=None)
@given(codings())
def test_every_marker_comes_back_as_it_was(coding):
    session = coding.transcript
    with tempfile.TemporaryDirectory() as folder:
        (back,) = inception.read(written(coding, Path(folder)), {session.id: session}, BOOK)
    assert back.transcript == session
    assert set(back.markers) == set(coding.markers)
    assert set(back.coded) == set(coding.coded)


@settings(max_examples=60, deadline=None)
@given(codings())
def test_the_xmi_holds_the_words_in_utf16_and_fits_what_inception_checks_on_import(coding):
    session = coding.transcript
    with tempfile.TemporaryDirectory() as folder:
        root = ET.parse(written(coding, Path(folder))).getroot()
    text = root.find("{http:///uima/cas.ecore}Sofa").get("sofaString")
    legal = str.maketrans("\x07\x1c\uffff", "   ")

    def spans(tag):
        return [(units(text, fs.get("begin"), fs.get("end")), fs) for fs in root.iter(tag)]

    assert text == "\n".join(f"{t.speaker} ({t.role}): {t.text}" for t in session).translate(legal)
    assert sorted((words, fs.get("code"), fs.get("source")) for words, fs in spans(f"{CUSTOM}RuptureMarker")) == sorted(
        (coding.text_of(m).translate(legal), f"{BOOK[m.marker].code} {m.marker}", m.source) for m in coding.markers
    )
    sentences, tokens = spans(f"{SEGMENT}Sentence"), spans(f"{SEGMENT}Token")
    assert len(sentences) == len(session)
    ends = ["0", *(fs.get("end") for _, fs in tokens)]
    begins = [*(fs.get("begin") for _, fs in tokens), str(len(text.encode("utf-16-le")) // 2)]
    assert set("".join(units(text, end, begin) for end, begin in zip(ends, begins))) <= NOT_WORDS
    # AllAnnotationsStartAndEndWithCharacters, NoZeroSizeTokensAndSentences, TokensAndSentencesDoNotOverlap
    for words, _ in [*sentences, *tokens, *spans(f"{CUSTOM}RuptureMarker"), *spans(f"{CUSTOM}RuptureCoded")]:
        assert words
        assert not {words[0], words[-1]} & TRIMMED
    for row in (sentences, tokens):
        edges = [int(fs.get(edge)) for _, fs in row for edge in ("begin", "end")]
        assert edges == sorted(edges)
    # AllAnnotationsStartAndEndWithinSentences
    covered = {n for _, fs in sentences for n in range(int(fs.get("begin")), int(fs.get("end")) + 1)}
    every = [fs for _, fs in [*tokens, *spans(f"{CUSTOM}RuptureMarker"), *spans(f"{CUSTOM}RuptureCoded")]]
    assert {int(fs.get(edge)) for fs in every for edge in ("begin", "end")} <= covered


def test_what_is_written_is_declared(tmp_path):
    found = marker(1, "Nothing much", "W2", clarity=2, score=0.5, rule_id="r", note="n", source="rule")
    coding = AnnotatedTranscript(SESSION, (found,), coded=(Coded("coder:A", "withdrawal", 0, 3),))
    root = ET.parse(written(coding, tmp_path)).getroot()
    ns = {"u": "http://uima.apache.org/resourceSpecifier"}
    declared = {}
    for type_ in ET.parse(tmp_path / "TypeSystem.xml").getroot().iterfind(".//u:typeDescription", ns):
        features = {
            f.findtext("u:name", None, ns): f.findtext("u:rangeTypeName", None, ns)
            for f in type_.iterfind(".//u:featureDescription", ns)
        }
        declared[type_.findtext("u:name", None, ns)] = type_.findtext("u:supertypeName", None, ns), features
    built_in = {
        "uima.tcas.Annotation": {"sofa": "uima.cas.Sofa", "begin": "uima.cas.Integer", "end": "uima.cas.Integer"}
    }
    built_in["uima.tcas.DocumentAnnotation"] = {**built_in["uima.tcas.Annotation"], "language": "uima.cas.String"}
    seen = set()
    for fs in root:
        space, _, name = fs.tag.removeprefix("{http:///").partition("}")
        if space == "uima/cas.ecore":
            continue
        type_ = f"{space.removesuffix('.ecore').replace('/', '.')}.{name}"
        super_, features = declared[type_]
        assert set(fs.attrib) <= {f"{XMI}id", *features, *built_in[super_]}, type_
        seen.add(type_)
    assert {name.rpartition(".")[2] for name in seen} == {
        "DocumentMetaData", "Sentence", "Token", "RuptureMarker", "RuptureCoded"
    }  # fmt: skip
    ids = [fs.get(f"{XMI}id") for fs in root if fs.get(f"{XMI}id")]
    view = root.find("{http:///uima/cas.ecore}View")
    assert len(set(ids)) == len(ids)
    assert set(view.get("members").split()) == {fs.get(f"{XMI}id") for fs in root if "begin" in fs.attrib}

    for layer in json.loads((tmp_path / "layers.json").read_text("utf-8")):
        super_, features = declared[layer["name"]]
        assert super_ == "uima.tcas.Annotation"
        assert {f["name"]: f["type"] for f in layer["features"]} == features


def test_the_layers_are_as_inception_imports_them(tmp_path):
    inception.write([], tmp_path, BOOK, {})
    marker, coded = json.loads((tmp_path / "layers.json").read_text("utf-8"))
    # the names and values of ExportedAnnotationLayer, ExportedAnnotationFeature and ExportedTagSet
    assert (marker["type"], marker["anchoring_mode"], marker["overlap_mode"]) == ("span", "CHARACTERS", "ANY_OVERLAP")
    assert (marker["enabled"], coded["enabled"]) == (True, False)
    assert not marker["cross_sentence"]
    features = {feature["name"]: feature for feature in marker["features"]}
    assert [f["rank"] for f in marker["features"]] == list(range(6))
    assert features["code"]["required"]
    assert not any(feature["remember"] for feature in features.values())
    tags = features["code"]["tag_set"]
    assert [tag["tag_name"].split() for tag in tags["tags"]] == [[m.code, m.id] for m in BOOK.markers]
    assert all(m.definition in tag["tag_description"] for m, tag in zip(BOOK.markers, tags["tags"]))
    assert [tag["tag_name"][0] for tag in features["clarity"]["tag_set"]["tags"]] == ["1", "2", "3"]


def test_the_same_sessions_give_the_same_bytes(tmp_path):
    coding = AnnotatedTranscript(SESSION, (marker(1, "Nothing much", "W2", score=0.5, source="rule"),))
    for name in ("a", "b"):
        export([coding], "inception", tmp_path / name)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b")]
    assert files[0] == files[1]
    assert sorted(files[0]) == ["TypeSystem.xml", "layers.json", "made-by.json", "s1.xmi"]
    assert not any(str(tmp_path).encode() in data for data in files[0].values())


def test_a_marker_is_trimmed_as_inception_wants_it(tmp_path):
    whole = Marker(0, 0, 9, "withdrawal", "denial", source="rule")
    session = Transcript("s", (Turn(0, "C", "client", " \u200fI'm ok "),))
    (back,) = inception.read(written(AnnotatedTranscript(session, (whole,)), tmp_path), {"s": session}, BOOK)
    assert back.text_of(back.markers[0]) == "I'm ok"


@pytest.mark.parametrize("id", ["a/b", "..", "Größe 3", "x" * 300, "a\\b:c?", "s.xmi", "tab\there"])
def test_any_session_has_a_file_of_its_own(tmp_path, id):
    ids = [id, f"{id}_", "a_b"]
    turns = (Turn(0, "C", "client", "I guess."),)
    sessions = {id: Transcript(id, turns) for id in ids}
    inception.write([AnnotatedTranscript(s) for s in sessions.values()], tmp_path, BOOK, {})
    paths = sorted(tmp_path.rglob("*.xmi"))
    assert len(paths) == 3
    assert {inception.read(path, sessions, BOOK)[0].transcript.id for path in paths} == set(ids)
    # INCEpTION calls the document by its file
    for path in paths:
        text = path.read_text("utf-8")
        path.write_text(re.sub(r'documentTitle="[^"]*"', f'documentTitle="{path.name}"', text), "utf-8")
    assert {inception.read(path, sessions, BOOK)[0].transcript.id for path in paths} == set(ids)


# ---- what people did in INCEpTION --------------------------------------------------------------------------------

AB = {
    marker(1, "don't see the point of this", "C5", source="coder:AB"),
    marker(1, "Nothing much.", "W2", clarity=2, source="coder:AB"),
    marker(3, "You're the expert.", "W5", clarity=3, note="again", source="coder:AB"),
}
CD = {
    marker(1, "don't see the point of this", "C3", source="coder:CD"),
    marker(2, "Have I missed something that matters to you?", "R4", source="coder:CD"),
    marker(3, "לא יודעת", "W2", clarity=1, source="coder:CD"),
    marker(3, "לא יודעת", "W8", clarity=1, source="coder:CD"),
}


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def exported(user: str) -> bytes:
    """Return the archive that INCEpTION makes of one annotator's document."""
    files = {
        f"{user}.xmi": (HERE / f"{user}.xmi").read_bytes(),
        "TypeSystem.xml": (HERE / "TypeSystem.xml").read_bytes(),
    }
    return zipped(**files)


@pytest.fixture
def project(tmp_path) -> Path:
    path = tmp_path / "rupture-study.zip"
    files = {f"annotation/s1.xmi/{user}.zip": exported(user) for user in ("AB", "CD", "EF")}
    # the untouched document, and the one that was imported, are nobody's coding
    untouched = (HERE / "AB.xmi").read_bytes().replace(b'documentId="AB"', b'documentId="INITIAL_CAS"')
    files["annotation/s1.xmi/INITIAL_CAS.zip"] = zipped(**{"INITIAL_CAS.xmi": untouched})
    files["source/s1.xmi"] = (HERE / "AB.xmi").read_bytes()
    files |= {"exportedproject1.json": b"{}", "annotation_ser/s1.xmi/AB.ser": b"\0", "annotation/s1.xmi/": b""}
    path.write_bytes(zipped(**files))
    return path


@pytest.mark.parametrize("name", ["AB.xmi", "AB.zip"])
def test_one_annotators_document(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(exported("AB") if name.endswith("zip") else (HERE / name).read_bytes())
    (coding,) = import_codes(path, "inception", [SESSION])
    assert set(coding.markers) == AB
    assert set(coding.coded) == {Coded("coder:AB", family, 0, 3) for family in FAMILIES}


def test_a_project_with_all_its_annotators(project):
    (coding,) = import_codes(project, "inception", [SESSION], coders={"CD": "Carla"})
    mine = {m for m in coding.markers if m.source == "coder:AB"}
    assert mine == AB
    assert len([m for m in coding.markers if m.source == "coder:Carla"]) == len(CD)
    # EF went through it and marked nothing
    assert {c.source for c in coding.coded} == {"coder:AB", "coder:Carla", "coder:EF"}
    (coding,) = inception.read(project, GIVEN, BOOK)
    assert set(coding.markers) == AB | CD


@pytest.mark.parametrize("name", ["s1.xmi", "s1", "INITIAL_CAS"])
def test_a_document_of_nobody_keeps_the_machines_markers(tmp_path, name):
    path = tmp_path / "s1.xmi"
    text = (HERE / "AB.xmi").read_text("utf-8")
    path.write_text(text.replace('documentId="AB"', f'documentId="{name}"'), "utf-8")
    (coding,) = inception.read(path, GIVEN, BOOK)
    assert {m.source for m in coding.markers} == {"rule", "coder:"}
    assert [m.rule_id for m in coding.markers if m.source == "rule"] == ["complaint_progress.point"]
    assert not coding.coded
    (mine,) = import_codes(path, "inception", [SESSION], coder="AB")
    assert set(mine.markers) == AB


@pytest.mark.parametrize("code", ["C5", "complaint_progress", "C5 complaint_progress"])
@pytest.mark.parametrize(("clarity", "n"), [("2", 2), ("2 clear", 2), ("", None)])
def test_a_code_and_its_words_are_enough(tmp_path, code, clarity, n):
    path = tmp_path / "AB.xmi"
    text = re.sub(r"<custom:RuptureMarker[^>]*W[25][^>]*/>", "", (HERE / "AB.xmi").read_text("utf-8"))
    text = re.sub(r'code="C5.*?/>', f'code="{code}" clarity="{clarity}"/>', text)
    members = re.search(r'members="([^"]*)"', text)[1].split()
    ids = set(re.findall(r'xmi:id="(\d+)"', text))
    path.write_text(text.replace(" ".join(members), " ".join(m for m in members if m in ids)), "utf-8")
    (coding,) = inception.read(path, GIVEN, BOOK)
    assert coding.markers == (marker(1, "don't see the point of this", "C5", clarity=n, source="coder:AB"),)


@pytest.mark.skipif(not UIMA.exists() or not shutil.which("java"), reason="no Apache UIMA here")
def test_apache_uima_opens_it_and_writes_it_again(tmp_path):
    found = (
        marker(1, "Nothing much", "W2", score=0.1 + 0.2, source="model", note='a\n"b" & <c>'),
        marker(3, "לא יודעת", "W2", clarity=1, source="coder:A"),
    )
    path = written(AnnotatedTranscript(SESSION, found), tmp_path)
    back = tmp_path / "back" / "s1.xmi"
    back.parent.mkdir()
    command = ["java", "-cp", UIMA, HERE / "UimaRoundTrip.java", tmp_path / "TypeSystem.xml", path, back]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    said = [line.rpartition(" ")[2] for line in lines if "RuptureMarker" in line]
    assert [bytes.fromhex(words).decode("utf-16-be") for words in said] == ["Nothing much", "לא יודעת"]
    (coding,) = inception.read(back, GIVEN, BOOK)
    assert coding.markers == found


# ---- what is no coding of the session ----------------------------------------------------------------------------

# What is changed in AB's document, and what the message says of it (a pattern).
BAD = {
    "edited words": (("point of this", "point of that"), "session s1, turn 1: its speaker or words"),
    "edited speaker": (("Dana (client): You", "Dora (client): You"), "session s1, turn 3: its speaker or words"),
    "cut text": ((" whatever you think is best.", ""), "session s1, turn 3: its speaker or words"),
    "longer text": (("is best.", "is best. Yes"), "session s1, turn 3: its speaker or words"),
    "unknown code": (("C5 complaint_progress", "C9"), "session s1, turn 1.* C9 .*codebook"),
    "words as code": (("C5 complaint_progress", "honestly"), "session s1, turn 1.*codebook"),
    "no code": (('code="C5 complaint_progress" ', ""), "session s1, turn 1.*codebook"),
    "wrong role": (("C5 complaint_progress", "R4"), "session s1, turn 1.*R4.*therapist"),
    "odd clarity": (("2 clear", "4"), "session s1, turn 1.*W2.*clarity"),
    "odd score": (("0.92", "92"), "session s1, turn 1.*C5"),
    "no score": (("0.92", "high"), "session s1, turn 1.*C5"),
    "not a number": (("0.92", "nan"), "session s1, turn 1.*C5"),
    "odd source": (('source="rule"', 'source="GH"'), "session s1, turn 1.*source"),
    "on the name alone": (('"188" end="221" code', '"188" end="200" code'), "session s1, turn 3.*W5.*words"),
    "zero width": (('begin="88" end="115"', 'begin="88" end="88"'), "session s1, turn 1.*C5.*words"),
    "over two turns": (('begin="88" end="115"', 'begin="88" end="150"'), "session s1, turn 1.*C5.*words"),
    "outside the text": (('begin="88" end="115"', 'begin="88" end="999"'), "its parts do not fit together"),
    "inside a character": (('begin="88" end="115"', 'begin="55" end="56"'), "its parts do not fit together"),
    "no number": (('begin="88"', 'begin="eighty"'), "its parts do not fit together"),
    "other session": (('documentTitle="s1.xmi"', 'documentTitle="s2.xmi"'), "s2.xmi.*not among"),
    "doctype": (("<xmi:XMI", '<!DOCTYPE a [<!ENTITY b "c">]><xmi:XMI'), "it has a DOCTYPE"),
    "undeclared entity": (("honestly", "&honestly;"), "this is not XML 1.0, or it is damaged or cut short"),
    "control character": (("honestly", "&#7;"), "this is not XML 1.0, or it is damaged or cut short"),
    "unknown member": (('members="1 ', 'members="99999 1 '), "its parts do not fit together"),
    "not an XMI": (("xmi:XMI", "xmi:Other"), "its parts do not fit together"),
    "no text": (("sofaString=", "noString="), "its parts do not fit together"),
}


def refused(path: Path, sessions=GIVEN) -> str:
    with pytest.raises(ReadError) as caught:
        inception.read(path, sessions, BOOK)
    assert str(caught.value).startswith(str(path))
    assert not re.search("point|expert|honestly|missed|whatever", str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("suffix", ["xmi", "zip"])
def test_a_bad_file_is_refused(tmp_path, case, suffix):
    (old, new), said = BAD[case]
    text = (HERE / "AB.xmi").read_text("utf-8")
    assert old in text
    # of nobody, because an annotator's score is not kept
    data = text.replace(old, new).replace('documentId="AB"', 'documentId="s1"').encode()
    path = tmp_path / f"AB.{suffix}"
    types = (HERE / "TypeSystem.xml").read_bytes()
    path.write_bytes(data if suffix == "xmi" else zipped(**{"AB.xmi": data, "TypeSystem.xml": types}))
    assert re.search(said, refused(path))


def test_damaged_files_are_refused_and_say_where(tmp_path):
    path = tmp_path / "AB.xmi"
    whole = (HERE / "AB.xmi").read_bytes()
    for data, said in {
        b"": "the file is empty",
        b"Dana: hello": "line 1: this is not XML",
        whole[: len(whole) // 2]: "line 36: this is not XML",
        whole.replace(b"UTF-8", b"shift_jis", 1): "this is not XML",
        whole.replace(b"UTF-8", b"nonsense", 1): "this is not XML",
        whole.decode()
        .replace("UTF-8", "UTF-16", 1)
        .replace("<xmi", "<!DOCTYPE a><xmi", 1)
        .encode("utf-16"): "a DOCTYPE",
        b"PK\x03\x04" + whole: "the file is damaged or cut short",
        exported("AB")[:-30]: "the file is damaged or cut short",
        zipped(**{"a.txt": b"a"}): "there is no annotator's XMI in this archive",
        zipped(**{"source/s1.xmi": whole}): "there is no annotator's XMI in this archive",
        zipped(**{"a/b.zip": zipped(**{"c.zip": exported("AB")})}): "there is no annotator's XMI in this archive",
        zipped(**{"AB.xmi": whole, "TypeSystem.xml": b"<a/>"}): "has no layer webanno.custom.RuptureMarker",
        zipped(**{"AB.xmi": whole, "TypeSystem.xml": b"<a"}): "line 1: this is not XML",
        zipped(**{"AB.xmi": whole, "TypeSystem.xml": b"<!DOCTYPE a><a/>"}): "it has a DOCTYPE",
    }.items():
        path.write_bytes(data)
        assert said in refused(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "AB.zip"
    monkeypatch.setenv("RUPTUREKIT_UNPACKED_MB", "2")
    for large in ({"AB.xmi": b" " * 2**22}, {f"a/{who}.zip": zipped(**{f"{who}.xmi": b" " * 2**20}) for who in "AB"}):
        path.write_bytes(zipped(**large))
        assert "unpacked it has" in refused(path)


def test_a_file_that_names_no_session(tmp_path):
    text = (HERE / "AB.xmi").read_text("utf-8").replace('documentTitle="s1.xmi" ', "")
    other = Transcript("s2", SESSION.turns)
    path = tmp_path / "AB.xmi"
    path.write_text(text, "utf-8")
    assert len(inception.read(path, GIVEN, BOOK)[0].markers) == 3
    assert "not among" in refused(path, {**GIVEN, "s2": other})
    path = path.rename(tmp_path / "s2.xmi")
    assert inception.read(path, {**GIVEN, "s2": other}, BOOK)[0].transcript is other


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_file_with_anything_wrong_is_read_or_refused(data):
    name = data.draw(st.sampled_from(["AB.xmi", "AB.zip"]))
    whole = bytearray(exported("AB") if name == "AB.zip" else (HERE / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(whole)
        said = ""
        try:
            inception.read(path, GIVEN, BOOK)
        except ReadError as error:
            said = str(error)
    assert not re.search("point of|expert|honestly|missed|whatever", said)
