"""What a worker does with a file or a session, and the workers: here, in processes, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing.connection import wait as wait_for
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .annotation import FAMILIES, AnnotatedTranscript
from .inputs import Input, Reading, reason
from .pipeline import Annotator
from .readers import RawSession
from .readers.praat import together
from .score import present
from .segment import segment
from .tables import Pseudonyms, render
from .transcript import Transcript

if TYPE_CHECKING:
    from .deidentify import Deidentifier

Outcome = Literal["done", "skipped", "failed"]
Stage = Literal["read", "segment", "annotate", "write"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What became of one session, with what was found: family → number of turns; where it failed, the stage."""

    session_id: str
    outcome: Outcome
    reason: str | None = None
    stage: Stage | None = None
    n_turns: int = 0
    found: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker needs to know besides the file or the session."""

    annotator: Annotator
    reading: Reading
    formats: tuple[str, ...]
    hide: Pseudonyms | None
    deidentify: Deidentifier | None = None

    def shown(self, text: str) -> str:
        """Return an id or a path as it may stand in an output."""
        if self.hide:
            return self.hide.hash(text)
        return self.deidentify.shown(text) if self.deidentify else text

    @property
    def verbatim(self) -> bool:
        """Tell whether names may stand in an output as they are."""
        return self.hide is None and self.deidentify is None

    def why(self, error: Exception, entry: Input, also: Iterable[str | None] = ()) -> str:
        """Say what went wrong, with names hidden where they are to be; ``also`` are names besides the file's."""
        path = entry.path
        # which file it is stands beside the reason already
        text = reason(error).removeprefix(str(path)).lstrip(":, ")
        if self.verbatim:
            return text
        files = [path, *together(path).values()]
        names = {entry.name, *also, *(name for f in files for name in (str(f), f.as_posix(), f.name, f.stem))}
        # in one pass and the longest first, so that no part of a name is left standing
        pattern = "|".join(re.escape(str(n)) for n in sorted(names - {None, ""}, key=lambda n: -len(str(n))))
        text = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda m: self.shown(m[0]), text)
        # labels of the file stand in quotes
        return re.sub(r"(?<!\w)'([^'\n]+)'(?!\w)", lambda m: f"'{self.shown(m[1])}'", text)


@dataclass(frozen=True, slots=True)
class Session:
    """A session on its way to a worker, with the id and the client that it was given."""

    # a cluster logs what a task that fails was given
    raw: RawSession = field(repr=False)
    id: str
    client: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a session: its outcome, the numbers of the given roles that were met, its part of the outputs."""

    outcome: SessionOutcome
    met: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    data: bytes = b""


@lru_cache(maxsize=1)
def _unpacked(job: bytes) -> Job:
    return pickle.loads(job)


_ONE_AT_A_TIME = threading.Lock()


def read(job: Job | bytes, entry: Input) -> list[RawSession] | str:
    """Read a file; return its sessions, or why it cannot be read."""
    with _ONE_AT_A_TIME:
        job = _unpacked(job) if isinstance(job, bytes) else job
        try:
            return job.reading.sessions(entry.path)
        except Exception as error:
            return job.why(error, entry)


def annotate(job: Job | bytes, work: Sequence[tuple[Input, Session]]) -> list[Said]:
    """Annotate sessions; whatever happens is in their outcomes."""
    # a cluster may give a process several tasks at a time, and spaCy's vocabulary is shared
    with _ONE_AT_A_TIME:
        job = _unpacked(job) if isinstance(job, bytes) else job
        segmented = [_segmented(job, *what) for what in work]
        several = [transcript for transcript in segmented if isinstance(transcript, Transcript)]
        try:
            annotated = iter(list(job.annotator.pipe(several)) if len(several) > 1 else [])
        except Exception:
            annotated = iter([])  # one of them fails, and must fail alone
        return [
            transcript if isinstance(transcript, Said) else _said(job, *what, transcript, next(annotated, None))
            for what, transcript in zip(work, segmented)
        ]


def _segmented(job: Job, entry: Input, session: Session) -> Transcript | Said:
    try:
        transcript = segment(session.raw, id=session.id, roles=job.reading.roles_in(session.raw), path=entry.name)
        if session.client:
            transcript = replace(transcript, meta={**transcript.meta, "client_id": session.client})
        # before anything is found: what is found rests on what is written, and on nothing else
        return job.deidentify(transcript).transcript if job.deidentify else transcript
    except Exception as error:
        return _failed(job, entry, session, error, "segment")


def _said(
    job: Job, entry: Input, session: Session, transcript: Transcript, annotated: AnnotatedTranscript | None
) -> Said:
    stage: Stage = "annotate"
    try:
        annotated = annotated or job.annotator(transcript)
        stage = "write"
        parts = render(job.hide(annotated) if job.hide else annotated, job.annotator.codebook, job.formats)
    except Exception as error:
        return _failed(job, entry, session, error, stage)
    turns = present(annotated.markers)
    found: dict[str, int] = {family: len(turns[family]) for family in FAMILIES}
    roles = job.reading.roles_in(session.raw)
    met = tuple(number for number, label in enumerate(job.reading.roles or {}, 1) if label in roles)
    outcome = SessionOutcome(job.shown(session.id), "done", None, None, len(transcript), found)
    # the fastest level: a third of the size for a hundredth of the model's time
    return Said(outcome, met, tuple(map(len, parts.values())), zlib.compress(b"".join(parts.values()), 1))


def _failed(job: Job, entry: Input, session: Session, error: Exception, stage: Stage) -> Said:
    also = {session.id, session.raw.id, *(utterance.speaker for utterance in session.raw.utterances)}
    return Said(SessionOutcome(job.shown(session.id), "failed", job.why(error, entry, also), stage))


# --- workers ------------------------------------------------------------------------------------------


class _Here(Executor):
    """Does the work in this process, as it is handed in."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        return future


