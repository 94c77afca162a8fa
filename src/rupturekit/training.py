"""Train the classifier on coded sessions, measure it by client group, calibrate it, write it out.

Needs the ``train`` extra (torch, transformers, scikit-learn). Coded sessions are tables with label layers
beside them (``X.csv`` and ``X.labels.jsonl``, one line a turn with every rater's codes), and synthetic
sessions in this project's JSONL. Synthetic sessions are only ever trained on, never tested on.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import evaluation
from .annotation import FAMILIES, SCORES
from .classifier import FEATURES, Piece, Predicted, Recipe, Window, best_span, read_windows, turn_features, windows
from .codebook import load_codebook
from .evaluation import Judged
from .score import ROLE_OF, rule_scores
from .transcript import Transcript, Turn

MARKERS = tuple(m.id for m in load_codebook().markers)
_FAMILY_OF = [FAMILIES.index(m.parent) for m in load_codebook().markers]
_CODE = {m.code: i for i, m in enumerate(load_codebook().markers)}
LONG_TURN = 20
"""Words above which a span is more than the turn."""
CERTAINTY = {1: 0.75, 2: 0.95, 3: 1.0}
"""What one rater's code is worth as a soft target, by its clarity."""


@dataclass(frozen=True)
class Coded:
    """What the raters said of one turn, as soft targets in [0, 1].

    ``votes`` holds, for each family, the share of raters who gave it (unweighted: gold is >= 0.5).
    """

    families: np.ndarray
    markers: np.ndarray
    votes: np.ndarray
    marker_votes: np.ndarray
    spans: tuple[tuple[int, int, int, float], ...] = ()
    n_raters: int = 1


@dataclass(frozen=True)
class CodedSession:
    """A session, the codes of its turns (absent = nobody coded it), and the group it is kept with."""

    transcript: Transcript
    codes: Mapping[int, Coded]
    group: str
    corpus: str
    synthetic: bool = False


def code_turn(codes: Mapping[str, Mapping[str, Any]], n_raters: int, soft: bool = True) -> Coded:
    """Turn one line's codes into targets.

    Parameters
    ----------
    codes : mapping
        ``{code: {rater: {"clarity": 1..3, "spans": [[start, end], ...]}}}``.
    n_raters : int
        How many read the turn.
    soft : bool
        Weigh a rater's code by its clarity; otherwise targets are majority votes.
    """
    markers = np.zeros(len(MARKERS), np.float32)
    marker_votes = np.zeros(len(MARKERS), np.float32)
    by_family: list[dict[str, float]] = [{} for _ in FAMILIES]
    spans = []
    for code, raters in codes.items():
        m = _CODE[code]
        family = _FAMILY_OF[m]
        for rater, said in raters.items():
            worth = CERTAINTY[said.get("clarity", 2)] if soft else 1.0
            markers[m] += worth / n_raters
            marker_votes[m] += 1 / n_raters
            by_family[family][rater] = max(worth, by_family[family].get(rater, 0.0))
            spans += [(family, s, e, worth / n_raters) for s, e in said.get("spans", [])]
    families = np.array([sum(f.values()) / n_raters for f in by_family], np.float32)
    votes = np.array([len(f) / n_raters for f in by_family], np.float32)
    if not soft:
        families, markers = (votes >= 0.5).astype(np.float32), (marker_votes >= 0.5).astype(np.float32)
    return Coded(families, markers, votes, marker_votes, tuple(spans), n_raters)


def read_synthetic(path: str | Path, soft: bool = True) -> Iterator[CodedSession]:
    """Read synthetic sessions: ``{"id", "kind", "style", "pair", "turns": [[role, text, codes?], ...]}``.

    A turn's codes are ``[code, clarity, start, end]``, or with a second reading
    ``[code, clarity, start, end, share]`` where share is that of the readings that gave it.
    """
    role = {"T": "therapist", "C": "client"}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            turns, codes = [], {}
            for i, (who, text, *rest) in enumerate(item["turns"]):
                turns.append(Turn(i, who, role[who], text))  # type: ignore[arg-type]
                given: dict[str, dict[str, Any]] = {}
                for code, clarity, start, end, *share in rest[0] if rest else []:
                    raters = ("A", "B") if not share or share[0] > 0.5 else ("A",)
                    for rater in raters:
                        entry = given.setdefault(code, {}).setdefault(rater, {"clarity": clarity, "spans": []})
                        entry["spans"].append([start, end])
                codes[i] = code_turn(given, 2, soft)
            yield CodedSession(
                Transcript(item["id"], tuple(turns)), codes, item.get("pair") or item["id"], "synthetic", True
            )


