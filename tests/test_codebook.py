"""Codebooks, a team's own among them, and the crosswalk to the movements of 2022."""

from __future__ import annotations

from pathlib import Path

import pytest

from rupturekit.codebook import load_codebook, load_crosswalk

ENTRY = '[[marker]]\nid = "a"\ncode = "A1"\nparent = "withdrawal"\nlabel = "A"\n'
MAP = '[[map]]\nid = "a"\nlabels = ["There"]\nmatch = "exact"\n'


def test_a_short_entry_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\n' + ENTRY + ENTRY.replace('"a"', '"b"').replace("A1", "A2"), "utf-8")
    book = load_codebook(str(file))
    assert [(m.id, m.code, m.speaker, m.definition) for m in book.markers] == [
        ("a", "A1", "client", ""),
        ("b", "A2", "client", ""),
    ]
    file.write_text(ENTRY.replace("withdrawal", "resolution"), "utf-8")
    assert load_codebook(str(file))["a"].speaker == "therapist"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", r"own\.toml: no \[\[marker\]\] entries"),
        ('marker = "no"', r"no \[\[marker\]\] entries"),
        (MAP, r"no \[\[marker\]\] entries; this is a crosswalk"),
        ("name = ", r"own\.toml: not TOML: Invalid value"),
        (ENTRY + ENTRY.replace("withdrawal", "silence"), r"marker 2 \(a\): unknown parent 'silence'; give one of conf"),
        (ENTRY.replace('parent = "withdrawal"', ""), r"marker 1 \(a\): unknown parent None"),
        (ENTRY.replace('code = "A1"\n', ""), r"marker 1 \(a\): missing 1 key: 'code'"),
        (ENTRY.replace('id = "a"\n', ""), r"marker 1 \(no id\): missing 1 key: 'id'"),
        (ENTRY + 'colour = "red"', r"marker 1 \(a\): unknown key 'colour'"),
        (ENTRY.replace('"A1"', "1"), r"marker 1 \(a\): code is not text"),
        (ENTRY.replace("A1", "A 1"), r"marker 1 \(a\): code is empty or has a space in it"),
        (ENTRY.replace("A1", ""), r"marker 1 \(a\): code is empty"),
        (ENTRY + 'speaker = "therapist"', r"speaker 'therapist', but withdrawal is coded on client turns"),
        (ENTRY + ENTRY.replace('"a"', '"b"'), r"code used twice: A1"),
        (ENTRY + ENTRY.replace("A1", "A2"), r"id used twice: a"),
    ],
)
def test_what_is_wrong_with_a_codebook_is_told_with_the_entry(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=what):
        load_codebook(str(file))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (ENTRY, r"no \[\[map\]\] entries; this is a codebook"),
        (MAP + MAP, r"id used twice: a"),
        (MAP.replace("exact", "roughly"), r"map 1 \(a\): match 'roughly': give exact, partial, none"),
        (MAP.replace("exact", "none"), r"map 1 \(a\): match 'none' with 1 labels"),
        (MAP.replace('["There"]', "[]"), r"map 1 \(a\): match 'exact' with 0 labels"),
        (MAP.replace('["There"]', '"There"'), r"map 1 \(a\): labels is not a list"),
        (MAP + "weight = 1", r"map 1 \(a\): unknown key 'weight'"),
    ],
)
def test_what_is_wrong_with_a_crosswalk_is_told_with_the_entry(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=what):
        load_crosswalk(str(file))


def test_files_that_are_none(tmp_path: Path) -> None:
    for load in (load_codebook, load_crosswalk):
        with pytest.raises(FileNotFoundError, match="3rs-1999"):
            load("3rs-1999")
        with pytest.raises(FileNotFoundError, match=r"none\.toml"):
            load(str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match=r"3rs-2022: no \[\[marker\]\] entries; this is a crosswalk"):
        load_codebook("3rs-2022")
    (tmp_path / "latin.toml").write_bytes('name = "für"'.encode("cp1252"))
    with pytest.raises(ValueError, match=r"latin\.toml: not UTF-8"):
        load_codebook(str(tmp_path / "latin.toml"))


def test_the_crosswalk_maps_every_marker_and_claims_no_name_that_was_not_read() -> None:
    book, walk = load_codebook(), load_crosswalk()
    assert walk.codebook == book.name
    assert [c.id for c in walk.counterparts] == [m.id for m in book.markers]
    for marker in book.markers:
        there = walk[marker.id]
        movements = {label.partition(":")[0] for label in there.labels}
        if marker.parent == "resolution":
            assert there.match == "none"
        else:
            speaker = {"client": "Patient", "therapist": "Therapist"}[marker.speaker]
            way = "away" if marker.parent == "withdrawal" else "against"
            assert movements <= {f"{speaker}, movement {way}"}
        # only the movements stand in a source by the authors; a form within one is a label
        assert there.verified == (bool(there.labels) and not any(":" in label for label in there.labels))
    assert {c.match for c in walk.counterparts} == {"exact", "partial", "none"}
    with pytest.raises(KeyError):
        walk["nothing"]
