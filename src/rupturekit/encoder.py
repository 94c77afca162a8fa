"""The network that is trained: an encoder with heads, from any base, and how it is run and written for onnxruntime.

Needs the ``train`` extra. The shipped form of the same network is run by `rupturekit.classifier` without torch; here
`TorchClassifier` runs it on a GPU, the windows of many sessions at a time.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

# transformers and its hub client read these once, when they are imported
os.environ.update(
    dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"), "1")
)

try:
    import torch
    from safetensors.torch import load
    from torch import nn
    from torch.nn import functional as F
    from transformers import AutoConfig, AutoModel, AutoTokenizer
except ImportError as error:
    raise ImportError(f'{error}; pip install "rupturekit[train]"', name=error.name) from None

from .annotation import FAMILIES
from .classifier import (
    FEATURES,
    Classifier,
    Inputs,
    Logits,
    ModelOutput,
    Predicted,
    Recipe,
    Window,
    by_turn,
    checked,
    inputs_of,
    windows,
)
from .coding import MARKERS
from .transcript import Transcript

TOKENS = ("cls", "sep", "therapist", "client", "other")
"""The fields of a recipe that are an encoder's own."""


class Encoder(nn.Module):
    """The encoder with its heads: one row of logits for each piece, one for each token.

    ``turn_head`` gives the families, rupture and markers; ``token_head`` the families a token carries.
    """

    def __init__(self, base: Any, width: int, n_markers: int = len(MARKERS), features: bool = True) -> None:
        super().__init__()
        self.base = base
        self.features = features
        self.mix = nn.Linear(3 * width + len(FEATURES), width)
        self.turn_head = nn.Linear(width, len(FAMILIES) + 1 + n_markers)
        self.token_head = nn.Linear(width, len(FAMILIES))
        self.dropout = nn.Dropout(0.1)

    def forward(
        self, input_ids: torch.Tensor, owner: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score one batch of windows.

        Parameters
        ----------
        input_ids, owner : int tensor, shape (batch, tokens)
            Token ids (-1 = padding) and each token's piece (-1 = none).
        features : float tensor, shape (batch, pieces, len(FEATURES))

        Returns
        -------
        (batch, pieces, 5 + markers) and (batch, tokens, 4) logits
        """
        return self.heads(self.hidden(input_ids), owner, features)

    def hidden(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return what the base makes of each token, (batch, tokens, width)."""
        mask = (input_ids >= 0).long()
        out: torch.Tensor = self.base(input_ids=input_ids.clamp(min=0), attention_mask=mask).last_hidden_state
        return out

    def heads(
        self, hidden: torch.Tensor, owner: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score what the base has read: what `forward` does after it."""
        numbers = torch.arange(features.shape[1], device=owner.device)
        belongs = (owner.unsqueeze(1) == numbers.view(1, -1, 1)).to(hidden.dtype)
        mean = belongs @ hidden / belongs.sum(-1, keepdim=True).clamp(min=1)
        # the first token of a piece is its role token: where belonging begins
        opens = belongs * (nn.functional.pad(owner, (1, 0), value=-1)[:, :-1] != owner).unsqueeze(1).to(hidden.dtype)
        opening = opens @ hidden
        first = hidden[:, :1].expand(-1, mean.shape[1], -1)
        known = features if self.features else torch.zeros_like(features)
        mixed = F.gelu(self.mix(self.dropout(torch.cat([opening, mean, first, known], -1))))
        return self.turn_head(self.dropout(mixed)), self.token_head(hidden)


_LAYER = re.compile(r"\b(?:layers?|h|blocks?)\.(\d+)\.")


def new_encoder(
    base: str | Path,
    tokenizer: Any,
    recipe: Recipe,
    *,
    features: bool = True,
    frozen_layers: int = 0,
    fused: bool = False,
) -> Encoder:
    """Return the encoder before training: new heads on ``base``, or the weights of a model folder.

    Embeddings and the lowest layers are frozen: rare words would be fitted to the few sessions they stand in.
    ``fused`` takes the base's fused attention, if it has one.
    """
    # eager attention: at these lengths it is a half faster on a CPU than the fused kernel, backward included
    how: dict[str, Any] = {} if fused else {"attn_implementation": "eager"}
    if model_folder(base):
        kept = json.loads((Path(base) / "config.json").read_text("utf-8"))["encoder"]
        config = AutoConfig.for_model(**kept)
        body = _without_pooler(lambda **more: AutoModel.from_config(config, **how, **more))
    else:
        # a pickle could run anything
        how |= {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
        body = _without_pooler(lambda **more: AutoModel.from_pretrained(base, **how, **more))
    longest = getattr(body.config, "max_position_embeddings", recipe.window)
    if getattr(body, "embeddings", None) and getattr(body.embeddings, "padding_idx", None):
        longest -= body.embeddings.padding_idx + 1  # RoBERTa and its kin count positions from after the padding
    if recipe.window > longest:
        raise ValueError(f"{base}: reads at most {longest} tokens, and a window holds {recipe.window}")
    if tokenizer.get_vocab_size() > body.get_input_embeddings().num_embeddings:
        had = body.get_input_embeddings().num_embeddings
        body.resize_token_embeddings(tokenizer.get_vocab_size())
        # the new rows would all be the mean of the old ones, and frozen: roles must be told apart
        rows = body.get_input_embeddings().weight.data
        rows[had:] = rows[:had].mean(0) + rows[:had].std(0) * torch.randn(len(rows) - had, rows.shape[1])
    model = Encoder(body, body.config.hidden_size, features=features)
    if model_folder(base):
        weights = load(checked(Path(base), "model.safetensors"))
        model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    else:  # markers are rare: begin near their rate
        nn.init.constant_(model.turn_head.bias, -2.5)
        nn.init.constant_(model.token_head.bias, -2.5)
    for name, parameter in body.named_parameters():
        layer = _LAYER.search(name)
        if int(layer[1]) < frozen_layers if layer else "embed" in name:
            parameter.requires_grad = False
    return model


def _without_pooler(make: Any) -> Any:
    # only some architectures have a pooler, and only those take the argument
    try:
        return make(add_pooling_layer=False)
    except TypeError:
        return make()


def read_base(base: str | Path, recipe: Recipe) -> tuple[Any, Recipe]:
    """Return an encoder's tokenizer, and the recipe with the numbers of its special tokens.

    Each turn opens with a token of its role: BERT's vocabulary has unused entries for them; to others three
    tokens are added.

    Raises
    ------
    ValueError
        If the base is not on this machine, or its tokenizer has no token that opens and ends a text, or no fast form.
    """
    from tokenizers import Tokenizer

    if model_folder(base):
        tokenizer = Tokenizer.from_str(checked(Path(base), "tokenizer.json").decode("utf-8"))
        kept = json.loads((Path(base) / "config.json").read_text("utf-8"))["recipe"]
        return tokenizer, replace(recipe, **{name: kept[name] for name in TOKENS})
    if (Path(base) / "model.onnx").is_file():
        raise ValueError(
            f"{base}: a model folder without model.safetensors; the wheel leaves it out, the repository has it"
        )
    try:
        theirs = AutoTokenizer.from_pretrained(base, local_files_only=True)
    except OSError:
        raise ValueError(
            f"{base}: no encoder in a folder of that name, nor in this machine's Hugging Face cache. Nothing is "
            "fetched from a network: download it first, and give its folder"
        ) from None
    names = [f"[unused{i}]" for i in (1, 2, 3)]
    if not set(names) <= set(theirs.get_vocab()):
        names = ["[therapist]", "[client]", "[other]"]
        theirs.add_tokens(names, special_tokens=True)
    first = theirs.cls_token_id if theirs.cls_token_id is not None else theirs.bos_token_id
    last = theirs.sep_token_id if theirs.sep_token_id is not None else theirs.eos_token_id
    if first is None or last is None:
        raise ValueError(f"{base}: its tokenizer has no token that opens and none that ends a text; give an encoder")
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"{base}: its tokenizer has no fast form (tokenizer.json); give an encoder that has one")
        tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    numbers = [first, last, *map(theirs.convert_tokens_to_ids, names)]
    return tokenizer, replace(recipe, **dict(zip(TOKENS, numbers)))


def model_folder(base: str | Path) -> bool:
    """Tell a folder that `train` wrote from that of a plain encoder."""
    return (Path(base) / "model.onnx").is_file() and (Path(base) / "model.safetensors").is_file()


def name_of(base: str) -> str:
    """Return a base's name for the card."""
    # a folder's own name says little ("model"): a sentence encoder's read-me opens with the model's
    card = Path(base) / "README.md"
    titles = re.findall(r"^# (\S+)\s*$", card.read_text("utf-8"), re.MULTILINE) if card.is_file() else []
    return titles[0] if titles else Path(base).name if Path(base).exists() else base


# --- running it ------------------------------------------------------------------------------------------

BATCH = 16_384
"""Tokens of a batch on a GPU, padding counted."""
AHEAD = 8 * BATCH
"""Tokens of the sessions that are read ahead to be batched together; a session counts for a window at least."""


def predict(
    model: Encoder,
    transcripts: Iterable[Transcript],
    tokenizer: Any,
    recipe: Recipe,
    hidden: Mapping[bytes, np.ndarray] | None = None,
    *,
    tokens: int = 0,
    bf16: bool = False,
) -> Iterator[Predicted]:
    """Yield, for each session in order, turn logits (n_turns, 5 + markers) and each turn's token logits.

    Some sessions are read ahead (`AHEAD`), so there may be any number of them. What the reading of one raises is
    raised here, and those that were read with it are lost.

    Parameters
    ----------
    model : Encoder
    transcripts : iterable of Transcript
    tokenizer : tokenizers.Tokenizer
    recipe : Recipe
    hidden : mapping, optional
        What a frozen base made of each window, by the bytes of its token ids.
    tokens : int
        How many tokens a batch of windows may hold, padding counted; 0 runs every window by itself.
    bf16 : bool
        Whether the base computes in bfloat16; the heads compute in float32.
    """
    n_markers = model.turn_head.out_features - len(FAMILIES) - 1
    ahead: list[tuple[Transcript, list[Window]]] = []
    asked: list[Inputs] = []
    size = 0

    def answered() -> Iterator[Predicted]:
        said = iter(_run(model, asked, hidden, tokens, bf16))
        for transcript, read in ahead:
            yield by_turn(transcript, read, said, n_markers)

    for transcript in transcripts:
        read = list(windows(transcript, tokenizer, recipe))
        ahead.append((transcript, read))
        own = list(inputs_of(read, transcript))
        asked += own
        size += max(recipe.window, sum(len(inputs["input_ids"]) for inputs in own))
        if size >= AHEAD:
            yield from answered()
            ahead, asked, size = [], [], 0
    yield from answered()


@torch.inference_mode()
def _run(
    model: Encoder,
    asked: Sequence[Inputs],
    hidden: Mapping[bytes, np.ndarray] | None,
    tokens: int,
    bf16: bool,
) -> list[Logits]:
    """Run windows in batches; return their logits in the order of the windows."""
    device = next(model.parameters()).device
    batches = list(_batches([len(inputs["input_ids"]) for inputs in asked], tokens))
    said = []
    for batch in batches:
        ids, owner, features = (
            padded([asked[i][name] for i in batch], value).to(device)
            for name, value in (("input_ids", -1), ("owner", -1), ("features", 0))
        )
        if hidden:
            read = padded([hidden[asked[i]["input_ids"].tobytes()] for i in batch]).to(device)
        else:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                read = model.hidden(ids).float()
        said.append(model.heads(read, owner, features))
    # fetched when all are under way: a GPU reads on while the next batch is made
    out: dict[int, Logits] = {}
    for batch, (turn, token) in zip(batches, said):
        out.update(zip(batch, zip(turn.cpu().numpy(), token.cpu().numpy())))
    return [out[i] for i in range(len(asked))]


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Put windows of like length together, the longest first; none is left out for its length.

    Examples
    --------
    >>> list(_batches([3, 9, 4, 4, 20], 10))
    [[4], [1], [2, 3], [0]]
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def padded(arrays: Sequence[np.ndarray], value: float = 0) -> torch.Tensor:
    """Stack arrays that differ in length, with ``value`` behind the shorter ones."""
    out = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), value, arrays[0].dtype)
    for i, array in enumerate(arrays):
        out[i, : len(array)] = array
    return torch.from_numpy(out)


