"""Figures that can be trusted: ranking, decisions and calibration against coders, with intervals by group.

Gold is: at least half of a turn's raters gave the family. Every interval resamples groups (a client's
sessions and the twins of one scenario together), never turns. Needs scikit-learn (``evaluate`` extra).

`evaluate` compares annotated sessions, as `rupturekit.Annotator` or the command line made them, with coded
ones; the training run measures its held-out folds by it, so a card and a user's own table say the same thing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from .annotation import CLIENT_FAMILIES, FAMILIES, AnnotatedTranscript
from .coding import GOLD, Votes, group_of, votes
from .coefficients import ICC, Spans, word_matches
from .coefficients import value as coefficient
from .score import ROLE_OF, present
from .transcript import Transcript

ORDER = ("withdrawal", "confrontation", "rupture", "resolution", "therapist_defensive")


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
    """Area under the precision-recall steps, Σ (R_i − R_i−1) P_i; NaN where no turn is gold.

    As scikit-learn has it, without interpolation. That of a coin is the share of gold turns: compare within one set.

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

    The mean over the turns of |share of gold − mean probability| of the turn's bin. With few turns it is above 0 for a
    perfect forecast too, and it depends on the bins.

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
    """One minus the Brier score (1950) over that of always saying the base rate; 0 is no skill, 1 is perfect.

    The base rate is that of the turns themselves, which nobody knows beforehand: the skill is a little too low.
    """
    base = ((j.gold.mean() - j.gold) ** 2).mean()
    return float(1 - ((j.probability - j.gold) ** 2).mean() / base) if base else float("nan")


def calibration_slope(j: Judged) -> float:
    """Slope b of the logistic regression logit P(gold) = a + b · logit p (Cox 1958, Biometrika 45, 562–565).

    Below 1 the probabilities are too extreme. They are clipped to 0.0001 and 0.9999. NaN where it does not exist: all
    turns or none are gold, all have one probability, or a cut-off tells them apart without a fault. It does not see
    probabilities that are all too high.
    """
    from sklearn.linear_model import LogisticRegression

    p = np.clip(j.probability, 1e-4, 1 - 1e-4)
    logit, gold = np.log(p / (1 - p)), j.gold.astype(bool)
    if gold.all() or not gold.any():
        return float("nan")
    if logit[gold].min() >= logit[~gold].max() or logit[gold].max() <= logit[~gold].min():
        return float("nan")
    model = LogisticRegression(C=1e6, max_iter=1000, tol=1e-8).fit(logit[:, None], gold)
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


LEAST_GROUPS = 10
Interval = tuple[float, float, float]
"""A figure with the ends of its 95 % interval."""


def interval(j: Judged, metric: Callable[[Judged], float], draws: int = 500, seed: int = 0) -> Interval:
    """Return a metric with its 95 % percentile interval, groups resampled with replacement.

    Returns
    -------
    value, low, high : float
    """
    return resampled(j.group, lambda rows: metric(j[rows]), draws, seed)


def resampled(group: np.ndarray, figure: Callable[[np.ndarray], float], draws: int = 500, seed: int = 0) -> Interval:
    """Return ``figure(rows)`` of all rows, with its 95 % percentile interval when groups are drawn again.

    Fewer than `LEAST_GROUPS` groups say too little of others: the ends are NaN then.

    Parameters
    ----------
    group : ndarray, shape (n,)
        Each row's group.
    figure : callable
        From row numbers to a figure.
    """
    _, where = np.unique(group, return_inverse=True)
    rows = [np.flatnonzero(where == g) for g in range(where.max() + 1)]
    rng = np.random.default_rng(seed)
    values = [figure(np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))])) for _ in range(draws)]
    known = [v for v in values if not np.isnan(v)] if len(rows) >= LEAST_GROUPS else []
    low, high = np.percentile(known, [2.5, 97.5]) if known else (np.nan, np.nan)
    return figure(np.arange(len(group))), float(low), float(high)


