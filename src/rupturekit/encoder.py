"""The network that is trained: an encoder with heads, from any base, and how it is written for onnxruntime.

Needs the ``train`` extra. The shipped form of the same network is run by `rupturekit.classifier` without torch.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .annotation import FAMILIES
from .classifier import FEATURES, Recipe
from .coding import MARKERS

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
    base: str | Path, tokenizer: Any, recipe: Recipe, *, features: bool = True, frozen_layers: int = 0
) -> Encoder:
    """Return the encoder before training: new heads on ``base``, or the weights of a model folder.

    Embeddings and the lowest layers are frozen: rare words would be fitted to the few sessions they stand in.
    """
    from transformers import AutoConfig, AutoModel

    # eager attention: at these lengths it is a half faster on a CPU than the fused kernel, backward included
    how: dict[str, Any] = {"attn_implementation": "eager"}
    if model_folder(base):
        kept = json.loads((Path(base) / "config.json").read_text("utf-8"))["encoder"]
        config = AutoConfig.for_model(**kept)
        body = _without_pooler(lambda **more: AutoModel.from_config(config, **how, **more))
    else:
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
        from safetensors.torch import load_file

        weights = load_file(str(Path(base) / "model.safetensors"))
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
        If the tokenizer has no token that opens and ends a text, or no fast form.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    if model_folder(base):
        tokenizer = Tokenizer.from_file(str(Path(base) / "tokenizer.json"))
        kept = json.loads((Path(base) / "config.json").read_text("utf-8"))["recipe"]
        return tokenizer, replace(recipe, **{name: kept[name] for name in TOKENS})
    if (Path(base) / "model.onnx").is_file():
        raise ValueError(
            f"{base}: a model folder without model.safetensors; the wheel leaves it out, the repository has it"
        )
    theirs = AutoTokenizer.from_pretrained(base)
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