class Encoder(nn.Module):
    """The encoder with its heads: one row of logits for each piece, one for each token.

    ``turn_head`` gives the families, rupture and markers; ``token_head`` the families a token carries.
    """

    def __init__(self, base: nn.Module, width: int, n_markers: int = len(MARKERS), features: bool = True) -> None:
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
            Token ids (0 = padding) and each token's piece (-1 = none).
        features : float tensor, shape (batch, pieces, len(FEATURES))

        Returns
        -------
        (batch, pieces, 5 + markers) and (batch, tokens, 4) logits
        """
        mask = (input_ids != 0).long()
        hidden = self.base(input_ids=input_ids, attention_mask=mask).last_hidden_state
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


@dataclass
class Example:
    """A window with its targets, ready to be batched."""

    ids: np.ndarray
    owner: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    weight: np.ndarray
    tokens: np.ndarray


def _examples(sessions: Sequence[CodedSession], tokenizer: Any, recipe: Recipe) -> list[Example]:
    out = []
    for session in sessions:
        table = turn_features(session.transcript)
        out += [_example(session, window, table) for window in windows(session.transcript, tokenizer, recipe)]
    return out


def _example(session: CodedSession, window: Window, table: np.ndarray) -> Example:
    n = len(window.pieces)
    arrays = window.arrays()
    targets = np.zeros((n, len(FAMILIES) + 1 + len(MARKERS)), np.float32)
    weight = np.zeros((n, targets.shape[1]), np.float32)
    tokens = np.full((len(arrays["input_ids"]), len(FAMILIES)), -1, np.float32)
    position = 1
    for i, piece in enumerate(window.pieces):
        coded = session.codes.get(piece.turn)
        scored = window.first <= i < window.last and coded is not None and piece.role in ("client", "therapist")
        if scored:
            assert coded is not None
            own = slice(0, 2) if piece.role == "client" else slice(2, 4)
            weight[i, own] = 1
            if piece.role == "client":
                weight[i, 4] = 1
            weight[i, 5:] = [float(own.start <= f < own.stop) for f in _FAMILY_OF]
            share = _share_of_piece(piece, coded)
            targets[i, :4] = coded.families * share
            targets[i, 4] = max(targets[i, 0], targets[i, 1])
            targets[i, 5:] = coded.markers * share[_FAMILY_OF]
            inside = np.zeros((len(piece.ids), len(FAMILIES)), np.float32)
            for family, start, end, worth in coded.spans:
                for t, (a, b) in enumerate(piece.offsets):
                    if a < end and b > start:
                        inside[t, family] += worth
            span_rows = tokens[position + 1 : position + 1 + len(piece.ids)]
            span_rows[:, own] = np.minimum(inside, 1)[:, own]
        position += len(piece.ids) + 2
    return Example(
        arrays["input_ids"],
        arrays["owner"],
        table[[p.turn for p in window.pieces]],
        targets,
        weight,
        tokens,
    )


def _share_of_piece(piece: Piece, coded: Coded) -> np.ndarray:
    # a long turn is cut: only the piece that holds the words carries the code
    share = np.ones(len(FAMILIES), np.float32)
    if piece.offsets and coded.spans:
        start, end = piece.offsets[0][0], piece.offsets[-1][1]
        for family in {s[0] for s in coded.spans}:
            if not any(s < end and e > start for f, s, e, _ in coded.spans if f == family):
                share[family] = 0
    return share


def _collate(batch: Sequence[Example]) -> tuple[torch.Tensor, ...]:
    length = max(len(e.ids) for e in batch)
    pieces = max(len(e.features) for e in batch)

    def pad(arrays: list[np.ndarray], rows: int, value: float) -> torch.Tensor:
        out = np.full((len(arrays), rows, *arrays[0].shape[1:]), value, arrays[0].dtype)
        for i, array in enumerate(arrays):
            out[i, : len(array)] = array
        return torch.from_numpy(out)

    return (
        pad([e.ids for e in batch], length, 0),
        pad([e.owner for e in batch], length, -1),
        pad([e.features for e in batch], pieces, 0),
        pad([e.targets for e in batch], pieces, 0),
        pad([e.weight for e in batch], pieces, 0),
        pad([e.tokens for e in batch], length, -1),
    )


@dataclass(frozen=True)
class Settings:
    """How to train. ``soft``, ``features`` and ``recipe`` are what the ablations change.

    With synthetic sessions there are two stages: the encoder first learns from them alone
    (``synthetic_epochs``), once for all folds, and then from the real ones, more gently.
    """

    epochs: int = 2
    lr: float = 5e-5
    head_lr: float = 5e-4
    synthetic_epochs: int = 3
    synthetic_lr: float = 1e-4
    synthetic_head_lr: float = 1e-3
    batch: int = 4
    seed: int = 13
    frozen_layers: int = 1
    soft: bool = True
    features: bool = True
    marker_weight: float = 0.5
    token_weight: float = 0.3
    recipe: Recipe = field(default_factory=Recipe)


def fit_synthetic(
    synthetic: Sequence[CodedSession], base: str | Path, tokenizer: Any, settings: Settings
) -> Encoder | None:
    """Run the first stage; None where there are no synthetic sessions."""
    if not synthetic:
        return None
    stage = replace(
        settings,
        epochs=settings.synthetic_epochs,
        lr=settings.synthetic_lr,
        head_lr=settings.synthetic_head_lr,
    )
    return fit(synthetic, base, tokenizer, stage)


def fit(
    sessions: Sequence[CodedSession],
    base: str | Path,
    tokenizer: Any,
    settings: Settings,
    *,
    start: Encoder | None = None,
) -> Encoder:
    """Fine-tune an encoder on coded sessions, from ``base`` or from where ``start`` stands.

    The same seed gives the same weights on the same machine.
    """
    from transformers import AutoModel

    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # eager attention: at these lengths it is a half faster on a CPU than the fused kernel, backward included
    encoder = AutoModel.from_pretrained(base, add_pooling_layer=False, attn_implementation="eager")
    model = Encoder(encoder, encoder.config.hidden_size, features=settings.features).to(device)
    # rare words would be fitted to the few sessions they stand in; the lowest layers carry over as they are
    for part in (encoder.embeddings, *encoder.encoder.layer[: settings.frozen_layers]):
        for parameter in part.parameters():
            parameter.requires_grad = False
    if start is not None:
        model.load_state_dict(start.state_dict())
    else:  # markers are rare: begin near their rate
        nn.init.constant_(model.turn_head.bias, -2.5)
        nn.init.constant_(model.token_head.bias, -2.5)
    examples = _examples(sessions, tokenizer, settings.recipe)
    heads = [p for n, p in model.named_parameters() if not n.startswith("base.")]
    body = [p for n, p in model.named_parameters() if n.startswith("base.") and p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": body, "lr": settings.lr}, {"params": heads, "lr": settings.head_lr}], weight_decay=0.01
    )
    steps = settings.epochs * math.ceil(len(examples) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / (0.1 * steps), max(0.0, (steps - s) / (0.9 * steps)))
    )
    column = torch.ones(len(FAMILIES) + 1 + len(MARKERS), device=device)
    column[len(FAMILIES) + 1 :] = settings.marker_weight
    model.train()
    for epoch in range(settings.epochs):
        order = list(range(len(examples)))
        rng.shuffle(order)
        # windows of like length together, so that little is spent on padding; the batches in random order
        chunks = [
            sorted(order[i : i + 16 * settings.batch], key=lambda j: len(examples[j].ids))
            for i in range(0, len(order), 16 * settings.batch)
        ]
        batches = [c[i : i + settings.batch] for c in chunks for i in range(0, len(c), settings.batch)]
        rng.shuffle(batches)
        total = 0.0
        for batch in batches:
            ids, owner, features, targets, weight, tokens = (
                t.to(device) for t in _collate([examples[j] for j in batch])
            )
            with torch.autocast(device, torch.bfloat16):
                logits, token_logits = model(ids, owner, features)
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none") * weight * column
            loss = loss.sum() / (weight[..., :2].sum() + weight[..., 2:4].sum()).clamp(min=1) * 2
            known = tokens >= 0
            if known.any():  # a batch may hold nothing but turns that nobody coded
                loss_tokens = F.binary_cross_entropy_with_logits(token_logits.float()[known], tokens[known])
                loss = loss + settings.token_weight * loss_tokens
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"  epoch {epoch + 1}/{settings.epochs}: loss {total / len(batches):.4f}", flush=True)
    return model.eval()


@torch.no_grad()
def predict(model: Encoder, sessions: Sequence[CodedSession], tokenizer: Any, recipe: Recipe) -> list[Predicted]:
    """Return, for each session, turn logits (n_turns, 5 + markers) and each turn's token logits."""
    device = next(model.parameters()).device

    def run(inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        turn, token = model(*(torch.from_numpy(inputs[n]).to(device) for n in ("input_ids", "owner", "features")))
        return turn.float().cpu().numpy(), token.float().cpu().numpy()

    return [read_windows(s.transcript, tokenizer, recipe, len(MARKERS), run) for s in sessions]


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


def read_coded(table: str | Path, soft: bool = True) -> list[CodedSession]:
    """Read a table of sessions with the label layer beside it (``X.csv`` and ``X.labels.jsonl``).

    The table's ``group`` column names the sessions that stay together in every fold (a client's, or the
    twins of one scenario); without it, ``client_id``, else the session itself. A label line is
    ``{"session", "turn", "raters", "codes"}``, with ``turn`` the table's own number. A line with no raters
    says that nobody coded the turn.

    Raises
    ------
    ValueError
        If there is no label layer or a line of it is not a label.
    """
    import csv

    from .pipeline import read_all

    table = Path(table)
    layer = table.with_suffix("").with_suffix(".labels.jsonl")
    if not layer.is_file():
        raise ValueError(f"{table}: no label layer {layer.name} beside it")
    labels: dict[tuple[str, str], Coded] = {}
    for number, line in enumerate(layer.read_text("utf-8").splitlines(), 1):
        try:
            raw = json.loads(line)
            if raw["raters"]:
                coded = code_turn(raw["codes"], len(raw["raters"]), soft)
                labels[str(raw["session"]), str(raw["turn"])] = coded
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{layer}:{number}: not a label line ({type(error).__name__})") from None
    groups: dict[str, str] = {}
    with open(table, newline="", encoding="utf-8-sig") as rows:
        for row in csv.DictReader(rows):
            groups.setdefault(row["session_id"], row.get("group") or row.get("client_id") or row["session_id"])
    sessions = []
    for transcript in read_all(table):
        codes = {
            turn.index: labels[transcript.id, number]
            for turn in transcript
            for number in turn.source_ids
            if (transcript.id, number) in labels
        }
        sessions.append(CodedSession(transcript, codes, groups[transcript.id], table.stem))
    return sessions


def folds(sessions: Sequence[CodedSession], k: int) -> list[int]:
    """Return each session's fold: groups whole, corpora and families spread evenly, no chance in it."""
    corpora = sorted({s.corpus for s in sessions})
    load: dict[str, np.ndarray] = {}
    for s in sessions:
        v = load.setdefault(s.group, np.zeros(len(corpora) + len(FAMILIES)))
        v[corpora.index(s.corpus)] += len(s.codes) / 1000
        v[len(corpora) :] += sum(((c.votes >= 0.5) for c in s.codes.values()), np.zeros(len(FAMILIES))) / 40
    total = [np.zeros(len(corpora) + len(FAMILIES)) for _ in range(k)]
    place: dict[str, int] = {}
    for group in sorted(load, key=lambda g: (-load[g].sum(), g)):
        cost = [float(((t + load[group]) ** 2).sum() - (t**2).sum()) for t in total]
        place[group] = cost.index(min(cost))
        total[place[group]] += load[group]
    return [place[s.group] for s in sessions]


def cross_validate(
    sessions: Sequence[CodedSession],
    base: str | Path,
    tokenizer: Any,
    settings: Settings,
    fold: Sequence[int],
    start: Encoder | None = None,
) -> list[Predicted]:
    """Return what models that never saw a session's group say of it.

    ``start`` is where every fold begins: the encoder after the synthetic stage.
    """
    out: dict[int, Predicted] = {}
    for k in sorted(set(fold)):
        print(f"fold {k + 1} of {len(set(fold))}", flush=True)
        model = fit([s for s, f in zip(sessions, fold) if f != k], base, tokenizer, settings, start=start)
        test = [i for i, f in enumerate(fold) if f == k]
        out.update(zip(test, predict(model, [sessions[i] for i in test], tokenizer, settings.recipe)))
    return [out[i] for i in range(len(sessions))]


@dataclass(frozen=True)
class Rows:
    """The coded turns of one score, aligned: where they are, and what model, rules and raters say."""

    session: np.ndarray
    turn: np.ndarray
    logit: np.ndarray
    rule: np.ndarray
    gold: np.ndarray
    agreed: np.ndarray
    group: np.ndarray
    corpus: np.ndarray
    fold: np.ndarray
    n_raters: np.ndarray


def _rows(
    sessions: Sequence[CodedSession], predicted: Sequence[Predicted], rules: Sequence[np.ndarray],
    fold: Sequence[int], name: str,
) -> Rows:  # fmt: skip
    families = [FAMILIES.index(f) for f in (("confrontation", "withdrawal") if name == "rupture" else (name,))]
    column = len(FAMILIES) if name == "rupture" else families[0]
    rows: list[tuple[Any, ...]] = []
    for i, session in enumerate(sessions):
        for t, coded in session.codes.items():
            if session.transcript[t].role == ROLE_OF[name]:
                votes = coded.votes[families]
                rows.append(
                    (i, t, predicted[i][0][t, column], rules[i][t, families].max(), votes.max() >= 0.5,
                     votes.max() in (0, 1), session.group, session.corpus, fold[i], coded.n_raters)
                )  # fmt: skip
    return Rows(*(np.array(c) for c in zip(*rows)))


def _calibration(rows: Rows, use: np.ndarray) -> tuple[float, float, float]:
    # Platt (1999) with the rule's weight as a second input: slope, weight of the rule, bias
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10, max_iter=1000)
    if len(set(rows.gold[use])) < 2:  # nothing to calibrate on: the network's own odds
        return 1.0, 0.0, 0.0
    inputs = np.column_stack([rows.logit, rows.rule])[use]
    model.fit(inputs, rows.gold[use])
    slope, rule = model.coef_[0]
    if rule < 0:  # too few hits to tell: a rule never speaks against its own family
        model.fit(inputs[:, :1], rows.gold[use])
        slope, rule = float(model.coef_[0, 0]), 0.0
    return round(float(slope), 4), round(float(rule), 4), round(float(model.intercept_[0]), 4)


