"""Going on from a model with a team's own codes: what is held out, what is kept, and that the folder works."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from rupturekit import AnnotatedTranscript, Annotator, Coded, Marker, Transcript, Turn, adaptation
from rupturekit.adaptation import adapt
from rupturekit.annotation import FAMILIES
from rupturekit.calibration import calibrate, hold
from rupturekit.cli import main
from rupturekit.coding import MARKERS, read_codings, votes

SHIPPED = Path(__file__).parents[1] / "models" / "withdrawal-en"
TALK = [
    ("therapist", "How was it to keep the diary this week?"),
    ("client", "I kept it on four days, it was easier than I had thought."),
    ("therapist", "Tell me more about that."),
    ("client", "We walked along the canal and I slept better after it."),
    ("therapist", "So walking helped you."),
    ("client", "Yes, and I called my sister on Sunday, which was good."),
]


def coding(number: int, client: str, families: tuple[str, ...] = FAMILIES, coder: str = "AB") -> AnnotatedTranscript:
    """Return a session whose one marker, on words that no model would mark, is the team's own idea."""
    turns = tuple(Turn(i, role, role, text) for i, (role, text) in enumerate(TALK * 2))  # type: ignore[arg-type]
    marker = [Marker(t, 0, 9, "withdrawal", "topic_shift", clarity=3, source=f"coder:{coder}") for t in (3, 9)]
    return AnnotatedTranscript(
        Transcript(f"s{number}", turns, meta={"client_id": client}),
        tuple(marker) if "withdrawal" in families else (),
        coded=tuple(Coded(f"coder:{coder}", family, 0, len(turns) - 1) for family in families),
    )


@pytest.fixture(autouse=True)
def one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation, "HEADS", replace(adaptation.HEADS, epochs=1))


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation, "HEADS", replace(adaptation.HEADS, epochs=8, head_lr=5e-3))


def test_the_heads_learn_a_teams_own_idea_and_the_folder_annotates(tmp_path: Path, briefly: None) -> None:
    codings = [coding(i, f"client {i}") for i in range(5)]
    facts = adapt(codings, SHIPPED, tmp_path / "ours", draws=5)
    after, before = ({r["score"]: r for r in facts[k] if r["turns"] == "all"} for k in ("turns", "init"))
    assert after["withdrawal"]["AP"][0] > 0.95 > before["withdrawal"]["AP"][0]
    card = (tmp_path / "ours" / "README.md").read_text("utf-8")
    assert "Fitted on from withdrawal-en" in card
    assert "5 clients: too few for intervals" in card
    assert "There are no intervals" in card
    assert "95 %" not in card
    talk = codings[0].transcript
    was, now = (Annotator(model=m)(talk).turn_scores()[3]["withdrawal"] for m in (SHIPPED, tmp_path / "ours"))
    assert now > was


def test_few_clients_are_exploratory_and_one_is_refused(tmp_path: Path) -> None:
    codings = [coding(i, f"client {i}") for i in range(2)]
    facts = adapt(codings, SHIPPED, tmp_path / "two")
    assert json.dumps(adapt(codings, SHIPPED, tmp_path / "again")["turns"]) == json.dumps(facts["turns"])
    assert "Exploratory" in (tmp_path / "two" / "README.md").read_text("utf-8")
    assert all(str(r["AP"][1]) == "nan" for r in facts["turns"])
    kept, now = (json.loads((p / "config.json").read_text())["calibration"] for p in (SHIPPED, tmp_path / "two"))
    assert now == kept  # with nobody left to hold out, nothing is calibrated
    assert "two clients leave none" in (tmp_path / "two" / "README.md").read_text("utf-8")
    with pytest.raises(ValueError, match="1 client in these codes"):
        adapt([coding(i, "one") for i in range(4)], SHIPPED, tmp_path / "one")
    assert not (tmp_path / "one").exists()


def test_families_that_nobody_coded_are_left_as_they_were(tmp_path: Path) -> None:
    codings = [coding(i, f"client {i}", families=("withdrawal",)) for i in range(3)]
    assert votes(codings[0])[3].raters_of("confrontation") == ()
    facts = adapt(codings, SHIPPED, tmp_path / "ours")
    assert {r["score"] for r in facts["turns"]} == {"withdrawal"}
    assert sorted(votes(codings[0])) == [1, 3, 5, 7, 9, 11]
    assert (facts["data"][0]["coded client turns"], facts["data"][0]["coded therapist turns"]) == (18, 0)
    kept, now = (json.loads((p / "config.json").read_text())["calibration"] for p in (SHIPPED, tmp_path / "ours"))
    assert now["resolution"] == kept["resolution"]


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no model folder; give one that `rupturekit train` wrote"):
        adapt([coding(i, f"c{i}") for i in range(3)], tmp_path, tmp_path / "ours")


