"""The shipped model and the windows it reads: offline, deterministic, every turn scored once."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rupturekit.annotation import FAMILIES, SCORES
from rupturekit.classifier import Classifier, Recipe, best_span, turn_features, windows
from rupturekit.transcript import Transcript, Turn

MODEL = Path(__file__).parents[1] / "models" / "withdrawal-en"


def session(*texts: str, first: str = "therapist") -> Transcript:
    roles = ("therapist", "client") if first == "therapist" else ("client", "therapist")
    return Transcript("s", tuple(Turn(i, roles[i % 2], roles[i % 2], text) for i, text in enumerate(texts)))


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier.load()


PUSHED = session(
    "Right. You need to stop drinking, you know that. I've told you before.",
    "I didn't come here to be told off. You're not listening to me.",
    "I'm only giving you the facts.",
    "Whatever you say.",
)
PLAIN = session(
    "What time do you usually get up?",
    "About seven, because the kids have school and I like to walk the dog first.",
    "And how has the walking been going?",
    "Really well. I did three days this week and I felt better for it, so I want to keep it up.",
)


def test_the_shipped_model_tells_a_clash_from_a_chat(model):
    def rupture(transcript):
        output = model(transcript)
        return model.probability(output, np.zeros((len(transcript), 4)))[1::2, SCORES.index("rupture")]

    assert rupture(PUSHED).min() > rupture(PLAIN).max()


def test_probabilities_are_of_the_turns_role_alone(model):
    table = model.probability(model(PUSHED), np.zeros((4, 4)))
    assert np.isnan(table[0::2, :3]).all()
    assert np.isnan(table[1::2, 3:]).all()
    own = table[~np.isnan(table)]
    assert ((own >= 0) & (own <= 1)).all()
    assert (table[1::2, 2] >= table[1::2, :2].max(1)).all()


def test_markers_share_out_no_more_than_their_family(model):
    output = model(PUSHED)
    table = model.probability(output, np.zeros((4, 4)))
    shares = model.marker_probability(output, table)
    client = [i for i, name in enumerate(output.marker_names) if name.startswith(("complaint", "rejects", "defends"))]
    assert (shares[1, client] <= table[1, 0] + 1e-9).all()


def test_a_rule_that_fires_never_lowers_its_family(model):
    output = model(PUSHED)
    without = model.probability(output, np.zeros((4, 4)))
    fired = model.probability(output, np.full((4, 4), 0.9))
    assert (np.nan_to_num(fired) >= np.nan_to_num(without)).all()


def test_scores_do_not_depend_on_what_was_read_before(model):
    alone = model(PLAIN).families
    model(PUSHED)
    assert np.array_equal(alone, model(PLAIN).families)


def test_other_speakers_have_no_scores(model):
    mixed = Transcript("s", (*PLAIN.turns, Turn(4, "mother", "other", "He never tells you the whole story.")))
    output = model(mixed)
    assert np.isnan(output.families[4]).all()
    assert output.spans[4] == {}


@pytest.mark.parametrize(
    "marked", ["<UNSURE>Yeah</UNSURE>.", "(inaudible) Yeah.", "Yeah. [unclear 00:06:01]", "{inaud.} Yeah."]
)
def test_what_could_not_be_heard_changes_no_score(model, marked):
    def client(text):
        transcript = session("You take two of these a day. How does that sound?", text, "Good. Then we are done.")
        return model.probability(model(transcript), np.zeros((3, 4)))[1, :3]

    assert np.allclose(client(marked), client("Yeah."), atol=1e-6)


@pytest.mark.parametrize("mark", ["[NAME_1]", "[name]", "(Name)", "[NAME 12]"])
def test_what_was_replaced_to_protect_somebody_is_read_as_a_word(model, mark):
    talk = ("And {}? What did {} say about it?", "Nothing. {} never does.", "So {} kept quiet.")

    def scores(name):
        transcript = session(*(text.replace("{}", name) for text in talk))
        return model.probability(model(transcript), np.zeros((3, 4)))

    assert np.allclose(np.nan_to_num(scores(mark)), np.nan_to_num(scores("Sam")), atol=1e-6)


def test_a_span_holds_the_whole_of_a_replaced_word():
    text = "Ask [NAME_1], not me."
    assert best_span(text, [(0, 3, 1), (5, 8, 1), (14, 17, -9)], 2.0) == (0, 12)
    assert best_span(text, [(0, 3, -9), (5, 8, -9), (12, 13, 1), (14, 17, 1), (18, 20, 1)], 2.0) == (14, 20)


@pytest.mark.parametrize(
    "unheard",
    [
        *("<UNIN/>", "[inaudible]", "(unclear).", "<INAUDIBLE_SPEECH/>", "[?]", "(???).", "{inaudible}", "[inaud.]"),
        *("[unint.]", "[can't hear]", "[audio cuts out]", "[muffled]", "[untranscribed]", "xxx.", "[crosstalk]"),
        "[inaudible - overlapping speech]",
        "(could not be heard)",
    ],
)
def test_a_turn_that_nobody_could_hear_is_no_withdrawal(model, unheard):
    transcript = session("What was it like for you when she left?", unheard, "Okay. Let's look at your diary.")
    output = model(transcript)
    table = model.probability(output, np.zeros((3, 4)))
    assert (table[1, :3] < 0.001).all()
    assert (np.nan_to_num(model.marker_probability(output, table)[1]) < 0.001).all()
    silent = session(transcript[0].text, "[silence]", transcript[2].text)
    assert model.probability(model(silent), np.zeros((3, 4)))[1, SCORES.index("withdrawal")] > 0.1


def test_spans_stand_within_the_turn(model):
    output = model(PUSHED)
    for turn, spans in zip(PUSHED, output.spans):
        for start, end in spans.values():
            assert 0 <= start < end <= len(turn.text)


def test_a_missing_file_of_a_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no model\.onnx"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_changed_file_of_a_model_is_not_loaded(tmp_path, name):
    shutil.copytree(MODEL, tmp_path / "m")
    file = tmp_path / "m" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name} is not the file that its config\.json names"):
        Classifier.load(tmp_path / "m")


def test_a_file_that_changes_after_loading_is_not_read(tmp_path):
    shutil.copytree(MODEL, tmp_path / "m")
    model = Classifier.load(tmp_path / "m")
    (tmp_path / "m" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ValueError, match="is not the file"):
        model(PUSHED)


@pytest.mark.parametrize("run_in", ["m", "."])
def test_weights_in_a_file_of_their_own_are_not_loaded(tmp_path, monkeypatch, run_in):
    onnx = pytest.importorskip("onnx")
    shutil.copytree(MODEL, tmp_path / "m")
    file = tmp_path / "m" / "model.onnx"
    onnx.save_model(onnx.load(file), file, save_as_external_data=True, location="weights")
    config = json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))
    config["sha256"]["model.onnx"] = sha256(file.read_bytes()).hexdigest()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), "utf-8")
    monkeypatch.chdir(tmp_path / run_in)
    model = Classifier.load(tmp_path / "m")
    with pytest.raises(Exception, match="External data path"):
        model(PUSHED)


def test_a_model_without_hashes_is_not_loaded(tmp_path):
    shutil.copytree(MODEL, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))
    del config["sha256"]["model.onnx"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ValueError, match=r"no hash of model\.onnx"):
        Classifier.load(tmp_path / "m")


def test_inference_imports_neither_torch_nor_sklearn():
    code = (
        "import sys; from rupturekit.classifier import Classifier; from rupturekit.transcript import Transcript, Turn;"
        "Classifier.load()(Transcript('s', (Turn(0, 'C', 'client', 'I guess.'),)));"
        "print(sorted({'torch', 'sklearn', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


words = st.text("abc de.", min_size=1, max_size=80).filter(str.strip)


@settings(deadline=None, max_examples=60)
@given(st.lists(words, min_size=1, max_size=30), st.integers(12, 60))
def test_every_token_of_every_turn_is_scored_once(texts, size):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transcript = session(*texts)
    recipe = Recipe(size, size // 4, size // 6, size // 3)
    scored = [
        (piece.turn, offset)
        for window in windows(transcript, tokenizer, recipe)
        for piece in window.pieces[window.first : window.last]
        for offset in piece.offsets
    ]
    expected = [
        (turn.index, offset)
        for turn in transcript
        for offset in tokenizer.encode(turn.text, add_special_tokens=False).offsets
    ]
    assert scored == expected
    assert all(len(w.arrays()["input_ids"]) <= size + size // 3 for w in windows(transcript, tokenizer, recipe))


def test_a_span_is_whole_words_without_the_punctuation_around():
    text = "No... I don't know, really."
    tokens = [(6, 7, 1.0), (8, 11, 1.0), (11, 12, 1.0), (12, 13, 1.0), (14, 18, 2.0), (18, 19, 1.0), (20, 26, -3.0)]
    start, end = best_span(text, tokens, 2.0)
    assert text[start:end] == "I don't know"


def test_without_evidence_the_span_is_the_turn():
    assert best_span("Fine.", [], 1.0) == (0, 4)
    assert best_span("…", [], 0.0) == (0, 1)


def test_features_are_finite_and_one_row_a_turn():
    table = turn_features(session("", "?", "[laughs] " * 300, "a" * 200_000))
    assert table.shape == (4, 10)
    assert np.isfinite(table).all()
    assert np.abs(table).max() < 4
    assert len(FAMILIES) == 4


def test_therapist_defensive_is_cut_as_a_family(model):
    # it is a family and its only marker: the markers' cut must not stand in for the family's
    of_markers = {cut for name, cut in model.thresholds.items() if name not in FAMILIES}
    assert len(of_markers) == 1
    assert model.thresholds["therapist_defensive"] not in of_markers
