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
    layers: int | None = None,
    frozen_layers: int = 0,
    fused: bool = False,
) -> Encoder:
    """Return the encoder before training: new heads on ``base``, or the weights of a model folder.

    Of ``base`` the lowest ``layers`` are taken, all if not given. Embeddings and the ``frozen_layers`` lowest are
    frozen: rare words would be fitted to the few sessions they stand in. ``fused`` takes the base's fused attention,
    if it has one.
    """
    # eager attention: at these lengths it is a half faster on a CPU than the fused kernel, backward included
    how: dict[str, Any] = {} if fused else {"attn_implementation": "eager"}
    if model_folder(base):
        if layers is not None:
            raise ValueError(f"{base}: a trained model keeps its layers; ask for fewer of an encoder")
        kept = json.loads((Path(base) / "config.json").read_text("utf-8"))["encoder"]
        config = AutoConfig.for_model(**kept)
        body = _without_pooler(lambda **more: AutoModel.from_config(config, **how, **more))
    else:
        # a pickle could run anything
        local = {"local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(base, **local)
        if layers is not None and layers > config.num_hidden_layers:
            raise ValueError(f"{base}: has {config.num_hidden_layers} layers, and {layers} are asked for")
        config.num_hidden_layers = layers or config.num_hidden_layers
        how |= local | {"config": config, "use_safetensors": True}
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
        weights = _weights(Path(base))
        if weights.keys() != model.state_dict().keys():
            raise ValueError(f"{base}: its weights are not stored as this version stores them; train it anew")
        model.load_state_dict(weights)
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


def trim(model: Encoder, tokenizer: Any, recipe: Recipe, texts: Iterable[str]) -> tuple[Any, Recipe]:
    """Take out of a trained encoder the word pieces that it has no use for; return its new tokenizer and recipe.

    Out go unused entries, and pieces in letters of another script than Latin that no text has: a tenth of BERT's
    vocabulary. A vocabulary of another kind than WordPiece stays as it is.

    Parameters
    ----------
    model : Encoder
        Loses the rows.
    tokenizer : tokenizers.Tokenizer
    recipe : Recipe
    texts : iterable of str
        What was trained on.
    """
    from tokenizers import Tokenizer

    told = json.loads(tokenizer.to_str())
    if told["model"]["type"] != "WordPiece":
        return tokenizer, recipe
    simpler = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
    met = {letter for text in texts for letter in simpler(text)}
    needed = {getattr(recipe, name) for name in TOKENS} | {token["id"] for token in told["added_tokens"]}
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda piece: piece[1])
    kept = [
        number
        for piece, number in pieces
        if number in needed
        or not (piece.startswith("[unused") or any(c.isalpha() and c > "\u024f" and c not in met for c in piece))
    ]
    new = {number: i for i, number in enumerate(kept)}
    own = told["model"]["vocab"]
    told["model"]["vocab"] = {piece: new[number] for piece, number in own.items() if number in new}
    for token in told["added_tokens"]:
        token["id"] = new[token["id"]]
    told["post_processor"] = None  # it would put in special tokens by their old numbers; windows have their own
    embeddings = model.base.get_input_embeddings()
    embeddings.weight = nn.Parameter(embeddings.weight.detach()[kept], requires_grad=False)
    embeddings.num_embeddings = model.base.config.vocab_size = len(kept)
    if embeddings.padding_idx is not None:
        embeddings.padding_idx = model.base.config.pad_token_id = new[embeddings.padding_idx]
    numbers = {name: new[getattr(recipe, name)] for name in TOKENS}
    return Tokenizer.from_str(json.dumps(told)), replace(recipe, **numbers)


