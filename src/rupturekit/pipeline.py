"""From files to transcripts, and from transcripts to annotated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import tee
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from . import __version__, score
from .annotation import FAMILIES, AnnotatedTranscript, Coded, Marker, Provenance, whole
from .codebook import load_codebook
from .episodes import episodes
from .readers import ReadError, read_sessions
from .rules import answering
from .segment import RoleError, segment
from .transcript import ROLES, Transcript

if TYPE_CHECKING:
    import numpy as np

    from .readers.raw import RawSession

SHIPPED = "withdrawal-en"
"""Name of the model that comes with the package."""


class OtherVersion(RuntimeError):
    """An annotator that was pickled cannot be made again here as it was."""


class Model(Protocol):
    """What `Annotator` asks of a model; `rupturekit.Classifier` is one."""

    name: str
    sha256: str
    thresholds: dict[str, float]

    def __call__(self, transcript: Transcript) -> Any:
        """Return the model's output for every turn."""

    def probability(self, output: Any, rule_scores: np.ndarray) -> np.ndarray:
        """Return calibrated turn probabilities, shape (n_turns, 5)."""

    def marker_probability(self, output: Any, turn_probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated marker probabilities, shape (n_turns, n_markers)."""


def read_all(
    path: str | PathLike[str],
    *,
    roles: Mapping[str, str] | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> list[Transcript]:
    """Read every session in a file.

    Parameters
    ----------
    path : path-like
        A transcript, or a table with many sessions.
    roles : mapping, optional
        Speaker label → ``client``, ``therapist`` or ``other``; else taken from the labels or inferred.
    format, columns, encoding : optional
        As for `rupturekit.readers.read_sessions`; found out when not given.

    Returns
    -------
    list of Transcript
        A session's id is that of the table's id column, else the file's stem; of TextGrids with one speaker each
        (``s1_therapist``, ``s1_client``) what their names share.

    Raises
    ------
    ReadError
        If the file cannot be read as a transcript.
    RoleError
        If it stays unclear who is the client in one of the sessions.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "all.csv")
    ...     _ = table.write_text("session_id,speaker,text\\n1,T,How are you?\\n1,C,Fine.\\n")
    ...     [(t.id, len(t)) for t in read_all(table)]
    [('1', 2)]
    """
    path = Path(path)
    sessions = read_sessions(path, format=format, columns=columns, encoding=encoding, labels=roles)
    several = len(sessions) > 1
    return [
        _segmented(raw, path, roles, f"{path}, session {n} of {len(sessions)}" if several else str(path))
        for n, raw in enumerate(sessions, start=1)
    ]


def read(
    path: str | PathLike[str],
    *,
    roles: Mapping[str, str] | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> Transcript:
    """Read a file that holds one session.

    Parameters and errors are those of `read_all`.

    Raises
    ------
    ReadError
        If the file holds more than one session; the message says how many.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "s1.txt")
    ...     _ = file.write_text("T: What would help most today?\\nC: No idea, really.\\n")
    ...     [turn.role for turn in read(file)]
    ['therapist', 'client']
    """
    path = Path(path)
    sessions = read_sessions(path, format=format, columns=columns, encoding=encoding, labels=roles)
    if len(sessions) != 1:
        raise ReadError(f"{path}: this file holds {len(sessions)} sessions. Use read_all, which returns a list")
    return _segmented(sessions[0], path, roles, str(path))


def _segmented(raw: RawSession, path: Path, roles: Mapping[str, str] | None, place: str) -> Transcript:
    try:
        return segment(raw, id=raw.id if raw.id is not None else path.stem, roles=roles, path=str(path))
    except RoleError as error:
        # it knows of no file
        raise RoleError(f"{place}: {error}") from None


class Annotator:
    """Finds rupture and resolution markers in a transcript, by rules and model together.

    An annotator can be pickled: what loads it makes it again from its model folder, and refuses another version.

    Parameters
    ----------
    model : str, path, model object or None
        ``"withdrawal-en"`` (the model that comes with the package), a folder made by
        ``rupturekit train``, an object with the methods of `Model`, or None for rules alone. Without a
        model the turn scores are the rules' weights, not calibrated probabilities.
    rules : bool
        Whether the rules take part.
    thresholds : mapping, optional
        Family or marker → probability from which it counts as present; in place of the model's own.
    codebook : str
        Name or file of the codebook, as for `load_codebook`.
    device : str, optional
        Where torch runs the model, such as ``"cuda"``; on the processor, without torch, when not given. Needs the
        train extra.

    Raises
    ------
    ValueError
        If there is neither model nor rules, a threshold is not a probability of a known family or
        marker, or the codebook lacks a marker that the model knows.

    Examples
    --------
    >>> from rupturekit.transcript import Turn
    >>> session = Transcript("s1", (
    ...     Turn(0, "T", "therapist", "How has the work been going for you?"),
    ...     Turn(1, "C", "client", "Honestly, this isn't helping."),
    ... ))
    >>> annotated = Annotator(model=None)(session)
    >>> [(m.turn, m.marker, m.source) for m in annotated.markers]
    [(1, 'complaint_progress', 'rule')]
    """

    def __init__(
        self,
        model: str | PathLike[str] | Model | None = SHIPPED,
        *,
        rules: bool = True,
        thresholds: Mapping[str, float] | None = None,
        codebook: str = "3rs-2015",
        device: str | None = None,
    ) -> None:
        self._made_of = {
            "model": model if not isinstance(model, (str, PathLike)) or model == SHIPPED else Path(model).absolute(),
            "rules": rules,
            "thresholds": thresholds,
            "codebook": codebook,
            "device": device,
        }
        if model is None and not rules:
            raise ValueError("neither a model nor rules: nothing would be found; leave one of them on")
        self.codebook = load_codebook(codebook)
        self.device = device
        self.model = _load_model(model, device)
        chosen = {**(self.model.thresholds if self.model else {}), **(thresholds or {})}
        for name, value in chosen.items():
            if name not in FAMILIES and name not in self.codebook:
                raise ValueError(f"threshold for {name!r}: no such family or marker in {self.codebook.name}")
            if isinstance(value, str) or not 0 <= value <= 1:
                raise ValueError(f"threshold for {name!r}: {value} is not a probability between 0 and 1")
        # as coarse as the scores they are compared with, see `score`
        self.thresholds = {name: round(float(value), 4) for name, value in chosen.items()}
        self._scan: Callable[[Transcript], tuple[Marker, ...]] | None = None
        rules_sha256 = None
        if rules:
            from .rules import shipped

            detector = shipped()
            self._scan, rules_sha256 = detector.scan, detector.sha256
        self.provenance = Provenance(
            version=__version__,
            codebook=f"{self.codebook.name} {self.codebook.version}",
            rules_sha256=rules_sha256,
            model=self.model.name if self.model else None,
            model_sha256=self.model.sha256 if self.model else None,
            thresholds=self.thresholds,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._made_of, self.provenance)

    def __call__(self, transcript: Transcript) -> AnnotatedTranscript:
        """Annotate one transcript.

        Raises
        ------
        TypeError
            If it is no Transcript.
        ValueError
            If its turns are not numbered from 0, in order, or one has a role that there is not.
        """
        transcript = _checked(transcript)
        return self._annotated(transcript, self.model(transcript) if self.model else None)

    def _annotated(self, transcript: Transcript, output: Any) -> AnnotatedTranscript:
        found = self._scan(transcript) if self._scan else ()
        markers, scores = self._decide(transcript, answering(found), output)
        # a rupture that the model alone found may be what a therapist's rule answers to
        ruptures = score.present(markers)["rupture"] - {m.turn for m in found if (m.score or 0) > 0}
        if found and ruptures:
            markers, scores = self._decide(transcript, answering(found, ruptures), output)
        return AnnotatedTranscript(
            transcript,
            markers,
            scores + score.rates(transcript, markers),
            episodes(transcript, markers, self.codebook.episode),
            self._coded(transcript),
            self.provenance,
        )

    def pipe(self, transcripts: Iterable[Transcript]) -> Iterator[AnnotatedTranscript]:
        """Annotate transcripts one after the other, as they come; on a device, the model reads some at a time."""
        read: Callable[[Iterable[Transcript]], Iterator[Any]] | None = getattr(self.model, "pipe", None)
        if read is None:
            return map(self, transcripts)
        ours, theirs = tee(map(_checked, transcripts))
        # the model's output first: it reads ahead of what is annotated
        return (self._annotated(one, output) for output, one in zip(read(theirs), ours))

    def _decide(self, transcript: Transcript, found: Iterable[Marker], output: Any) -> Any:
        weights = score.rule_scores(transcript, found)
        found = [marker for marker in found if (marker.score or 0) > 0]
        if self.model is None:
            p = score.without_model(weights.clip(0))
            return score.decide(transcript, found, p, self.thresholds, self.codebook)
        p = self.model.probability(output, weights)
        q = self.model.marker_probability(output, p)
        return score.decide(transcript, found, p, self.thresholds, self.codebook, output, q)

    def _coded(self, transcript: Transcript) -> tuple[Coded, ...]:
        sources = ["rule"] * (self._scan is not None) + ["model"] * (self.model is not None)
        return tuple(part for source in sources for part in whole(transcript, source))


def _checked(transcript: Transcript) -> Transcript:
    if not isinstance(transcript, Transcript):
        kind = type(transcript).__name__
        raise TypeError(f"what is to be annotated is of type {kind}; give Transcripts, as rupturekit.read returns them")
    for number, turn in enumerate(transcript):
        if turn.index != number or turn.role not in ROLES:
            raise ValueError(f"turn {number}: number turns from 0, in order; roles are {', '.join(ROLES)}")
    return transcript


def _again(made_of: dict[str, Any], provenance: Provenance) -> Annotator:
    annotator = Annotator(**made_of)
    if annotator.provenance != provenance:
        raise OtherVersion("the workers have another version of rupturekit, its rules or its model than the run")
    return annotator


def _load_model(model: str | PathLike[str] | Model | None, device: str | None) -> Model | None:
    if not isinstance(model, (str, PathLike)):
        return model
    from .classifier import Classifier

    path = None if model == SHIPPED else Path(model)
    if device is None:
        return cast(Model, Classifier.load(path))
    try:
        from .encoder import TorchClassifier
    except ImportError as error:
        raise ValueError(f"device {device!r}: {error}") from None
    return cast(Model, TorchClassifier.load(path, device))
