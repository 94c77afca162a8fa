"""Train the classifier on coded sessions, measure it by client group, calibrate it, write it out.

Needs the ``train`` extra (torch, transformers, scikit-learn). Synthetic sessions are only ever trained on,
never tested on. What the card states is measured by `rupturekit.evaluation` on the annotations that the whole
pipeline makes of held-out sessions.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .annotation import FAMILIES, SCORES, AnnotatedTranscript
from .calibration import annotate_held_out, calibrate, configuration, hold, measure
from .card import write_card
from .classifier import Classifier, Piece, Predicted, Recipe, Window, turn_features, windows
from .coding import FAMILY_OF, MARKERS, Votes, group_of, merged, read_coded, read_synthetic, votes
from .encoder import Encoder, export_onnx, name_of, new_encoder, padded, predict, read_base, trim
from .folders import check_folder, whole_folder, write_whole
from .transcript import Transcript

CERTAINTY = {1: 0.75, 2: 0.95, 3: 1.0}
"""What one rater's code is worth as a soft target, by its clarity."""
CARRIES = 30.0
"""What a word of a turn that carries a family weighs in the tokens' loss, against one of a turn that does not."""


@dataclass(frozen=True)
class Targets:
    """What a turn is to be taught as: soft targets in [0, 1] from its raters' votes and their clarity.

    ``read`` tells for which families somebody read the turn: of the others nothing is learned. ``spans`` holds
    (family, start, end, worth).
    """

    families: np.ndarray
    markers: np.ndarray
    read: np.ndarray
    spans: tuple[tuple[int, int, int, float], ...] = ()


@dataclass(frozen=True)
class Lesson:
    """A session and the targets of its turns; a turn that nobody coded has none."""

    transcript: Transcript
    targets: Mapping[int, Targets]


def targets_of(votes: Votes, soft: bool = True) -> Targets:
    """Turn one turn's votes into targets.

    Parameters
    ----------
    votes : Votes
    soft : bool
        Weigh a rater's code by its clarity; otherwise targets are majority votes.
    """
    readers = {name: votes.raters_of(name) for name in FAMILIES}
    markers = np.zeros(len(MARKERS), np.float32)
    families = np.zeros(len(FAMILIES), np.float32)
    spans = []
    for rater, said in votes.given.items():
        of_marker: dict[int, float] = {}
        of_family: dict[int, float] = {}
        for m in said:
            if rater not in readers[m.family]:
                continue  # a remark on a family that they did not code
            worth, n = CERTAINTY[m.clarity or 2], len(readers[m.family])
            i, f = MARKERS.index(m.marker), FAMILIES.index(m.family)
            of_marker[i] = max(worth, of_marker.get(i, 0.0))
            of_family[f] = max(worth, of_family.get(f, 0.0))
            spans.append((f, m.start, m.end, worth / n))
        for i, worth in of_marker.items():
            markers[i] += worth / len(readers[FAMILIES[FAMILY_OF[i]]])
        for f, worth in of_family.items():
            families[f] += worth / len(readers[FAMILIES[f]])
    if not soft:
        families = np.array([votes.is_gold(name) for name in FAMILIES], np.float32)
        markers = np.array([votes.is_gold(name) for name in MARKERS], np.float32)
    return Targets(families, markers, np.array([bool(readers[name]) for name in FAMILIES], np.float32), tuple(spans))


def lessons(sessions: Iterable[AnnotatedTranscript], soft: bool = True) -> list[Lesson]:
    """Return coded sessions as lessons."""
    return [Lesson(s.transcript, {t: targets_of(v, soft) for t, v in votes(s).items()}) for s in sessions]


@dataclass
class Example:
    """A window with its targets, ready to be batched."""

    ids: np.ndarray
    owner: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    weight: np.ndarray
    tokens: np.ndarray
    token_weight: np.ndarray
    hidden: np.ndarray | None = None
    """What a frozen base makes of the tokens, (tokens, width): then only the heads are trained."""


def examples_of(taught: Sequence[Lesson], tokenizer: Any, recipe: Recipe) -> list[Example]:
    """Return the windows of lessons with their targets."""
    out = []
    for lesson in taught:
        table = turn_features(lesson.transcript)
        out += [_example(lesson, window, table) for window in windows(lesson.transcript, tokenizer, recipe)]
    return out


