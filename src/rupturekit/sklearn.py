"""Sessions as rows of figures for scikit-learn: what was found in a session, to predict an outcome from.

A module of this name does not stand in scikit-learn's way: imports here are absolute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise ImportError(f'{error}; pip install "rupturekit[sklearn]"', name=error.name) from None

from .annotation import FAMILIES, AnnotatedTranscript
from .codebook import Codebook, load_codebook
from .pipeline import Annotator
from .tables import columns, rows
from .transcript import Transcript

FEATURES = (*(f"{what}_{family}" for what in ("per100", "peak", "mean") for family in FAMILIES), "n_episodes")
"""The default features: those of ``sessions.csv`` that do not grow with every turn of a longer session."""


class RuptureFeatures(TransformerMixin, BaseEstimator):
    """Turns sessions into a table with a row for each, of numbers found in ``sessions.csv``.

    Nothing is learned from the sessions that it is fitted on, so no fold can tell another anything. Sessions of one
    client still belong in the same fold (`sklearn.model_selection.GroupKFold`).

    Parameters
    ----------
    annotator : Annotator, optional
        What annotates those of the sessions that are not annotated yet, ``Annotator()`` when not given. Annotating
        takes longer than all the rest, and happens at every `transform`: annotate first for a cross-validation.
    features : sequence of str, optional
        Columns of numbers of ``sessions.csv``; `FEATURES` when not given, which are the rates per 100 turns, the
        highest and the mean score of each family, and the number of episodes.

    Notes
    -----
    A feature is NaN where it is not known: a rate where nobody spoke in the role, a score where none was given, as in
    codings by people. Put a `sklearn.impute.SimpleImputer` behind for models that cannot do with that. A 0 says that
    nothing was found, not that nothing was there.

    Examples
    --------
    >>> from rupturekit import Turn
    >>> said = ["This isn't helping.", "I tried it, and it went well.", "What is the point of this?", "We talked."]
    >>> sessions = [
    ...     Transcript(f"s{i}", (Turn(0, "T", "therapist", "How was it?"), Turn(1, "C", "client", text)))
    ...     for i, text in enumerate(said)
    ... ]
    >>> find = RuptureFeatures(Annotator(model=None), features=["per100_confrontation", "n_complaint_progress"])
    >>> find.fit_transform(sessions)
    array([[100.,   1.],
           [  0.,   0.],
           [100.,   1.],
           [  0.,   0.]])
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> dropped_out = [1, 0, 1, 0]
    >>> model = make_pipeline(find.set_output(transform="pandas"), LogisticRegression()).fit(sessions, dropped_out)
    >>> model.predict(sessions), model[0].get_feature_names_out()
    (array([1, 0, 1, 0]), array(['per100_confrontation', 'n_complaint_progress'], dtype=object))
    """

    def __init__(self, annotator: Annotator | None = None, features: Sequence[str] | None = None) -> None:
        self.annotator = annotator
        self.features = features

    def fit(self, X: Iterable[Transcript | AnnotatedTranscript], y: Any = None) -> RuptureFeatures:
        """Check the sessions and the features; there is nothing to learn.

        Raises
        ------
        TypeError
            If X is not a list of sessions.
        ValueError
            If X is empty, or a feature is no column of numbers of ``sessions.csv``.
        """
        _sessions(X)
        self.get_feature_names_out()
        return self

    def transform(self, X: Iterable[Transcript | AnnotatedTranscript]) -> np.ndarray:
        """Return a row for each session, in their order, and a column for each feature.

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        """
        sessions, names = _sessions(X), self.get_feature_names_out()
        found: Iterator[AnnotatedTranscript] = iter(())
        if plain := [session for session in sessions if isinstance(session, Transcript)]:
            found = (Annotator() if self.annotator is None else self.annotator).pipe(plain)
        annotated = (next(found) if isinstance(session, Transcript) else session for session in sessions)
        table = [row for one in annotated for row in rows(one, "session", self._codebook)]
        # None becomes NaN
        return np.array([[row[name] for name in names] for row in table], dtype=np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features; ``input_features`` is there for scikit-learn alone.

        Raises
        ------
        ValueError
            As `fit`.
        """
        if isinstance(self.features, str):
            raise TypeError("features is a single string; give a list of column names")
        names = list(FEATURES if self.features is None else self.features)
        known = [name for name, kind in columns("session", self._codebook).items() if kind is not str]
        if wrong := [name for name in names if name not in known]:
            raise ValueError(f"no feature {', '.join(map(repr, wrong))}; there are {', '.join(known)}")
        if not names:
            raise ValueError("features is empty; leave it out for the usual ones")
        return np.array(names, dtype=object)

    @property
    def _codebook(self) -> Codebook:
        return load_codebook() if self.annotator is None else self.annotator.codebook

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        # a list of sessions: scikit-learn has no table to check, and gives its array checks a miss
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, False
        return tags


def _sessions(X: Iterable[Transcript | AnnotatedTranscript]) -> list[Transcript | AnnotatedTranscript]:
    """Return the sessions as a list, having seen that they are sessions."""
    if isinstance(X, (Transcript, AnnotatedTranscript, str, bytes)) or not isinstance(X, Iterable):
        raise TypeError(f"X is of type {type(X).__name__}; give a list of Transcripts or AnnotatedTranscripts")
    sessions = list(X)
    for number, session in enumerate(sessions):
        if not isinstance(session, (Transcript, AnnotatedTranscript)):
            kind = type(session).__name__
            raise TypeError(f"X[{number}] is of type {kind}, not a session; read texts and files with rupturekit.read")
    if not sessions:
        raise ValueError("X holds 0 sessions, while at least 1 is needed")
    return sessions
