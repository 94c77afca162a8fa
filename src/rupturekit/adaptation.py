"""Fit a model folder on from a team's own codes, and say honestly what that is worth on their clients.

Needs the ``train`` extra. Either the heads alone are fitted, on what the frozen encoder makes of each window
(a few minutes on a laptop), or the whole encoder. Whatever is measured is measured on clients held out; what
calibrates and cuts is held out within those (nested folds), so that nothing is tuned on what it is tested on.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .annotation import FAMILIES, AnnotatedTranscript
from .calibration import FEWEST, Held, annotate_as_told, calibrate, configuration, hold, measure
from .card import write_card
from .classifier import Predicted, Recipe
from .coding import FAMILY_OF, MARKERS, group_of, merged
from .encoder import Encoder, model_folder, new_encoder, read_base
from .evaluation import evaluate
from .folders import check_folder
from .pipeline import Annotator
from .training import (
    Example,
    Settings,
    data_facts,
    examples_of,
    folds,
    learn,
    lessons,
    marker_counts,
    predict,
    write_model,
)

FOLDS = 5
"""Folds from that many clients on; with fewer, every client is a fold."""
NO_INTERVAL, FEW = 10, 20
"""Clients below which no interval is given, and below which intervals are called rough."""
HEADS = Settings(epochs=6, head_lr=3e-4, batch=8)
WHOLE = Settings(epochs=2, lr=2e-5, head_lr=2e-4)


def adapt(
    codings: Iterable[AnnotatedTranscript],
    init: str | Path,
    out: str | Path,
    *,
    whole: bool = False,
    version: str = "1",
    seed: int = 13,
    draws: int = 500,
    command: str = "rupturekit train --codes",
) -> dict[str, Any]:
    """Fit a model on from coded sessions, measure it by client, and write a model folder with its card.

    Parameters
    ----------
    codings : iterable of AnnotatedTranscript
        Sessions with what coders gave, as `rupturekit.coding.read_codings` returns them.
    init : path-like
        Model folder to start from.
    out : path-like
        Model folder to write, new or empty; `rupturekit.Annotator` takes it.
    whole : bool
        Fit the encoder too, and not its heads alone: slower, and better with many codes.
    version : str
        Goes into the configuration and the card.
    seed : int
        The same gives the same model and figures on the same machine.
    draws : int
        Resamples for each interval; there are none below ten clients.

    Returns
    -------
    dict
        The facts that the card states. ``init`` holds the figures of the model started from on the same sessions,
        ``caution`` what the number of clients says of all figures.

    Raises
    ------
    ValueError
        If there are fewer than two clients, ``init`` is no model folder, a session has no words, or a code is none
        that the model knows.
    FileExistsError
        If ``out`` has something in it.
    """
    started = time.monotonic()
    check_folder(Path(out))
    if not model_folder(init):
        raise ValueError(f"{init}: no model folder; give one that `rupturekit train` wrote")
    sessions = [_own(coding) for coding in merged(codings)]
    clients = sorted({group_of(s) for s in sessions})
    if len(clients) < 2:
        raise ValueError(
            f"{len(clients)} client in these codes: with nobody held out nothing can be measured. Code sessions of two "
            "clients at least (client_id, or group, tells whose a session is)"
        )
    kept = json.loads((Path(init) / "config.json").read_text("utf-8"))
    fold = folds(sessions, FOLDS) if len(clients) >= FOLDS else [clients.index(group_of(s)) for s in sessions]
    settings = replace(WHOLE if whole else HEADS, seed=seed, recipe=Recipe(**kept["recipe"]))
    fitter = _Fitter(sessions, init, settings, whole)
    told, found = _nested(fitter, sessions, fold, kept)
    print("fitting on all sessions", flush=True)
    model = fitter.fit(range(len(sessions)))
    fitted = calibrate(told, kept) if len(set(fold)) > 2 else kept
    config = {
        **kept, **configuration(fitted), "name": Path(out).name, "version": version,
        "init": {"name": kept["name"], "version": kept["version"], "fitted": "whole encoder" if whole else "heads"},
    }  # fmt: skip
    print("measuring", flush=True)
    if len(clients) < NO_INTERVAL:
        draws = 0
    as_it_was = evaluate(sessions, Annotator(model=Path(init)).pipe(s.transcript for s in sessions), draws)
    facts = measure(told, found, fold, draws) | {
        "data": data_facts(sessions), "folds": len(set(fold)), "groups": len(clients), "command": command,
        "seed": seed, "torch": torch.__version__, "minutes": (time.monotonic() - started) / 60, "synthetic": (0, 0),
        "marker_counts": marker_counts(sessions),
        "init": as_it_was["turns"], "caution": _caution(sessions), "how": _how(len(set(fold)), draws),
    }  # fmt: skip
    write_model(Path(out), model, fitter.tokenizer, config)
    write_card(Path(out), config, facts)
    return facts


def _own(coding: AnnotatedTranscript) -> AnnotatedTranscript:
    """Return a coding as one of the team's, whichever table it is from; refuse what cannot be learned from."""
    transcript = coding.transcript
    if transcript.meta.get("text_withheld"):
        raise ValueError(f"session {transcript.id} has no words (--no-text); a model learns from words")
    known = {(name, FAMILIES[family]) for name, family in zip(MARKERS, FAMILY_OF)}
    for m in coding.markers:
        if (m.marker, m.family) not in known:
            raise ValueError(
                f"session {transcript.id}, turn {m.turn}: {m.marker} ({m.family}) is no marker of the model's "
                "codebook; give codes of that codebook"
            )
    # joined by place: a silence may bear the number of the turn that it was cut from
    turns = tuple(replace(turn, source_ids=()) for turn in transcript)
    return replace(coding, transcript=replace(transcript, turns=turns, meta={**transcript.meta, "corpus": "own codes"}))