def best_threshold(gold: np.ndarray, probability: np.ndarray) -> float:
    """Return the probability at or above which marking gives the highest F1; 1 where nothing is gold.

    Where several cut-offs are about as good, the middle one: it moves less from one set of sessions to the next.

    Examples
    --------
    >>> best_threshold(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.5, 0.5]))
    0.5
    >>> best_threshold(np.array([True, True, False, False, False]), np.array([0.9, 0.5, 0.5, 0.5, 0.5]))
    0.9
    """
    if not gold.any():
        return 1.0
    order = np.argsort(-probability, kind="stable")
    cuts = probability[order]
    # equal probabilities are marked together
    last = np.flatnonzero(np.append(cuts[1:] < cuts[:-1], True))
    scores = 2 * np.cumsum(gold[order])[last] / (last + 1 + gold.sum())
    # near-equal peaks are noise: the middle of those within a hair of the best moves less from fold to fold
    good = np.flatnonzero(scores >= scores.max() - 0.005)
    return float(cuts[last[good[len(good) // 2]]])


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
                with warnings.catch_warnings():
                    # a small study has fewer words than that: it then gets all of them
                    warnings.filterwarnings("ignore", "k=30 is greater than")
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


@dataclass(frozen=True)
class Session:
    """A coded session beside its annotation: each coded turn's votes, and where the turn is in the annotation."""

    coded: AnnotatedTranscript
    found: AnnotatedTranscript
    votes: Mapping[int, Votes]
    place: Mapping[int, int]

    @property
    def group(self) -> str:
        """What the session is kept together with: what the coding names or else the annotation, else itself."""
        own = group_of(self.coded)
        return own if own != self.coded.transcript.id else group_of(self.found)

    @property
    def corpus(self) -> str:
        """The table that the session comes from."""
        return str(self.coded.transcript.meta.get("corpus", ""))


def join(coded: Iterable[AnnotatedTranscript], found: Iterable[AnnotatedTranscript]) -> list[Session]:
    """Set coded sessions beside their annotations: by id, and turn by turn.

    Turns are joined by the input's own numbers (``source_ids``) where both sides have them, else by place. Where
    several coded turns were merged into one, each is set beside it.
    Coded sessions that were not annotated are left out, as are annotated ones that were not coded.

    Raises
    ------
    ValueError
        If two sessions have one id, the turns of a session cannot be joined, or a turn is the client's on one
        side and the therapist's on the other.
    """
    by_id = _by_id(found, "annotated")
    pairs = []
    for c in _by_id(coded, "coded").values():
        if (f := by_id.get(c.transcript.id)) is None:
            continue
        told = votes(c)
        pairs.append(Session(c, f, told, _places(c.transcript, f.transcript, told)))
    return pairs


def _places(coded: Transcript, found: Transcript, turns: Collection[int]) -> dict[int, int]:
    """Return where each of the coded turns is in the annotation."""
    numbers = [n for t in found for n in t.source_ids]
    number = {n: t.index for t in found for n in t.source_ids}
    places = {t: number[n] for t in turns for n in coded[t].source_ids[:1] if n in number}
    same = [(t.role, t.text) for t in coded] == [(t.role, t.text) for t in found]
    # numbers may be no turn's own: of each speaker apart ("T1", "P1"), of the turn that a silence was cut from
    if same or len(places) < len(turns) or len(number) < len(numbers):
        if len(coded) != len(found):
            raise ValueError(
                f"session {coded.id}: {len(coded)} turns were coded and {len(found)} annotated, and they bear no "
                "common numbers; annotate the table that was coded"
            )
        places = {t: t for t in turns}
    for t, there in places.items():
        if coded[t].role != found[there].role:
            raise ValueError(
                f"session {coded.id}, turn {there}: the {coded[t].role}'s where it was coded and the "
                f"{found[there].role}'s where it was annotated; read both with the same --roles"
            )
    return places


def _by_id(sessions: Iterable[AnnotatedTranscript], what: str) -> dict[str, AnnotatedTranscript]:
    out: dict[str, AnnotatedTranscript] = {}
    for s in sessions:
        if s.transcript.id in out:
            raise ValueError(f"two {what} sessions are called {s.transcript.id}: evaluate one table at a time")
        out[s.transcript.id] = s
    return out


@dataclass(frozen=True)
class Turns:
    """All coded turns of the role that a score is for, aligned with what was found."""

    judged: Judged
    session: np.ndarray
    turn: np.ndarray
    agreed: np.ndarray
    n_raters: np.ndarray
    corpus: np.ndarray


def turns_of(sessions: Sequence[Session], name: str) -> Turns:
    """Collect a score's turns: gold is at least half of the raters; marked is any marker of the family."""
    coded = [
        (i, s, t, told)
        for i, s in enumerate(sessions)
        for t, told in s.votes.items()
        if s.coded.transcript[t].role == ROLE_OF[name] and told.raters_of(name)
    ]
    scores = [s.found.turn_scores() for s in sessions]
    marked = [present(s.found.markers)[name] for s in sessions]
    share = np.array([told.share(name) for _, _, _, told in coded], float)
    # the kinds are told, for there may be no turns
    judged = Judged(
        gold=share >= GOLD,
        probability=np.array([scores[i].get(s.place[t], {}).get(name, 0.0) for i, s, t, _ in coded], float),
        marked=np.array([s.place[t] in marked[i] for i, s, t, _ in coded], bool),
        group=np.array([s.group for _, s, _, _ in coded], str),
    )
    return Turns(
        judged,
        session=np.array([i for i, _, _, _ in coded], int),
        turn=np.array([t for _, _, t, _ in coded], int),
        agreed=(share == 0) | (share == 1),
        n_raters=np.array([len(told.raters_of(name)) for _, _, _, told in coded], int),
        corpus=np.array([s.corpus for _, s, _, _ in coded], str),
    )


def evaluate(
    coded: Iterable[AnnotatedTranscript], found: Iterable[AnnotatedTranscript], draws: int = 500
) -> dict[str, list[dict[str, Any]]]:
    """Measure annotated sessions against coded ones.

    Parameters
    ----------
    coded : iterable of AnnotatedTranscript
        With markers whose source is ``coder:<id>``, as `rupturekit.coding.read_coded` returns them.
    found : iterable of AnnotatedTranscript
        Annotations of the same sessions.
    draws : int
        Resamples of groups for each interval.

    Returns
    -------
    dict
        Tables, each a list of rows: ``turns`` (ranking, decisions and calibration for each score and part of
        the data), ``raters`` (agreement of the raters with each other, in the same terms), ``sessions`` (counts
        and rates against the raters, false alarms) and ``markers`` (right marker, spans).

    Raises
    ------
    ValueError
        If no coded session was annotated.

    Examples
    --------
    >>> from rupturekit import Coded, Marker, Score, Transcript, Turn
    >>> t = Transcript("s", (Turn(0, "C", "client", "I guess."), Turn(1, "C", "client", "It went well.")))
    >>> by_hand = AnnotatedTranscript(
    ...     t, (Marker(0, 0, 7, "withdrawal", "minimal_response", source="coder:A"),),
    ...     coded=tuple(Coded("coder:A", family, 0, 1) for family in FAMILIES))
    >>> by_machine = AnnotatedTranscript(
    ...     t, (Marker(0, 0, 7, "withdrawal", "minimal_response", 0.8),),
    ...     (Score("turn", 0, "withdrawal", 0.8), Score("turn", 1, "withdrawal", 0.1)))
    >>> rows = evaluate([by_hand], [by_machine], draws=10)["turns"]
    >>> [(r["score"], r["F1"][0]) for r in rows if r["score"] == "withdrawal"]
    [('withdrawal', 1.0)]
    """
    sessions = join(coded, found)
    if not sessions:
        raise ValueError(
            "none of the coded sessions was annotated: their ids have nothing in common "
            "(outputs made with --no-text have hashes for ids)"
        )
    return {
        "turns": [row for name in ORDER for row in turn_figures(turns_of(sessions, name), name, draws)],
        "raters": rater_figures(sessions, draws),
        "sessions": session_figures(sessions, draws),
        "markers": marker_figures(sessions, draws),
    }


def parts(turns: Turns) -> dict[str, np.ndarray]:
    """Return the parts of the data that figures are given for; the first is what a headline states."""
    two = turns.n_raters > 1
    found = {"all": np.ones(len(two), bool)}
    if two.any() and not two.all():
        # a few turns that two coded say more of those coders than of the data
        found = {"two raters or more": two, **found} if two.mean() >= 0.5 else {**found, "two raters or more": two}
    if two.any():
        found["where all raters agree"] = two & turns.agreed
    corpora = sorted(set(turns.corpus))
    found |= {str(c): turns.corpus == c for c in corpora} if len(corpora) > 1 else {}
    return {part: where for part, where in found.items() if where.any()}


def turn_figures(turns: Turns, name: str, draws: int) -> list[dict[str, Any]]:
    """Return every metric of one score, a row for each part of the data."""
    rows = []
    for part, where in parts(turns).items():
        j = turns.judged[where]
        row: dict[str, Any] = {"score": name, "turns": part, "n": int(where.sum()), "gold": int(j.gold.sum())}
        rows.append(row | {metric: interval(j, function, draws) for metric, function in METRICS.items()})
    return rows


def rater_figures(sessions: Sequence[Session], draws: int) -> list[dict[str, Any]]:
    """Return how far two raters agree with each other: F1 over all pairs of raters and turns."""
    rows = []
    for name in ORDER:
        pairs: list[tuple[bool, bool, str]] = []
        for s in sessions:
            for t, told in s.votes.items():
                if s.coded.transcript[t].role == ROLE_OF[name]:
                    gave = [told.gave(rater, name) for rater in told.raters_of(name)]
                    pairs += [(a, b, s.group) for a, b in combinations(gave, 2)]
        if pairs:
            a, b, group = (np.array(c) for c in zip(*pairs))
            rows.append({"score": name, "pairs": len(pairs), "F1": interval(Judged(a, b, b, group), f1, draws)})
    return rows


def session_figures(sessions: Sequence[Session], draws: int) -> list[dict[str, Any]]:
    """Return ICC(A,1) of the sessions' rupture turns and of their rate per 100, and false alarms."""
    turns = turns_of(sessions, "rupture")
    j = turns.judged
    if not len(j.gold):
        return []
    each = [turns.session == i for i in range(len(sessions)) if (turns.session == i).any()]
    counts = np.array([(j.gold[own].sum(), j.marked[own].sum(), own.sum()) for own in each], float)
    rates = 100 * counts[:, :2] / counts[:, 2:]
    group = np.array([j.group[own][0] for own in each])
    # no rater gave a rupture on any turn: a single vote is enough to count a session as not clean
    given = [[m.family for m in s.coded.markers if m.source.startswith("coder:")] for s in sessions]
    clean = np.array([not set(CLIENT_FAMILIES) & set(families) for families in given])
    quiet = j[clean[turns.session]]
    alarms = _mean(100 * quiet.marked, quiet.group, draws) if len(quiet.marked) else (float("nan"),) * 3

    return [
        {"figure": "rupture turns of a session, ICC(A,1)", "n": len(counts),
         "value": resampled(group, lambda rows: coefficient(ICC("A,1"), counts[rows, :2]), draws)},
        {"figure": "rupture turns per 100 client turns, ICC(A,1)", "n": len(counts),
         "value": resampled(group, lambda rows: coefficient(ICC("A,1"), rates[rows]), draws)},
        {"figure": "marked per 100 client turns in sessions where no rater coded a rupture", "n": len(quiet.marked),
         "value": alarms},
    ]  # fmt: skip


def marker_figures(sessions: Sequence[Session], draws: int) -> list[dict[str, Any]]:
    """Return how often the marker is right, and how well the spans lie.

    Spans are compared on the turns that both sides give the family, word by word with the spans of each rater
    who gave it, beside what the whole turn would get and what the raters get against each other.
    """
    rows = _choice_figures(sessions, CLIENT_FAMILIES, "client", draws)
    rows += _choice_figures(sessions, ("resolution",), "resolution", draws)
    for family in FAMILIES:
        rows += _span_figures(sessions, family, draws)
    return rows


def _choice_figures(
    sessions: Sequence[Session], families: Sequence[str], what: str, draws: int
) -> list[dict[str, Any]]:
    chosen: list[tuple[float, str]] = []
    cells: list[tuple[int, int, int, str]] = []
    for s in sessions:
        for t, told in s.votes.items():
            read = [family for family in families if told.raters_of(family)]
            if s.coded.transcript[t].role != ROLE_OF[families[0]] or not read:
                continue
            mine = [m for m in s.found.markers_of(s.place[t]) if m.family in read]
            given = {m.marker for said in told.given.values() for m in said if m.family in read}
            gold = {name for name in given if told.is_gold(name)}
            names = {m.marker for m in mine}
            cells.append((len(gold & names), len(gold), len(names), s.group))
            for family in read:
                own = [m for m in mine if m.family == family]
                if own and told.is_gold(family):
                    best = max(own, key=lambda m: m.score or 0.0)
                    chosen.append((best.marker in gold, s.group))
    rows = _mean_row(f"right marker, given the right family, {what}", chosen, draws)
    if cells:
        hit, n_gold, n_names, group = (np.array(c) for c in zip(*cells))
        either = n_gold + n_names

        def micro(rows: np.ndarray) -> float:
            return float(2 * hit[rows].sum() / either[rows].sum()) if either[rows].sum() else float("nan")

        value = resampled(group, micro, draws)
        rows.append({"figure": f"micro-F1 over marker and turn, {what}", "n": len(cells), "value": value})
    return rows


def _mean(values: np.ndarray, group: np.ndarray, draws: int) -> Interval:
    return resampled(group, lambda rows: float(values[rows].mean()), draws)


def _mean_row(figure: str, each: Sequence[tuple[float, str]], draws: int) -> list[dict[str, Any]]:
    """Return the row of a mean over values, each with its group; no row where there are none."""
    if not each:
        return []
    values, group = (np.array(column) for column in zip(*each))
    return [{"figure": figure, "n": len(each), "value": _mean(values, group, draws)}]


def _span_figures(sessions: Sequence[Session], family: str, draws: int) -> list[dict[str, Any]]:
    ours: list[tuple[float, float, str]] = []
    theirs: list[tuple[float, str]] = []
    for s in sessions:
        for t, told in s.votes.items():
            text = s.coded.transcript[t].text
            by_rater = [
                spans
                for _, said in sorted(told.given.items())
                if (spans := [(m.start, m.end) for m in said if m.family == family])
            ]
            theirs += [(span_f1(text, a, b), s.group) for a, b in combinations(by_rater, 2)]
            found = [(m.start, m.end) for m in s.found.markers_of(s.place[t]) if m.family == family]
            if found and told.is_gold(family) and s.found.transcript[s.place[t]].text == text:
                each = [(span_f1(text, found, own), span_f1(text, [(0, len(text))], own)) for own in by_rater]
                ours.append((*np.mean(each, axis=0), s.group))
    return [
        *_mean_row(f"span token F1, {family}", [(span, group) for span, _, group in ours], draws),
        *_mean_row(f"whole turn instead, {family}", [(whole, group) for _, whole, group in ours], draws),
        *_mean_row(f"rater against rater, {family}", theirs, draws),
    ]


def span_f1(text: str, found: Spans, told: Spans) -> float:
    """Return the F1 of two sets of spans over the words of a turn; 0.0 where neither holds a word.

    Examples
    --------
    >>> span_f1("Well, this isn't helping me.", [(0, 24)], [(6, 24)])
    0.857...
    """
    hits, alarms, misses = word_matches(text, found, told)
    either = 2 * hits + alarms + misses
    return float(2 * hits / either) if either else 0.0


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table, figures with their intervals."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[_shown(row.get(name)) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (names, ["---"] * len(names), *lines))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        if np.isnan(value[0]):
            return ""
        return f"{value[0]:.2f}" + ("" if np.isnan(value[1]) else f" ({value[1]:.2f}–{value[2]:.2f})")
    return "" if value is None else str(value)


def reliability(sessions: Sequence[Session], bins: int = 10) -> list[dict[str, Any]]:
    """Return, for each client score and equal bin of probability, the turns, their mean probability and gold share."""
    judged = {name: turns_of(sessions, name).judged for name in ("withdrawal", "confrontation", "rupture")}
    rows = []
    for b in range(bins):
        row: dict[str, Any] = {"probability": f"{b / bins:.1f}–{(b + 1) / bins:.1f}"}
        for name, j in judged.items():
            here = np.minimum((j.probability * bins).astype(int), bins - 1) == b
            mean, gold = (f"{x[here].mean():.2f}" if here.any() else "" for x in (j.probability, j.gold))
            row |= {f"{name}: turns": int(here.sum()), f"{name}: mean": mean, f"{name}: gold": gold}
        rows.append(row)
    return rows


_LOOKS: Mapping[str, Callable[[str, str], bool]] = {
    "back-channel": lambda text, before: bool(
        re.fullmatch(r"\W*(?:(?:mm|uh|um|hmm|huh|yeah|yep|yes|right|okay|ok|sure|oh)\W*)+", text.lower())
    ),
    "short answer to a question": lambda text, before: len(text.split()) <= 4 and "?" in before[-240:],
    "agreement with words of one's own": lambda text, before: (
        bool(re.match(r"\W*(?:yeah|yes|yep|right|exactly|definitely|absolutely|that's true)\b", text.lower()))
        and len(text.split()) >= 8
    ),
    "sustain talk": lambda text, before: bool(
        re.search(r"\b(?:i (?:like|love|enjoy|can't|don't want to)|not ready|it's hard|helps me)\b", text.lower())
    ),
    "about others": lambda text, before: bool(
        re.search(r"\bmy (?:mom|mum|mother|dad|father|boss|husband|wife|partner|boyfriend|girlfriend|doctor|teacher"
                  r"|parents|friends?|brother|sister|ex)\b", text.lower())
    ),
    "thanks": lambda text, before: bool(re.search(r"\bthank(?:s| you)\b", text.lower())),
    "one to three words": lambda text, before: 1 <= len(text.split()) <= 3,
    "more than 40 words": lambda text, before: len(text.split()) > 40,
}  # fmt: skip


def look_alikes(sessions: Sequence[Session]) -> list[dict[str, Any]]:
    """Return how often client turns that no rater called a rupture are marked, by what they look like."""
    turns = turns_of(sessions, "rupture")
    none = np.array([sessions[i].votes[t].share("rupture") == 0 for i, t in zip(turns.session, turns.turn)], bool)
    script = [s.coded.transcript for s in sessions]
    pairs = [(script[i][t].text, script[i][t - 1].text if t else "") for i, t in zip(turns.session, turns.turn)]
    rows: list[dict[str, Any]] = []
    for kind, looks in {"all": lambda text, before: True, **_LOOKS}.items():
        here = none & np.array([looks(*pair) for pair in pairs], bool)
        n, marked = int(here.sum()), int(turns.judged.marked[here].sum())
        rows.append({"kind": kind, "turns": n, "marked": marked, "per 100": f"{100 * marked / max(n, 1):.1f}"})
    return rows
