"""The fine-tuned encoder: what it may see, and what it says of every turn.

A session is read in windows of at most ``window`` tokens. A window holds the turns that it scores and,
on both sides, turns that are context alone: what came before, and a turn or two of what follows, because
the codebook decides some markers by it ("I don't know" is a minimal response only when nothing comes
after). Every turn is pooled from its own tokens, and every token says how much it carries each family,
which gives the spans. Windows depend on the session alone, and each is run by itself, so that a score
never depends on the batch, the order or the number of workers.

`windows` is the only place that decides what the model sees; training uses it too.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .annotation import CLIENT_FAMILIES, FAMILIES, SCORES
from .segment import heard, is_unheard, redactions
from .transcript import Transcript, Turn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

N_FAMILIES = len(FAMILIES)

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ASKS = re.compile(
    r"^(?:so |and |well |okay |um )*(?:what|how|why|who|where|when|which|do|did|does|are|is|have|has|can|could|would"
    r"|will|tell me|was|were)\b",
    re.IGNORECASE,
)
_OPEN = re.compile(r"\b(?:what|how|why|tell me|in what way|feel|feeling)\b", re.IGNORECASE)
FEATURES = (
    "log_words",
    "log_words_before",
    "words_against_own_mean",
    "asked_before",
    "asked_openly_before",
    "shared_with_before",
    "repeats_own",
    "paraverbal",
    "unpunctuated",
    "position",
)


def turn_features(transcript: Transcript) -> np.ndarray:
    """Return what the words' surface and place say of every turn.

    Returns
    -------
    ndarray of float32, shape (n_turns, len(FEATURES))
        All within about [-2, 2].
    """
    table = np.zeros((len(transcript), len(FEATURES)), np.float32)
    if not len(transcript):
        return table
    texts = [heard(turn.text) for turn in transcript]
    words = [[w.lower() for w in _WORD.findall(text[:20_000])] for text in texts]
    mean = {
        role: float(np.mean([len(w) for w, t in zip(words, transcript) if t.role == role] or [1]))
        for role in ("client", "therapist", "other")
    }
    punctuated = np.mean([any(c in ".?!," for c in text) for text in texts])
    own: dict[str, set[str]] = {}
    for i, turn in enumerate(transcript):
        before = texts[i - 1] if i else ""
        tail = before[-240:]
        mine = set(words[i])
        theirs = set(words[i - 1]) if i else set()
        said = own.get(turn.role, set())
        table[i] = (
            np.log1p(len(words[i])) / 4,
            np.log1p(len(words[i - 1])) / 4 if i else 0,
            np.log((len(words[i]) + 1) / (mean[turn.role] + 1)) / 3,
            float("?" in tail or bool(_ASKS.search(before))),
            float(("?" in tail or bool(_ASKS.search(before))) and bool(_OPEN.search(tail))),
            len(mine & theirs) / max(len(mine), 1),
            len(mine & said) / max(len(mine), 1),
            float("[" in texts[i] or "(" in texts[i]),
            float(punctuated < 0.4),
            i / len(transcript),
        )
        own[turn.role] = mine
    return table


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much of a session goes into one window, in tokens, and how turns are told apart in it.

    A turn longer than ``piece`` is cut into pieces of that length; its score is the highest of theirs. Each
    turn opens with the token of its role, and is pooled there too; the numbers are those of BERT's vocabulary,
    where the role tokens are [unused] entries.
    """

    window: int = 448
    before: int = 80
    after: int = 32
    piece: int = 160
    cls: int = 101
    sep: int = 102
    therapist: int = 2
    client: int = 3
    other: int = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A turn, or a part of a long one, as tokens with their offsets in the turn's text."""

    turn: int
    role: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One pass of the encoder: pieces in order, of which ``first`` to ``last`` (excluded) are scored."""

    pieces: tuple[Piece, ...]
    first: int
    last: int
    recipe: Recipe

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the encoder's input: token ids, and for every token the number of its piece (-1 for none)."""
        ids, owner = [self.recipe.cls], [-1]
        for number, piece in enumerate(self.pieces):
            ids += [getattr(self.recipe, piece.role), *piece.ids, self.recipe.sep]
            owner += [number] * (len(piece.ids) + 1) + [-1]
        return {"input_ids": np.array(ids, np.int64), "owner": np.array(owner, np.int64)}


