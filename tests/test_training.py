"""Training on a toy encoder: what may be learned from, what is held out, and that the folder it writes works."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from rupturekit import Annotator, Marker, Transcript, Turn
from rupturekit.annotation import FAMILIES
from rupturekit.classifier import Classifier, Recipe
from rupturekit.coding import MARKERS, Votes, read_coded, read_synthetic
from rupturekit.encoder import new_encoder, read_base, trim
from rupturekit.training import Settings, folds, predict, targets_of, train

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
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
        )
    ).save_pretrained(folder)
    return str(folder)


def test_a_base_with_pickled_weights_is_not_loaded(base, tmp_path):
    class Run:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "it ran",))

    shutil.copytree(base, tmp_path / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save({"x": Run()}, tmp_path / "pickled" / "pytorch_model.bin")
    tokenizer, recipe = read_base(tmp_path / "pickled", Recipe())
    with pytest.raises(OSError, match="safetensors"):
        new_encoder(tmp_path / "pickled", tokenizer, recipe)
    assert not (tmp_path / "it ran").exists()


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


SETTINGS = Settings(epochs=12, lr=3e-3, head_lr=3e-3, frozen_layers=0, recipe=Recipe(64, 16, 8, 32))


@pytest.fixture(scope="module")
def trained(base, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "toy"
    return out, train([table], base, out, n_folds=2, settings=SETTINGS, draws=5)


def test_votes_and_clarity_make_a_soft_target():
    given = (
        Marker(0, 0, 4, "confrontation", "complaint_progress", clarity=1, source="coder:A"),
        Marker(0, 0, 9, "confrontation", "rejects_intervention", clarity=3, source="coder:A"),
    )
    half = Votes(dict.fromkeys(FAMILIES, ("coder:A", "coder:B")), {"coder:A": given})
    target = targets_of(half)
    assert target.families[FAMILIES.index("confrontation")] == 0.5
    assert target.markers[MARKERS.index("complaint_progress")] == pytest.approx(0.375)
    assert target.families[FAMILIES.index("withdrawal")] == 0
    assert targets_of(half, soft=False).families.max() == 1


def test_folds_keep_groups_whole_and_are_all_used(table):
    sessions = read_coded(table)
    fold = folds(sessions, 3)
    assert set(fold) == {0, 1, 2}
    group = [s.transcript.meta["group"] for s in sessions]
    for name in set(group):
        assert len({f for g, f in zip(group, fold) if g == name}) == 1


FILES = ["README.md", "config.json", "model.onnx", "tokenizer.json"]


def test_the_folder_loads_and_annotates_offline(trained):
    out, _ = trained
    assert sorted(p.name for p in out.iterdir()) == FILES
    talk = [("therapist", "how was it"), ("client", "this is not helping"), ("therapist", "you need to stop")]
    transcript = Transcript("s", tuple(Turn(i, r, r, text) for i, (r, text) in enumerate(talk)))
    annotated = Annotator(model=out, rules=False)(transcript)
    scores = annotated.turn_scores()
    assert scores[1]["confrontation"] > scores[1]["withdrawal"]
    assert {m.source for m in annotated.markers} <= {"model"}


def test_the_card_states_data_figures_baselines_and_limits(trained):
    out, facts = trained
    card = (out / "README.md").read_text("utf-8")
    for needed in ("tf-idf", "agreement with the raters", "## Limits", "95 % intervals", facts["hashes"]["model.onnx"]):
        assert needed in card
    assert {row["recipe"] for row in facts["baselines"]} >= {"constant", "length", "keyword", "tf-idf", "rules alone"}


def test_the_toy_is_learned_better_than_chance(trained):
    _, facts = trained
    ours = {r["score"]: r for r in facts["turns"] if r["turns"] == facts["turns"][0]["turns"]}
    assert ours["confrontation"]["AP"][0] > 2 * ours["confrontation"]["gold"] / ours["confrontation"]["n"]


def test_the_same_seed_gives_the_same_figures(trained, base, table, tmp_path):
    out, facts = trained
    again = train([table], base, tmp_path / out.name, n_folds=2, settings=SETTINGS, draws=5)
    for table in ("turns", "sessions", "markers", "baselines"):
        assert json.dumps(again[table]) == json.dumps(facts[table])  # as text: some are not a number
    assert (tmp_path / out.name / "config.json").read_bytes() == (out / "config.json").read_bytes()


def test_further_readings_are_learned_from_and_not_measured_against(trained, base, table, tmp_path):
    _, facts = trained
    readings = tmp_path / "readings"
    readings.mkdir()
    with pytest.raises(ValueError, match=r"readings: no label layer of these tables, such as toy\.labels\.jsonl"):
        train([table], base, tmp_path / "none", readings=readings, n_folds=2)
    layer = []
    for session in read_coded(table):
        for turn in session.transcript:
            said = {"C5": {"M": {"clarity": 3, "spans": [[0, 18]]}}} if turn.text == "we went for a walk" else {}
            layer.append({"session": session.transcript.id, "turn": turn.index, "raters": ["M"], "codes": said})
    (readings / "toy.labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in layer), "utf-8")
    more = train([table], base, tmp_path / "toy", readings=readings, n_folds=2, settings=SETTINGS, draws=5)
    assert [(r["n"], r["gold"]) for r in more["turns"]] == [(r["n"], r["gold"]) for r in facts["turns"]]
    assert "read again by further" in (tmp_path / "toy" / "README.md").read_text("utf-8")
    talk = Transcript("s", (Turn(0, "T", "therapist", "how was it"), Turn(1, "C", "client", "we went for a walk")))
    said, of_raters = (Classifier.load(folder)(talk).families[1, 0] for folder in (tmp_path / "toy", trained[0]))
    assert said > of_raters + 1


def test_training_goes_on_from_the_weights_that_annotate(trained):
    out, _ = trained
    tokenizer, recipe = read_base(out, SETTINGS.recipe)
    whole = new_encoder(out, tokenizer, recipe).eval()
    talk = [("therapist", "how was it"), ("client", "this is not helping"), ("therapist", "you need to stop")]
    transcript = Transcript("s", tuple(Turn(i, r, r, text) for i, (r, text) in enumerate(talk)))
    ((logits, _),) = predict(whole, [transcript], tokenizer, recipe)
    assert np.abs(Classifier.load(out)(transcript).families - logits[:, :4]).max() < 1e-3


def test_training_can_go_on_from_a_model_folder(trained, table, tmp_path):
    out, _ = trained
    again = train([table], str(out), tmp_path / "more", n_folds=2, settings=replace(SETTINGS, epochs=1), draws=5)
    assert sorted(p.name for p in (tmp_path / "more").iterdir()) == FILES
    ap = {r["score"]: r["AP"][0] for r in again["turns"] if r["turns"] == again["turns"][0]["turns"]}
    assert ap["confrontation"] > 0.9  # it has seen them all before


def test_word_pieces_without_use_go_and_the_scores_stay(base):
    tokenizer, recipe = read_base(base, SETTINGS.recipe)
    model = new_encoder(base, tokenizer, recipe).eval()
    transcript = Transcript("s", (Turn(0, "T", "therapist", "how was it"), Turn(1, "C", "client", "i guess")))
    ((before, _),) = predict(model, [transcript], tokenizer, recipe)
    smaller, moved = trim(model, tokenizer, recipe, ["how was it"])
    ((after, _),) = predict(model, [transcript], smaller, moved)
    assert np.array_equal(after, before)
    assert smaller.get_vocab_size() == tokenizer.get_vocab_size() - 96  # 99 unused entries, and three are roles
    assert model.base.get_input_embeddings().weight.shape[0] == smaller.get_vocab_size()


def test_weights_under_other_names_are_not_gone_on_from(trained, tmp_path):
    import onnx

    shutil.copytree(trained[0], tmp_path / "m")
    file = tmp_path / "m" / "model.onnx"
    graph = onnx.load(file)
    next(t for t in graph.graph.initializer if t.name == "mix.bias").name = "onnx::Add_7"
    onnx.save(graph, file)
    config = json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))
    config["sha256"]["model.onnx"] = sha256(file.read_bytes()).hexdigest()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ValueError, match="not stored as this version stores them"):
        new_encoder(tmp_path / "m", *read_base(tmp_path / "m", SETTINGS.recipe))


def test_the_lowest_layers_of_a_base_are_enough(base, table, trained, tmp_path):
    train([table], base, tmp_path / "low", n_folds=2, settings=replace(SETTINGS, epochs=1, layers=1), draws=5)
    tokenizer, recipe = read_base(tmp_path / "low", SETTINGS.recipe)
    low = new_encoder(tmp_path / "low", tokenizer, recipe)
    assert len(low.base.encoder.layer) == 1
    whole = new_encoder(base, *read_base(base, SETTINGS.recipe))
    kept = "embeddings.LayerNorm.weight"  # frozen
    assert torch.equal(low.base.state_dict()[kept], whole.base.state_dict()[kept])
    with pytest.raises(ValueError, match="has 2 layers, and 3 are asked for"):
        new_encoder(base, tokenizer, recipe, layers=3)
    with pytest.raises(ValueError, match="keeps its layers"):
        new_encoder(trained[0], tokenizer, recipe, layers=1)


def test_any_encoder_serves_as_base(table, tmp_path):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    folder = tmp_path / "roberta"
    folder.mkdir()
    bpe = ByteLevelBPETokenizer()
    said = [text for texts in SAID.values() for text in texts]
    bpe.train_from_iterator(said, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(folder))
    tokenizer = RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    RobertaModel(
        RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=80, pad_token_id=1, **small)
    ).save_pretrained(folder)
    (folder / "model.onnx").write_bytes(b"some folders hold the same encoder in other forms")
    out = tmp_path / "model"
    train([table], str(folder), out, n_folds=2, settings=replace(SETTINGS, epochs=1), draws=5)
    tokenizer, recipe = read_base(folder, SETTINGS.recipe)
    rows = new_encoder(folder, tokenizer, recipe).base.get_input_embeddings().weight
    assert (rows[recipe.therapist] - rows[recipe.client]).norm() > 0.1  # the roles are told apart
    transcript = Transcript("s", (Turn(0, "T", "therapist", "how was it"), Turn(1, "C", "client", "i guess")))
    scores = Annotator(model=out)(transcript).turn_scores()
    assert 0 <= scores[1]["withdrawal"] <= 1
    with pytest.raises(ValueError, match="reads at most 78 tokens"):
        train([table], str(folder), tmp_path / "other", n_folds=2, settings=Settings(epochs=1))


def test_the_readings_of_the_repository_hold_codes_and_no_talk():
    for path in sorted((Path(__file__).parents[1] / "data" / "readings").glob("*.labels.jsonl")):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert len({(line["session"], line["turn"]) for line in lines}) == len(lines) > 1000
        for line in lines:
            assert line.keys() == {"session", "turn", "role", "raters", "codes"}
            assert set(line["raters"]) <= {"M", "N"}
            for code, by in line["codes"].items():
                assert (code[0] in "CW") == (line["role"] == "client")
                assert by.keys() <= set(line["raters"])
                assert all(0 <= a < b for said in by.values() for a, b in said["spans"])


def test_the_synthetic_sessions_of_the_repository_are_whole():
    for path in sorted((Path(__file__).parents[1] / "data" / "synthetic").glob("*.jsonl")):
        sessions = list(read_synthetic(path))
        assert len({s.transcript.id for s in sessions}) == len(sessions)
        for s in sessions:
            for m in s.markers:
                turn = s.transcript[m.turn]
                assert 0 <= m.start < m.end <= len(turn.text)
                assert (turn.role == "client") == (m.family in ("confrontation", "withdrawal"))