def _probability(rows: Rows, calibration: tuple[float, float, float]) -> np.ndarray:
    slope, rule, bias = calibration
    return 1 / (1 + np.exp(-(slope * rows.logit + rule * rows.rule + bias)))


def calibrate(
    sessions: Sequence[CodedSession], predicted: Sequence[Predicted], rules: Sequence[np.ndarray],
    fold: Sequence[int], unseen: np.ndarray,
) -> tuple[dict[str, Any], dict[str, tuple[Rows, Judged]]]:  # fmt: skip
    """Fit calibration and thresholds on out-of-fold logits.

    Parameters
    ----------
    unseen : ndarray of bool, shape (n_sessions,)
        Sessions that the rules were not written from: only there are the rules' weights fair, so only they
        calibrate. Sessions that a single rater coded do not calibrate either.

    Returns
    -------
    config : dict
        ``calibration`` and ``thresholds``, as the model folder keeps them.
    judged : dict
        For each score, its rows, and decisions and probabilities in which every fold is calibrated and cut
        by the others: what the figures are computed from.
    """
    config: dict[str, Any] = {"calibration": {}, "thresholds": {}}
    judged = {}
    for name in SCORES:
        rows = _rows(sessions, predicted, rules, fold, name)
        fair = unseen[rows.session] & (rows.n_raters > 1)
        calibration = _calibration(rows, fair)
        config["calibration"][name] = calibration
        whole = rows.n_raters > 1
        config["thresholds"][name] = round(
            evaluation.best_threshold(rows.gold[whole], _probability(rows, calibration)[whole]), 4
        )
        probability, marked = np.zeros(len(rows.gold)), np.zeros(len(rows.gold), bool)
        for k in np.unique(rows.fold):
            here = rows.fold == k
            p = _probability(rows, _calibration(rows, fair & ~here))
            probability[here] = p[here]
            other = whole & ~here
            marked[here] = p[here] >= evaluation.best_threshold(rows.gold[other], p[other])
        judged[name] = rows, Judged(rows.gold, probability, marked, rows.group)
    # rupture is present when either family is: its own cut-off decides nothing
    c, w, r = (judged[name] for name in ("confrontation", "withdrawal", "rupture"))
    either = np.maximum(r[1].probability, np.maximum(c[1].probability, w[1].probability))
    judged["rupture"] = r[0], Judged(r[1].gold, either, c[1].marked | w[1].marked, r[1].group)
    del config["thresholds"]["rupture"]
    return config, judged


