"""From logits of held-out sessions to calibration and thresholds, and to the annotations that are measured.

A session's logits come from an encoder that never saw its group, its calibration and thresholds from the
held-out logits of the other folds. Needs scikit-learn, not torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import evaluation
from .annotation import CLIENT_FAMILIES, FAMILIES, SCORES, AnnotatedTranscript
from .classifier import FEATURES, Predicted, Readout, best_span
from .codebook import load_codebook
from .coding import FAMILY_OF, MARKERS, Votes, group_of, votes
from .evaluation import Judged
from .pipeline import Annotator
from .rules import answering, shipped
from .score import ROLE_OF, rule_scores
from .transcript import Transcript

LONG_TURN = 20
"""Words above which a span is more than the turn."""
FEWEST = 10
"""Turns with a family, or spans, below which what a model was calibrated to before is kept."""
DROPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""How far below a turn's highest token a span may go: the choices."""


@dataclass(frozen=True)
class Held:
    """Everything that calibration needs to know of the held-out sessions, aligned by session."""

    sessions: Sequence[AnnotatedTranscript]
    predicted: Sequence[Predicted]
    rules: Sequence[np.ndarray]
    unseen: np.ndarray
    """Whether the rules were not written from the session: only there are their weights fair."""

    def __getitem__(self, where: Sequence[int]) -> Held:
        return Held(
            [self.sessions[i] for i in where],
            [self.predicted[i] for i in where],
            [self.rules[i] for i in where],
            self.unseen[list(where)],
        )


def hold(
    sessions: Sequence[AnnotatedTranscript], predicted: Sequence[Predicted], rule_groups: str | Path | None
) -> Held:
    """Set coded sessions, what was predicted of them and what the rules say side by side."""
    seen: set[str] = set()
    if rule_groups:
        lines = Path(rule_groups).read_text("utf-8").splitlines()
        seen = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    rules = [rule_scores(s.transcript, answering(shipped().scan(s.transcript))) for s in sessions]
    return Held(sessions, predicted, rules, np.array([group_of(s) not in seen for s in sessions]))


