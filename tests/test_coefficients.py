"""Agreement coefficients against published worked examples, other programs, and their definitions."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rupturekit.coefficients import (
    ICC,
    PABAK,
    Against,
    Alpha,
    BiasIndex,
    FleissKappa,
    GwetAC,
    IntervalAlpha,
    Kappa,
    PrevalenceIndex,
    RawAgreement,
    SpanF1,
    SpecificAgreement,
    UnitizedAlpha,
    exact_matches,
    f1,
    icc_interval,
    overlap_matches,
    resample,
    unitized,
    value,
    weight_matrix,
    word_matches,
)

NAN = float("nan")
BINARY = (0.0, 1.0)


def cells(*rows: tuple[int, ...]) -> np.ndarray:
    """Codes of two coders from their table; of a 2 × 2 table the first row and column are code 1."""
    pairs = [[i, j] for i in range(len(rows)) for j in range(len(rows))]
    codes = np.repeat(pairs, np.ravel(rows), axis=0).astype(float)
    return 1 - codes if len(rows) == 2 else codes


def digits(units: str) -> np.ndarray:
    """Codes of units written as one digit for each coder, a dot for a missing code."""
    return np.array([[NAN if c == "." else float(c) for c in unit] for unit in units.split()])


# Fleiss (1971), table 1: 30 patients, 6 psychiatrists, 5 diagnoses; as in the data set `diagnoses` of R's irr
FLEISS = digits(
    "444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445 "
    "333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"
)
# Krippendorff (2004), p. 230: 4 observers, 12 units, missing codes; Gwet (2014), p. 120 uses them, too
ICONS = digits("11.1 2232 3333 3333 2222 1234 4444 1121 2222 .555 ..11 ..3.")
# Hayes & Krippendorff (2007), p. 84: 5 judges, 40 articles, ratings 0 to 3
ARTICLES = digits(
    "112.2 1101. 2333. .00.0 000.0 000.0 102.1 1.20. 222.2 2111. .100. 0000. 1222. 33223 111.1 111.1 212.2 1233. "
    "1101. 000.0 0011. 00.00 2333. 0000. 12.22 0111. 00010 1212. 1122. 112.2 110.0 2121. 22.22 3222. 222.2 223.2 "
    "222.2 22.12 2222. 111.1"
)
# Shrout & Fleiss (1979), table 2; McGraw & Wong (1996) use the coefficients' other names
TARGETS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
# Made up with a seed for the comparison with other programs
MADE = digits("4.43 3433 .434 44.4 3.44 4444 4.44 1.11 1111 .423 4..2 4.44 4433 .323 23.2")
SCORES = np.array(
    [
        [3.0, 3.9, 3.4],
        [1.2, 1.6, 1.5],
        [1.3, 0.7, 0.7],
        [2.7, 2.5, 2.7],
        [1.6, 3.1, 2.0],
        [3.2, 3.2, 2.9],
        [4.0, 5.0, 5.3],
        [0.9, 3.1, 0.9],
    ]
)
FIVE = (1.0, 2.0, 3.0, 4.0, 5.0)

PUBLISHED = [
    # Cohen (1960), p. 45: three categories, 200 patients
    (Kappa((0, 1, 2)), cells((88, 14, 18), (10, 40, 10), (2, 6, 12)), "0.492"),
    (RawAgreement(), cells((88, 14, 18), (10, 40, 10), (2, 6, 12)), "0.70"),
    # Agresti (1990), p. 367, on data of Hout, Duncan & Sobel (1987); `Kappa(SexualFun)` of R's vcd prints these digits
    (Kappa((1, 2, 3, 4)), 1 + cells((7, 7, 2, 3), (2, 8, 3, 7), (1, 5, 4, 9), (2, 8, 9, 14)), "0.1293"),
    (Kappa((1, 2, 3, 4), "linear"), 1 + cells((7, 7, 2, 3), (2, 8, 3, 7), (1, 5, 4, 9), (2, 8, 9, 14)), "0.2374"),
    (Kappa((1, 2, 3, 4), "quadratic"), 1 + cells((7, 7, 2, 3), (2, 8, 3, 7), (1, 5, 4, 9), (2, 8, 9, 14)), "0.3320"),
    # Light's kappa of Fleiss's patients: `kappam.light(diagnoses)` of R's irr 0.84.1
    (Kappa(FIVE), FLEISS, "0.459"),
    # Fleiss (1971), p. 380
    (FleissKappa(FIVE), FLEISS, "0.430"),
    (RawAgreement(), FLEISS, "0.5556"),
    # Feinstein & Cicchetti (1990) and Cicchetti & Feinstein (1990): high agreement with a low kappa
    (Kappa(BINARY), cells((40, 9), (6, 45)), "0.70"),
    (Kappa(BINARY), cells((80, 10), (5, 5)), "0.32"),
    (Kappa(BINARY), cells((45, 15), (25, 15)), "0.13"),
    (Kappa(BINARY), cells((25, 35), (5, 35)), "0.26"),
    (SpecificAgreement(1), cells((40, 9), (6, 45)), "0.84"),
    (SpecificAgreement(0), cells((40, 9), (6, 45)), "0.86"),
    (SpecificAgreement(1), cells((80, 10), (5, 5)), "0.91"),
    (SpecificAgreement(0), cells((80, 10), (5, 5)), "0.40"),
    # Sim & Wright (2005), p. 259–262: the indices of Byrt, Bishop & Carlin (1993) for 39 patients
    (Kappa(BINARY), cells((22, 2), (4, 11)), "0.67"),
    (PrevalenceIndex(), cells((22, 2), (4, 11)), "0.28"),
    (BiasIndex(), cells((22, 2), (4, 11)), "0.05"),
    (PABAK(BINARY), cells((22, 2), (4, 11)), "0.69"),
    # Brennan & Prediger (1981), p. 689
    (PABAK((0, 1, 2)), cells((50, 0, 0), (10, 10, 10), (20, 0, 0)), "0.40"),
    # Gwet (2002), 125 subjects of whom two coders give nobody the second category together
    (Kappa(BINARY), cells((118, 5), (2, 0)), "-0.0234"),
    (GwetAC(BINARY), cells((118, 5), (2, 0)), "0.9408"),
    # Gwet (2014), p. 120; digits of R's irrCAC 1.0, vignettes "overview" and "weighting"
    (GwetAC(FIVE), ICONS, "0.77544"),
    (GwetAC(FIVE, "linear"), ICONS, "0.859"),
    (GwetAC(FIVE, "quadratic"), ICONS, "0.914"),
    (GwetAC(FIVE, "ordinal"), ICONS, "0.899"),
    (FleissKappa(FIVE), ICONS, "0.76117"),
    (FleissKappa(FIVE, "quadratic"), ICONS, "0.865"),
    (PABAK(FIVE), ICONS, "0.773"),
    # Krippendorff (2004), p. 230–236, and (2011), "Computing Krippendorff's alpha-reliability"
    (Alpha(FIVE), ICONS, "0.743"),
    (Alpha(FIVE, "ordinal"), ICONS, "0.815"),
    (IntervalAlpha(), ICONS, "0.849"),
    # Krippendorff (2004), p. 224 and 227: two observers
    (Alpha(BINARY), digits("10 11 01 00 00 01 00 01 00 00"), "0.095"),
    # Hayes & Krippendorff (2007), p. 84
    (Alpha((0, 1, 2, 3), "ordinal"), ARTICLES, "0.7598"),
    # Shrout & Fleiss (1979), table 4
    (ICC("A,1"), TARGETS, "0.29"),
    (ICC("C,1"), TARGETS, "0.71"),
    (ICC("A,k"), TARGETS, "0.62"),
    (ICC("C,k"), TARGETS, "0.91"),
]


@pytest.mark.parametrize(("coefficient", "codes", "printed"), PUBLISHED)
def test_published_example(coefficient, codes, printed):
    assert f"{value(coefficient, codes):.{len(printed.split('.')[1])}f}" == printed


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("A,1", (0.02, 0.76)), ("C,1", (0.34, 0.95)), ("A,k", (0.07, 0.93)), ("C,k", (0.68, 0.99))],
)
def test_published_icc_interval(kind, ends):
    # as `psych::ICC` of R (2.4) prints them for the table of Shrout & Fleiss (1979)
    assert icc_interval(TARGETS, kind) == pytest.approx(ends, abs=0.005)


def test_published_unitized_alpha():
    # Krippendorff (2019), p. 340 (figure 12.11, after Krippendorff et al. 2016): three observers, 60 characters
    alex = [(0, 7), (7, 13), (30, 32), (32, 37), (37, 44), (44, 60)]
    paul = [(0, 7), (7, 13), (13, 21), (32, 44)]
    suzan = [(0, 7), (7, 13), (13, 21), (32, 37), (37, 41), (41, 44)]
    parts = unitized(60, [alex, paul, suzan])
    # printed as 0.413, which is 1 - 26.0 / 44.3 of coincidences rounded to one decimal
    assert value(UnitizedAlpha(), parts[None]) == pytest.approx(0.413, abs=0.001)
    length, inside, apart, squares = parts
    expected = length * inside * (length - inside) / (length**2 - squares - (length - inside))
    assert (f"{apart / 2:.1f}", f"{expected:.1f}") == ("26.0", "44.3")


@pytest.mark.parametrize(
    ("coefficient", "printed"),
    # irrCAC 0.4.4 for Python: CAC(table, weights=..., categories=[1, 2, 3, 4], digits=6).gwet(), .fleiss(), .bp()
    [
        (GwetAC((1, 2, 3, 4)), 0.445717),
        (GwetAC((1, 2, 3, 4), "linear"), 0.645357),
        (GwetAC((1, 2, 3, 4), "quadratic"), 0.789571),
        (GwetAC((1, 2, 3, 4), "ordinal"), 0.745321),
        (FleissKappa((1, 2, 3, 4)), 0.338048),
        (FleissKappa((1, 2, 3, 4), "linear"), 0.530183),
        (FleissKappa((1, 2, 3, 4), "quadratic"), 0.694989),
        (FleissKappa((1, 2, 3, 4), "ordinal"), 0.641213),
        (PABAK((1, 2, 3, 4)), 0.422222),
        (PABAK((1, 2, 3, 4), "linear"), 0.582222),
        (PABAK((1, 2, 3, 4), "quadratic"), 0.72),
        (PABAK((1, 2, 3, 4), "ordinal"), 0.674074),
        # krippendorff 0.9.0: alpha(table.T, level_of_measurement=...)
        (Alpha((1, 2, 3, 4)), 0.387859),
        (Alpha((1, 2, 3, 4), "ordinal"), 0.611862),
        (IntervalAlpha(), 0.751506),
    ],
)
def test_other_programs_agree_with_missing_codes(coefficient, printed):
    assert value(coefficient, MADE) == pytest.approx(printed, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "printed", "ends"),
    # pingouin 0.6.1: intraclass_corr(long, "index", "variable", "value")
    [
        ("A,1", 0.790027, (0.47, 0.95)),
        ("C,1", 0.822552, (0.53, 0.96)),
        ("A,k", 0.918617, (0.73, 0.98)),
        ("C,k", 0.932915, (0.77, 0.99)),
    ],
)
def test_other_programs_agree_on_icc(kind, printed, ends):
    assert value(ICC(kind), SCORES) == pytest.approx(printed, abs=1e-6)
    assert icc_interval(SCORES, kind) == pytest.approx(ends, abs=0.005)


# --- against independent computations, on random codes


def codes_of(categories: int, coders: int, missing: bool = True) -> st.SearchStrategy[np.ndarray]:
    values = st.sampled_from([*map(float, range(categories)), *([NAN] if missing else [])])
    return arrays(float, st.tuples(st.integers(2, 12), st.just(coders)), elements=values, fill=st.nothing())


@settings(max_examples=50, deadline=None)
@given(codes_of(4, 2))
def test_kappa_is_scikit_learns(codes):
    from sklearn.metrics import cohen_kappa_score

    both = codes[~np.isnan(codes).any(1)].astype(int)
    for weights in ("unweighted", "linear", "quadratic"):
        ours = value(Kappa((0, 1, 2, 3), weights), codes)
        if np.isnan(ours):
            assert len(both) == 0 or len(np.unique(both)) == 1
        else:
            theirs = cohen_kappa_score(
                *both.T, labels=[0, 1, 2, 3], weights=None if weights == "unweighted" else weights
            )
            assert ours == pytest.approx(theirs)


@settings(max_examples=50, deadline=None)
@given(codes_of(3, 4))
def test_alpha_is_nltks(codes):
    agreement = pytest.importorskip("nltk.metrics.agreement")
    triples = [(c, u, codes[u, c]) for u, c in zip(*np.nonzero(~np.isnan(codes)))]
    pairable = [t for t in triples if (~np.isnan(codes[t[1]])).sum() > 1]
    n = [sum(t[2] == c for t in pairable) for c in (0, 1, 2)]

    def ordinal(a: float, b: float) -> float:
        low, high = sorted((int(a), int(b)))
        return (sum(n[low : high + 1]) - (n[low] + n[high]) / 2) ** 2

    for coefficient, distance in (
        (Alpha((0, 1, 2)), lambda a, b: float(a != b)),
        (Alpha((0, 1, 2), "ordinal"), ordinal),
        (IntervalAlpha(), lambda a, b: (a - b) ** 2),
    ):
        ours = value(coefficient, codes)
        if sum(k > 0 for k in n) < 2:
            assert np.isnan(ours)
        else:
            assert ours == pytest.approx(agreement.AnnotationTask(pairable, distance=distance).alpha())


@settings(max_examples=50, deadline=None)
@given(codes_of(3, 4, missing=False))
def test_alpha_and_fleiss_kappa_differ_by_sample_size_alone(codes):
    # Krippendorff (2004), p. 248: with complete codes 1 - alpha = (1 - kappa) (n - 1) / n
    kappa, alpha = value(FleissKappa((0, 1, 2)), codes), value(Alpha((0, 1, 2)), codes)
    assert 1 - alpha == pytest.approx((1 - kappa) * (codes.size - 1) / codes.size, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(codes_of(2, 3))
def test_binary_codes_pair_by_pair(codes):
    both = [p for i, j in combinations(range(3), 2) for p in codes[:, [i, j]] if not np.isnan(p).any()]
    a, b, c, d = (sum(tuple(p) == cell for p in both) for cell in [(1, 1), (1, 0), (0, 1), (0, 0)])
    of = {"nan_ok": True}
    assert value(RawAgreement(), codes) == pytest.approx((a + d) / len(both) if both else NAN, **of)
    assert value(PrevalenceIndex(), codes) == pytest.approx((a - d) / len(both) if both else NAN, **of)
    assert value(SpecificAgreement(1), codes) == pytest.approx(2 * a / (2 * a + b + c) if a + b + c else NAN, **of)
    assert value(SpecificAgreement(0), codes) == pytest.approx(2 * d / (2 * d + b + c) if b + c + d else NAN, **of)


@settings(max_examples=50, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(3, 8), st.integers(2, 4)), elements=st.integers(-40, 40).map(lambda x: x / 8))
)
def test_icc_from_fitted_models(scores):
    # mean squares as drops of the residual sum of squares of least-squares fits, not from the textbook's sums
    n, k = scores.shape
    unit, coder = np.repeat(np.eye(n), k, axis=0), np.tile(np.eye(k), (n, 1))
    y = scores.ravel()

    def left(design: np.ndarray) -> float:
        return float(((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum())

    rest = left(np.hstack([unit, coder]))
    units, coders = (left(coder) - rest) / (n - 1), (left(unit) - rest) / (k - 1)
    rest /= (n - 1) * (k - 1)
    spread = {"A": k * (coders - rest) / n, "C": 0}
    for kind in ("A,1", "C,1", "A,k", "C,k"):
        below = (units + (k - 1) * rest if kind[-1] == "1" else units) + spread[kind[0]] / (1 if kind[-1] == "1" else k)
        ours = value(ICC(kind), scores)
        if below > 1e-6:
            assert ours == pytest.approx((units - rest) / below, abs=1e-6)
        elif below < -1e-6:
            assert np.isnan(ours)


def test_icc_keeps_the_units_that_every_coder_scored():
    missing = np.vstack([TARGETS, [[1, NAN, 9, 9], [NAN] * 4]])
    assert value(ICC("A,1"), missing) == value(ICC("A,1"), TARGETS)
    assert icc_interval(missing, "C,k") == icc_interval(TARGETS, "C,k")


@pytest.mark.parametrize("kind", ["A,1", "C,1", "A,k", "C,k"])
def test_icc_interval_holds_the_icc_in_nineteen_of_twenty_studies(kind):
    rng = np.random.default_rng(3)
    true = 0.5 if kind[-1] == "1" else 8 / 9
    coder, rest = (0.5, 0.5) if kind[0] == "A" else (9, 1)  # variances; that of units is 1
    held = 0
    for _ in range(400):
        scores = rng.normal(0, 1, (30, 1)) + rng.normal(0, coder**0.5, 8) + rng.normal(0, rest**0.5, (30, 8))
        low, high = icc_interval(scores, kind)
        held += low <= true <= high
    assert 0.92 <= held / 400 <= 0.98


# --- machine against coders


def test_against_one_coder_and_against_the_majority():
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(1)
    codes = (rng.random((200, 4)) < 0.3).astype(float)
    for reference in ((1,), (1, 2, 3)):
        gold = codes[:, list(reference)].mean(1) >= 0.5
        theirs = precision_recall_fscore_support(gold, codes[:, 0] == 1, average="binary")
        for figure, expected in zip(("precision", "recall", "F1"), theirs):
            assert value(Against(figure, 0, reference), codes) == pytest.approx(expected)


def test_against_half_of_the_codes_are_enough_and_both_sides_must_have_coded():
    codes = digits("111 1.. .11 01. 100 110")
    parts = Against("F1", 0, (1, 2)).parts(codes)
    assert parts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


# --- spans


def test_spans_exactly_by_overlap_and_in_words():
    text = "I don't know, maybe it helps."
    found, told = [(0, 12), (14, 19)], [(2, 12), (14, 19), (20, 28)]
    assert exact_matches(found, told).tolist() == [1, 1, 2]
    assert overlap_matches(found, told).tolist() == [2, 0, 1]
    assert word_matches(text, found, told).tolist() == [3, 1, 2]  # "don't" is one word
    assert f1(word_matches(text, found, told)) == pytest.approx(6 / 9)


def test_a_span_is_in_one_match_at_most():
    assert overlap_matches([(0, 10), (0, 10)], [(0, 5), (5, 10)]).tolist() == [1, 0, 1]
    assert overlap_matches([(0, 5)], [(5, 9)]).tolist() == [0, 1, 1]


SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda s: (s[0], s[0] + s[1])), max_size=5)


@settings(max_examples=100, deadline=None)
@given(SPANS, SPANS)
def test_overlap_matches_are_as_many_as_can_be(found, told):
    from scipy.optimize import linear_sum_assignment

    a, b = sorted(set(found)), sorted(set(told))
    meet = np.array([[s < f and e > t for t, f in b] for s, e in a]).reshape(len(a), len(b))
    most = meet[linear_sum_assignment(meet, maximize=True)].sum()
    assert overlap_matches(found, told).tolist() == [most, len(a) - most, len(b) - most]


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping spans as one, by a flag for each pair of neighbouring characters."""
    inside, together = set(), set()
    for start, end in spans:
        inside |= set(range(start, end))
        together |= set(range(start, end - 1))
    starts = [i for i in sorted(inside) if i - 1 not in together]
    return [(i, next(e + 1 for e in range(i, 99) if e not in together)) for i in starts]