def _example(lesson: Lesson, window: Window, table: np.ndarray) -> Example:
    n = len(window.pieces)
    arrays = window.arrays()
    targets = np.zeros((n, len(FAMILIES) + 1 + len(MARKERS)), np.float32)
    weight = np.zeros((n, targets.shape[1]), np.float32)
    tokens = np.zeros((len(arrays["input_ids"]), len(FAMILIES)), np.float32)
    token_weight = np.zeros_like(tokens)
    position = 1
    for i, piece in enumerate(window.pieces):
        coded = lesson.targets.get(piece.turn)
        scored = window.first <= i < window.last and coded is not None and piece.role in ("client", "therapist")
        if scored:
            assert coded is not None
            own = slice(0, 2) if piece.role == "client" else slice(2, 4)
            weight[i, own] = coded.read[own]
            if piece.role == "client":
                weight[i, 4] = coded.read[own].min()
            weight[i, 5:] = [float(own.start <= f < own.stop) * coded.read[f] for f in FAMILY_OF]
            share = _share_of_piece(piece, coded)
            targets[i, :4] = coded.families * share
            targets[i, 4] = max(targets[i, 0], targets[i, 1])
            targets[i, 5:] = coded.markers * share[list(FAMILY_OF)]
            inside = np.zeros((len(piece.ids), len(FAMILIES)), np.float32)
            for family, start, end, worth in coded.spans:
                for t, (a, b) in enumerate(piece.offsets):
                    if a < end and b > start:
                        inside[t, family] += worth
            rows = slice(position + 1, position + 1 + len(piece.ids))
            tokens[rows, own] = np.minimum(inside, 1)[:, own]
            # which words of a turn carry a family is learned where one does; elsewhere there is nothing to choose
            token_weight[rows, own] = np.where(targets[i, own] > 0, CARRIES, 1.0) * coded.read[own]
        position += len(piece.ids) + 2
    return Example(
        arrays["input_ids"],
        arrays["owner"],
        table[[p.turn for p in window.pieces]],
        targets,
        weight,
        tokens,
        token_weight,
    )


def _share_of_piece(piece: Piece, coded: Targets) -> np.ndarray:
    # a long turn is cut: only the piece that holds the words carries the code
    share = np.ones(len(FAMILIES), np.float32)
    if piece.offsets and coded.spans:
        start, end = piece.offsets[0][0], piece.offsets[-1][1]
        for family in {s[0] for s in coded.spans}:
            if not any(s < end and e > start for f, s, e, _ in coded.spans if f == family):
                share[family] = 0
    return share


def _collate(batch: Sequence[Example]) -> tuple[torch.Tensor, ...]:
    return (
        padded([e.ids for e in batch], -1),
        padded([e.owner for e in batch], -1),
        padded([e.features for e in batch]),
        padded([e.targets for e in batch]),
        padded([e.weight for e in batch]),
        padded([e.tokens for e in batch]),
        padded([e.token_weight for e in batch]),
    )


@dataclass(frozen=True)
class Settings:
    """How to train. ``layers`` are the lowest ones that are taken of the base, None for all; ``soft``, ``features``
    and ``recipe`` are what the ablations change.

    With synthetic sessions there are two stages: the encoder first learns from them alone
    (``synthetic_epochs``), once for all folds, and then from the real ones, more gently.
    """

    epochs: int = 2
    lr: float = 3e-5
    head_lr: float = 5e-4
    synthetic_epochs: int = 2
    synthetic_lr: float = 5e-5
    synthetic_head_lr: float = 1e-3
    batch: int = 4
    layers: int | None = None
    seed: int = 13
    frozen_layers: int = 1
    soft: bool = True
    features: bool = True
    marker_weight: float = 0.5
    token_weight: float = 0.1
    recipe: Recipe = field(default_factory=Recipe)