def _pieces(turns: Sequence[Turn], tokenizer: Tokenizer, recipe: Recipe) -> list[Piece]:
    pieces = []
    for turn, encoded in zip(turns, tokenizer.encode_batch([heard(t.text) for t in turns], add_special_tokens=False)):
        ids, offsets = encoded.ids, encoded.offsets
        for start in range(0, max(len(ids), 1), recipe.piece):
            stop = start + recipe.piece
            pieces.append(Piece(turn.index, turn.role, tuple(ids[start:stop]), tuple(offsets[start:stop])))
    return pieces


def windows(transcript: Transcript, tokenizer: Tokenizer, recipe: Recipe) -> Iterator[Window]:
    """Cut a session into windows; every piece is scored in exactly one.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models
    >>> empty = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    >>> t = Transcript("s", tuple(Turn(i, "C", "client", "so it goes") for i in range(5)))
    >>> [(w.first, w.last, len(w.pieces)) for w in windows(t, empty, Recipe(9, 3, 3))]
    [(0, 1, 2), (1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2, 2)]
    """
    pieces = _pieces(transcript.turns, tokenizer, recipe)
    cost = [len(p.ids) + 2 for p in pieces]
    room = recipe.window - recipe.before - recipe.after - 1
    start = 0
    while start < len(pieces):
        stop, used = start, 0
        while stop < len(pieces) and (stop == start or used + cost[stop] <= room):
            used += cost[stop]
            stop += 1
        left, budget = start, recipe.before
        while left > 0 and cost[left - 1] <= budget:
            left -= 1
            budget -= cost[left]
        right, budget = stop, recipe.after
        while right < len(pieces) and cost[right] <= budget:
            budget -= cost[right]
            right += 1
        window = list(pieces[left:right])
        # the nearest piece is always seen, cut to what there is room for: its end before, its beginning after
        if left == start and start > 0:
            window.insert(0, _cut(pieces[start - 1], slice(-max(recipe.before - 2, 1), None)))
            left -= 1
        if right == stop and stop < len(pieces):
            window.append(_cut(pieces[stop], slice(0, max(recipe.after - 2, 1))))
        yield Window(tuple(window), start - left, stop - left, recipe)
        start = stop


def _cut(piece: Piece, part: slice) -> Piece:
    return Piece(piece.turn, piece.role, piece.ids[part], piece.offsets[part])


Inputs = Mapping[str, np.ndarray]
"""Of one window: ``input_ids`` and ``owner``, shape (n_tokens,), ``features``, shape (n_pieces, len(FEATURES))."""
Logits = tuple[np.ndarray, np.ndarray]
"""Of one window: its pieces', shape (n_pieces, 5 + markers), and its tokens', shape (n_tokens, 4)."""
Predicted = tuple[np.ndarray, list[list[tuple[int, int, np.ndarray]]]]
"""One session's turn logits, shape (n_turns, 5 + markers), and each turn's tokens (start, end, family logits)."""


def inputs_of(read: Iterable[Window], transcript: Transcript) -> Iterator[Inputs]:
    """Yield what the encoder reads of each window of a session."""
    features = turn_features(transcript)
    for window in read:
        yield {**window.arrays(), "features": features[[piece.turn for piece in window.pieces]]}