def calibrate_markers(
    sessions: Sequence[CodedSession],
    predicted: Sequence[Predicted],
    judged: Mapping[str, tuple[Rows, Judged]],
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Choose the markers' and spans' cut-offs out of fold, on turns whose gold has the family.

    Returns
    -------
    thresholds : dict
        For each marker the probability from which it is written beside the likeliest (one for all).
    spans : dict
        For each family, how far below the turn's highest token a span may go; chosen on longer turns, where
        it matters.
    figures : dict
        Micro-F1 over marker and turn given the family, likeliest marker right, and token F1 of the spans
        beside that of the whole turn.
    """
    gold_rows, share_rows, spans = [], [], {f: [] for f in FAMILIES}  # type: ignore[var-annotated]
    family_p = {
        (family, int(i), int(t)): float(p)
        for family in FAMILIES
        for i, t, p in zip(judged[family][0].session, judged[family][0].turn, judged[family][1].probability)
    }
    for i, (session, (logits, evidence)) in enumerate(zip(sessions, predicted)):
        for t, coded in session.codes.items():
            for f, family in enumerate(FAMILIES):
                if coded.votes[f] < 0.5 or session.transcript[t].role != ROLE_OF[family]:
                    continue
                columns = [m for m, owner in enumerate(_FAMILY_OF) if owner == f]
                given = 1 / (1 + np.exp(-logits[t, len(FAMILIES) + 1 :][columns]))
                share = np.zeros(len(MARKERS))
                share[columns] = given / max(1 - np.prod(1 - given), 1e-9) * family_p[family, i, t]
                gold = np.zeros(len(MARKERS), bool)
                gold[columns] = coded.marker_votes[columns] >= 0.5
                if len(columns) > 1:
                    gold_rows.append(gold)
                    share_rows.append(share)
                told = [(s, e) for ff, s, e, _ in coded.spans if ff == f]
                if told:
                    spans[family].append((session.transcript[t].text, evidence[t], told))
    gold, share = np.array(gold_rows), np.array(share_rows)
    right = gold[np.arange(len(gold)), share.argmax(1)].mean()

    def micro(cut: float) -> float:
        marked = (share >= cut) | (share == share.max(1, keepdims=True))
        return float(2 * (marked & gold).sum() / (marked.sum() + gold.sum()))

    cut = max(np.arange(0.1, 0.96, 0.05), key=micro)
    figures = {"likeliest marker right": float(right), "marker micro-F1": micro(cut)}
    span_cuts: dict[str, float] = {}
    for f, family in enumerate(FAMILIES):
        long = [row for row in spans[family] if len(row[0].split()) > LONG_TURN]
        found = {d: [_span_f1(row, f, d) for row in long] for d in (1.5, 2.0, 2.5, 3.0, 4.0)}
        span_cuts[family] = max(found, key=lambda d: float(np.mean(found[d] or [0])))
        for kind, rows in (("", spans[family]), (f" of more than {LONG_TURN} words", long)):
            figures[f"span token F1, {family}{kind}"] = float(
                np.mean([_span_f1(row, f, span_cuts[family]) for row in rows] or [0])
            )
            figures[f"whole turn instead, {family}{kind}"] = float(
                np.mean([_overlap(text, [(0, len(text))], told) for text, _, told in rows] or [0])
            )
    return dict.fromkeys(MARKERS, round(float(cut), 2)), span_cuts, figures


def _span_f1(row: tuple[str, Any, Any], family: int, drop: float) -> float:
    text, evidence, told = row
    return _overlap(text, [best_span(text, [(a, b, float(r[family])) for a, b, r in evidence], drop)], told)


def _overlap(text: str, found: Sequence[tuple[int, int]], told: Sequence[tuple[int, int]]) -> float:
    # token F1 of two sets of spans over the words of a turn
    words = [m.span() for m in re.finditer(r"\w+", text)]
    a = {w for w in words if any(w[0] < e and w[1] > s for s, e in found)}
    b = {w for w in words if any(w[0] < e and w[1] > s for s, e in told)}
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0


def figures_table(
    sessions: Sequence[CodedSession], judged: Mapping[str, tuple[Rows, Judged]], draws: int
) -> list[dict[str, Any]]:
    """Return one row for each score, corpus and recipe, each figure with its 95 % interval by group.

    The rows of ``rupturekit`` stand beside those of the rules alone and of the baselines, all on the same
    turns and folds.
    """
    table = []
    for name in ("withdrawal", "confrontation", "rupture", "resolution", "therapist_defensive"):
        rows, ours = judged[name]
        if not rows.gold.any():
            continue
        texts = [sessions[i].transcript[t].text for i, t in zip(rows.session, rows.turn)]
        before = [sessions[i].transcript[t - 1].text if t else "" for i, t in zip(rows.session, rows.turn)]
        recipes = {
            "rupturekit": ours,
            "rules alone": Judged(rows.gold, rows.rule, rows.rule > 0, rows.group),
            **evaluation.baselines(texts, before, rows.gold, rows.group, rows.fold),
        }
        two = rows.n_raters > 1
        parts = {"all, two raters or more": two, "where all raters agree": two & rows.agreed}
        parts |= {corpus: rows.corpus == corpus for corpus in sorted(set(rows.corpus))}
        for part, where in parts.items():
            for recipe, j in recipes.items():
                if recipe != "rupturekit" and part != "all, two raters or more":
                    continue
                row: dict[str, Any] = {
                    "score": name, "turns": part, "recipe": recipe, "n": int(where.sum()),
                    "gold": int(j.gold[where].sum()),
                }  # fmt: skip
                for metric, function in evaluation.METRICS.items():
                    if recipe == "rupturekit" or metric in ("AP", "F1", "precision", "recall"):
                        row[metric] = evaluation.interval(j[where], function, draws)
                table.append(row)
    return table


def false_alarms(sessions: Sequence[CodedSession], judged: Mapping[str, tuple[Rows, Judged]]) -> tuple[int, int, float]:
    """Return client turns marked, client turns, and the rate per 100, in sessions with no coded rupture."""
    rows, j = judged["rupture"]
    clean = {i for i, s in enumerate(sessions) if s.codes and not any(c.votes[:2].any() for c in s.codes.values())}
    here = np.isin(rows.session, list(clean))
    marked, n = int(j.marked[here].sum()), int(here.sum())
    return marked, n, 100 * marked / max(n, 1)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.2f} ({value[1]:.2f}–{value[2]:.2f})"
    return "" if value is None else str(value)


def model_card(config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Write the card from what the training run knows."""
    counts = "\n".join(
        f"| {c['corpus']} | {c['sessions']} | {c['groups']} | {c['client_turns']} | {c['therapist_turns']} | "
        + " | ".join(str(c[f]) for f in FAMILIES) + " |"
        for c in facts["data"]
    )  # fmt: skip
    names = ("score", "turns", "recipe", "n", "gold", *evaluation.METRICS)
    table = "\n".join("| " + " | ".join(_shown(row.get(k)) for k in names) + " |" for row in facts["figures"])
    extra = "\n".join(f"| {k} | {v:.2f} |" for k, v in facts["markers"].items())
    thresholds = "\n".join(f"| {f} | {config['thresholds'][f]} | {config['calibration'][f]} |" for f in FAMILIES)
    marked, n, rate = facts["false_alarms"]
    return f"""# {config["name"]} {config["version"]}

Written by the training run from its own facts.

A sentence encoder ({config["base"]}, Apache-2.0) fine-tuned to mark alliance ruptures (withdrawal and confrontation,
with their markers), resolution strategies and therapist defensiveness in English session transcripts, turn by turn.
It reads a session in windows of {config["recipe"]["window"]} tokens: {config["recipe"]["before"]} of what came before,
{config["recipe"]["after"]} of what follows. Codebook: {config["codebook"]}.

## Intended use
A hint for a human coder who reads the turn. Never a diagnosis, never a judgement of a client or a therapist, never
the only reader. "No marker found" is not "no rupture": see recall below.

## Data
| corpus | sessions | groups | client turns | therapist turns | {" | ".join(FAMILIES)} |
|---|---|---|---|---|---|---|---|---|
{counts}

The last four columns count turns to which at least half of the raters gave the family. The codes are
**model-assisted**: the raters are independent readings by language models under the guidelines, not clinicians, so
every figure here is consistency with such raters and not accuracy against expert coders. AnnoMI (Wu et al. 2022,
doi 10.1109/ICASSP43922.2022.9746035) is demonstrations of motivational interviewing with role-played clients; HLQC
(Pérez-Rosas et al. 2019) is automatic captions of counselling videos, good and bad, hardly punctuated. Both are
published for research without a licence file; their text is not part of this repository. {facts["synthetic"]}

## Figures
Grouped cross-validation, {facts["folds"]} folds over {facts["groups"]} groups; every figure is of turns whose group
the model never saw, calibrated and cut on the other folds; 95 % intervals resample groups. Rule weights are fair only
on the half of the groups that the rules were not written from; calibration uses that half alone, the figures use both.
Baselines are fitted and cut on the same folds.

| {" | ".join(names)} |
|{"---|" * len(names)}
{table}

In sessions where no rater coded a rupture, {marked} of {n} client turns were marked: {rate:.1f} per 100.

Given a turn of the right family (out of fold):

| figure | value |
|---|---|
{extra}

## Thresholds
| family | threshold | calibration: slope on the logit, weight of the rule, bias |
|---|---|---|
{thresholds}

## Limits
* Flattened affect, abstract communication, content/affect split, self-criticism, and the strategies R5 to R8 have
  fewer than a dozen real turns or two each in the data: not measurable here.
* Trained on demonstrations and on captions of videos, in English; real, longer therapies differ.
* Short answers of second-language speakers and of people who speak little can look like minimal responses.
* Captions with swapped or merged speakers mislead it; the flags of a transcript say when to distrust it.

## Reproduce
`{facts["command"]}` (seed {facts["seed"]}; {facts["minutes"]:.0f} minutes on {facts["machine"]}).

| file | SHA-256 |
|---|---|
{chr(10).join(f"| {name} | `{digest}` |" for name, digest in facts["hashes"].items())}
"""


def _data_facts(sessions: Sequence[CodedSession]) -> list[dict[str, Any]]:
    out = []
    for corpus in sorted({s.corpus for s in sessions}):
        own = [s for s in sessions if s.corpus == corpus]
        coded = [(s.transcript[t].role, c) for s in own for t, c in s.codes.items()]
        row: dict[str, Any] = {"corpus": corpus, "sessions": len(own), "groups": len({s.group for s in own})}
        for role in ("client", "therapist"):
            row[f"{role}_turns"] = sum(r == role for r, _ in coded)
        for f, family in enumerate(FAMILIES):
            row[family] = sum(bool(c.votes[f] >= 0.5) for _, c in coded)
        out.append(row)
    return out


def train(
    tables: Sequence[str | Path],
    base: str,
    out: str | Path,
    *,
    synthetic: Sequence[str | Path] = (),
    rule_groups: str | Path | None = None,
    n_folds: int = 3,
    name: str = "withdrawal-en",
    settings: Settings | None = None,
    draws: int = 500,
    command: str = "rupturekit train",
) -> dict[str, Any]:
    """Cross-validate, calibrate, train on everything, and write a model folder with its card.

    Parameters
    ----------
    tables : sequence of path-like
        Coded sessions, as for `read_coded`.
    base : str
        A sentence encoder: a folder, or a hub name where there is a network.
    out : path-like
        Folder to write: ``model.onnx``, ``tokenizer.json``, ``config.json``, ``README.md`` (the card).
    synthetic : sequence of path-like
        Synthetic sessions, for training only.
    rule_groups : path-like, optional
        List of the groups that the rules were written from; they do not calibrate.
    draws : int
        Resamples for each interval.

    Returns
    -------
    dict
        The facts that the card states.
    """
    import time

    started = time.time()
    settings = settings or Settings()
    sessions = [s for table in tables for s in read_coded(table, settings.soft)]
    written = [s for path in synthetic for s in read_synthetic(path, settings.soft)]
    tokenizer = _tokenizer(base)
    fold = folds(sessions, n_folds)
    start = fit_synthetic(written, base, tokenizer, settings)
    predicted = cross_validate(sessions, base, tokenizer, settings, fold, start)
    print("training on all sessions", flush=True)
    model = fit(sessions, base, tokenizer, settings, start=start)
    return write_model(
        Path(out),
        model,
        tokenizer,
        sessions,
        predicted,
        fold,
        settings,
        base=base,
        synthetic=written,
        rule_groups=rule_groups,
        name=name,
        draws=draws,
        command=command,
        minutes=(time.time() - started) / 60,
    )


def _name_of(base: str) -> str:
    # a folder's own name says little ("model"): a sentence encoder's read-me opens with the model's
    card = Path(base) / "README.md"
    titles = re.findall(r"^# (\S+)\s*$", card.read_text("utf-8"), re.MULTILINE) if card.is_file() else []
    return titles[0] if titles else Path(base).name if Path(base).exists() else base


def _tokenizer(base: str) -> Any:
    import tempfile

    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
        tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def write_model(
    out: Path,
    model: Encoder,
    tokenizer: Any,
    sessions: Sequence[CodedSession],
    predicted: Sequence[Predicted],
    fold: Sequence[int],
    settings: Settings,
    *,
    base: str,
    synthetic: Sequence[CodedSession],
    rule_groups: str | Path | None,
    name: str,
    draws: int,
    command: str,
    minutes: float,
) -> dict[str, Any]:
    """Calibrate on the out-of-fold predictions, and write weights, tokenizer, configuration and card.

    Returns
    -------
    dict
        The facts that the card states.
    """
    import hashlib
    import platform

    from .rules import RuleDetector, answering

    out.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    if rule_groups:
        lines = Path(rule_groups).read_text("utf-8").splitlines()
        seen = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    unseen = np.array([s.group not in seen for s in sessions])
    detector = RuleDetector()
    rules = [rule_scores(s.transcript, answering(detector.scan(s.transcript))) for s in sessions]
    fitted, judged = calibrate(sessions, predicted, rules, fold, unseen)
    markers, spans, marker_figures = calibrate_markers(sessions, predicted, judged)
    export_onnx(model, out / "model.onnx")
    tokenizer.save(str(out / "tokenizer.json"))
    book = load_codebook()
    config = {
        "name": name, "version": "1", "base": _name_of(base), "language": "en",
        "codebook": book.name, "codebook_version": book.version, "families": FAMILIES, "markers": MARKERS,
        "features": FEATURES, "recipe": {f: getattr(settings.recipe, f) for f in Recipe.__slots__},
        "calibration": fitted["calibration"], "thresholds": {**markers, **fitted["thresholds"]},
        "span_drops": spans,
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    n_synthetic = sum(len(s.transcript) for s in synthetic)
    facts = {
        "data": _data_facts(sessions),
        "figures": figures_table(sessions, judged, draws),
        "false_alarms": false_alarms(sessions, judged),
        "markers": marker_figures,
        "folds": len(set(fold)), "groups": len({s.group for s in sessions}), "seed": settings.seed,
        "command": command, "minutes": minutes, "machine": f"{platform.machine()}, torch {torch.__version__}",
        "synthetic": f"{len(synthetic)} synthetic sessions and exchanges ({n_synthetic} turns) were trained on first, "
        "and never tested on." if synthetic else "No synthetic data was used.",
        "hashes": {
            file: hashlib.sha256((out / file).read_bytes()).hexdigest()
            for file in ("model.onnx", "tokenizer.json", "config.json")
        },
    }  # fmt: skip
    (out / "README.md").write_text(model_card(config, facts), "utf-8")
    return facts