def _caution(sessions: Sequence[AnnotatedTranscript]) -> str:
    clients = len({group_of(s) for s in sessions})
    said = ""
    if clients < FOLDS:
        said = (
            f"**Exploratory**: {clients} clients, each held out once. These figures say little of another client; "
            "there are no intervals."
        )
    elif clients < NO_INTERVAL:
        said = f"{clients} clients: too few for intervals. Read the figures as rough."
    elif clients < FEW:
        said = f"{clients} clients: the intervals rest on few and are rough."
    unnamed = sum(not s.transcript.meta.get("client_id") and group_of(s) == s.transcript.id for s in sessions)
    if unnamed:
        said += (
            f" {unnamed} sessions name no client (client_id) and count as one each: if one client has several of "
            "them, nothing was held out in truth and the figures are too good."
        )
    return said.strip()


def _how(folds: int, draws: int) -> str:
    intervals = "95 % intervals resample groups." if draws else "There are no intervals."
    if folds == 2:
        return f"with the calibration and thresholds of the model started from (two clients leave none). {intervals}"
    return (
        "calibrated and cut on other folds, held out within the rest (nested). Where fewer than "
        f"{FEWEST} turns have a family, or lack it, calibration and threshold of the model started from are kept. "
        f"{intervals}"
    )


class _Fitter:
    """Fits a fresh copy of the model on some of the sessions."""

    def __init__(
        self, sessions: Sequence[AnnotatedTranscript], init: str | Path, settings: Settings, whole: bool
    ) -> None:
        self.settings = settings
        self.tokenizer, _ = read_base(init, settings.recipe)
        frozen = settings.frozen_layers if whole else 1_000
        self._start = new_encoder(init, self.tokenizer, settings.recipe, frozen_layers=frozen).eval()
        self._examples = [examples_of([lesson], self.tokenizer, settings.recipe) for lesson in lessons(sessions)]
        self._hidden: dict[bytes, np.ndarray] = {}
        if not whole:
            for example in (e for own in self._examples for e in own):
                example.hidden = self._hidden[example.ids.tobytes()] = _read(self._start, example)

    def fit(self, which: Iterable[int]) -> Encoder:
        torch.manual_seed(self.settings.seed)
        model = copy.deepcopy(self._start)
        return learn(model, [e for i in which for e in self._examples[i]], self.settings, quiet=True)

    def held_out(
        self, sessions: Sequence[AnnotatedTranscript], fold: Sequence[int], without: set[int]
    ) -> dict[int, Predicted]:
        """Fit without some folds; return what is predicted of their sessions."""
        model = self.fit(i for i, f in enumerate(fold) if f not in without)
        test = [i for i, f in enumerate(fold) if f in without]
        transcripts = [sessions[i].transcript for i in test]
        return dict(zip(test, predict(model, transcripts, self.tokenizer, self.settings.recipe, self._hidden)))


@torch.no_grad()
def _read(model: Encoder, example: Example) -> np.ndarray:
    out: np.ndarray = model.hidden(torch.from_numpy(example.ids)[None])[0].numpy()
    return out


def _nested(
    fitter: _Fitter, sessions: Sequence[AnnotatedTranscript], fold: Sequence[int], kept: Mapping[str, Any]
) -> tuple[Held, list[AnnotatedTranscript]]:
    """Return what models that never saw a session's client predict, and annotate with calibrations from inside.

    To calibrate fold a's model, fold b is predicted by a model that saw neither; the same model predicts a for
    b's calibration. With two clients there is nothing to fit on then: the calibration is the one started from.
    """
    numbers = sorted(set(fold))
    of = {k: [i for i, f in enumerate(fold) if f == k] for k in numbers}
    without_one: dict[int, Predicted] = {}
    for k in numbers:
        print(f"fold {k + 1} of {len(numbers)}", flush=True)
        without_one |= fitter.held_out(sessions, fold, {k})
    everything = hold(sessions, [without_one[i] for i in range(len(sessions))], None)
    inner: dict[int, dict[int, Predicted]] = {k: {} for k in numbers}
    if len(numbers) > 2:
        for a in numbers:
            for b in (b for b in numbers if b > a):
                said = fitter.held_out(sessions, fold, {a, b})
                inner[a] |= {i: said[i] for i in of[b]}
                inner[b] |= {i: said[i] for i in of[a]}
    found: dict[int, AnnotatedTranscript] = {}
    for k in numbers:
        fitted = kept
        if inner[k]:
            others = sorted(inner[k])
            fitted = calibrate(replace(everything[others], predicted=[inner[k][i] for i in others]), kept)
        found |= dict(zip(of[k], annotate_as_told(everything[of[k]], fitted)))
    return everything, [found[i] for i in range(len(sessions))]
