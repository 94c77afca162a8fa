"""Agreement coefficients as sums over units, so that sessions and clients add up.

Codes are a float array of units × coders. NaN is "not coded", which is not the code for "none". A coefficient
says what one unit contributes (`Coefficient.parts`) and what it makes of the summed contributions
(`Coefficient.of`). So clients can be drawn again for an interval without a second look at the units: `resample`.

A coefficient is NaN where it is undefined: no unit was coded twice, or chance alone gives full agreement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np

Weights = Literal["unweighted", "linear", "quadratic", "ordinal"]
Interval = tuple[float, float, float]
"""A figure with the ends of its 95 % interval."""


class Coefficient(Protocol):
    """Additive parts of units, and the ratio made of their sum."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Return what each unit contributes: (units, coders) → (units, d)."""

    def of(self, total: np.ndarray) -> np.ndarray:
        """Return the coefficient of summed parts: (..., d) → (...)."""


def value(coefficient: Coefficient, codes: np.ndarray) -> float:
    """Return a coefficient of codes.

    Examples
    --------
    >>> value(RawAgreement(), np.array([[1, 1], [0, 1], [0, 0], [1, np.nan]]))
    0.666...
    """
    return float(coefficient.of(coefficient.parts(np.asarray(codes, float)).sum(0)))


