"""The engine of `--device`, tested on the processor: the same model, many sessions at a time."""

import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from rupturekit.annotation import FAMILIES, SCORES
from rupturekit.classifier import Classifier, ModelOutput
from rupturekit.coding import read_synthetic
from rupturekit.encoder import AHEAD, BATCH, TorchClassifier, _batches, predict
from rupturekit.transcript import Transcript, Turn

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "withdrawal-en"


@pytest.fixture(scope="module")
def sessions() -> list[Transcript]:
    return [s.transcript for s in islice(read_synthetic(ROOT / "data" / "synthetic" / "sessions.jsonl"), 40)]


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(MODEL)


@pytest.fixture(scope="module")
def exact() -> TorchClassifier:
    return TorchClassifier.load(MODEL, "cpu", bf16=False)


@pytest.fixture(scope="module")
def as_shipped(shipped: Classifier, sessions: list[Transcript]) -> list[np.ndarray]:
    return [probabilities(shipped, shipped(transcript)) for transcript in sessions]


@pytest.fixture(scope="module")
def in_a_stream(exact: TorchClassifier, sessions: list[Transcript]) -> list[ModelOutput]:
    return list(exact.pipe(sessions))


def probabilities(model: Classifier, output: ModelOutput) -> np.ndarray:
    return model.probability(output, np.zeros((len(output.spans), len(FAMILIES))))


def share_of_both(a: list[np.ndarray], b: list[np.ndarray], thresholds: dict[str, float]) -> float:
    """Return, of the (turn, family) pairs that either marks, the share that both mark."""
    columns, cuts = [SCORES.index(family) for family in FAMILIES], [thresholds[family] for family in FAMILIES]
    x, y = (np.concatenate(tables)[:, columns].round(4) >= cuts for tables in (a, b))
    assert (x | y).sum() > 300
    return float((x & y).sum() / (x | y).sum())


def short(i: int, *texts: str) -> Transcript:
    talk = texts or ("How was it?", f"I guess it was all right, number {i}.")
    return Transcript(
        f"s{i}", tuple(Turn(n, "TC"[n % 2], ("therapist", "client")[n % 2], t) for n, t in enumerate(talk))
    )


def test_in_float32_the_markers_are_those_of_onnxruntime(shipped, as_shipped, in_a_stream):
    ours = [probabilities(shipped, output) for output in in_a_stream]
    assert share_of_both(as_shipped, ours, shipped.thresholds) >= 0.98
    apart = np.abs(np.concatenate(as_shipped) - np.concatenate(ours))
    # the weights are rounded in the same way: without that it is 0.02
    assert np.nanpercentile(apart, 99) < 0.006


def test_in_bfloat16_the_markers_are_those_of_onnxruntime(shipped, as_shipped, sessions):
    model = TorchClassifier.load(MODEL, "cpu")
    assert model.bf16
    ours = [probabilities(model, output) for output in model.pipe(sessions)]
    assert share_of_both(as_shipped, ours, shipped.thresholds) >= 0.98


def test_spans_are_those_of_onnxruntime(shipped, sessions, in_a_stream):
    theirs = [span for transcript in sessions[:10] for span in shipped(transcript).spans]
    ours = [span for output in in_a_stream[:10] for span in output.spans]
    assert np.mean([a == b for a, b in zip(theirs, ours, strict=True)]) > 0.97


def test_a_session_is_scored_alike_alone_in_a_stream_and_in_another_order(exact, sessions, in_a_stream):
    assert [len(output.spans) for output in in_a_stream] == [len(transcript) for transcript in sessions]
    turned = list(exact.pipe(reversed(sessions[:5])))[::-1]
    for i, transcript in enumerate(sessions[:5]):
        stream = probabilities(exact, in_a_stream[i])
        for other in (probabilities(exact, exact(transcript)), probabilities(exact, turned[i])):
            np.testing.assert_allclose(other, stream, atol=1e-4)


def test_batches_give_what_windows_one_by_one_give(exact, sessions):
    tokenizer, recipe = exact._tokenizer, replace(exact.recipe, window=160, before=40, after=16, piece=80)
    one_by_one = predict(exact._encoder, sessions[:3], tokenizer, recipe)
    together = predict(exact._encoder, sessions[:3], tokenizer, recipe, tokens=BATCH)
    for (logits, evidence), (ours, tokens) in zip(one_by_one, together, strict=True):
        np.testing.assert_allclose(ours, logits, atol=1e-3)
        for turn, own in zip(evidence, tokens, strict=True):
            assert [(a, b) for a, b, _ in own] == [(a, b) for a, b, _ in turn]
            np.testing.assert_allclose([r for *_, r in own], [r for *_, r in turn], atol=1e-3)


def test_a_batch_holds_no_more_than_it_may():
    lengths = [int(n) for n in np.random.default_rng(5).integers(3, 448, 300)]
    batches = list(_batches(lengths, 4096))
    assert sorted(i for batch in batches for i in batch) == list(range(300))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 4096 for batch in batches)
    assert len(batches) < 1.2 * sum(lengths) / 4096  # as they come, it is 2.0


