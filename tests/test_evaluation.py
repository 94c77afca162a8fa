"""Measuring annotations against coders: what is gold, how turns are joined, and figures worked out by hand."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")

from rupturekit import AnnotatedTranscript, Coded, Marker, Score, Transcript, Turn
from rupturekit.annotation import FAMILIES
from rupturekit.cli import main
from rupturekit.coding import merged, read_coded, read_synthetic, votes
from rupturekit.evaluation import (
    Judged,
    best_threshold,
    calibration_slope,
    cross_fitted,
    evaluate,
    f1,
    interval,
    join,
)

ROWS = [
    ("s1", "therapist", "How was the week?", {}),
    ("s1", "client", "I guess it was fine.", {"W2": {"A": {"clarity": 2, "spans": [[0, 7]]}}}),
    ("s1", "therapist", "You should write it down.", {"X1": {"A": {"clarity": 1, "spans": [[0, 24]]}}}),
    ("s1", "client", "No. This isn't helping.", {"C5": {r: {"clarity": 3, "spans": [[4, 22]]} for r in "AB"}}),
    ("s2", "therapist", "What would you like to look at?", {}),
    ("s2", "client", "My sleep. It has got better.", {}),
]


@pytest.fixture
def table(tmp_path):
    """Return a coded table of two sessions; the second rater did not read the last turn of the first."""
    path = tmp_path / "study.csv"
    lines, labels, turn = ["session_id,turn,speaker,text,client_id"], [], {}
    for session, role, text, codes in ROWS:
        t = turn[session] = turn.get(session, 10) + 1
        lines.append(f'{session},{t},{role},"{text}",c-{session}')
        labels.append({"session": session, "turn": t, "role": role, "raters": ["A", "B"], "codes": codes})
    path.write_text("\n".join(lines) + "\n", "utf-8")
    path.with_name("study.labels.jsonl").write_text("".join(json.dumps(x) + "\n" for x in labels), "utf-8")
    return path


def found(session: str, texts: list[tuple[str, str]], markers=(), scores=(), first: int | None = 11):
    turns = tuple(
        Turn(i, role, role, text, source_ids=(str(i + first),) if first is not None else ())
        for i, (role, text) in enumerate(texts)
    )
    return AnnotatedTranscript(Transcript(session, turns), tuple(markers), tuple(scores))


def by_machine(**more):
    s1, s2 = ([(r, text) for s, r, text, _ in ROWS if s == session] for session in ("s1", "s2"))
    return [
        found(
            "s1",
            s1,
            (
                Marker(1, 0, 20, "confrontation", "rejects_intervention", 0.6),
                Marker(3, 4, 22, "confrontation", "complaint_progress", 0.9),
            ),
            [Score("turn", 1, "withdrawal", 0.3), Score("turn", 3, "confrontation", 0.9)],
            **more,
        ),
        found("s2", s2, **more),
    ]


def test_votes_are_shares_of_those_who_read_the_turn(table):
    told = votes(read_coded(table)[0])
    assert [told[t].share("withdrawal") for t in (1, 3)] == [0.5, 0]
    assert told[0].raters_of("withdrawal") == ()  # it is the therapist's turn
    assert told[3].share("complaint_progress") == 1
    assert told[3].share("rejects_intervention") == 0
    assert told[1].share("rupture") == 0.5


def test_a_turn_that_nobody_read_is_missing_not_negative(table):
    layer = table.with_name("study.labels.jsonl")
    labels = [json.loads(line) for line in layer.read_text().splitlines()]
    labels[1]["raters"] = []
    layer.write_text("".join(json.dumps(x) + "\n" for x in labels))
    session = read_coded(table)[0]
    assert sorted(votes(session)) == [0, 2, 3]
    assert {(c.first, c.last) for c in session.coded} == {(0, 0), (2, 3)}
    assert session.transcript.meta["group"] == "c-s1"


def test_a_table_without_labels_says_so(tmp_path):
    (tmp_path / "x.csv").write_text("session_id,speaker,text\n1,T,How are you?\n")
    with pytest.raises(ValueError, match=r"no label layer x\.labels\.jsonl"):
        read_coded(tmp_path / "x.csv")


def test_a_broken_label_line_is_named_without_its_words(tmp_path):
    (tmp_path / "x.csv").write_text("session_id,turn,speaker,text\n1,0,T,How are you?\n1,1,C,Secret.\n")
    (tmp_path / "x.labels.jsonl").write_text('{"session": "1", "turn": 0, "raters": [], "codes": {}}\n{"secret": 1}\n')
    with pytest.raises(ValueError, match=r"x\.labels\.jsonl:2") as error:
        read_coded(tmp_path / "x.csv")
    assert "secret" not in str(error.value).lower().replace("x.labels", "")


@pytest.mark.parametrize("first", [11, None])
def test_figures_are_those_worked_out_by_hand(table, first):
    figures = evaluate(read_coded(table), by_machine(first=first), draws=10)
    of = {row["score"]: row for row in figures["turns"] if row["turns"] == "all"}
    assert (of["confrontation"]["n"], of["confrontation"]["gold"]) == (3, 1)
    assert of["confrontation"]["precision"][0] == 0.5
    assert of["confrontation"]["recall"][0] == 1
    assert of["withdrawal"]["F1"][0] == 0
    assert of["withdrawal"]["AP"][0] == 1
    assert of["rupture"]["F1"][0] == 1  # either family: both turns are gold and marked
    value = {row["figure"]: row["value"][0] for row in (*figures["sessions"], *figures["markers"])}
    assert value["marked per 100 client turns in sessions where no rater coded a rupture"] == 0
    assert value["rupture turns of a session, ICC(A,1)"] == 1
    assert value["right marker, given the right family, client"] == 1
    assert value["micro-F1 over marker and turn, client"] == 0.5
    assert value["span token F1, confrontation"] == 1
    assert value["whole turn instead, confrontation"] == pytest.approx(6 / 7)
    raters = {row["score"]: row["F1"][0] for row in figures["raters"]}
    assert raters["confrontation"] == 1
    assert raters["withdrawal"] == 0


def test_merged_turns_are_joined_by_the_inputs_numbers(table):
    merged = AnnotatedTranscript(
        Transcript("s1", (
            Turn(0, "T", "therapist", "How was the week?", source_ids=("11",)),
            Turn(1, "C", "client", "I guess it was fine. No. This isn't helping.", source_ids=("12", "14")),
            Turn(2, "T", "therapist", "You should write it down.", source_ids=("13",)),
        ))
    )  # fmt: skip
    (pair,) = join(read_coded(table), [merged])
    assert pair.place == {0: 0, 1: 1, 2: 2, 3: 1}


def test_turns_that_cannot_be_joined_are_refused(table):
    other = found("s1", [("client", "Hello.")], first=None)
    with pytest.raises(ValueError, match="4 turns were coded and 1 annotated"):
        evaluate(read_coded(table), [other])


def test_nothing_in_common_is_an_error(table):
    with pytest.raises(ValueError, match="none of the coded sessions"):
        evaluate(read_coded(table), [])


def test_the_command_measures_what_the_command_wrote(table, tmp_path, capsys):
    assert main(["annotate", str(table), "--out", str(tmp_path / "out"), "--no-model"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(table), "--against", str(tmp_path / "out"), "--draws", "5"]) == 0
    printed = capsys.readouterr().out
    assert "| confrontation | all | 3 | 1 |" in printed
    assert "span token F1, confrontation" in printed
    assert "2 clients or groups: no intervals are given for fewer than 10" in printed
    assert "helping" not in printed


def test_codings_that_name_no_client_have_the_annotations_clients_or_it_is_told(table, tmp_path, capsys):
    table.write_text(table.read_text().replace("client_id", "room").replace("c-s1", "A").replace("c-s2", "A"))
    (tmp_path / "clients.csv").write_text("session_id,client_id\ns1,K1\ns2,K1\n")
    command = ["evaluate", str(table), "--draws", "5", "--against"]
    for out, more in (("none", ()), ("named", ("--clients", str(tmp_path / "clients.csv")))):
        assert main(["annotate", str(table), "--out", str(tmp_path / out), "--no-model", *more]) == 0
    capsys.readouterr()
    assert main([*command, str(tmp_path / "none")]) == 0
    assert "2 of 2 sessions name no client" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "named")]) == 0
    printed = capsys.readouterr().out
    assert "1 clients or groups" in printed
    assert "name no client" not in printed


def test_coded_sessions_that_were_not_annotated_are_told(table, tmp_path, capsys):
    part = tmp_path / "part.csv"
    lines = table.read_text().splitlines()
    part.write_text("\n".join(lines[:5]) + "\n")
    assert main(["annotate", str(part), "--out", str(tmp_path / "out"), "--no-model"]) == 0
    assert main(["evaluate", str(table), "--against", str(tmp_path / "out"), "--draws", "5"]) == 1
    assert "1 coded sessions were not annotated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[1].update(turn=99), "has no such session and turn"),
        (lambda x: x[1].update(codes={"fine": {"A": {}}}), "no such code; give one of C1, C2, "),
        (lambda x: x[1].pop("codes"), "it has session, turn, raters and codes"),
        (lambda x: x[1].update(role="therapist"), "a therapist's here and a client's"),
        (lambda x: x[1]["codes"]["W2"]["A"].update(clarity=7), "clarity is not 1, 2 or 3"),
        (lambda x: x[1]["codes"]["W2"]["A"].update(spans=[[0, 900]]), "ends after the turn's 20 characters"),
        (lambda x: x[1]["codes"]["W2"].update(Z={"clarity": 1}), "not among the turn's raters"),
        (lambda x: x.insert(1, x[1]), "a second line for the turn of line 2"),
    ],
)
def test_labels_that_do_not_fit_are_named_by_their_line(table, change, message):
    layer = table.with_name("study.labels.jsonl")
    labels = [json.loads(line) for line in layer.read_text().splitlines()]
    change(labels)
    layer.write_text("".join(json.dumps(x) + "\n" for x in labels))
    with pytest.raises(ValueError, match=r"study\.labels\.jsonl:\d.*" + message) as error:
        read_coded(table)
    assert "fine" not in str(error.value)


def test_groups_are_found_as_every_reader_finds_columns(table):
    table.write_text(table.read_text().replace("session_id", "session").replace("client_id", "patient_id"))
    assert [s.transcript.meta["group"] for s in read_coded(table)] == ["c-s1", "c-s2"]


def test_two_sessions_of_one_name_are_refused(table):
    with pytest.raises(ValueError, match="two coded sessions are called s1"):
        evaluate([*read_coded(table), *read_coded(table)], by_machine())


def test_swapped_roles_are_refused_not_scored(table):
    roles = {"client": "therapist", "therapist": "client"}
    swapped = found("s2", [(roles[r], text) for s, r, text, _ in ROWS if s == "s2"])
    with pytest.raises(ValueError, match=r"session s2, turn 0.*--roles"):
        evaluate(read_coded(table), [swapped])


def test_coders_of_client_turns_alone_are_measured_on_those(table):
    layer = table.with_name("study.labels.jsonl")
    layer.write_text("".join(line + "\n" for line in layer.read_text().splitlines() if '"client"' in line))
    figures = evaluate(read_coded(table), by_machine(), draws=5)
    assert {row["score"] for row in figures["turns"]} == {"withdrawal", "confrontation", "rupture"}


def test_one_group_has_no_interval(table):
    table.write_text(table.read_text().replace("c-s2", "c-s1"))
    rows = evaluate(read_coded(table), by_machine(), draws=5)["turns"]
    value, low, high = next(r["precision"] for r in rows if r["score"] == "confrontation")
    assert value == 0.5
    assert np.isnan([low, high]).all()


def test_what_one_reader_alone_gave_a_synthetic_turn_counts_whole(tmp_path):
    item = {"id": "x", "kind": "exchange", "style": "caption", "readers": "A"}
    turns = [["T", "you need to stop"], ["C", "whatever", [["W2", 2, 0, 8, "A"]]]]
    once, twice = {**item, "turns": turns}, {**item, "id": "y", "readers": "AB", "turns": turns}
    file = tmp_path / "made.jsonl"
    file.write_text(json.dumps(once) + "\n" + json.dumps(twice) + "\n")
    assert [votes(s)[1].share("withdrawal") for s in read_synthetic(file)] == [1, 0.5]


def test_turns_that_each_speaker_numbers_apart_are_joined_by_place():
    turns = tuple(
        Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], "I guess.", source_ids=(str(i // 2 + 1),))
        for i in range(4)
    )
    given = (Marker(3, 0, 7, "withdrawal", "minimal_response", source="coder:A"),)
    coded = AnnotatedTranscript(Transcript("s", turns), given, coded=tuple(Coded("coder:A", f, 0, 3) for f in FAMILIES))
    (session,) = join([coded], [AnnotatedTranscript(Transcript("s", turns))])
    assert session.place == {t: t for t in range(4)}


def test_a_mark_somewhere_in_a_segment_says_nothing_of_its_turns():
    turns = tuple(Turn(i, "C", "client", "I guess.") for i in range(30))  # without times a segment is twenty turns
    marks = [
        Marker(0, 0, 8, "withdrawal", "denial", source="coder:A", note="segment"),
        Marker(25, 0, 8, "withdrawal", "denial", source="coder:A"),
    ]
    coded = AnnotatedTranscript(
        Transcript("s", turns), tuple(marks), coded=tuple(Coded("coder:A", f, 0, 29) for f in FAMILIES)
    )
    told = votes(coded)
    assert [t for t, v in told.items() if v.is_gold("withdrawal")] == [25]
    assert [t for t, v in told.items() if v.raters_of("withdrawal")] == list(range(20, 30))
    assert len([t for t, v in told.items() if v.raters_of("confrontation")]) == 30


def test_two_versions_of_a_coders_work_are_not_put_together():
    talk = Transcript("s", (Turn(0, "C", "client", "I guess."), Turn(1, "C", "client", "Yes.")))
    read = tuple(Coded("coder:A", f, 0, 1) for f in FAMILIES)
    before = AnnotatedTranscript(talk, (Marker(0, 0, 8, "withdrawal", "denial", source="coder:A"),), coded=read)
    after = AnnotatedTranscript(talk, (), coded=read)
    assert merged([before, before]) == [before]
    with pytest.raises(ValueError, match="session s, turn 0: A coded it in two ways"):
        merged([before, after])


def test_an_interval_resamples_groups_and_holds_the_value():
    rng = np.random.default_rng(0)
    gold = rng.random(400) < 0.3
    probability = np.clip(gold * 0.4 + rng.random(400) * 0.6, 0, 1)
    j = Judged(gold, probability, probability > 0.5, np.repeat(np.arange(20), 20))
    value, low, high = interval(j, f1, draws=200)
    assert low < value < high
    same = Judged(gold, probability, probability > 0.5, np.zeros(400))
    assert np.isnan(interval(same, f1, draws=20)[1:]).all()  # one group says nothing of others


def test_every_fold_is_cut_by_the_others():
    gold = np.array([True, False, True, False])
    probability = np.array([0.9, 0.1, 0.4, 0.3])
    fold = np.array([0, 0, 1, 1])
    assert cross_fitted(gold, probability, fold).tolist() == [True, False, False, False]
    assert 0.1 < best_threshold(gold, probability) <= 0.9


@pytest.mark.parametrize("probability", [np.zeros(100), np.full(100, 0.4), np.r_[np.full(5, 0.6), np.full(95, 0.4)]])
def test_where_no_slope_exists_there_is_none(probability):
    gold = np.arange(100) < 5
    assert np.isnan(calibration_slope(Judged(gold, probability, gold, gold)))


def test_a_cut_is_one_of_the_best_and_never_between_equals():
    gold = np.array([True, False, False, False, True, *[False] * 20, True])
    p = np.array([0.9, 0.8, 0.75, 0.6, 0.5, *np.linspace(0.2, 0.1, 21)])
    assert best_threshold(gold, p) in (0.9, 0.5)
    rng = np.random.default_rng(0)
    for _ in range(50):
        gold, p = rng.random(30) < 0.3, rng.integers(0, 6, 30) / 10
        if gold.any():
            at = {cut: f1(Judged(gold, p, p >= cut, gold)) for cut in np.unique(p)}
            assert at[best_threshold(gold, p)] >= max(at.values()) - 0.005


def test_a_calibrated_forecast_has_slope_one():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.98, 20_000)
    gold = rng.random(20_000) < p
    assert calibration_slope(Judged(gold, p, gold, gold)) == pytest.approx(1, abs=0.05)