@settings(max_examples=50, deadline=None)
@given(st.lists(SPANS, min_size=2, max_size=4))
def test_unitized_alpha_from_pairs_of_segments(coders):
    # Krippendorff et al. (2016), equations 1 and 4: intersections of every segment with every other coder's
    length = 30
    segments = []
    for spans in map(joined, coders):
        cuts = sorted({0, length, *(x for span in spans for x in span)})
        segments.append([(s, e, (s, e) in spans) for s, e in pairwise(cuts)])
    observed = np.zeros((2, 2))
    for one, other in ((p, q) for p in segments for q in segments if p is not q):
        for s, e, c in one:
            for t, f, k in other:
                observed[int(c), int(k)] += max(0, min(e, f) - max(s, t)) / (len(coders) - 1)
    own = np.zeros(2)
    for s, e, c in (segment for mine in segments for segment in mine):
        own[int(c)] += (e - s) ** 2 if c else e - s
    total, each = observed.sum(), observed.sum(1)
    expected = total * (np.outer(each, each) - np.diag(own)) / (total**2 - own.sum())
    told = value(UnitizedAlpha(), unitized(length, coders)[None])
    if expected[0, 1]:
        assert told == pytest.approx(1 - observed[0, 1] / expected[0, 1])
    else:
        assert np.isnan(told)