def resample(
    coefficients: Sequence[Coefficient],
    codes: np.ndarray,
    cluster: np.ndarray,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return each coefficient with its 95 % percentile interval, whole clusters drawn again with replacement.

    All coefficients are computed on the same draws. Draws in which a coefficient is undefined are left out of its
    interval. With fewer than two clusters the interval is NaN: one client says nothing of others.

    Parameters
    ----------
    coefficients : sequence of Coefficient
        With different names.
    codes : ndarray, shape (n_units, n_coders)
    cluster : ndarray, shape (n_units,)
        Each unit's client.
    draws, seed : int

    Examples
    --------
    >>> codes = np.array([[1, 1], [0, 1], [0, 0], [1, 1], [0, 0], [0, 0]])
    >>> resample([RawAgreement()], codes, np.array([1, 1, 2, 2, 3, 3]))
    {'agreement': (0.833..., 0.5, 1.0)}
    """
    names = [coefficient.name for coefficient in coefficients]
    if len(set(names)) < len(names):
        raise ValueError(f"two coefficients have one name: {', '.join(names)}")
    codes = np.asarray(codes, float)
    clusters, where = np.unique(cluster, return_inverse=True)
    n = len(clusters)
    sums = []
    for coefficient in coefficients:
        parts = coefficient.parts(codes)
        sums.append(np.zeros((n, parts.shape[1])))
        for k, column in enumerate(parts.T):
            sums[-1][:, k] = np.bincount(where, column, n)
    points = [float(c.of(s.sum(0))) for c, s in zip(coefficients, sums)]
    if n < 2:
        return {name: (point, np.nan, np.nan) for name, point in zip(names, points)}
    ends = np.cumsum([s.shape[1] for s in sums])[:-1]
    table = np.concatenate(sums, 1)
    drawn = []
    for counts in _counts(n, draws, seed, 2**22 // max(table.shape)):  # 32 MiB, however many clusters or categories
        totals = np.split(counts.astype(float) @ table, ends, axis=1)
        drawn.append([c.of(total) for c, total in zip(coefficients, totals)])
    out = {}
    for name, point, values in zip(names, points, np.concatenate(drawn, axis=1)):
        known = values[~np.isnan(values)]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        out[name] = point, float(low), float(high)
    return out


def _counts(n: int, draws: int, seed: int, at_once: int) -> Iterator[np.ndarray]:
    """Yield how often each of ``n`` clusters is drawn, (up to at_once, n) at a time."""
    at_once = max(1, at_once)
    if n * draws <= 2**24:  # 32 MiB: a study asks for the same draws for every name and comparison
        whole = _all_counts(n, draws, seed)
        yield from (whole[start : start + at_once] for start in range(0, draws, at_once))
        return
    rng = np.random.default_rng(seed)
    for start in range(0, draws, at_once):
        yield _some_counts(rng, n, min(at_once, draws - start))


@lru_cache(maxsize=2)
def _all_counts(n: int, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = max(1, 2**22 // n)
    return np.concatenate([_some_counts(rng, n, min(rows, draws - start)) for start in range(0, draws, rows)])


def _some_counts(rng: np.random.Generator, n: int, rows: int) -> np.ndarray:
    drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.uint16)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return ``above / below``, NaN where ``below`` is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is defined."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1))


def _pairs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both codes of every pair of coders, and which units both coded: (units, pairs) each."""
    one, other = np.triu_indices(codes.shape[1], 1)
    a, b = codes[:, one], codes[:, other]
    return a, b, ~(np.isnan(a) | np.isnan(b))


def _marks(codes: np.ndarray, categories: Sequence[float]) -> np.ndarray:
    """Return (units, coders, categories): 1 where the coder gave the category, all 0 where there is no code."""
    marks = codes[..., None] == np.asarray(categories, float)
    if (strange := ~np.isnan(codes) & ~marks.any(-1)).any():
        raise ValueError(f"code {codes[strange][0]:g} is none of the categories {categories}")
    return marks.astype(float)


def weight_matrix(categories: Sequence[float], weights: Weights) -> np.ndarray:
    """Return how much of an agreement two categories are: 1 on the diagonal, 0 in the far corner.

    ``linear`` and ``quadratic`` go by the distance of the categories' values (Cicchetti & Allison 1971; Fleiss &
    Cohen 1973), ``ordinal`` by the number of pairs of categories between them (Gwet 2014).

    Examples
    --------
    >>> weight_matrix((1, 2, 3), "linear")[0]
    array([1. , 0.5, 0. ])
    """
    if weights == "unweighted":
        return np.eye(len(categories))
    at = np.arange(len(categories)) if weights == "ordinal" else np.asarray(categories, float)
    apart = np.abs(at[:, None] - at)
    cost = {"linear": apart, "quadratic": apart**2, "ordinal": apart * (apart + 1) / 2}[weights]
    return 1 - cost / max(cost.max(), np.finfo(float).tiny)


def _named(name: str, weights: str) -> str:
    return name if weights == "unweighted" else f"{name}, {weights}"


class _Ratio:
    def of(self, total: np.ndarray) -> np.ndarray:
        """Return the first of two parts over the second."""
        return _ratio(total[..., 0], total[..., 1])


@dataclass(frozen=True)
class RawAgreement(_Ratio):
    """Share of all pairs of codes of a unit that are the same."""

    name: str = "agreement"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Pairs of codes that agree, pairs of codes."""
        a, b, both = _pairs(codes)
        return np.stack([(a == b).sum(1), both.sum(1)], 1)


@dataclass(frozen=True)
class SpecificAgreement(_Ratio):
    """How often another coder gives a category, too, where one did; of 1 and 0 positive and negative agreement.

    With several coders, of all pairs together. Spitzer & Fleiss (1974); Cicchetti & Feinstein (1990).
    """

    category: float = 1.0

    @property
    def name(self) -> str:
        """What tables call it."""
        return {1.0: "positive agreement", 0.0: "negative agreement"}.get(
            self.category, f"agreement on {self.category:g}"
        )

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Twice the pairs of codes that agree on the category, codes of the category in all pairs."""
        given = (codes == self.category).sum(1)
        return np.stack([given * (given - 1), given * ((~np.isnan(codes)).sum(1) - 1)], 1)


@dataclass(frozen=True)
class PrevalenceIndex(_Ratio):
    """Pairs of codes that are both 1 less those that are both 0, as a share of all pairs (Byrt et al. 1993).

    Near −1 the code is rare and near 1 usual; at either end kappa is low even where coders agree.
    """

    name: str = "prevalence index"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Pairs of 1 less pairs of 0, pairs of codes."""
        a, b, both = _pairs(codes)
        return np.stack([np.where(both, a + b - 1, 0).sum(1), both.sum(1)], 1)


@dataclass(frozen=True)
class BiasIndex:
    """How far apart two coders' shares of 1 are (Byrt et al. 1993), without sign; the mean over pairs of coders."""

    name: str = "bias index"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """For each pair of coders: the one's codes of 1 less the other's, units that both coded."""
        a, b, both = _pairs(codes)
        return np.hstack([np.where(both, a - b, 0), both])

    def of(self, total: np.ndarray) -> np.ndarray:
        """Mean absolute difference of the shares."""
        apart, both = np.split(total, 2, axis=-1)
        return _mean(_ratio(np.abs(apart), both))


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa (1960; weighted 1968) of two coders; of more, the mean over their pairs (Light 1971).

    (p_o − p_e) / (1 − p_e): observed agreement, weighted, over that of the two coders' own shares. Each pair is
    compared on the units that both coded. Pairs whose kappa is undefined are left out of the mean. It falls where a
    code is rare, though the coders agree no less, and says nothing of who is right.

    Examples
    --------
    >>> codes = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [40, 9, 6, 45], axis=0)
    >>> round(value(Kappa((0, 1)), codes), 2)
    0.7
    """

    categories: tuple[float, ...]
    weights: Weights = "unweighted"

    @property
    def name(self) -> str:
        """What tables call it."""
        return _named("Cohen's kappa", self.weights)

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """The cells of the table of each pair of coders."""
        marks = _marks(codes, self.categories)
        one, other = np.triu_indices(codes.shape[1], 1)
        tables = marks[:, one, :, None] * marks[:, other, None]
        return tables.reshape(len(codes), len(one) * len(self.categories) ** 2)

    def of(self, total: np.ndarray) -> np.ndarray:
        """Kappa of each table, and their mean."""
        q = len(self.categories)
        tables = total.reshape(*total.shape[:-1], total.shape[-1] // q**2, q, q)
        share = _ratio(tables, tables.sum((-1, -2), keepdims=True))
        chance = share.sum(-1)[..., :, None] * share.sum(-2)[..., None, :]
        weight = weight_matrix(self.categories, self.weights)
        observed, expected = (share * weight).sum((-1, -2)), (chance * weight).sum((-1, -2))
        return _mean(_ratio(observed - expected, 1 - expected))


@dataclass(frozen=True)
class _ChanceCorrected:
    """Mean agreement of the units with two codes or more, corrected for chance as a subclass sees it.

    Missing codes after Gwet (2014, chapters 2 and 3): a category's share is the mean over the units of its share
    of the unit's codes, units with a single code included.
    """

    categories: tuple[float, ...]
    weights: Weights = "unweighted"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Agreement within the unit, whether it has one; the categories' shares of the unit's codes."""
        given = _marks(codes, self.categories).sum(1)
        n = given.sum(1)
        near = given @ weight_matrix(self.categories, self.weights)
        same = _ratio((given * (near - 1)).sum(1), n * (n - 1))
        return np.column_stack([np.nan_to_num(same), n > 1, np.nan_to_num(_ratio(given, n[:, None]))])

    def of(self, total: np.ndarray) -> np.ndarray:
        """Agreement beyond chance as a share of what chance leaves."""
        observed = _ratio(total[..., 0], total[..., 1])
        share = _ratio(total[..., 2:], total[..., 2:].sum(-1, keepdims=True))
        expected = self._chance(share, weight_matrix(self.categories, self.weights))
        return _ratio(observed - expected, 1 - expected)

    def _chance(self, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class FleissKappa(_ChanceCorrected):
    """Fleiss' kappa (1971), for any number of coders.

    (p_o − p_e) / (1 − p_e), with p_e from the shares of all coders together: it does not see that one coder gives a
    code oftener. With missing codes or weights in Gwet's (2014) generalisation; the original asks for as many codes of
    each unit.
    """

    @property
    def name(self) -> str:
        """What tables call it."""
        return _named("Fleiss' kappa", self.weights)

    def _chance(self, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return ((share @ weight) * share).sum(-1)


@dataclass(frozen=True)
class GwetAC(_ChanceCorrected):
    """Gwet's AC1 (2008) and, weighted, AC2 (2014), for any number of coders and missing codes.

    (p_o − p_e) / (1 − p_e), with p_e = Σ π (1 − π) / (q − 1) over the q categories' shares π; for AC2 times Σ w / q.
    Steady where a code is rare, and for that reason high there: two coders who miss most of a rare code agree well.
    """

    @property
    def name(self) -> str:
        """What tables call it."""
        return "Gwet's AC1" if self.weights == "unweighted" else _named("Gwet's AC2", self.weights)

    def _chance(self, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
        q = len(self.categories)
        return _ratio(weight.sum() * (share * (1 - share)).sum(-1), np.float64(q * (q - 1)))


@dataclass(frozen=True)
class PABAK(_ChanceCorrected):
    """Prevalence-adjusted bias-adjusted kappa (Byrt, Bishop & Carlin 1993): chance is the same for every category.

    (p_o − 1/q) / (1 − 1/q) of q categories, unweighted. For more than two categories or coders that is the coefficient
    of Brennan & Prediger (1981). A category that nobody gives raises it.
    """

    @property
    def name(self) -> str:
        """What tables call it."""
        return _named("PABAK", self.weights)

    def _chance(self, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.full(share.shape[:-1], weight.mean())


@dataclass(frozen=True)
class Alpha:
    """Krippendorff's alpha (2004, chapter 11) of categories, for any number of coders and missing codes.

    1 − D_o / D_e: disagreement within units over that of all codes whichever unit they are of. It takes coders for
    interchangeable, and a unit with one code has no part in it.

    Attributes
    ----------
    categories : tuple of float
        In their order.
    level : {"nominal", "ordinal"}
        For interval data see `IntervalAlpha`.
    """

    categories: tuple[float, ...]
    level: Literal["nominal", "ordinal"] = "nominal"

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"Krippendorff's alpha, {self.level}"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """The unit's coincidences of categories."""
        given = _marks(codes, self.categories).sum(1)
        q = len(self.categories)
        pairs = given[:, :, None] * given[:, None] - given[:, :, None] * np.eye(q)
        return np.nan_to_num(_ratio(pairs, given.sum(1)[:, None, None] - 1)).reshape(len(codes), q**2)

    def of(self, total: np.ndarray) -> np.ndarray:
        """One less observed over expected disagreement."""
        q = len(self.categories)
        coincidences = total.reshape(*total.shape[:-1], q, q)
        n = coincidences.sum(-1)
        if self.level == "nominal":
            apart = np.broadcast_to(1 - np.eye(q), coincidences.shape)
        else:  # codes from the one category to the other, half of the two themselves
            middle = n.cumsum(-1) - n / 2
            apart = (middle[..., :, None] - middle[..., None, :]) ** 2
        observed = (coincidences * apart).sum((-1, -2))
        expected = (n[..., :, None] * n[..., None, :] * apart).sum((-1, -2))
        return 1 - _ratio((n.sum(-1) - 1) * observed, expected)


@dataclass(frozen=True)
class IntervalAlpha:
    """Krippendorff's alpha (2004, chapter 11) of interval data, such as session scores.

    1 − D_o / D_e with squared differences, from moments, without a list of values. One score far out can make it.
    """

    name: str = "Krippendorff's alpha, interval"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Squares within the unit over its codes less one; number, sum and squares of its codes."""
        here = ~np.isnan(codes)
        n = here.sum(1)
        x = np.where(here & (n > 1)[:, None], codes, 0)
        mean = x.sum(1) / np.maximum(n, 1)
        within = np.where(here, (x - mean[:, None]) ** 2, 0).sum(1) * n / np.maximum(n - 1, 1)
        return np.column_stack([within, np.where(n > 1, n, 0), x.sum(1), (x**2).sum(1)])

    def of(self, total: np.ndarray) -> np.ndarray:
        """One less observed over expected disagreement."""
        within, n, x, squares = np.moveaxis(total, -1, 0)
        return 1 - _ratio((n - 1) * within, _exact(n * squares - x**2, n * squares))


def _exact(difference: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return a difference of sums as 0 where it is no more than their rounding."""
    return np.where(difference > 1e-12 * of, difference, 0)


ICCKind = Literal["A,1", "C,1", "A,k", "C,k"]


@dataclass(frozen=True)
class ICC:
    """Intraclass correlation of two-way data (McGraw & Wong 1996), from the units that every coder scored.

    ``A`` is absolute agreement and ``C`` consistency, where a coder may be stricter throughout; ``1`` is the
    reliability of one coder and ``k`` that of the mean of all. Shrout & Fleiss (1979) call them ICC(2,1), ICC(3,1),
    ICC(2,k) and ICC(3,k). With mean squares of n units U, of k coders K and of the rest E:
    C,1 = (U − E) / (U + (k − 1) E), A,1 = (U − E) / (U + (k − 1) E + k (K − E) / n), and of k coders by Spearman–Brown.
    It depends on how much the units differ: coders who agree as well have less where sessions are alike.
    """

    kind: ICCKind = "A,1"

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"ICC({self.kind})"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """1; the scores, squares of their sum, and sum of their squares."""
        complete = ~np.isnan(codes).any(1)
        x = np.where(complete[:, None], codes, 0)
        return np.column_stack([complete, x.sum(1) ** 2, (x**2).sum(1), x])

    def of(self, total: np.ndarray) -> np.ndarray:
        """Ratio of variances out of the mean squares."""
        n, k, units, coders, rest = _mean_squares(total)
        below = units + (k - 1) * rest + (k * _ratio(coders - rest, n) if self.kind[0] == "A" else 0)
        single = _ratio(units - rest, below)
        return single if self.kind[-1] == "1" else _stepped_up(single, k)


def _mean_squares(total: np.ndarray) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]:
    """Return units, coders, and the mean squares of units, of coders and of the rest."""
    n, by_unit, squares = np.moveaxis(total[..., :3], -1, 0)
    x = total[..., 3:]
    k = x.shape[-1]
    base = _ratio(x.sum(-1) ** 2, n * k)
    units = _exact(by_unit / max(k, 1) - base, squares)
    coders = _exact(_ratio((x**2).sum(-1), n) - base, squares)
    rest = _exact(squares - base - units - coders, squares)
    return n, k, _ratio(units, n - 1), _ratio(coders, np.float64(k - 1)), _ratio(rest, (n - 1) * (k - 1))


def _stepped_up(single: np.ndarray, k: int) -> np.ndarray:
    """Return the reliability of the mean of k coders (Spearman–Brown)."""
    return _ratio(k * single, np.maximum(1 + (k - 1) * single, 0))


def icc_interval(codes: np.ndarray, kind: ICCKind = "A,1", confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of an `ICC` from the F distribution (McGraw & Wong 1996, table 7).

    It takes the units as independent and the scores as normal. An end of ``k`` coders is NaN where that of one is
    −1 / (k − 1) or less. Of absolute agreement it is approximate: with three
    coders who differ much it holds the true value in 91 of 100 studies, with eight in 94. Needs scipy (``evaluate``
    extra).

    Examples
    --------
    >>> codes = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    >>> [round(end, 2) for end in icc_interval(codes)]
    [0.02, 0.76]
    """
    from scipy.stats import f

    total = ICC().parts(np.asarray(codes, float)).sum(0)
    n, k, units, coders, rest = _mean_squares(total)
    single = ICC("A,1" if kind[0] == "A" else "C,1").of(total)
    if not single < 1:
        return float(single), float(single)
    tail, free = (1 + confidence) / 2, (n - 1) * (k - 1)
    if kind[0] == "C":
        ratios = units / rest / f.ppf(tail, n - 1, free), units / rest * f.ppf(tail, free, n - 1)
        ends = np.array([(ratio - 1) / (ratio + k - 1) for ratio in ratios])
    else:
        odds = k * single / (n * (1 - single))
        a, b = odds * coders, (1 + odds * (n - 1)) * rest
        v = _ratio((a + b) ** 2, a**2 / (k - 1) + b**2 / free)
        low, high = f.ppf(tail, n - 1, v), f.ppf(tail, v, n - 1)
        below = k * coders + (k * n - k - n) * rest
        above = np.array([n * (units - low * rest), n * (high * units - rest)])
        ends = _ratio(above, np.array([low * below + n * units, below + n * high * units]))
    low, high = ends if kind[-1] == "1" else _stepped_up(ends, k)
    return float(low), float(high)


@dataclass(frozen=True)
class Against:
    """Precision, recall or F1 of one coder's 1 against a reference: a coder, or the majority of several.

    As for all gold of the package, half of the reference's codes are enough for a 1. Units count that the coder and
    somebody of the reference coded.

    Attributes
    ----------
    figure : {"precision", "recall", "F1"}
    column : int
        The coder's column.
    reference : tuple of int
        The columns of the reference.
    """

    figure: Literal["precision", "recall", "F1"]
    column: int
    reference: tuple[int, ...]

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.figure

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """Hits, false alarms, misses."""
        told = codes[:, list(self.reference)]
        n = (~np.isnan(told)).sum(1)
        here = ~np.isnan(codes[:, self.column]) & (n > 0)
        gold = (told == 1).sum(1) >= n / 2
        given = codes[:, self.column] == 1
        return np.stack([here & given & gold, here & given & ~gold, here & ~given & gold], 1).astype(float)

    def of(self, total: np.ndarray) -> np.ndarray:
        """The figure of the counts."""
        hits, alarms, misses = np.moveaxis(total, -1, 0)
        if self.figure == "F1":
            return f1(total)
        return _ratio(hits, hits + (alarms if self.figure == "precision" else misses))


def f1(counts: np.ndarray) -> np.ndarray:
    """Return F1, 2 h / (2 h + a + m), of (..., 3) hits, false alarms and misses; NaN where all are 0.

    Examples
    --------
    >>> round(float(f1(exact_matches([(0, 4)], [(0, 4), (6, 9)]) + exact_matches([], [(0, 4)]))), 2)
    0.5
    """
    hits, alarms, misses = np.moveaxis(np.asarray(counts, float), -1, 0)
    return _ratio(2 * hits, 2 * hits + alarms + misses)


Spans = Sequence[tuple[int, int]]


def exact_matches(found: Spans, told: Spans) -> np.ndarray:
    """Return hits, false alarms and misses of one coder's spans on a turn against another's, by both ends."""
    return _matches(set(found), set(told))


def overlap_matches(found: Spans, told: Spans) -> np.ndarray:
    """Return hits, false alarms and misses where two spans that share a character are a hit.

    Each span is in one hit at most, and there are as many hits as that allows.

    Examples
    --------
    >>> overlap_matches([(0, 20)], [(0, 5), (10, 15)])
    array([1., 0., 1.])
    """
    a, b = (sorted(set(spans), key=lambda span: span[1]) for spans in (found, told))
    n, m, hits = len(a), len(b), 0
    # The span that ends first goes with the partner that ends first: no other choice leaves the rest more partners.
    # What ends later meets it if it starts before that end.
    while a and b:
        mine, others = (a, b) if a[0][1] <= b[0][1] else (b, a)
        _, end = mine.pop(0)
        partner = next((other for other in others if other[0] < end), None)
        if partner:
            others.remove(partner)
            hits += 1
    return np.array([hits, n - hits, m - hits], float)


def word_matches(text: str, found: Spans, told: Spans) -> np.ndarray:
    """Return hits, false alarms and misses in words of the turn: those that a span touches.

    Examples
    --------
    >>> word_matches("Well, this isn't helping me.", [(0, 24)], [(6, 24)])
    array([3., 1., 0.])
    """
    words = [word.span() for word in re.finditer(r"\w+(?:['’]\w+)*", text)]
    a, b = ({w for w in words if any(w[0] < e and w[1] > s for s, e in spans)} for spans in (found, told))
    return _matches(a, b)


def _matches(a: set[tuple[int, int]], b: set[tuple[int, int]]) -> np.ndarray:
    return np.array([len(a & b), len(a - b), len(b - a)], float)


@dataclass(frozen=True)
class SpanF1:
    """F1 of two coders' spans; takes rows of `exact_matches`, `overlap_matches` or `word_matches` for codes."""

    name: str = "span F1"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """The matches as they are."""
        return codes

    def of(self, total: np.ndarray) -> np.ndarray:
        """Their F1."""
        return f1(total)


def unitized(length: int, spans: Sequence[Spans]) -> np.ndarray:
    """Return what a turn adds to `UnitizedAlpha`.

    Parameters
    ----------
    length : int
        Characters of the turn.
    spans : sequence of spans
        For each coder who read the turn, the spans of one code. Overlapping spans of a coder are taken as one;
        spans that only touch remain two.

    Returns
    -------
    ndarray, shape (4,)
        All coders' characters, those inside spans, characters that two coders see differently, squared lengths of
        spans. Zeros with fewer than two coders, as there is nothing to compare.
    """
    m = len(spans)
    if m < 2:
        return np.zeros(4)
    inside = np.zeros((m, length), bool)
    squares = 0
    for row, mine in zip(inside, spans):
        merged: list[tuple[int, int]] = []
        for start, end in sorted(mine):
            if merged and start < merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((start, end))
        for start, end in merged:
            row[start:end] = True
            squares += (end - start) ** 2
    n = inside.sum(0)
    return np.array([m * length, n.sum(), 2 * (n * (m - n)).sum() / (m - 1), squares], float)


@dataclass(frozen=True)
class UnitizedAlpha:
    """Krippendorff's alpha of unitizing a continuum, |uα: which stretches of the talk are inside a span.

    The version of Krippendorff, Mathet, Bouvry & Widlöcher (2016), for any number of coders: coincidences are
    lengths of intersections, and a span is not expected to meet itself. The turns together are the continuum. Takes
    rows of `unitized` for codes.

    Examples
    --------
    >>> turns = np.array([unitized(28, [[(0, 24)], [(6, 24)]]), unitized(40, [[], []])])
    >>> round(value(UnitizedAlpha(), turns), 2)
    0.8
    """

    name: str = "Krippendorff's alpha, unitized"

    def parts(self, codes: np.ndarray) -> np.ndarray:
        """The turns' parts as they are."""
        return codes

    def of(self, total: np.ndarray) -> np.ndarray:
        """One less observed over expected disagreement."""
        length, inside, apart, squares = np.moveaxis(total, -1, 0)
        outside = length - inside
        expected = _ratio(2 * length * inside * outside, length**2 - squares - outside)
        return 1 - _ratio(apart, expected)