def calibrate(held: Held, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fit calibration, thresholds and span cut-offs on what was predicted of held-out sessions.

    Only turns that two raters or more coded take part, where there are such; only sessions that the rules were
    not written from tell what a rule's weight is worth.

    Parameters
    ----------
    held : Held
    kept : mapping, optional
        The configuration of the model that was trained on from: what it says of a score stands where fewer than
        `FEWEST` turns have it, or lack it. Then turns that one rater coded take part too, where those that two coded
        are so few. Without it a score is fitted on what there is, and refused where nobody coded any.

    Returns
    -------
    dict
        ``calibration`` (slope on the logit, weight of the rule, bias), ``thresholds`` and ``span_drops``, as a
        model folder keeps them.
    """
    told = [votes(s) for s in held.sessions]
    calibration, thresholds = {}, {}
    for name in SCORES:
        families = _families(name)
        column = len(FAMILIES) if name == "rupture" else families[0]
        rows = [
            (
                len(v.raters_of(name)),
                held.predicted[i][0][t, column],
                held.rules[i][t, families].max(),
                v.is_gold(name),
                held.unseen[i],
            )
            for i, s in enumerate(held.sessions)
            for t, v in told[i].items()
            if s.transcript[t].role == ROLE_OF[name] and v.raters_of(name)
        ]
        double = [row for row in rows if row[0] > 1]
        if kept and _few(row[3] for row in double):
            double = []
        if kept and _few(row[3] for row in rows):
            calibration[name] = tuple(kept["calibration"][name])
            if name != "rupture":
                thresholds[name] = kept["thresholds"][name]
            continue
        if not rows:
            raise ValueError(f"nobody coded a {ROLE_OF[name]} turn in these sessions: nothing to calibrate {name} on")
        _, logit, rule, gold, fair = (np.array(c) for c in zip(*(double or rows)))
        fair = fair.astype(bool)
        calibration[name] = _platt(logit[fair], rule[fair], gold[fair])
        if name != "rupture":  # present when either family is: a cut-off of its own would decide nothing
            slope, weight, bias = calibration[name]
            p = 1 / (1 + np.exp(-(slope * logit + weight * rule + bias)))
            thresholds[name] = round(evaluation.best_threshold(gold, p), 4)
    return {
        "calibration": calibration,
        "thresholds": {**_marker_thresholds(held, told, calibration, kept), **thresholds},
        "span_drops": _span_drops(held, told, kept),
    }


def _few(gold: Iterable[bool]) -> bool:
    given = list(gold)
    return min(sum(given), len(given) - sum(given)) < FEWEST


def _families(name: str) -> list[int]:
    # the columns of a score's families among those of the rules and the network
    return [FAMILIES.index(family) for family in (CLIENT_FAMILIES if name == "rupture" else (name,))]


def _platt(logit: np.ndarray, rule: np.ndarray, gold: np.ndarray) -> tuple[float, float, float]:
    # Platt (1999) with the rule's weight as a second input: slope, weight of the rule, bias
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10, max_iter=1000)
    if len(set(gold)) < 2:  # nothing to calibrate on: the network's own odds
        return 1.0, 0.0, 0.0
    inputs = np.column_stack([logit, rule])
    model.fit(inputs, gold)
    slope, weight = model.coef_[0]
    if weight < 0:  # too few hits to tell: a rule never speaks against its own family
        model.fit(inputs[:, :1], gold)
        slope, weight = float(model.coef_[0, 0]), 0.0
    return round(float(slope), 4), round(float(weight), 4), round(float(model.intercept_[0]), 4)


def _marker_thresholds(
    held: Held,
    told: Sequence[Mapping[int, Votes]],
    calibration: Mapping[str, tuple[float, float, float]],
    kept: Mapping[str, Any] | None,
) -> dict[str, float]:
    # one probability for all markers, from which one is written beside the likeliest: best micro-F1 given the family
    fitted = {"calibration": calibration, "thresholds": {}, "span_drops": dict.fromkeys(FAMILIES, 0.0)}
    readout = Readout(configuration(fitted))  # its spans are not looked at
    gold, share = [], []
    for i, s in enumerate(held.sessions):
        output = readout.output(s.transcript, *held.predicted[i])
        table = readout.marker_probability(output, readout.probability(output, held.rules[i]))
        for t, v in told[i].items():
            for f, family in enumerate(FAMILIES):
                own = np.array(FAMILY_OF) == f
                if own.sum() > 1 and s.transcript[t].role == ROLE_OF[family] and v.is_gold(family):
                    gold.append([o and v.is_gold(name) for o, name in zip(own, MARKERS)])
                    share.append(np.where(own, table[t], 0))
    if kept and len(gold) < FEWEST:
        return {name: kept["thresholds"][name] for name in MARKERS}
    if not gold:
        return dict.fromkeys(MARKERS, 0.5)
    right, p = np.array(gold), np.array(share)

    def micro(cut: float) -> float:
        marked = (p >= cut) | (p == p.max(1, keepdims=True))
        return float(2 * (marked & right).sum() / (marked.sum() + right.sum()))

    return dict.fromkeys(MARKERS, round(float(max(np.arange(0.1, 0.96, 0.05), key=micro)), 2))


def _span_drops(held: Held, told: Sequence[Mapping[int, Votes]], kept: Mapping[str, Any] | None) -> dict[str, float]:
    # chosen on longer turns, where it matters
    found: dict[str, dict[float, list[float]]] = {f: {d: [] for d in DROPS} for f in FAMILIES}
    for s, (_, evidence), given in zip(held.sessions, held.predicted, told):
        for t, v in given.items():
            text = s.transcript[t].text
            for f, family in enumerate(FAMILIES):
                if not v.is_gold(family) or len(text.split()) <= LONG_TURN:
                    continue
                by_rater = [[(m.start, m.end) for m in said if m.family == family] for said in v.given.values()]
                tokens = [(a, b, float(r[f])) for a, b, r in evidence[t]]
                for d in DROPS:
                    span = [best_span(text, tokens, d)]
                    found[family][d] += [evaluation.span_f1(text, span, spans) for spans in by_rater if spans]
    return {
        family: kept["span_drops"][family]
        if kept and len(by[DROPS[0]]) < FEWEST
        else max(by, key=lambda d: float(np.mean(by[d] or [0])))
        for family, by in found.items()
    }


class _Said(Readout):
    """Stands in for a classifier that has already read the sessions."""

    name = "held-out"
    sha256 = ""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.predicted: Predicted | None = None

    def __call__(self, transcript: Transcript) -> Any:
        assert self.predicted is not None
        return self.output(transcript, *self.predicted)


def annotate_held_out(held: Held, fold: Sequence[int]) -> list[AnnotatedTranscript]:
    """Annotate every session as the whole pipeline would, calibrated and cut on the other folds alone."""
    out: dict[int, AnnotatedTranscript] = {}
    for k in sorted(set(fold)):
        fitted = calibrate(held[[i for i, f in enumerate(fold) if f != k]])
        own = [i for i, f in enumerate(fold) if f == k]
        out.update(zip(own, annotate_as_told(held[own], fitted)))
    return [out[i] for i in range(len(fold))]


def annotate_as_told(held: Held, fitted: Mapping[str, Any]) -> list[AnnotatedTranscript]:
    """Annotate sessions as the whole pipeline would, from what was predicted and a calibration made elsewhere."""
    model = _Said(configuration(fitted))
    annotator = Annotator(model)
    out = []
    for session, model.predicted in zip(held.sessions, held.predicted):
        out.append(annotator(session.transcript))
    return out


def configuration(fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model folder's configuration, but for what only the encoder knows."""
    book = load_codebook()
    return {
        "codebook": book.name, "codebook_version": book.version,
        "families": FAMILIES, "markers": MARKERS, "features": FEATURES, **fitted,
    }  # fmt: skip


NOT_WRITTEN_FROM = "groups that the rules were not written from"


def baseline_figures(
    held: Held, sessions: Sequence[evaluation.Session], fold: Sequence[int], draws: int
) -> list[dict[str, Any]]:
    """Return what the rules alone and simple recipes make of the headline's turns, on the same folds.

    The rules are only measured where they were not written from.
    """
    rows: list[dict[str, Any]] = []
    for name in evaluation.ORDER:
        turns = evaluation.turns_of(sessions, name)
        if not turns.judged.gold.any():
            continue
        part, where = next(iter(evaluation.parts(turns).items()))
        gold = turns.judged.gold[where]
        if not gold.any():
            continue
        families = _families(name)
        at = list(zip(turns.session[where], turns.turn[where]))
        script = [s.coded.transcript for s in sessions]
        texts = [script[i][t].text for i, t in at]
        before = [script[i][t - 1].text if t else "" for i, t in at]
        weight = np.array([max(held.rules[i][t, families].max(), 0) for i, t in at])
        group = turns.judged.group[where]
        rules = Judged(gold, weight, weight > 0, group)
        recipes = {"rules alone": (part, rules)}
        if not (fair := held.unseen[turns.session[where]]).all():
            recipes = {"rules alone": (NOT_WRITTEN_FROM, rules[fair])}
        with suppress(ValueError):  # a fold's words are too few for scikit-learn, or all its turns have the family
            simple = evaluation.baselines(texts, before, gold, group, np.array([fold[i] for i, _ in at]))
            recipes |= {recipe: (part, j) for recipe, j in simple.items()}
        for recipe, (of, j) in recipes.items():
            row = {"score": name, "turns": of, "recipe": recipe, "n": len(j.gold), "gold": int(j.gold.sum())}
            metrics = ("AP", "F1", "precision", "recall")
            rows.append(row | {m: evaluation.interval(j, evaluation.METRICS[m], draws) for m in metrics})
    return rows


def measure(held: Held, found: Sequence[AnnotatedTranscript], fold: Sequence[int], draws: int) -> dict[str, Any]:
    """Return all the figures of held-out sessions that a card states; ``found`` is what was annotated of them."""
    figures: dict[str, Any] = evaluation.evaluate(held.sessions, found, draws)
    sessions = [evaluation.Session(c, f, votes(c), {t: t for t in votes(c)}) for c, f in zip(held.sessions, found)]
    if not held.unseen.all():  # the pipeline as it stands to sessions that its rules were not written from either
        fair = [s for s, unseen in zip(sessions, held.unseen) if unseen]
        for name in evaluation.ORDER:
            (first, *_) = evaluation.turn_figures(evaluation.turns_of(fair, name), name, draws)
            figures["turns"].append(first | {"turns": f"{NOT_WRITTEN_FROM}, {first['turns']}"})
    figures["baselines"] = baseline_figures(held, sessions, fold, draws)
    figures["reliability"] = evaluation.reliability(sessions)
    figures["look-alikes"] = evaluation.look_alikes(sessions)
    return figures
