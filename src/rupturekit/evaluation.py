"""Figures that can be trusted: ranking, decisions and calibration against coders, with intervals by group.

Gold is: at least half of a turn's raters gave the family. Every interval resamples groups (a client's
sessions and the twins of one scenario together), never turns. Needs scikit-learn (``train`` extra).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Judged:
    """One family's turns, aligned: gold (bool), probability, decision, and each turn's group."""

    gold: np.ndarray
    probability: np.ndarray
    marked: np.ndarray
    group: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Judged:
        return Judged(self.gold[rows], self.probability[rows], self.marked[rows], self.group[rows])


def average_precision(j: Judged) -> float:
    """Area under the precision-recall steps; NaN where no turn is gold.

    Examples
    --------
    >>> yes = np.array([True, False, True])
    >>> round(average_precision(Judged(yes, np.array([0.9, 0.5, 0.1]), yes, np.arange(3))), 3)
    0.833
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(j.gold, j.probability)) if j.gold.any() else float("nan")


def f1(j: Judged) -> float:
    """Harmonic mean of precision and recall of the decisions; NaN where nothing is gold or marked."""
    either = j.gold.sum() + j.marked.sum()
    return float(2 * (j.gold & j.marked).sum() / either) if either else float("nan")


def precision(j: Judged) -> float:
    """Share of the marked turns that are gold."""
    return float(j.gold[j.marked].mean()) if j.marked.any() else float("nan")


def recall(j: Judged) -> float:
    """Share of the gold turns that are marked."""
    return float(j.marked[j.gold].mean()) if j.gold.any() else float("nan")


def calibration_error(j: Judged, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins (Naeini, Cooper & Hauskrecht 2015).

    Examples
    --------
    >>> half = np.full(4, 0.5)
    >>> gold = np.array([True, False, True, False])
    >>> calibration_error(Judged(gold, half, gold, np.arange(4)))
    0.0
    """
    cell = np.minimum((j.probability * bins).astype(int), bins - 1)
    gaps = [
        (cell == b).mean() * abs(j.gold[cell == b].mean() - j.probability[cell == b].mean())
        for b in range(bins)
        if (cell == b).any()
    ]
    return float(sum(gaps))


def brier_skill(j: Judged) -> float:
    """One minus the Brier score over that of always saying the base rate; 0 is no skill, 1 is perfect."""
    base = ((j.gold.mean() - j.gold) ** 2).mean()
    return float(1 - ((j.probability - j.gold) ** 2).mean() / base) if base else float("nan")


def calibration_slope(j: Judged) -> float:
    """Slope of gold on the log-odds (Cox 1958); below 1 the probabilities are too extreme."""
    from sklearn.linear_model import LogisticRegression

    if not 0 < j.gold.mean() < 1:
        return float("nan")
    p = np.clip(j.probability, 1e-4, 1 - 1e-4)
    model = LogisticRegression(C=1e6, max_iter=1000).fit(np.log(p / (1 - p))[:, None], j.gold)
    return float(model.coef_[0, 0])


METRICS: Mapping[str, Callable[[Judged], float]] = {
    "AP": average_precision,
    "F1": f1,
    "precision": precision,
    "recall": recall,
    "ECE": calibration_error,
    "Brier skill": brier_skill,
    "slope": calibration_slope,
}


def interval(
    j: Judged, metric: Callable[[Judged], float], draws: int = 500, seed: int = 0
) -> tuple[float, float, float]:
    """Return a metric with its 95 % percentile interval, groups resampled with replacement.

    Returns
    -------
    value, low, high : float
    """
    names, where = np.unique(j.group, return_inverse=True)
    rows = [np.flatnonzero(where == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)
    values = [metric(j[np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))])]) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return metric(j), float(low), float(high)


def best_threshold(gold: np.ndarray, probability: np.ndarray) -> float:
    """Return the probability at or above which marking gives the highest F1; 1 where nothing is gold.

    The middle of the two neighbouring probabilities, so that a small change of a score changes nothing.
    """
    if not gold.any():
        return 1.0
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(gold[order])
    scores = 2 * hits / (np.arange(1, len(order) + 1) + gold.sum())
    # near-equal peaks are noise: the mean of the cut-offs within a hair of the best moves less from fold to fold
    good = np.flatnonzero(scores >= scores.max() - 0.005)
    return float(np.median(probability[order][good]))


def baselines(
    texts: Sequence[str], before: Sequence[str], gold: np.ndarray, group: np.ndarray, fold: np.ndarray
) -> dict[str, Judged]:
    """Return what simple recipes make of the same turns and folds, each fitted and cut on the other folds.

    constant
        Marks every turn.
    length
        Logistic regression on the number of words.
    keyword
        Logistic regression on the 30 words and pairs that go with the family most (chi squared).
    tf-idf
        Logistic regression on TF-IDF of words and pairs of the turn and of the turn before.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.feature_selection import SelectKBest, chi2
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    words = np.array([[t, b] for t, b in zip(texts, before)], dtype=object)

    def lengths(column: Any) -> np.ndarray:
        counts = np.log1p([len(str(t).split()) for t in np.asarray(column).ravel()])
        return np.column_stack([counts, counts**2])

    def logistic() -> Any:
        return LogisticRegression(C=4, class_weight="balanced", max_iter=2000)

    recipes = {
        "length": make_pipeline(ColumnTransformer([("n", FunctionTransformer(lengths), [0])]), logistic()),
        "keyword": make_pipeline(
            ColumnTransformer([("w", CountVectorizer(ngram_range=(1, 2), min_df=3, binary=True), 0)]),
            SelectKBest(chi2, k=30),
            logistic(),
        ),
        "tf-idf": make_pipeline(
            ColumnTransformer(
                [(n, TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), i) for i, n in enumerate("tb")]
            ),
            logistic(),
        ),
    }
    out = {"constant": Judged(gold, np.full(len(gold), gold.mean()), np.ones(len(gold), bool), group)}
    for name, recipe in recipes.items():
        probability = np.zeros(len(gold))
        for k in np.unique(fold):
            if gold[fold != k].any():
                recipe.fit(words[fold != k], gold[fold != k])
                probability[fold == k] = recipe.predict_proba(words[fold == k])[:, 1]
        out[name] = Judged(gold, probability, cross_fitted(gold, probability, fold), group)
    return out


def cross_fitted(gold: np.ndarray, probability: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return decisions in which every fold is cut where the other folds are cut best."""
    marked = np.zeros(len(gold), bool)
    for k in np.unique(fold):
        marked[fold == k] = probability[fold == k] >= best_threshold(gold[fold != k], probability[fold != k])
    return marked