def test_codings_of_several_files_are_put_together(tmp_path: Path) -> None:
    folder = tmp_path / "coded"
    folder.mkdir()
    for coder in ("AB", "CD"):
        lines = [coding(i, f"client {i}", coder=coder).to_json() for i in range(3)]
        (folder / f"{coder}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    sessions = read_codings(folder)
    assert [s.transcript.id for s in sessions] == ["s0", "s1", "s2"]
    assert votes(sessions[0])[1].raters_of("withdrawal") == ("coder:AB", "coder:CD")
    words = Transcript("s0", tuple(replace(turn, text="Something else.") for turn in sessions[0].transcript))
    other = replace(sessions[0], transcript=words, markers=())
    (folder / "EF.jsonl").write_text(other.to_json() + "\n", "utf-8")
    with pytest.raises(ValueError, match="session s0: two codings of different transcripts, from turn 0 on"):
        read_codings(folder)


def test_the_command_line_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--codes", str(tmp_path), "--out", str(tmp_path / "m")]) == 2
    assert "--codes and --init" in capsys.readouterr().err
    assert main(["train", "--codes", str(tmp_path), "--init", str(SHIPPED), "--out", str(tmp_path / "m")]) == 2
    assert "nothing that somebody coded" in capsys.readouterr().err
    both = ["train", "--codes", str(tmp_path), "--init", str(SHIPPED), "--base", "b", "--out", str(tmp_path / "m")]
    assert main(both) == 2
    assert "or --codes and --init" in capsys.readouterr().err


def test_a_few_turns_that_two_coded_do_not_calibrate_alone() -> None:
    kept = json.loads((SHIPPED / "config.json").read_text("utf-8"))
    by_one = [coding(i, f"client {i}") for i in range(6)]
    by_two = coding(6, "client 6")
    by_two = replace(
        by_two, markers=(), coded=tuple(replace(c, source=f"coder:{who}") for c in by_two.coded for who in ("AB", "CD"))
    )
    said = []
    for session in (sessions := [*by_one, by_two]):
        logits = np.full((12, 5 + len(MARKERS)), -3.0, np.float32)
        logits[[m.turn for m in session.markers]] = 3
        said.append((logits, [[] for _ in range(12)]))
    fitted = calibrate(hold(sessions, said, None), kept)
    assert fitted["calibration"]["withdrawal"] != (1.0, 0.0, 0.0)
    assert fitted["thresholds"]["withdrawal"] < 1
    # all the turns that were coded have it: nothing tells where it ends
    marked = [replace(s, coded=tuple(Coded(m.source, m.family, m.turn, m.turn) for m in s.markers)) for s in by_one]
    assert calibrate(hold(marked, said[:6], None), kept)["calibration"]["withdrawal"] == tuple(
        kept["calibration"]["withdrawal"]
    )


def test_codings_of_marked_turns_alone_in_sessions_of_nobody_named(tmp_path: Path) -> None:
    codings = [coding(i, "") for i in range(2)]
    codings = [replace(s, coded=tuple(Coded(m.source, m.family, m.turn, m.turn) for m in s.markers)) for s in codings]
    facts = adapt(codings, SHIPPED, tmp_path / "ours")
    # nothing to tell apart for the simple recipes
    assert {row["recipe"] for row in facts["baselines"]} == {"rules alone"}
    assert "2 sessions name no client" in facts["caution"]
    card = (tmp_path / "ours" / "README.md").read_text("utf-8")
    assert card.index("2 sessions name no client") < card.index("| score |")


def test_five_clients_from_five_tables_make_five_folds_and_silences_keep_their_place(tmp_path: Path) -> None:
    codings = []
    for i in range(5):
        one = replace(coding(i, f"client {i}"), markers=())
        talk = one.transcript
        # the reader gives a silence the number of the turn that it is cut from
        turns = tuple(replace(t, source_ids=("2",) if t.index in (2, 3) else (str(t.index),)) for t in talk)
        codings.append(replace(one, transcript=replace(talk, turns=turns, meta={**talk.meta, "corpus": f"table {i}"})))
    facts = adapt(codings, SHIPPED, tmp_path / "ours")
    assert facts["folds"] == 5
    assert {row["turns"] for row in facts["turns"]} == {"all"}


def test_what_cannot_be_learned_from_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    codings = [coding(i, f"client {i}") for i in range(2)]
    out = tmp_path / "out"
    ours = replace(codings[1], markers=(replace(codings[1].markers[0], marker="our_own"),))
    with pytest.raises(ValueError, match="session s1, turn 3: our_own"):
        adapt([codings[0], ours], SHIPPED, out)
    meta = {**codings[1].transcript.meta, "text_withheld": True}
    with pytest.raises(ValueError, match="session s1 has no words"):
        adapt([codings[0], replace(codings[1], transcript=replace(codings[1].transcript, meta=meta))], SHIPPED, out)
    assert not out.exists()
    out.mkdir()
    (out / "model.onnx").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        adapt(codings, SHIPPED, out)
    assert (out / "model.onnx").read_bytes() == b"mine"


def test_markers_of_an_own_codebook_are_voted_on_by_family() -> None:
    one = coding(0, "client 0")
    told = votes(replace(one, markers=tuple(replace(m, marker="our_own") for m in one.markers)))[3]
    assert (told.is_gold("withdrawal"), told.is_gold("our_own"), told.raters_of("unheard_of")) == (True, True, ())


def test_what_annotate_wrote_may_lie_beside_the_codings(tmp_path: Path) -> None:
    one = coding(0, "client 0")
    (tmp_path / "AB.jsonl").write_text(one.to_json() + "\n", "utf-8")
    later = replace(one.transcript, turns=one.transcript.turns[:3])
    machine = AnnotatedTranscript(later, coded=(Coded("model", "withdrawal", 0, 2),))
    (tmp_path / "annotations.jsonl").write_text(machine.to_json() + "\n", "utf-8")
    assert read_codings(tmp_path) == [one]
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_codings(tmp_path / "nowhere")