def test_an_endless_stream_is_read_so_far_ahead_and_no_further(exact):
    taken = 0

    def endless() -> Iterator[Transcript]:
        nonlocal taken
        for i in count():
            taken += 1
            yield short(i, *([] if i % 2 else [""]))  # some of hardly any tokens

    stream = exact.pipe(endless())
    assert taken == 0
    next(stream)
    most = -(-AHEAD // exact.recipe.window)
    assert 1 < taken <= most
    for _ in islice(stream, most - 1):
        pass
    assert taken <= most
    next(stream)
    assert most < taken <= 2 * most


def test_sessions_without_turns_keep_their_place(exact):
    nobody = Transcript("empty", ())
    outputs = list(exact.pipe([nobody, short(1), nobody, short(2, "", "…"), nobody]))
    assert [len(output.families) for output in outputs] == [0, 2, 0, 2, 0]
    assert list(exact.pipe([])) == []


def test_a_session_that_cannot_be_read_raises_and_costs_the_rest_nothing(exact):
    broken = Transcript("s1", (Turn(0, "C", "client", None),))  # type: ignore[arg-type]
    with pytest.raises((TypeError, AttributeError)):
        list(exact.pipe([short(0), broken, short(2)]))
    with pytest.raises((TypeError, AttributeError)):
        exact(broken)
    assert len(exact(short(2)).spans) == 2


def test_name_hash_and_thresholds_are_those_of_the_folder(shipped, exact):
    assert (exact.name, exact.sha256, exact.thresholds) == (shipped.name, shipped.sha256, shipped.thresholds)


def test_it_is_pickled_as_a_folder_and_a_device(exact):
    pickled = pickle.dumps(exact)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert (again.folder, again.device, again.bf16) == (MODEL, "cpu", False)
    assert np.array_equal(again(short(1)).families, exact(short(1)).families, equal_nan=True)


def test_a_folder_that_is_no_whole_model_is_named(tmp_path):
    for name in ("config.json", "model.onnx", "tokenizer.json"):
        shutil.copy(MODEL / name, tmp_path)
    (tmp_path / "model.onnx").write_bytes((MODEL / "model.onnx").read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"model\.onnx is not the file"):
        TorchClassifier.load(tmp_path, "cpu")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        TorchClassifier.load(tmp_path, "cpu")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta"])
def test_a_device_that_torch_cannot_use_is_named(device):
    with pytest.raises(ValueError, match=f"device '{device}': torch cannot use it here"):
        TorchClassifier.load(MODEL, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused():
    with pytest.raises(ValueError, match="device 'cuda': torch cannot use it here"):
        TorchClassifier.load(MODEL)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_markers_are_those_of_onnxruntime(shipped, as_shipped, sessions):
    model = TorchClassifier.load(MODEL)
    assert model._encoder.mix.weight.is_cuda
    ours = [probabilities(model, output) for output in model.pipe(sessions)]
    assert share_of_both(as_shipped, ours, shipped.thresholds) >= 0.98


def test_the_base_runs_in_the_precision_that_was_asked_for(exact, sessions):
    met = []
    handle = next(
        m for m in exact._encoder.base.encoder.layer[0].modules() if isinstance(m, torch.nn.Linear)
    ).register_forward_hook(lambda module, given, out: met.append(out.dtype))
    try:
        for bf16 in (False, True):
            ((logits, _),) = predict(exact._encoder, sessions[:1], exact._tokenizer, exact.recipe, bf16=bf16)
            assert logits.dtype == np.float32
    finally:
        handle.remove()
    assert set(met[: len(met) // 2]) == {torch.float32}
    assert set(met[len(met) // 2 :]) == {torch.bfloat16}


def test_the_weights_are_those_that_are_stored_rounded(exact):
    onnx = pytest.importorskip("onnx")
    from onnx import numpy_helper

    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(MODEL / "model.onnx")).graph.initializer}
    ours = exact._encoder.state_dict()
    packed = {name.rpartition(".")[0]: name for name in stored if name.endswith((".rows", ".columns"))}
    assert {"base.embeddings.word_embeddings.weight", "mix.weight"} <= packed.keys()
    for name, full in packed.items():
        assert stored[full].dtype == np.int8
        rows = stored[full] if full.endswith(".rows") else stored[full].T
        assert np.array_equal(ours[name].numpy(), rows.astype(np.float32) * stored[f"{name}.scale"].reshape(-1, 1))


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_the_train_extra_it_is_named(missing):
    code = f"import sys; sys.modules['{missing}'] = None; import rupturekit.encoder"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.search(rf'{missing}.*; pip install "rupturekit\[train\]"', done.stderr)


def test_a_folder_is_annotated_on_a_device_with_the_markers_of_the_processor(
    sessions: list[Transcript], tmp_path: Path
) -> None:
    import rupturekit as rk

    for session in sessions[:6]:
        turns = "\n\n".join(f"{t.role[0].upper()}: {t.text}" for t in session)
        (tmp_path / f"{session.id}.txt").write_text(turns, "utf-8")
    found = {}
    for device in (None, "cpu"):
        out = tmp_path / f"out-{device}"
        rk.annotate_folder(sorted(tmp_path.glob("*.txt")), out, rk.Annotator(MODEL, device=device))
        found[device] = {(a.transcript.id, m.turn, m.family) for a in rk.load(out) for m in a.markers}
    assert found[None]
    assert len(found[None] & found["cpu"]) / len(found[None] | found["cpu"]) >= 0.95