def fit_synthetic(synthetic: Sequence[Lesson], base: str | Path, tokenizer: Any, settings: Settings) -> Encoder | None:
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
    taught: Sequence[Lesson],
    base: str | Path,
    tokenizer: Any,
    settings: Settings,
    *,
    start: Encoder | None = None,
) -> Encoder:
    """Fine-tune an encoder on coded sessions, from ``base`` or from where ``start`` stands.

    The same seed gives the same weights on the same machine.
    """
    torch.manual_seed(settings.seed)
    model = new_encoder(
        base,
        tokenizer,
        settings.recipe,
        features=settings.features,
        layers=settings.layers,
        frozen_layers=settings.frozen_layers,
    )
    if start is not None:
        model.load_state_dict(start.state_dict())
    return learn(model, examples_of(taught, tokenizer, settings.recipe), settings)


def learn(model: Encoder, examples: Sequence[Example], settings: Settings, *, quiet: bool = False) -> Encoder:
    """Train an encoder on examples: its heads alone where the examples hold what the base made of them."""
    rng = random.Random(settings.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
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
            chosen = [examples[j] for j in batch]
            ids, owner, features, targets, weight, tokens, token_weight = (t.to(device) for t in _collate(chosen))
            known = [e.hidden for e in chosen if e.hidden is not None]
            with torch.autocast(device, torch.bfloat16):
                hidden = padded(known).to(device) if known else model.hidden(ids)
                logits, token_logits = model.heads(hidden, owner, features)
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none") * weight * column
            loss = loss.sum() / (weight[..., :2].sum() + weight[..., 2:4].sum()).clamp(min=1) * 2
            of_tokens = F.binary_cross_entropy_with_logits(token_logits.float(), tokens, reduction="none")
            # a batch may hold nothing but turns that nobody coded
            of_tokens = (of_tokens * token_weight).sum() / token_weight.sum().clamp(min=1)
            loss = loss + settings.token_weight * of_tokens
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        if not quiet:
            print(f"  epoch {epoch + 1}/{settings.epochs}: loss {total / len(batches):.4f}", flush=True)
    return model.eval()


def folds(sessions: Sequence[AnnotatedTranscript], k: int) -> list[int]:
    """Return each session's fold: groups whole, corpora and families spread evenly, no chance in it."""
    corpora = sorted({s.transcript.meta["corpus"] for s in sessions})
    load: dict[str, np.ndarray] = {}
    for s in sessions:
        v = load.setdefault(group_of(s), np.zeros(len(corpora) + len(FAMILIES)))
        told = votes(s)
        v[corpora.index(s.transcript.meta["corpus"])] += len(told) / 1000
        v[len(corpora) :] += [sum(t.is_gold(name) for t in told.values()) / 40 for name in FAMILIES]
    total = [np.zeros(len(corpora) + len(FAMILIES)) for _ in range(k)]
    place: dict[str, int] = {}
    for group in sorted(load, key=lambda g: (-load[g].sum(), g)):
        cost = [float(((t + load[group]) ** 2).sum() - (t**2).sum()) for t in total]
        place[group] = cost.index(min(cost))
        total[place[group]] += load[group]
    return [place[group_of(s)] for s in sessions]


def cross_validate(
    sessions: Sequence[AnnotatedTranscript],
    base: str | Path,
    tokenizer: Any,
    settings: Settings,
    fold: Sequence[int],
    start: Encoder | None = None,
    taught: Sequence[AnnotatedTranscript] | None = None,
) -> list[Predicted]:
    """Return what models that never saw a session's group say of it.

    ``start`` is where every fold begins: the encoder after the synthetic stage. ``taught`` are the same sessions with
    the codes to learn from, where these are other ones.
    """
    to_learn = lessons(taught or sessions, settings.soft)
    out: dict[int, Predicted] = {}
    for k in sorted(set(fold)):
        print(f"fold {k + 1} of {len(set(fold))}", flush=True)
        model = fit([s for s, f in zip(to_learn, fold) if f != k], base, tokenizer, settings, start=start)
        test = [i for i, f in enumerate(fold) if f == k]
        said = predict(model, [sessions[i].transcript for i in test], tokenizer, settings.recipe)
        out.update(zip(test, said))
    return [out[i] for i in range(len(sessions))]


def data_facts(sessions: Sequence[AnnotatedTranscript]) -> list[dict[str, Any]]:
    """Return what a card says of the coded sessions, a row for each corpus."""
    out = []
    for corpus in sorted({s.transcript.meta["corpus"] for s in sessions}):
        own = [s for s in sessions if s.transcript.meta["corpus"] == corpus]
        told = [(s.transcript[t].role, v) for s in own for t, v in votes(s).items()]
        row: dict[str, Any] = {"corpus": corpus, "sessions": len(own), "groups": len({group_of(s) for s in own})}
        for role in ("client", "therapist"):
            row[f"coded {role} turns"] = sum(r == role for r, _ in told)
        out.append(row | {family: sum(v.is_gold(family) for _, v in told) for family in FAMILIES})
    return out


def marker_counts(sessions: Sequence[AnnotatedTranscript]) -> dict[str, int]:
    """Return on how many turns of coded sessions each marker is gold."""
    told = [v for s in sessions for v in votes(s).values()]
    return {name: sum(v.is_gold(name) for v in told) for name in MARKERS}


def train(
    tables: Sequence[str | Path],
    base: str,
    out: str | Path,
    *,
    synthetic: Sequence[str | Path] = (),
    readings: str | Path | None = None,
    rule_groups: str | Path | None = None,
    n_folds: int = 3,
    version: str = "1",
    settings: Settings | None = None,
    draws: int = 500,
    ablations: bool = False,
    held_out: str | Path | None = None,
    command: str = "rupturekit train",
) -> dict[str, Any]:
    """Cross-validate, calibrate, train on everything, and write a model folder with its card.

    Parameters
    ----------
    tables : sequence of path-like
        Coded sessions, as for `rupturekit.coding.read_coded`.
    base : str
        A sentence encoder: a folder, or a hub name where there is a network. Or a model folder that this
        function wrote: then its weights are where training starts (and held-out figures are only fair for
        sessions that it never saw).
    out : path-like
        Folder to write: ``model.onnx``, ``tokenizer.json``, ``config.json``, ``README.md`` (the card).
    synthetic : sequence of path-like
        Synthetic sessions, for training only.
    readings : path-like, optional
        Folder with further label layers of the tables (``X.labels.jsonl`` for ``X.csv``): what more coders made of the
        same sessions, for training only. Figures, calibration and thresholds are against the tables' own.
    rule_groups : path-like, optional
        List of the groups that the rules were written from; they do not calibrate.
    version : str
        Goes into the configuration and the card; the model's name is that of its folder.
    draws : int
        Resamples for each interval.
    ablations : bool
        Once the model is written, measure what each part of the recipe is worth by leaving it out, and add
        that to the card; takes several times as long.
    held_out : path-like, optional
        JSONL file for the annotations that the card's figures are of: each session by the whole pipeline, with an
        encoder that never saw its group. They hold the sessions' words.

    Returns
    -------
    dict
        The facts that the card states.
    """
    import time

    started = time.monotonic()
    check_folder(Path(out))
    if held_out is not None and Path(held_out).exists():
        raise FileExistsError(f"{held_out} exists; give another name")
    settings = settings or Settings()
    sessions = [s for table in tables for s in read_coded(table)]
    if n_folds < 2:
        raise ValueError(f"{n_folds} folds: give two at least, so that something is held out")
    if len({group_of(s) for s in sessions}) < n_folds:
        raise ValueError(f"{n_folds} folds need as many groups of coded sessions; give more sessions or fewer folds")
    layers = [(table, Path(readings) / f"{Path(table).stem}.labels.jsonl") for table in tables] if readings else []
    more = [s for table, layer in layers if layer.is_file() for s in read_coded(table, layer)]
    if readings and not more:
        raise ValueError(f"{readings}: no label layer of these tables, such as {layers[0][1].name}")
    taught = merged([*sessions, *more])
    written = [s for path in synthetic for s in read_synthetic(path)]
    tokenizer, recipe = read_base(base, settings.recipe)
    settings = replace(settings, recipe=recipe)
    fold = folds(sessions, n_folds)
    start = fit_synthetic(lessons(written, settings.soft), base, tokenizer, settings)
    held = hold(sessions, cross_validate(sessions, base, tokenizer, settings, fold, start, taught), rule_groups)
    print("training on all sessions", flush=True)
    model = fit(lessons(taught, settings.soft), base, tokenizer, settings, start=start)
    texts = (turn.text for s in (*sessions, *written) for turn in s.transcript)
    smaller, recipe = trim(model, tokenizer, settings.recipe, texts)
    config: dict[str, Any] = {"name": Path(out).name, "version": version, "base": name_of(base), "language": "en"}
    config |= {**configuration(calibrate(held)), "recipe": asdict(recipe)}
    config |= {"encoder": model.base.config.to_dict()}
    write_model(Path(out), model, smaller, config)
    found = annotate_held_out(held, fold)
    if held_out is not None:
        write_whole({Path(held_out): "".join(a.to_json() + "\n" for a in found).encode()})
    facts = measure(held, found, fold, draws) | {
        "data": data_facts(sessions), "folds": n_folds, "groups": len({group_of(s) for s in sessions}),
        "command": command, "seed": settings.seed, "torch": torch.__version__,
        "minutes": (time.monotonic() - started) / 60,
        "synthetic": (len(written), sum(len(s.transcript) for s in written)),
        "readings": sum(len(votes(s)) for s in more),
        "marker_counts": marker_counts(sessions),
        "fidelity": fidelity(model, Classifier.load(out), [s.transcript for s in sessions]),
    }  # fmt: skip
    write_card(Path(out), config, facts)
    if ablations:
        alone = replace(settings.recipe, window=settings.recipe.piece + 4, before=0, after=0)
        variants = {
            "no synthetic sessions": (settings, [], taught),
            "no context (each turn alone)": (replace(settings, recipe=alone, batch=16), written, taught),
            "no soft labels": (replace(settings, soft=False), written, taught),
            "no session features": (replace(settings, features=False), written, taught),
            **({"no further readings": (settings, written, sessions)} if more else {}),
        }
        facts["ablations"] = [_ablation_row("whole recipe", facts)]
        for label, (without, invented, codes) in variants.items():
            print(label, flush=True)
            begin = fit_synthetic(lessons(invented, without.soft), base, tokenizer, without)
            said = cross_validate(sessions, base, tokenizer, without, fold, begin, codes)
            without_it = replace(held, predicted=said)
            found = annotate_held_out(without_it, fold)
            facts["ablations"].append(_ablation_row(label, measure(without_it, found, fold, draws)))
            write_card(Path(out), config, facts)
    return facts


def _ablation_row(label: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"recipe": label}
    part = facts["turns"][0]["turns"]
    for figure in facts["turns"]:
        if figure["turns"] == part and figure["score"] in ("withdrawal", "confrontation", "rupture"):
            row |= {f"{figure['score']} {metric}": figure[metric] for metric in ("AP", "F1")}
    return row


def fidelity(model: Encoder, written: Classifier, transcripts: Sequence[Transcript]) -> dict[str, float]:
    """Compare a model as it was trained with what was written of it, rules left out.

    Returns
    -------
    dict
        ``pairs``: how many (turn, family) pairs either marks; ``both``: the share of them that both mark; ``p99`` and
        ``largest``: of the difference of their probabilities.
    """
    either = both = 0
    apart: list[np.ndarray] = []
    said = predict(model, transcripts, written._tokenizer, written.recipe)
    for transcript, one in zip(transcripts, said):
        none = np.zeros((len(transcript), len(FAMILIES)))
        a = written.probability(written(transcript), none)
        b = written.probability(written.output(transcript, *one), none)
        for family in FAMILIES:
            x, y = (p[:, SCORES.index(family)] for p in (a, b))
            x, y = x[~np.isnan(x)], y[~np.isnan(y)]
            apart.append(np.abs(x - y))
            cut = written.thresholds[family]
            either += int(((x >= cut) | (y >= cut)).sum())
            both += int(((x >= cut) & (y >= cut)).sum())
    difference = np.concatenate(apart)
    return {
        "pairs": either,
        "both": both / max(either, 1),
        "p99": float(np.percentile(difference, 99)),
        "largest": float(difference.max()),
    }


def write_model(out: Path, model: Encoder, tokenizer: Any, config: Mapping[str, Any]) -> None:
    """Write weights, tokenizer and configuration."""
    model = model.cpu().eval()
    with whole_folder(out) as parts:
        export_onnx(model, parts / "model.onnx")
        (parts / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), "utf-8", newline="\n")
        hashes = {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(parts.iterdir())}
        (parts / "config.json").write_text(json.dumps({**config, "sha256": hashes}, indent=1) + "\n", "utf-8")