class TorchClassifier(Classifier):
    """A model folder run by torch, on a GPU: the windows of many sessions at a time, in bfloat16.

    Weights are rounded as they are stored for onnxruntime, so that it is the model that the processor runs.

    Parameters
    ----------
    folder : Path
        With ``model.safetensors`` besides what `Classifier` reads.
    device : str
        Such as ``"cuda"`` or ``"cuda:1"``; ``"cpu"`` works too.
    bf16 : bool
        Whether the encoder computes in bfloat16, and not in float32.

    Raises
    ------
    ValueError
        If the folder has no weights for torch, or torch has no such device here.
    """

    def __init__(self, folder: Path, device: str = "cuda", bf16: bool = True) -> None:
        super().__init__(folder)
        if not (folder / "model.safetensors").is_file():
            raise ValueError(
                f"{folder}: no model.safetensors, which torch runs; the wheel leaves it out. Give the repository's "
                "models/ folder of that name, or a folder that `rupturekit train` wrote"
            )
        self.device, self.bf16 = device, bf16
        _check_device(device)
        encoder = new_encoder(folder, self._tokenizer, self.recipe, fused=True)
        for weight in encoder.parameters():
            weight.data = _as_stored(weight.data)
        self._encoder = encoder.to(device).eval()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder.absolute(), self.device, self.bf16)

    @classmethod
    def load(cls, path: str | Path | None = None, device: str = "cuda", bf16: bool = True) -> TorchClassifier:
        """Load a model folder; without a path, the one that comes with the package.

        Raises
        ------
        ValueError
            As for `Classifier.load`; if there are no weights for torch; or if torch has no such device here.
        """
        return cls(Classifier.load(path).folder, device, bf16)

    def __call__(self, transcript: Transcript) -> ModelOutput:
        """Read one session and return what the encoder says of every turn."""
        return next(self.pipe([transcript]))

    def pipe(self, transcripts: Iterable[Transcript]) -> Iterator[ModelOutput]:
        """Read sessions, some at a time; yield what the encoder says of each, in their order.

        If one of them cannot be read, its error is raised, and those that were read with it are lost: read them
        one by one then.
        """
        ours, theirs = tee(transcripts)
        said = predict(self._encoder, theirs, self._tokenizer, self.recipe, tokens=BATCH, bf16=self.bf16)
        return (self.output(transcript, *one) for one, transcript in zip(said, ours))


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:
        why = str(error).split("\n")[0]
        raise ValueError(f"device {device!r}: torch cannot use it here ({why})") from None