@settings(max_examples=50, deadline=None)
@given(codes_of(2, 3, missing=False))
def test_unitized_alpha_of_single_characters_is_alpha(codes):
    spans = [[(int(i), int(i) + 1) for i in np.flatnonzero(column)] for column in codes.T]
    told = value(UnitizedAlpha(), unitized(len(codes), spans)[None])
    assert told == pytest.approx(value(Alpha(BINARY), codes), nan_ok=True)


def test_unitized_alpha_adds_up_over_turns():
    whole = unitized(50, [[(0, 5), (30, 40)], [(0, 8)]])
    parts = unitized(20, [[(0, 5)], [(0, 8)]]) + unitized(30, [[(10, 20)], []])
    assert whole.tolist() == parts.tolist()
    assert not unitized(20, [[(0, 5)]]).any()


# --- edges

EVERY = [
    RawAgreement(),
    SpecificAgreement(1),
    SpecificAgreement(0),
    PrevalenceIndex(),
    BiasIndex(),
    *(Kappa(BINARY, w) for w in ("unweighted", "linear", "quadratic")),
    FleissKappa(BINARY),
    PABAK(BINARY),
    GwetAC(BINARY),
    GwetAC(BINARY, "quadratic"),
    Alpha(BINARY),
    Alpha(BINARY, "ordinal"),
    IntervalAlpha(),
    *(ICC(kind) for kind in ("A,1", "C,1", "A,k", "C,k")),
    *(Against(figure, 0, (1,)) for figure in ("precision", "recall", "F1")),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("coefficient", EVERY, ids=lambda c: c.name)
@pytest.mark.parametrize(
    "codes",
    [np.zeros((0, 2)), np.full((3, 2), NAN), np.array([[1, NAN], [NAN, 1]])],
    ids=["no units", "no codes", "no pairs"],
)
def test_nothing_to_compare_is_undefined(coefficient, codes):
    assert np.isnan(value(coefficient, codes))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("coefficient", EVERY[:-3], ids=lambda c: c.name)
def test_one_coder_is_undefined(coefficient):
    assert np.isnan(value(coefficient, np.array([[1.0], [0.0]])))


@pytest.mark.filterwarnings("error")
def test_all_the_same_category():
    codes = np.ones((20, 3))
    by_name = {c.name: value(c, codes) for c in EVERY}
    undefined = {name for name, told in by_name.items() if np.isnan(told)}
    assert undefined == {
        "negative agreement",
        "Cohen's kappa",
        "Cohen's kappa, linear",
        "Cohen's kappa, quadratic",
        "Fleiss' kappa",
        "Krippendorff's alpha, nominal",
        "Krippendorff's alpha, ordinal",
        "Krippendorff's alpha, interval",
        "ICC(A,1)",
        "ICC(C,1)",
        "ICC(A,k)",
        "ICC(C,k)",
    }
    assert {by_name[n] for n in ("agreement", "positive agreement", "PABAK", "Gwet's AC1", "precision", "F1")} == {1}
    assert by_name["bias index"] == 0
    assert np.isnan(value(IntervalAlpha(), codes * 2.1))  # whose squares do not add up exactly
    assert np.isnan(value(ICC("A,1"), codes * 2.1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["A,1", "C,1", "A,k", "C,k"])
def test_icc_interval_at_the_edges(kind):
    line = np.arange(6.0)[:, None]
    assert icc_interval(np.hstack([line, line]), kind) == (1, 1)
    assert np.isnan(icc_interval(np.ones((5, 3)), kind)).all()
    assert np.isnan(icc_interval(np.ones((1, 3)), kind)).all()
    shifted = icc_interval(np.hstack([line, line + 1]), kind)
    assert shifted == (1, 1) if kind[0] == "C" else 0 < shifted[0] < shifted[1] <= 1
    icc_interval(np.array([[0.0, 1.0]] * 4), kind)


def test_a_pair_of_constant_coders_does_not_hide_the_others():
    codes = digits("111 110 111 110 .11 .00")
    assert value(Kappa(BINARY), codes) == np.mean([value(Kappa(BINARY), codes[:, p]) for p in ([0, 2], [1, 2])])
    assert np.isnan(value(Kappa(BINARY), codes[:, [0, 1]]))


def test_a_code_that_is_no_category_is_an_error():
    with pytest.raises(ValueError, match="code 7 is none of the categories"):
        value(Kappa(BINARY), np.array([[0.0, 7.0]]))


def test_weights():
    # the quadratic ones as irrCAC prints them for five categories
    assert weight_matrix(FIVE, "quadratic")[0].tolist() == [1, 0.9375, 0.75, 0.4375, 0]
    assert weight_matrix((0, 1, 2, 3), "ordinal")[0] == pytest.approx([1, 5 / 6, 1 / 2, 0])
    assert weight_matrix((0, 1, 3), "linear")[0] == pytest.approx([1, 2 / 3, 0])


# --- resampling


def test_resampling_clusters_equals_drawing_their_units_again():
    rng = np.random.default_rng(5)
    codes = (rng.random((60, 3)) < 0.4).astype(float)
    codes[rng.random(codes.shape) < 0.1] = NAN
    cluster = rng.integers(0, 6, 60)
    # the slow way, with the same draws
    counts = [np.bincount(drawn, minlength=6) for drawn in np.random.default_rng(9).integers(0, 6, (200, 6))]
    told = resample(EVERY, codes, cluster, draws=200, seed=9)
    for coefficient in EVERY:
        values = [value(coefficient, np.repeat(codes, count[cluster], axis=0)) for count in counts]
        low, high = np.nanpercentile(values, [2.5, 97.5])
        assert told[coefficient.name] == pytest.approx((value(coefficient, codes), low, high))


def test_resampling_spans():
    spans = np.array([exact_matches([(0, 4)], [(0, 4)]), exact_matches([(0, 4)], [(1, 4)])])
    point, low, high = resample([SpanF1()], spans, np.array(["a", "b"]), draws=100)["span F1"]
    assert (point, low, high) == (0.5, 0, 1)


def test_one_cluster_gives_no_interval():
    point, low, high = resample([RawAgreement()], np.ones((5, 2)), np.zeros(5))["agreement"]
    assert point == 1
    assert np.isnan([low, high]).all()
    assert np.isnan(resample([RawAgreement()], np.ones((0, 2)), np.zeros(0))["agreement"]).all()


def test_chunks_of_draws_and_order_of_units_change_nothing():
    rng = np.random.default_rng(2)
    codes, cluster = rng.integers(0, 2, (5000, 2)).astype(float), np.arange(5000)
    first = resample([GwetAC(BINARY)], codes, cluster, draws=1000)  # 5000 clusters: more than one chunk
    order = rng.permutation(5000)
    mixed = resample([GwetAC(BINARY)], codes[order], cluster[order], draws=1000)
    assert first["Gwet's AC1"] == pytest.approx(mixed["Gwet's AC1"])
    assert first == resample([GwetAC(BINARY)], codes, cluster, draws=1000)


def test_two_coefficients_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="one name"):
        resample([Against("F1", 0, (1,)), Against("F1", 1, (0,))], np.ones((4, 2)), np.arange(4))
