"""Training on a toy encoder: what may be learned from, what is held out, and that the folder it writes works."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from rupturekit import Annotator, Transcript, Turn, load_codebook
from rupturekit.annotation import FAMILIES
from rupturekit.classifier import Classifier, Recipe
from rupturekit.evaluation import Judged, best_threshold, calibration_slope, cross_fitted, f1, interval
from rupturekit.training import MARKERS, Settings, code_turn, folds, predict, read_coded, read_synthetic, train

SAID = {
    "client": ["this is not helping", "i guess", "we went for a walk", "that was good", "no you are wrong", "fine"],
    "therapist": ["how was it", "you need to stop", "tell me more", "i hear that was hard"],
}
CODES = {"this is not helping": "C5", "i guess": "W2", "no you are wrong": "C1", "you need to stop": "X1"}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    """Return a folder with a two-layer BERT of random weights and a word-piece tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    words = sorted({word for texts in SAID.values() for text in texts for word in text.split()})
    vocabulary = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    import torch

    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
        )
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Return a table of twelve sessions in six groups with its label layer; one turn was not coded."""
    path = tmp_path_factory.mktemp("data") / "toy.csv"
    rng = np.random.default_rng(3)
    rows, labels = ["session_id,turn,speaker,text,group"], []
    for s in range(12):
        for t in range(16):
            role = ("therapist", "client")[t % 2]
            text = SAID[role][int(rng.integers(len(SAID[role])))]
            rows.append(f"s{s},{t},{role},{text},g{s // 2}")
            code = {CODES[text]: {r: {"clarity": 2, "spans": [[0, len(text)]]} for r in "AB"}} if text in CODES else {}
            raters = [] if (s, t) == (0, 1) else ["A", "B"]
            labels.append({"session": f"s{s}", "turn": t, "role": role, "raters": raters, "codes": code})
    path.write_text("\n".join(rows) + "\n", "utf-8")
    layer = path.with_name("toy.labels.jsonl")
    layer.write_text("".join(json.dumps(label) + "\n" for label in labels), "utf-8")
    return path


SETTINGS = Settings(epochs=6, lr=3e-3, head_lr=3e-3, frozen_layers=0, recipe=Recipe(64, 16, 8, 32))


@pytest.fixture(scope="module")
def trained(base, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "toy"
    return out, train([table], base, out, n_folds=2, settings=SETTINGS, draws=5)


def test_votes_and_clarity_make_a_soft_target():
    coded = code_turn({"C5": {"A": {"clarity": 1, "spans": [[0, 4]]}}, "C2": {"A": {"clarity": 3}}}, 2)
    assert coded.votes[FAMILIES.index("confrontation")] == 0.5
    assert coded.families[FAMILIES.index("confrontation")] == 0.5
    assert coded.markers[MARKERS.index("complaint_progress")] == pytest.approx(0.375)
    assert coded.families[FAMILIES.index("withdrawal")] == 0
    assert code_turn({"C5": {"A": {}}}, 2, soft=False).families.max() == 1


def test_a_turn_that_nobody_read_is_no_negative(table):
    first = read_coded(table)[0]
    assert 1 not in first.codes
    assert {0, 2, 3} <= set(first.codes)


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


def test_folds_keep_groups_whole_and_are_all_used(table):
    sessions = read_coded(table)
    fold = folds(sessions, 3)
    assert set(fold) == {0, 1, 2}
    for group in {s.group for s in sessions}:
        assert len({f for s, f in zip(sessions, fold) if s.group == group}) == 1


def test_the_folder_loads_and_annotates_offline(trained):
    out, _ = trained
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "config.json", "model.onnx", "tokenizer.json"]
    talk = [("therapist", "how was it"), ("client", "this is not helping"), ("therapist", "you need to stop")]
    transcript = Transcript("s", tuple(Turn(i, r, r, text) for i, (r, text) in enumerate(talk)))
    annotated = Annotator(model=out, rules=False)(transcript)
    scores = annotated.turn_scores()
    assert scores[1]["confrontation"] > scores[1]["withdrawal"]
    assert {m.source for m in annotated.markers} <= {"model"}


def test_the_card_states_data_figures_baselines_and_limits(trained):
    out, facts = trained
    card = (out / "README.md").read_text("utf-8")
    for needed in ("tf-idf", "model-assisted", "## Limits", "95 % intervals", facts["hashes"]["model.onnx"]):
        assert needed in card
    assert {row["recipe"] for row in facts["figures"]} >= {"constant", "length", "keyword", "tf-idf", "rules alone"}


def test_the_toy_is_learned_better_than_chance(trained):
    _, facts = trained
    ours = {r["score"]: r for r in facts["figures"] if r["recipe"] == "rupturekit" and r["turns"].startswith("all")}
    assert ours["confrontation"]["AP"][0] > 2 * ours["confrontation"]["gold"] / ours["confrontation"]["n"]


def test_the_same_seed_gives_the_same_figures(trained, base, table, tmp_path):
    out, facts = trained
    again = train([table], base, tmp_path / "again", n_folds=2, settings=SETTINGS, draws=5)
    assert json.dumps(again["figures"]) == json.dumps(facts["figures"])  # as text: some are not a number
    assert (tmp_path / "again" / "config.json").read_bytes() == (out / "config.json").read_bytes()


def test_stored_weights_give_the_trained_models_scores(base, table, tmp_path):
    import torch
    from transformers import AutoModel

    from rupturekit.training import Encoder, _tokenizer, export_onnx

    torch.manual_seed(1)
    model = Encoder(AutoModel.from_pretrained(base, add_pooling_layer=False, attn_implementation="eager"), 64).eval()
    tokenizer = _tokenizer(base)
    session = read_coded(table)[0]
    ((logits, _),) = predict(model, [session], tokenizer, SETTINGS.recipe)
    export_onnx(model, tmp_path / "model.onnx")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    book = load_codebook()
    config = {
        "name": "toy", "markers": MARKERS, "thresholds": {}, "codebook": book.name, "calibration": {},
        "span_drops": dict.fromkeys(FAMILIES, 2.0),
        "recipe": {f: getattr(SETTINGS.recipe, f) for f in Recipe.__slots__},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    output = Classifier.load(tmp_path)(session.transcript)
    assert np.abs(output.families - logits[:, :4]).max() < 0.02


def test_the_synthetic_sessions_of_the_repository_are_whole():
    for path in sorted((Path(__file__).parents[1] / "data" / "synthetic").glob("*.jsonl")):
        sessions = list(read_synthetic(path))
        assert len({s.transcript.id for s in sessions}) == len(sessions)
        for s in sessions:
            assert s.synthetic
            for turn in s.transcript:
                for family, start, end, _ in s.codes[turn.index].spans:
                    assert 0 <= start < end <= len(turn.text)
                    assert (turn.role == "client") == (FAMILIES[family] in ("confrontation", "withdrawal"))


def test_an_interval_resamples_groups_and_holds_the_value():
    rng = np.random.default_rng(0)
    gold = rng.random(400) < 0.3
    probability = np.clip(gold * 0.4 + rng.random(400) * 0.6, 0, 1)
    j = Judged(gold, probability, probability > 0.5, np.repeat(np.arange(20), 20))
    value, low, high = interval(j, f1, draws=200)
    assert low < value < high
    same = Judged(gold, probability, probability > 0.5, np.zeros(400))
    assert interval(same, f1, draws=20) == (value, value, value)


def test_every_fold_is_cut_by_the_others():
    gold = np.array([True, False, True, False])
    probability = np.array([0.9, 0.1, 0.4, 0.3])
    fold = np.array([0, 0, 1, 1])
    assert cross_fitted(gold, probability, fold).tolist() == [True, False, False, False]
    assert 0.1 < best_threshold(gold, probability) <= 0.9


def test_a_calibrated_forecast_has_slope_one():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.98, 20_000)
    gold = rng.random(20_000) < p
    assert calibration_slope(Judged(gold, p, gold, gold)) == pytest.approx(1, abs=0.05)