def model_folder(base: str | Path) -> bool:
    """Tell a folder that `train` wrote from that of a plain encoder."""
    config = Path(base) / "config.json"
    return config.is_file() and "recipe" in json.loads(config.read_text("utf-8"))


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

    The weights are those that onnxruntime runs on the processor.

    Parameters
    ----------
    folder : Path
    device : str
        Such as ``"cuda"`` or ``"cuda:1"``; ``"cpu"`` works too.
    bf16 : bool
        Whether the encoder computes in bfloat16, and not in float32.

    Raises
    ------
    ValueError
        If torch has no such device here.
    """

    def __init__(self, folder: Path, device: str = "cuda", bf16: bool = True) -> None:
        super().__init__(folder)
        self.device, self.bf16 = device, bf16
        _check_device(device)
        encoder = new_encoder(folder, self._tokenizer, self.recipe, fused=True)
        self._encoder = encoder.to(device).eval()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder.absolute(), self.device, self.bf16)

    @classmethod
    def load(cls, path: str | Path | None = None, device: str = "cuda", bf16: bool = True) -> TorchClassifier:
        """Load a model folder; without a path, the one that comes with the package.

        Raises
        ------
        ValueError
            As for `Classifier.load`, or if torch has no such device here.
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


def export_onnx(model: Encoder, path: Path) -> None:
    """Write the model for onnxruntime: weights stored as int8 for each row, computed in float32.

    Activations stay float32, so a turn's score depends on nothing but its window, and the scores are those
    of the trained model but for the rounding of the weights (a quarter of the size). `new_encoder` reads the
    weights back.
    """
    import io
    import warnings

    import onnx

    buffer: Any = io.BytesIO()
    example = (
        torch.randint(model.base.get_input_embeddings().num_embeddings, (1, 12)),
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
            # folded, a weight would lose its name and lie on its side; onnxruntime folds when it loads
            do_constant_folding=False,
        )  # fmt: skip
    written = onnx.load_from_string(buffer.getvalue())
    _pack(written.graph)
    onnx.checker.check_model(written)
    onnx.save(written, str(path))


def _pack(graph: Any) -> None:
    """Store large weights as int8 with a scale for each row.

    Rows that are looked up are unpacked as they are; what is multiplied is stored as it is multiplied, and
    unpacked when onnxruntime loads it.
    """
    from onnx import TensorProto, helper, numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    uses: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            uses.setdefault(name, set()).add(node.op_type)
    large = {
        name: array
        for name, array in stored.items()
        if array.dtype == np.float32
        and array.ndim == 2
        and array.size >= 10_000
        and uses.get(name) in ({"Gather"}, {"Transpose"})
    }
    nodes = []
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if name not in large:
            nodes.append(node)
            continue
        array = large[name]
        scale = (np.maximum(np.abs(array).max(1), 1e-12) / 127).astype(np.float32)
        rows = np.clip(np.rint(array / scale[:, None]), -127, 127).astype(np.int8)
        out = node.output[0]
        if node.op_type == "Transpose":
            stored |= {f"{name}.columns": np.ascontiguousarray(rows.T), f"{name}.scale": scale}
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}.columns", f"{name}.scale"], [out], axis=1))
        else:
            stored |= {f"{name}.rows": rows, f"{name}.scale": scale[:, None]}
            for part in ("rows", "scale"):
                nodes.append(helper.make_node("Gather", [f"{name}.{part}", node.input[1]], [f"{out}.{part}"]))
            nodes.append(helper.make_node("Cast", [f"{out}.rows"], [f"{out}.cast"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{out}.cast", f"{out}.scale"], [out]))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in stored.items() if name not in large
    )


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights that `export_onnx` wrote, by the names that the network gives them."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(checked(folder, "model.onnx")).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    out = {}
    for full, array in stored.items():
        name, _, part = full.rpartition(".")
        if part in ("rows", "columns"):
            rows = array if part == "rows" else array.T
            out[name] = torch.tensor(rows.astype(np.float32) * stored[f"{name}.scale"].reshape(-1, 1))
        elif part != "scale":
            out[full] = torch.tensor(array)
    return out