def by_turn(transcript: Transcript, read: Iterable[Window], said: Iterable[Logits], n_markers: int) -> Predicted:
    """Put what the encoder says of a session's windows together by turn."""
    logits = np.full((len(transcript), N_FAMILIES + 1 + n_markers), -np.inf, np.float32)
    evidence: list[list[tuple[int, int, np.ndarray]]] = [[] for _ in transcript]
    for window, (of_pieces, of_tokens) in zip(read, said):
        position = 1
        for i, piece in enumerate(window.pieces):
            if window.first <= i < window.last:
                logits[piece.turn] = np.maximum(logits[piece.turn], of_pieces[i])
                rows = of_tokens[position + 1 : position + 1 + len(piece.ids)]
                evidence[piece.turn] += [(a, b, r) for (a, b), r in zip(piece.offsets, rows)]
            position += len(piece.ids) + 2
    return logits, evidence


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What the encoder says of every turn, before calibration.

    Attributes
    ----------
    families : ndarray, shape (n_turns, 4)
        Logits in the order of `annotation.FAMILIES`.
    rupture : ndarray, shape (n_turns,)
        Logit for either client family.
    markers : ndarray, shape (n_turns, n_markers)
        Logits in the order of ``marker_names``.
    spans : list of dict
        For each turn, family → half-open offsets of the words that carry it.
    marker_names : tuple of str

    Turns of other speakers have NaN logits and no spans; of a turn that could not be heard at all every logit is -inf.
    """

    families: np.ndarray
    rupture: np.ndarray
    markers: np.ndarray
    spans: list[dict[str, tuple[int, int]]]
    marker_names: tuple[str, ...]


def best_span(text: str, tokens: Sequence[tuple[int, int, float]], drop: float) -> tuple[int, int]:
    """Return the stretch of a turn that carries a family most: whole words, without the punctuation around.

    Parameters
    ----------
    text : str
        The turn's text.
    tokens : sequence of (start, end, logit)
        In order; offsets in the turn's text.
    drop : float
        How far below the turn's highest logit a token begins to count against the span. Logits are compared
        within a turn only: between turns they say how likely the family is, not where it is.

    Examples
    --------
    >>> best_span("Well, if you say so.", [(0, 4, -2), (6, 8, 1), (9, 12, 2), (13, 16, 1), (17, 19, 1)], 2)
    (6, 19)
    """
    threshold = max((logit for _, _, logit in tokens), default=0.0) - drop
    best, run, opened, found = 0.0, 0.0, 0, (0, len(text))
    for start, end, logit in tokens:
        if run <= 0:
            run, opened = 0.0, start
        run += logit - threshold
        if run > best:
            best, found = run, (opened, end)
    start, end = found
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and (text[end].isalnum() or text[end] in "'’"):
        end += 1
    while start < end and not (text[start].isalnum() or text[start] in "[("):
        start += 1
    while end > start and not (text[end - 1].isalnum() or text[end - 1] in "])"):
        end -= 1
    if start >= end:
        return 0, len(text)
    for first, last in redactions(text):
        if first < end and start < last:
            start, end = min(start, first), max(end, last)
    return start, end


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


class Readout:
    """From an encoder's logits to spans and probabilities, by the configuration of a model folder.

    Parameters
    ----------
    config : mapping
        With ``markers``, ``calibration``, ``thresholds``, ``span_drops`` and ``codebook``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.marker_names: tuple[str, ...] = tuple(config["markers"])
        self.thresholds: dict[str, float] = config["thresholds"]

    def output(
        self, transcript: Transcript, logits: np.ndarray, evidence: Sequence[Sequence[tuple[int, int, np.ndarray]]]
    ) -> ModelOutput:
        """Put what `by_turn` returned for a session into the form that scoring reads."""
        spans: list[dict[str, tuple[int, int]]] = []
        for turn, found in zip(transcript, evidence):
            own = {"client": CLIENT_FAMILIES, "therapist": FAMILIES[2:]}.get(turn.role, ())
            spans.append(
                {
                    family: best_span(
                        turn.text,
                        [(a, b, float(r[FAMILIES.index(family)])) for a, b, r in found],
                        self.config["span_drops"][family],
                    )
                    for family in own
                }
            )
        logits = logits.copy()
        logits[[is_unheard(turn.text) for turn in transcript]] = -np.inf
        logits[[turn.role == "other" for turn in transcript]] = np.nan
        return ModelOutput(
            logits[:, :N_FAMILIES],
            logits[:, N_FAMILIES],
            logits[:, N_FAMILIES + 1 :],
            spans,
            self.marker_names,
        )

    def probability(self, output: ModelOutput, rule_scores: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities from the model and the rules together.

        Parameters
        ----------
        output : ModelOutput
        rule_scores : ndarray, shape (n_turns, 4)
            The highest weight of a rule that fired for the family on the turn, 0 if none.

        Returns
        -------
        ndarray, shape (n_turns, 5)
            In the order of `annotation.SCORES`; families of the other role are NaN. Rupture is never less
            than either of its families.
        """
        rules = np.column_stack([rule_scores[:, :2], rule_scores[:, :2].max(1, initial=0), rule_scores[:, 2:]])
        logits = np.column_stack([output.families[:, :2], output.rupture, output.families[:, 2:]])
        table = np.empty(logits.shape)
        for column, name in enumerate(SCORES):
            slope, rule, bias = self.config["calibration"][name]
            table[:, column] = _sigmoid(slope * logits[:, column] + rule * rules[:, column] + bias)
        for i, own in enumerate(output.spans):
            if "confrontation" not in own:
                table[i, :3] = np.nan
            if "resolution" not in own:
                table[i, 3:] = np.nan
        table[:, 2] = np.fmax(table[:, 2], np.fmax(table[:, 0], table[:, 1]))
        return table

    def marker_probability(self, output: ModelOutput, probabilities: np.ndarray) -> np.ndarray:
        """Share each family's probability out among its markers.

        The marker's own logit, set against the chance that any marker of the family is there, is its
        probability given the family.

        Returns
        -------
        ndarray, shape (n_turns, n_markers)
            In the order of ``output.marker_names``.
        """
        from .codebook import load_codebook

        book = load_codebook(self.config["codebook"])
        given = _sigmoid(output.markers.astype(float))
        table = np.zeros_like(given)
        for family in FAMILIES:
            columns = [i for i, name in enumerate(output.marker_names) if book[name].parent == family]
            any_of = 1 - np.prod(1 - given[:, columns], axis=1, keepdims=True)
            share = given[:, columns] / np.maximum(any_of, 1e-9)
            table[:, columns] = share * probabilities[:, [SCORES.index(family)]]
        return table


def checked(folder: Path, name: str) -> bytes:
    """Return what is in a file of a model folder, if it is what the folder's ``config.json`` says.

    Raises
    ------
    ValueError
        If it is another file, or the configuration has no hash of it.
    """
    data = (folder / name).read_bytes()
    known = json.loads((folder / "config.json").read_text("utf-8")).get("sha256") or {}
    if name not in known:
        raise ValueError(f"{folder}: no hash of {name} in config.json; give a folder that `rupturekit train` wrote")
    if hashlib.sha256(data).hexdigest() != known[name]:
        raise ValueError(
            f"{folder}: {name} is not the file that its config.json names: it is damaged, was changed, or belongs to "
            "another model. Get the folder again, whole"
        )
    return data


SPREAD = 4
"""Cores that one session is spread over at most, where there are no workers."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Classifier(Readout):
    """A trained encoder with its thresholds and calibration, run by onnxruntime on the CPU.

    Examples
    --------
    >>> model = Classifier.load()  # doctest: +SKIP
    >>> t = Transcript("s", (Turn(0, "T", "therapist", "What was that like?"), Turn(1, "C", "client", "Whatever.")))
    >>> output = model(t)  # doctest: +SKIP
    >>> model.probability(output, np.zeros((2, 4))).shape  # doctest: +SKIP
    (2, 5)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            super().__init__(json.loads((folder / "config.json").read_text("utf-8")))
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{folder}: no readable config.json ({type(error).__name__}); is this a model folder?"
            ) from None
        for name in ("model.onnx", "tokenizer.json"):
            checked(folder, name)
        self.name: str = self.config["name"]
        self.recipe = Recipe(**self.config["recipe"])

    def __reduce__(self) -> tuple[Any, ...]:
        # an open session of onnxruntime cannot be pickled
        return type(self), (self.folder.absolute(),)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Classifier:
        """Load a model folder; without a path, the one that comes with the package.

        Raises
        ------
        ValueError
            If the folder is not a model or lacks a file, or one is not what its ``config.json`` says; the message
            names it.
        """
        if path is None:
            here = Path(__file__).parent
            installed = here / "models" / "withdrawal-en"
            path = installed if installed.is_dir() else here.parents[1] / "models" / "withdrawal-en"
        folder = Path(path)
        for name in ("config.json", "model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise ValueError(f"{folder}: no {name}; give a folder that `rupturekit train` wrote")
        return cls(folder)

    @cached_property
    def sha256(self) -> str:
        """Hash of the configuration, and so of the files whose hashes stand in it."""
        return hashlib.sha256((self.folder / "config.json").read_bytes()).hexdigest()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(checked(self.folder, "tokenizer.json").decode("utf-8"))

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        # its builds for Windows report events to their maker
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # weights are stored as int8 and computed in float32: unpack them once, when loading
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        # a worker has one core; alone, a session is spread over some, and gets the same scores
        options.intra_op_num_threads = 1 if multiprocessing.parent_process() else min(cores(), SPREAD)
        options.inter_op_num_threads = 1
        # threads that wait do not keep a core busy: others may work there
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # from the bytes that were checked; weights in other files would be looked for where the program runs: nothing
        # is found below a file
        nowhere = str(self.folder / "model.onnx")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", nowhere)
        return onnxruntime.InferenceSession(
            checked(self.folder, "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, transcript: Transcript) -> ModelOutput:
        """Read one session and return what the encoder says of every turn."""

        read = list(windows(transcript, self._tokenizer, self.recipe))
        said = map(self._run, inputs_of(read, transcript))
        return self.output(transcript, *by_turn(transcript, read, said, len(self.marker_names)))

    def _run(self, inputs: Inputs) -> Logits:
        names = ["turn_logits", "token_logits"]
        turn, token = self._session.run(names, {name: array[None] for name, array in inputs.items()})
        return turn[0], token[0]