def _processes(n: int) -> Executor:
    from concurrent.futures import ProcessPoolExecutor

    # a fresh interpreter each: a fork would copy threads and locks in whatever state they are
    return ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), _at_start)


def _at_start() -> None:
    # Ctrl-C is for the run, which then stops its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_the_run() -> None:
        if parent := multiprocessing.parent_process():
            wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_the_run, daemon=True).start()


class Workers:
    """Hands out work, and goes on when a worker dies.

    Parameters
    ----------
    job : Job
    n : int
        Processes on this machine; 0 for this process.
    client : dask.distributed.Client, optional
        The cluster that does the work instead.
    """

    def __init__(self, job: Job, n: int, client: Any) -> None:
        self._n, self._client = n, client
        self._job: Job | bytes = pickle.dumps(job) if n or client is not None else job
        self._executor = self._fresh(n)
        self._lone: Executor | None = None

    def _fresh(self, n: int) -> Executor:
        if self._client is not None:
            return self._client.get_executor(pure=False)
        return _processes(n) if n else _Here()

    @property
    def room(self) -> int:
        """How many tasks are worth handing in ahead, so that no worker waits and few results are held here."""
        if self._client is not None:
            return 2 * max(sum(self._client.nthreads().values()), 4)
        return 2 * self._n + 1

    def submit(self, do: Callable[..., T], *what: Any) -> Future[T]:
        """Hand in one thing to do; what is handed to workers that have just died is lost like what they had."""
        try:
            return self._executor.submit(do, self._job, *what)
        except BrokenExecutor as error:
            lost: Future[T] = Future()
            lost.set_exception(error)
            return lost

    def renew(self) -> None:
        """Take new workers for those of a broken pool."""
        self._executor.shutdown()
        self._executor = self._fresh(self._n)

    def alone(self, do: Callable[..., T], *what: Any) -> T:
        """Do one thing in a process that has nothing else in hand."""
        self._lone = self._lone or self._fresh(1)
        try:
            return self._lone.submit(do, self._job, *what).result()
        except BrokenExecutor:
            self._lone.shutdown()
            self._lone = None
            raise

    def close(self) -> None:
        """Let the workers finish what they have in hand, and go."""
        if self._client is not None:
            self._executor.shutdown(wait=False)  # which, on a cluster, takes back what was handed in
            return
        for executor in filter(None, (self._executor, self._lone)):
            executor.shutdown(wait=True, cancel_futures=True)