def _as_stored(weight: torch.Tensor) -> torch.Tensor:
    """Round weights as `export_onnx` does."""
    if weight.ndim != 2 or weight.numel() < 10_000:
        return weight
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().clamp(-127, 127) * scale


def export_onnx(model: Encoder, path: Path) -> None:
    """Write the model for onnxruntime: weights stored as int8 for each row or column, computed in float32.

    Activations stay float32, so a turn's score depends on nothing but its window, and the scores are those
    of the trained model but for the rounding of the weights (a quarter of the size).
    """
    import io
    import warnings

    import onnx
    from onnx import TensorProto, helper, numpy_helper

    buffer: Any = io.BytesIO()
    example = (
        torch.randint(5, 100, (1, 12)),
        torch.tensor([[-1] + [0] * 4 + [-1] + [1] * 5 + [-1]]),
        torch.zeros(1, 2, len(FEATURES)),
    )
    axes = {"input_ids": {1: "tokens"}, "owner": {1: "tokens"}, "features": {1: "pieces"}}
    with warnings.catch_warnings():  # the exporter warns of its successor and of shapes that are dynamic here
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.cpu().eval(), example, buffer, opset_version=17, dynamo=False, input_names=list(axes),
            output_names=["turn_logits", "token_logits"],
            dynamic_axes={**axes, "turn_logits": {1: "pieces"}, "token_logits": {1: "tokens"}},
        )  # fmt: skip
    graph = onnx.load_from_string(buffer.getvalue())
    kept, packed = [], []
    for tensor in graph.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.ndim != 2 or array.size < 10_000:
            kept.append(tensor)
            continue
        axis = 0 if array.shape[0] > array.shape[1] and "embeddings" in tensor.name else 1
        scale = np.maximum(np.abs(array).max(1 - axis), 1e-12) / 127
        shaped = scale[:, None] if axis == 0 else scale[None]
        kept += [
            numpy_helper.from_array(np.clip(np.rint(array / shaped), -127, 127).astype(np.int8), tensor.name + ".int8"),
            numpy_helper.from_array(scale.astype(np.float32), tensor.name + ".scale"),
            helper.make_tensor(tensor.name + ".zero", TensorProto.INT8, scale.shape, [0] * len(scale)),
        ]
        names = [tensor.name + suffix for suffix in (".int8", ".scale", ".zero")]
        packed.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    for node in reversed(packed):
        graph.graph.node.insert(0, node)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))
