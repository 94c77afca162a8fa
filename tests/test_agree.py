"""Agreement of coders: what is a unit, who coded it, figures that can be worked out on paper, and what is written."""

import csv
import io
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rupturekit import AnnotatedTranscript, Coded, Marker, Provenance, Transcript, Turn, load_codebook
from rupturekit.agree import Agreement, agreement, write
from rupturekit.annotation import FAMILIES
from rupturekit.coefficients import Alpha, BiasIndex, FleissKappa, GwetAC, Kappa, resample, value

pytest_plugins = ["browser"]

BOOK = load_codebook()
CLIENT = ("confrontation", "withdrawal")


def talk(id: str, n: int = 4, text: str = "I guess so, yes.", roles: str = "client", **meta: object) -> Transcript:
    """Return a session of ``n`` turns; with ``roles="both"`` the therapist's are the even ones."""
    who = ["therapist" if roles == "both" and i % 2 == 0 else "client" for i in range(n)]
    return Transcript(id, tuple(Turn(i, r[0], r, text, start_s=60.0 * i) for i, r in enumerate(who)), meta=meta)


def coded(
    transcript: Transcript,
    coder: str,
    codes: Mapping[int, Iterable[tuple[str, int | None]]] | None = None,
    read: tuple[int, int] | None = None,
    families: Iterable[str] = FAMILIES,
    span: tuple[int, int] = (0, 7),
) -> AnnotatedTranscript:
    """Return one coder's work: ``{turn: [(code, clarity), ...]}``; ``coder`` is a source."""
    first, last = read or (0, len(transcript) - 1)
    markers = [
        Marker(turn, *span, BOOK.by_code(code).parent, BOOK.by_code(code).id, clarity=clarity, source=coder)
        for turn, told in (codes or {}).items()
        for code, clarity in told
    ]
    return AnnotatedTranscript(
        transcript, tuple(markers), coded=tuple(Coded(coder, family, first, last) for family in families)
    )


def row(found: Agreement, name: str, statistic: str, coders: str = "AB vs CD", codes: str = "presence") -> dict:
    (only,) = (
        r
        for r in found.table
        if (r["name"], r["statistic"], r["coders"], r["codes"]) == (name, statistic, coders, codes)
        and r["interval"] != "McGraw–Wong"
    )
    return only


def figure(found: Agreement, *what: str, **more: str) -> float:
    return row(found, *what, **more)["value"]


def two_by_two(both: int, first: int, second: int, neither: int) -> Agreement:
    """Compare two coders of one session, who gave W2 together, one of them alone, or not."""
    transcript = talk("s", both + first + second + neither)
    w2 = [("W2", 2)]
    ab = {t: w2 for t in range(both + first)}
    cd = {t: w2 for t in [*range(both), *range(both + first, both + first + second)]}
    return agreement([coded(transcript, "coder:AB", ab)], [coded(transcript, "coder:CD", cd)])


def test_a_table_of_two_coders_gives_the_figures_of_its_four_cells() -> None:
    found = two_by_two(40, 9, 6, 45)
    expected = {
        "agreement": 85 / 100,
        "positive agreement": 80 / 95,
        "negative agreement": 90 / 105,
        # chance: .49 × .46 + .51 × .54 = .5008
        "Cohen's kappa": (0.85 - 0.5008) / (1 - 0.5008),
        "PABAK": 0.7,
        "prevalence index": (40 - 45) / 100,
        "bias index": 3 / 100,
        # chance: 2 × .475 × .525 = .49875
        "Gwet's AC1": (0.85 - 0.49875) / (1 - 0.49875),
        # 30 of 200 codes beside another one; 95 are 1 and 105 are 0
        "Krippendorff's alpha, nominal": 1 - 199 * 30 / (2 * 95 * 105),
    }
    for name in ("withdrawal", "rupture", "minimal_response"):
        for statistic, by_hand in expected.items():
            assert figure(found, name, statistic) == pytest.approx(by_hand), (name, statistic)
    assert row(found, "withdrawal", "agreement")["n"] == 100
    assert row(found, "withdrawal", "agreement")["prevalence AB"] == pytest.approx(0.49)
    assert row(found, "withdrawal", "agreement")["prevalence CD"] == pytest.approx(0.46)
    assert figure(found, "confrontation", "agreement") == 1
    assert np.isnan(figure(found, "confrontation", "Cohen's kappa"))  # nobody gave it
    assert found.n == {"client_units": 100, "therapist_units": 0, "sessions": 1, "clients": 1, "unnamed": 1}


def test_what_was_not_read_is_missing_and_not_none() -> None:
    transcript = talk("s", 10)
    ab = coded(transcript, "coder:AB", {0: [("W2", 2)], 7: [("W2", 2)], 8: [("W2", 2)]})
    cd = coded(transcript, "coder:CD", {0: [("W2", 2)]}, read=(0, 3))
    found = agreement([ab], [cd])
    assert row(found, "withdrawal", "agreement")["n"] == 4
    assert figure(found, "withdrawal", "Cohen's kappa") == 1
    assert row(found, "withdrawal", "agreement")["prevalence AB"] == 0.25
    assert list(found.disagreements) == []


def test_families_are_read_apart_and_rupture_needs_both_of_them() -> None:
    transcript = talk("s", 4)
    ab = coded(transcript, "coder:AB", {0: [("C2", 2)], 1: [("W2", 2)]})
    cd = coded(transcript, "coder:CD", {1: [("W2", 2)]}, families=("withdrawal",))
    found = agreement([ab], [cd])
    assert {r["name"] for r in found.table} == {"withdrawal", "minimal_response"}


def test_therapist_families_are_compared_on_the_therapists_turns() -> None:
    transcript = talk("s", 6, roles="both")
    ab = coded(transcript, "coder:AB", {0: [("R4", 2)], 2: [("X1", 1)], 3: [("C5", 3)]})
    cd = coded(transcript, "coder:CD", {0: [("R4", 2)], 5: [("C5", 3)]})
    found = agreement([ab], [cd])
    assert row(found, "resolution", "agreement")["n"] == 3
    assert figure(found, "resolution", "Cohen's kappa") == 1
    assert figure(found, "therapist_defensive", "agreement") == pytest.approx(2 / 3)
    assert figure(found, "complaint_progress", "positive agreement") == 0
    assert found.n["client_units"] == found.n["therapist_units"] == 3
    # a marker with its family's name is one name
    assert [name for name in found.names if name == "therapist_defensive"] == ["therapist_defensive"]
    assert "invite_feelings" not in found.never_given
    assert "denial" in found.never_given
    assert "denial" not in found.names


def test_a_coder_who_marked_nothing_has_coded_none() -> None:
    transcript = talk("s", 4)
    found = agreement([coded(transcript, "coder:AB", {0: [("W2", 2)]}), coded(transcript, "coder:CD")])
    assert row(found, "withdrawal", "agreement")["prevalence CD"] == 0
    assert figure(found, "withdrawal", "agreement") == 0.75
    assert figure(found, "withdrawal", "Cohen's kappa") == 0
    assert figure(found, "withdrawal", "Cohen's kappa, linear", codes="clarity") == 0


def test_clarity_is_weighted_and_the_machine_has_none() -> None:
    transcript = talk("s", 4)
    ab = coded(transcript, "coder:AB", {0: [("W2", 3), ("W1", 1)], 1: [("W2", 1)]})
    cd = coded(transcript, "coder:CD", {0: [("W2", 3)], 1: [("W2", 2)]})
    machine = coded(transcript, "model", {0: [("W2", None)]})
    found = agreement([ab], [cd], [machine])
    # codes 3 1 0 0 and 3 2 0 0: 1/4 apart; each with each (0+1+3+3 + 2+1+1+1 + 2 × (3+2+0+0)) / 16
    assert figure(found, "withdrawal", "Cohen's kappa, linear", codes="clarity") == pytest.approx(1 - 0.25 / (22 / 16))
    compared = {r["coders"] for r in found.table if r["codes"] == "clarity"}
    assert compared == {"AB vs CD"}
    assert not any("gave no clarity" in note for note in found.notes)
    silent = agreement([ab], [cd], [coded(transcript, "model")])
    assert {r["coders"] for r in silent.table if r["codes"] == "clarity"} == {"AB vs CD"}


def test_one_marker_without_clarity_is_missing_and_a_coder_who_gives_none_is_left_out() -> None:
    transcript = talk("s", 4)
    ab = coded(transcript, "coder:AB", {0: [("W2", 3)], 1: [("W2", None)]})
    cd = coded(transcript, "coder:CD", {0: [("W2", 3)], 1: [("W2", 2)]})
    ef = coded(transcript, "coder:EF", {0: [("W2", None)]})
    found = agreement([ab], [cd], [ef])
    assert row(found, "withdrawal", "Cohen's kappa, linear", codes="clarity")["n"] == 3
    assert {r["coders"] for r in found.table if r["codes"] == "clarity"} == {"AB vs CD"}
    assert "EF gave no clarity and is not compared on it." in found.notes


def test_rules_and_model_are_one_machine_which_reads_all_of_a_session_it_annotated() -> None:
    first, second, third = talk("s1", 4), talk("s2", 4), talk("s3", 4)
    people = [coded(t, f"coder:{who}", {0: [("W2", 2)]}) for t in (first, second, third) for who in ("AB", "CD")]
    rule, model = coded(first, "rule", {0: [("W2", None)]}), coded(first, "model", {1: [("W2", None)]})
    by_both = replace(rule, markers=rule.markers + model.markers, coded=rule.coded + model.coded)
    silent = AnnotatedTranscript(second, provenance=Provenance("0.1.0", "3rs-2015 1.0"))
    found = agreement(people, [by_both, silent])
    assert found.coders == ("AB", "CD", "machine")
    assert found.main == "AB vs CD"
    assert row(found, "withdrawal", "agreement")["n"] == 12
    against = row(found, "withdrawal", "F1", "machine vs at least half")
    # of the people's two, one was found; of the machine's two, one is theirs; s3 was not annotated
    assert (against["n"], against["sessions"], against["value"]) == (8, 2, 0.5)
    assert against["prevalence machine"] == 0.25
    assert against["prevalence at least half"] == 0.25
    assert figure(found, "withdrawal", "precision", "machine vs AB") == 0.5
    # provenance alone does not say so where `coded` names who read the session
    by_hand = replace(people[0], provenance=silent.provenance)
    assert agreement([by_hand], people[1:]).coders == ("AB", "CD")
    # without `coded`, a marker says that the machine went through the session
    only_markers = agreement(people, [replace(by_both, coded=())])
    assert row(only_markers, "withdrawal", "F1", "machine vs at least half")["n"] == 4


def test_the_machine_is_measured_against_at_least_half_of_those_who_coded() -> None:
    transcript = talk("s", 4)
    ab = coded(transcript, "coder:AB", {0: [("C5", 2)], 1: [("C5", 2)], 2: [("C5", 2)]})
    cd = coded(transcript, "coder:CD", {0: [("C5", 2)]}, read=(0, 2))
    ef = coded(transcript, "coder:EF", {0: [("C5", 2)], 1: [("C5", 2)]}, read=(0, 1))
    machine = coded(transcript, "rule", {1: [("C5", None)], 3: [("C5", None)]})
    found = agreement([ab, cd, ef, machine])
    # gold 1 (3 of 3), 1 (2 of 3), 1 (1 of 2), 0; found 0, 1, 0, 1
    assert figure(found, "confrontation", "precision", "machine vs at least half") == pytest.approx(1 / 2)
    assert figure(found, "confrontation", "recall", "machine vs at least half") == pytest.approx(1 / 3)
    assert found.main == "humans"
    assert row(found, "confrontation", "Fleiss' kappa", "humans")["n"] == 3
    assert row(found, "confrontation", "Fleiss' kappa", "all")["n"] == 4
    assert list(found.compared) == [
        *("all", "humans", "AB vs CD", "AB vs EF", "CD vs EF"),
        *("machine vs AB", "machine vs CD", "machine vs EF", "machine vs at least half"),
    ]


def test_spans_are_compared_where_both_read_and_a_miss_counts() -> None:
    text = "Well, this isn't helping me."  # 5 words, 28 characters
    transcript = talk("s", 3, text)
    ab = replace(
        coded(transcript, "coder:AB", {0: [("C5", 2)], 1: [("C5", 2)]}, span=(0, 24)),
        coded=coded(transcript, "coder:AB").coded,
    )
    cd = coded(transcript, "coder:CD", {0: [("C5", 2)]}, span=(6, 24))
    found = agreement([ab], [cd])
    spans = {
        statistic: figure(found, "confrontation", statistic, codes="spans")
        for statistic in ("span exact F1", "span overlap F1", "span words F1", "Krippendorff's alpha, unitized")
    }
    assert spans["span exact F1"] == 0
    assert spans["span overlap F1"] == pytest.approx(2 / 3)  # a hit and a miss
    assert spans["span words F1"] == pytest.approx(2 * 3 / (8 + 3))
    # 168 characters, 66 inside, 2 × (6 + 24) apart; lengths squared 2 × 576 + 324
    expected = 2 * 168 * 66 * 102 / (168**2 - 1476 - 102)
    assert spans["Krippendorff's alpha, unitized"] == pytest.approx(1 - 60 / expected)
    assert row(found, "confrontation", "span exact F1", codes="spans")["n"] == 3
    assert "spans" not in {r["codes"] for r in agreement([ab], [cd], level="session").table}


def test_spans_of_withheld_words_are_not_compared() -> None:
    transcript = talk("s", 3, "")
    found = agreement([coded(transcript, "coder:AB", {0: [("C5", 2)]})], [coded(transcript, "coder:CD")])
    assert "spans" not in {r["codes"] for r in found.table}
    assert figure(found, "confrontation", "agreement") == pytest.approx(2 / 3)


SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def counted(counts: list[list[int]], n: int = 10, **meta: object) -> list[AnnotatedTranscript]:
    return [
        coded(talk(f"s{i}", n, **meta), f"coder:{'ABCD'[c]}", {t: [("W2", 2)] for t in range(count)})
        for i, row in enumerate(counts)
        for c, count in enumerate(row)
    ]


def test_the_ratings_of_shrout_and_fleiss_as_numbers_of_turns_give_their_correlations() -> None:
    """Shrout & Fleiss (1979), table 4: ICC(2,1) .29, ICC(3,1) .71, ICC(2,4) .62."""
    found = agreement(counted(SHROUT_FLEISS), level="session")
    for codes in ("count", "rate"):  # all sessions have ten turns
        for statistic, printed in (("ICC(A,1)", 0.29), ("ICC(C,1)", 0.71), ("ICC(A,k)", 0.62)):
            assert round(figure(found, "withdrawal", statistic, "all", codes), 2) == printed
    assert row(found, "withdrawal", "ICC(A,1)", "all", "count")["n"] == 6
    assert figure(found, "withdrawal", "agreement", "all") == 1  # every coder found some in every session


def test_the_f_interval_of_an_icc_stands_beside_the_one_by_clients() -> None:
    found = agreement(counted(SHROUT_FLEISS * 2), level="session", draws=100)
    rows = [r for r in found.table if (r["name"], r["coders"], r["codes"]) == ("withdrawal", "all", "count")]
    by = {r["interval"]: r for r in rows if r["statistic"] == "ICC(C,1)"}
    assert set(by) == {"clients", "McGraw–Wong"}
    assert by["clients"]["value"] == by["McGraw–Wong"]["value"]
    assert by["McGraw–Wong"]["low"] < by["McGraw–Wong"]["value"] < by["McGraw–Wong"]["high"]


def test_a_segment_is_coded_by_those_who_read_all_of_its_turns() -> None:
    transcript = talk("s", 10)  # a turn a minute
    ab = coded(transcript, "coder:AB", {0: [("W2", 1)], 1: [("W2", 3)], 6: [("W2", 2)]})
    cd = coded(transcript, "coder:CD", {4: [("W2", 2)]}, read=(0, 8))
    by_five = agreement([ab], [cd], level="segment")
    assert row(by_five, "withdrawal", "agreement")["n"] == 1
    assert figure(by_five, "withdrawal", "agreement") == 1
    by_three = agreement([ab], [cd], level="segment", segment_s=180)
    assert row(by_three, "withdrawal", "agreement")["n"] == 3
    # presence 1-0, 0-1, 1-0; clarity 3-0, 0-2, 2-0; turns 2-0, 0-1, 1-0
    assert figure(by_three, "withdrawal", "agreement") == 0
    # mean square apart 5/3; of all fifteen pairs of six values 2 0 0 1 1 0: 22/15
    assert figure(by_three, "withdrawal", "Krippendorff's alpha, interval", codes="count") == pytest.approx(
        1 - (4 + 1 + 1) / 3 / ((3 * 4 + 2 * 1 + 6 * 1) / 15)
    )
    assert "1 session without times" not in " ".join(by_three.notes)


def test_rates_are_per_hundred_turns_of_the_role() -> None:
    sessions = [talk("s1", 2), talk("s2", 8)]
    ab = [coded(s, "coder:AB", {0: [("W2", 2)]}) for s in sessions]
    cd = [coded(s, "coder:CD", {t: [("W2", 2)] for t in range(n)}) for s, n in zip(sessions, (2, 4))]
    found = agreement(ab, cd, level="session")
    # rates 50 and 100, 12.5 and 50
    rates = [50, 100, 12.5, 50]
    apart = sum((a - b) ** 2 for a in rates for b in rates) / 12
    expected = 1 - (50**2 + 37.5**2) / 2 / apart
    assert figure(found, "withdrawal", "Krippendorff's alpha, interval", codes="rate") == pytest.approx(expected)


def study(n_clients: int, seed: int = 0, coders: Iterable[str] = ("AB", "CD"), per_client: int = 1) -> list:
    rng = np.random.default_rng(seed)
    out = []
    for s in range(n_clients * per_client):
        transcript = talk(f"s{s:02}", 12, client_id=f"c{s % n_clients}", group=f"g{s}")
        for coder in coders:
            codes = {t: [("W2", int(rng.integers(1, 4)))] for t in range(12) if (t + s) % 4 == 0 or rng.random() < 0.2}
            out.append(coded(transcript, f"coder:{coder}", codes))
    return out


def test_there_is_no_interval_below_ten_clients_and_a_warning_below_twenty() -> None:
    few, some, many = (agreement(study(n), draws=200) for n in (9, 10, 20))
    assert all(np.isnan(r["low"]) and np.isnan(r["high"]) and not r["interval"] for r in few.table)
    assert any("9 clients: no intervals" in note for note in few.notes)
    for found in (some, many):
        kappa = row(found, "withdrawal", "Cohen's kappa")
        assert kappa["low"] < kappa["value"] < kappa["high"]
        assert kappa["interval"] == "clients"
    assert any(note.startswith("Warning: 10 clients") for note in some.notes)
    assert not any("clients" in note for note in many.notes)
    one = agreement(study(1, per_client=20))
    assert one.n == {"client_units": 240, "therapist_units": 0, "sessions": 20, "clients": 1, "unnamed": 0}
    assert "fewer than 10" in one.apa()


def test_the_clients_of_each_figure_are_counted() -> None:
    ab = [coded(talk(f"s{s}", 1), "coder:AB", {0: [("W2", 2)]}) for s in range(12)]
    told = [[("W2", None)]] * 4 + [[("W2", 2)]] * 2 + [[]] * 6
    cd = [coded(talk(f"s{s}", 1), "coder:CD", {0: codes}) for s, codes in enumerate(told)]
    found = agreement(ab, cd, draws=50)
    presence = row(found, "withdrawal", "positive agreement")
    clarity = row(found, "withdrawal", "Gwet's AC2, ordinal", codes="clarity")
    assert (presence["clients"], presence["interval"]) == (12, "clients")
    assert (clarity["clients"], clarity["interval"]) == (8, "")
    assert np.isnan(clarity["low"])


def test_intervals_come_from_clients_drawn_again_with_all_of_their_turns() -> None:
    sessions = study(12, per_client=2)
    found = agreement(sessions, draws=300, seed=5)
    codes, client = [], []
    for ab, cd in zip(sessions[::2], sessions[1::2]):
        for t in range(12):
            codes.append([float(any(m.turn == t for m in coding.markers)) for coding in (ab, cd)])
            client.append(ab.transcript.meta["client_id"])
    expected = resample([Kappa((0, 1)), GwetAC((0, 1)), Alpha((0, 1))], np.array(codes), np.array(client), 300, 5)
    # clients are numbered in another order there, so the draws are others
    for statistic, (point, low, high) in expected.items():
        mine = row(found, "withdrawal", statistic)
        assert mine["value"] == pytest.approx(point)
        assert mine["low"] == pytest.approx(low, abs=0.06)
        assert mine["high"] == pytest.approx(high, abs=0.06)
    assert mine["clients"] == 12


def test_clients_who_are_alike_leave_no_uncertainty() -> None:
    same = [
        coded(talk(f"s{s}", 4), f"coder:{who}", {0: [("W2", 2)], turn: [("W2", 2)]})
        for s in range(12)
        for who, turn in (("AB", 1), ("CD", 2))
    ]
    kappa = row(agreement(same, draws=50), "withdrawal", "Cohen's kappa")
    assert kappa["low"] == pytest.approx(kappa["value"]) == kappa["high"]


CODES = st.dictionaries(
    st.integers(0, 7), st.lists(st.tuples(st.sampled_from(["W1", "W2", "C2"]), st.integers(1, 3)), max_size=2)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(CODES, st.integers(0, 7)), min_size=6, max_size=6))
def test_figures_are_those_of_another_library(work: list) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pairs = []
    sessions = []
    for s in range(3):
        transcript = talk(f"s{s}", 8)
        coders = []
        for (codes, last), coder in zip(work[2 * s : 2 * s + 2], ("coder:AB", "rule")):
            kept = {t: list({code: (code, x) for code, x in told}.values()) for t, told in codes.items() if t <= last}
            coders.append((kept, last))
            sessions.append(coded(transcript, coder, kept, read=(0, last)))
        for t in range(min(last for _, last in coders) + 1):
            pairs.append([any(code[0] == "W" for code, _ in kept.get(t, ())) for kept, _ in coders])
    found = agreement(sessions)
    gold, machine = np.array(pairs).T
    mine = {s: figure(found, "withdrawal", s, "machine vs AB") for s in ("precision", "recall", "F1", "Cohen's kappa")}
    if gold.any() and machine.any():
        theirs = metrics.precision_recall_fscore_support(gold, machine, average="binary", zero_division=0)
        assert [mine["precision"], mine["recall"], mine["F1"]] == pytest.approx(theirs[:3])
    if len(np.unique([gold, machine])) > 1:
        assert mine["Cohen's kappa"] == pytest.approx(metrics.cohen_kappa_score(gold, machine))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(CODES, st.integers(0, 7)), min_size=9, max_size=9))
def test_units_that_are_alike_count_one_by_one(work: list) -> None:
    sessions, codes = [], []
    for s in range(3):
        table = np.full((8, 3), np.nan)
        for c, (told, last) in enumerate(work[3 * s : 3 * s + 3]):
            kept = {t: given_here for t, given_here in told.items() if t <= last}
            table[: last + 1, c] = [any(code[0] == "W" for code, _ in kept.get(t, ())) for t in range(last + 1)]
            sessions.append(coded(talk(f"s{s}", 8), f"coder:{'ABC'[c]}", kept, read=(0, last)))
        codes.append(table)
    together = np.concatenate(codes)
    twice = together[(~np.isnan(together)).sum(1) > 1]
    found = agreement(sessions)
    for coefficient in (Alpha((0, 1)), GwetAC((0, 1)), FleissKappa((0, 1)), BiasIndex()):
        mine = figure(found, "withdrawal", coefficient.name, "all")
        assert mine == pytest.approx(value(coefficient, twice), nan_ok=True)


def test_a_coders_work_may_come_in_parts() -> None:
    transcript = talk("s", 6)
    codes = {0: [("W2", 2)], 4: [("C2", 1)]}
    whole = coded(transcript, "coder:AB", codes)
    parts = [
        coded(transcript, "coder:AB", {0: codes[0]}, read=(0, 3)),
        coded(transcript, "coder:AB", {4: codes[4]}, read=(3, 5)),
    ]
    other = [coded(transcript, "coder:CD", {0: [("W1", 2)]})]
    assert agreement(parts, other).to_frame().equals(agreement([whole], other).to_frame())
    assert agreement([parts[0]], other, [parts[1]], [parts[0]]).to_frame().equals(agreement([whole], other).to_frame())


def test_a_client_is_known_if_one_of_the_codings_knows_it() -> None:
    first = [coded(talk(f"s{i}", 4, client_id=f"c{i // 2}"), "coder:AB") for i in range(4)]
    second = [coded(talk(f"s{i}", 4, group=f"s{i}", client_id=None), "coder:CD") for i in range(4)]
    assert agreement(first, second).n["clients"] == agreement(second, first).n["clients"] == 2


def test_codings_of_different_transcripts_are_refused_without_a_word_of_them() -> None:
    one = coded(talk("s7", 4), "coder:AB")
    turns = one.transcript.turns
    changed = {
        2: (*turns[:2], replace(turns[2], text="Something secret."), turns[3]),
        3: turns[:3],
        1: (turns[0], replace(turns[1], role="therapist"), *turns[2:]),
    }
    for turn, others in changed.items():
        other = coded(Transcript("s7", others), "coder:CD")
        with pytest.raises(ValueError, match=rf"session s7.*different transcripts, from turn {turn} on") as error:
            agreement([one], [other])
        assert "secret" not in str(error.value)
        assert "guess" not in str(error.value)


def test_one_coder_with_two_opinions_is_refused() -> None:
    transcript = talk("s7", 4)
    first, second = (coded(transcript, "coder:AB", {2: [(code, 2)]}) for code in ("W1", "W2"))
    with pytest.raises(ValueError, match=r"session s7, turn 2: AB coded it in two ways"):
        agreement([first], [second], [coded(transcript, "coder:CD")])
    silent = coded(transcript, "coder:AB")
    with pytest.raises(ValueError, match=r"session s7, turn 2: AB coded it in two ways"):
        agreement([first], [silent], [coded(transcript, "coder:CD")])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (Marker(1, 0, 7, "withdrawal", "denial", source="coder:AB"), "turn 1: AB gave denial .* did not read"),
        (Marker(0, 0, 7, "resolution", "invite_feelings", source="coder:AB"), "turn 0: .* on a turn of role client"),
        (
            Marker(0, 0, 7, "withdrawal", "mumbling", source="coder:AB"),
            "turn 0: 3rs-2015 has no mumbling in withdrawal",
        ),
        (Marker(0, 0, 7, "confrontation", "denial", source="coder:AB"), "turn 0: .* has no denial in confrontation"),
        (Marker(9, 0, 7, "withdrawal", "denial", source="coder:AB"), "turn 9: .* of role nobody"),
        (Marker(0, 0, 7, "withdrawal", "denial", clarity=5, source="coder:AB"), "turn 0: denial has clarity 5"),
        (Marker(0, 0, 7, "withdrawal", "denial", source="coder:machine"), "no coder can be called 'coder:machine'"),
        (
            Marker(0, 0, 7, "withdrawal", "denial", source="coder:at least half"),
            "no coder can be called 'coder:at least half'",
        ),
        (Marker(0, 0, 7, "withdrawal", "denial", source="coder:"), "no coder can be called 'coder:'"),
    ],
)
def test_a_coding_that_contradicts_itself_is_refused(marker: Marker, message: str) -> None:
    transcript = talk("s7", 4)
    bad = replace(coded(transcript, "coder:AB", read=(0, 0)), markers=(marker,))
    with pytest.raises(ValueError, match=f"session s7.*{message}"):
        agreement([bad], [coded(transcript, "coder:CD")])


def test_there_must_be_two_coders_of_the_same_session() -> None:
    ab = coded(talk("s1"), "coder:AB")
    with pytest.raises(ValueError, match="needs two coders; here is AB"):
        agreement([ab])
    with pytest.raises(ValueError, match="here is none"):
        agreement()
    with pytest.raises(ValueError, match=r"no turn was coded by two of AB, CD; no session is in two codings by its id"):
        agreement([ab], [coded(talk("s2"), "coder:CD")])
    apart = [coded(talk("s1", 4), f"coder:{who}", read=read) for who, read in (("AB", (0, 1)), ("CD", (2, 3)))]
    with pytest.raises(ValueError, match=r"no turn was coded by two of AB, CD$"):
        agreement(apart)
    with pytest.raises(ValueError, match="AB and ab would be two coders"):
        agreement([ab], [coded(talk("s1"), "coder:ab")])
    found = agreement([ab, coded(talk("s2"), "coder:AB")], [coded(talk("s1"), "coder:CD")])
    assert "1 session that only one coder coded took no part." in found.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "word"}, "give turn, segment, session"),
        ({"segment_s": 0}, "length above 0"),
        ({"segment_s": float("nan")}, "length above 0"),
        ({"draws": 0}, "at least one draw"),
        ({"names": ["denial", "mumbling"]}, "no family or marker mumbling in 3rs-2015"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agreement([coded(talk("s"), "coder:AB")], [coded(talk("s"), "coder:CD")], **options)


def somewhere(coding: AnnotatedTranscript) -> AnnotatedTranscript:
    """Return a coding as a sheet gives it with clarity and no turns."""
    whole = (replace(m, end=len(coding.transcript[m.turn].text), note="segment: hard to place") for m in coding.markers)
    return replace(coding, markers=tuple(whole))


def test_what_a_sheet_gives_for_a_segment_is_missing_by_turn_and_counts_by_segment() -> None:
    transcript = talk("s", 20, roles="both")  # a turn a minute: four segments
    loose = somewhere(coded(transcript, "coder:AB", {5: [("W2", 3)]}))
    placed = coded(transcript, "coder:AB", {7: [("W1", 2)], 13: [("W2", 2)]})
    ab = replace(placed, markers=(*placed.markers, *loose.markers))
    cd = coded(transcript, "coder:CD", {7: [("W1", 2)], 9: [("W2", 2)], 13: [("W2", 2)]})
    by_turn = agreement([ab], [cd])
    for name, statistic, codes in (
        *(("withdrawal", "Cohen's kappa", "presence"), ("rupture", "Cohen's kappa", "presence")),
        *(("minimal_response", "Cohen's kappa", "presence"), ("withdrawal", "Cohen's kappa, linear", "clarity")),
        ("withdrawal", "span exact F1", "spans"),
    ):
        found = row(by_turn, name, statistic, codes=codes)
        assert (found["n"], found["value"]) == (7, 1), name  # of ten client turns, three are in that segment
    assert row(by_turn, "confrontation", "agreement")["n"] == 10
    assert row(by_turn, "withdrawal", "agreement")["prevalence AB"] == pytest.approx(1 / 7)
    assert by_turn.n["client_units"] == 10  # for confrontation
    assert agreement([ab], [cd], names=["withdrawal"]).n["client_units"] == 7
    assert row(agreement([ab], [cd], segment_s=120), "withdrawal", "agreement")["n"] == 9
    by_segment = agreement([ab], [cd], level="segment")
    assert (row(by_segment, "withdrawal", "agreement")["n"], figure(by_segment, "withdrawal", "Cohen's kappa")) == (
        4,
        1,
    )
    assert row(agreement([ab], [cd], level="session"), "withdrawal", "agreement")["n"] == 1
    told = (
        "1 marker that a sheet gives for a segment, without a turn: by turn it does not count, and its coder's reading "
        "of its family is missing in the segment. Compare by segment or session."
    )
    assert told in by_turn.notes
    assert told not in agreement([placed], [cd]).notes
    assert told not in by_segment.notes


def test_disagreements_do_not_place_what_a_sheet_gives_for_a_segment() -> None:
    transcript = talk("s", 10)
    ab = coded(transcript, "coder:AB", {2: [("W1", 2)]})
    ab = replace(ab, markers=(*ab.markers, *somewhere(coded(transcript, "coder:AB", {0: [("W2", 3)]})).markers))
    cd = coded(transcript, "coder:CD", {1: [("W8", 2)], 2: [("W8", 1)], 6: [("W8", 1)]})
    for level in ("turn", "segment"):
        rows = [(r["turn"], r["coder:AB"], r["coder:CD"]) for r in agreement([ab], [cd], level=level).disagreements]
        assert rows == [
            (0, "minimal_response 3 (somewhere in the segment)", "none"),
            # on turn 1 it is not known whether AB would say none
            (2, "denial 2 “I guess”", "flattened_affect 1 “I guess”"),
            (6, "none", "flattened_affect 1 “I guess”"),
        ]


def test_only_the_names_asked_for_are_compared() -> None:
    transcript = talk("s", 4)
    ab, cd = coded(transcript, "coder:AB", {0: [("W2", 2)]}), coded(transcript, "coder:CD", {1: [("C5", 2)]})
    found = agreement([ab], [cd], names=["denial", "rupture"])
    assert found.names == ("rupture", "denial")
    assert {r["name"] for r in found.table} == {"rupture", "denial"}
    assert [(r["turn"], r["name"]) for r in found.disagreements] == [(0, "rupture"), (1, "rupture")]
    assert "minimal_response" not in found.never_given


def test_disagreements_name_the_family_or_the_markers_and_show_words() -> None:
    transcript = talk("s", 6)
    ab = coded(transcript, "coder:AB", {0: [("W2", 2)], 1: [("W1", 3), ("W8", 1)], 3: [("C2", None)], 4: [("W1", 1)]})
    cd = coded(transcript, "coder:CD", {1: [("W2", 1), ("W8", 1)], 3: [("W2", 2)], 4: [("W1", 2)]}, read=(0, 4))
    other = [coded(talk("r", 2), f"coder:{who}", {1: [("C5", 2)]} if who == "CD" else {}) for who in ("AB", "CD")]
    found = agreement([ab, other[0]], [cd, other[1]])
    rows = list(found.disagreements)
    assert [(r["session"], r["turn"], r["name"]) for r in rows] == [
        ("r", 1, "confrontation"),
        ("s", 0, "withdrawal"),
        ("s", 1, "denial; minimal_response"),
        ("s", 3, "confrontation"),
        ("s", 3, "withdrawal"),
    ]
    assert rows[1] == {
        **{"session": "s", "turn": 0, "role": "client", "name": "withdrawal", "text": "I guess so, yes."},
        **{"coder:AB": "minimal_response 2 “I guess”", "coder:CD": "none"},
    }
    assert rows[2]["coder:AB"] == "denial 3 “I guess”; flattened_affect 1 “I guess”"
    assert rows[3]["coder:AB"] == "rejects_intervention “I guess”"
    third = coded(transcript, "coder:EF", {}, read=(5, 5))
    assert [r["coder:EF"] for r in agreement([ab], [cd], [third]).disagreements] == [""] * 4


HOSTILE = '=HYPERLINK("http://x")</td><script>alert(1)</script><img src=x onerror=alert(2)>" $title ${n}'


@pytest.fixture
def hostile() -> Agreement:
    transcript = talk("-s&<b>", 2, HOSTILE)
    ab = coded(transcript, "coder:=<i>A_B</i>|&%$#{}~^\\[x]", {0: [("W2", 2)]}, span=(0, len(HOSTILE)))
    return agreement([ab], [coded(transcript, "coder:@CD\u202e\n")])


def test_no_cell_is_a_formula(hostile: Agreement, tmp_path: Path) -> None:
    hostile.disagreements_csv(tmp_path / "d.csv")
    hostile.to_csv(tmp_path / "a.csv")
    _, cells = csv.reader((tmp_path / "d.csv").open(encoding="utf-8", newline=""))
    assert cells[:5] == ["'-s&<b>", "0", "client", "withdrawal", f"'{HOSTILE}"]
    assert cells[5].startswith("minimal_response 2 “=")
    for line in csv.reader((tmp_path / "a.csv").open(encoding="utf-8", newline="")):
        for cell in line:
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), cell
            assert not cell.startswith("-") or float(cell) < 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "＝1", "\n=1"])
def test_formulas_in_any_disguise_get_an_apostrophe(text: str, tmp_path: Path) -> None:
    transcript = talk("s", 1, text)
    found = agreement([coded(transcript, "coder:AB", {0: [("W2", 1)]}, span=(0, 1))], [coded(transcript, "coder:CD")])
    found.disagreements_csv(tmp_path / "d.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "d.csv").read_text("utf-8"), newline="")))
    assert rows[0]["text"] == f"'{text}"


def test_a_table_reads_back_with_its_figures(tmp_path: Path) -> None:
    found = two_by_two(40, 9, 6, 45)
    found.to_csv(tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8", newline="")))
    assert len(rows) == len(found.table) == len(found.to_frame())
    assert rows[0] == {
        **{"level": "turn", "name": "confrontation", "codes": "presence", "coders": "AB vs CD"},
        **{"statistic": "agreement", "value": "1", "low": "", "high": "", "interval": ""},
        **{"n": "100", "sessions": "1", "clients": "1", "prevalence AB": "0", "prevalence CD": "0"},
    }


class Page(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.meta: list[dict[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "meta":
            self.meta.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_loads_and_runs_nothing_whatever_was_said(hostile: Agreement, tmp_path: Path) -> None:
    hostile.disagreements_html(tmp_path / "d.html")
    source = (tmp_path / "d.html").read_text("utf-8")
    page = Page()
    page.feed(source)
    assert page.tags == set("html head meta title style body h1 h2 p table tr th td".split())
    assert page.attributes == {"lang", "charset", "http-equiv", "content", "name", "dir"}
    assert HOSTILE in page.text
    assert "-s&<b>" in page.text
    policy = next(str(m["content"]) for m in page.meta if m.get("http-equiv") == "Content-Security-Policy")
    style = source.split("<style>")[1].split("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "1 disagreement." in source


@pytest.mark.parametrize("width", [1280, 390])
def test_short_words_of_the_page_stay_whole(show: Callable[..., Any], tmp_path: Path, width: int) -> None:
    session = talk("s1", text="I guess so. " * 40)
    found = agreement([coded(session, "coder:AB", {1: [("W2", 2)]}, span=(0, 470))], [coded(session, "coder:CD")])
    found.disagreements_html(tmp_path / "d.html")
    page = show(tmp_path / "d.html", width=width)
    assert page.evaluate("[...document.querySelectorAll('th')].every(th => th.offsetHeight < 40)")


def test_a_page_without_disagreements_says_so(tmp_path: Path) -> None:
    two_by_two(1, 0, 0, 3).disagreements_html(tmp_path / "d.html")
    assert "0 disagreements." in (tmp_path / "d.html").read_text("utf-8")


def test_latex_takes_any_name(hostile: Agreement) -> None:
    table = hostile.latex()
    assert r"=\textless{}i\textgreater{}A\_B\textless{}/i\textgreater{}\textbar{}\&\%\$\#\{\}" in table
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}{[}x{]}" in table
    assert "\u202e" not in table
    lines = table.splitlines()
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    columns = lines[2].removeprefix(r"\begin{tabular}{l").count("r")
    for line in body:
        if line != r"\midrule":
            assert line.endswith(r" \\")
            assert line.replace(r"\&", "").count("&") == columns
    assert r"given, \%" in body[0]


def test_latex_has_a_table_for_the_machine_too() -> None:
    transcript = talk("s", 4)
    people = [coded(transcript, f"coder:{who}", {0: [("W2", 2)]}) for who in ("AB", "CD")]
    assert agreement(people).latex().count(r"\begin{table}") == 1
    table = agreement(people, [coded(transcript, "model", {1: [("W2", None)]})]).latex()
    assert table.count(r"\begin{table}") == 2
    assert "precision & recall & F1" in table.split(r"\begin{table}")[2]


def test_the_paragraph_of_two_coders() -> None:
    sessions = [talk(f"s{s:02}", 12, client_id=f"c{min(s, 10)}") for s in range(12)]
    ab = [coded(s, "coder:AB", {0: [("W2", 2)], 1: [("W2", 1)]}) for s in sessions]
    cd = [coded(s, "coder:CD", {0: [("W2", 2)], 2: [("W2", 1)]}) for s in sessions]
    text = agreement(ab, cd, draws=100).apa()
    # every session alike: agreement 30/36, chance 26/36
    assert text.startswith(
        "Two coders (AB, CD) coded 144 client turns of 12 sessions from 11 clients with the codebook "
        "3rs-2015 1.0. For withdrawal (*n* = 144, given in 16.7 / 16.7%), Cohen's κ = .40, 95% CI [.40, .40], "
        "agreement = .83, positive agreement = .50, Gwet's AC1 = .77. For rupture (*n* = 144, "
    )
    assert "Nobody gave confrontation in what was compared." in text
    assert "For clarity (0 absent to 3 strong), quadratically weighted κ = " in text
    assert "Krippendorff's α" not in text
    assert "95% percentile intervals of 100 bootstrap samples of clients (seed 0)" in text
    assert "With 11 clients (fewer than 20) they are rough, and the figures exploratory." in text
    assert text.count("\n") == 1


def test_the_paragraph_of_three_coders_and_the_machine() -> None:
    sessions = study(3, coders=("AB", "CD", "EF"))
    machine = [coded(s.transcript, "rule", {0: [("W2", None)]}) for s in sessions[::3]]
    text = agreement(sessions, machine).apa()
    assert text.startswith("Three coders (AB, CD, EF) coded 36 client turns of 3 sessions from 3 clients")
    assert "Krippendorff's α = " in text
    assert "95% CI" not in text
    assert "With 3 clients (fewer than 10) figures are exploratory, without intervals." in text
    assert "Against what at least half of the coders gave, the machine reached precision = " in text
    alone = agreement(sessions[::3], machine, level="session").apa()
    assert alone.startswith("One coder (AB) and the machine coded 3 sessions from 3 clients with the codebook")
    assert "Against the coder, the machine reached " in alone
    by_segment = agreement(sessions, level="segment", segment_s=240).apa()
    assert "coded 9 240-s segments with client turns of 3 sessions" in by_segment
    assert "For the number of turns, ICC(A,1)" in by_segment


def two_coders(*metas: Mapping[str, object]) -> Agreement:
    """Compare two coders of a session for each of the given facts."""
    sessions = [talk(f"s{s:02}", 12, **meta) for s, meta in enumerate(metas)]
    return agreement(
        [coded(s, "coder:AB", {0: [("W2", 2)], 1: [("W2", 1)]}) for s in sessions],
        [coded(s, "coder:CD", {0: [("W2", 2)], 2: [("W2", 1)]}) for s in sessions],
        draws=50,
    )


def test_sessions_that_name_no_client_are_not_called_clients() -> None:
    found = two_coders(*[{}] * 11, {"group": "s11", "client_id": None})  # a group of one's own says no more
    assert found.n["unnamed"] == found.n["clients"] == 12
    text = found.apa()
    assert "coded 144 client turns of 12 sessions with the codebook" in text
    assert "bootstrap samples of sessions (seed 0). With 12 sessions (fewer than 20) they are rough" in text
    told = (
        "12 sessions name no client (client_id) and count as one each: if one client has several, there are fewer "
        "clients and any intervals are too narrow."
    )
    assert told in text
    assert told in found.notes
    assert told in found.latex().replace(r"\_", "_")
    assert "Warning: 12 sessions; intervals from fewer than 20 are rough." in found.notes
    assert "12 clients" not in " ".join((text, found.latex(), *found.notes))


def test_some_sessions_that_name_no_client_leave_the_clients_at_most_so_many() -> None:
    found = two_coders(*[{"client_id": "a"}] * 2, {"group": "b"}, *[{}] * 9)
    assert (found.n["clients"], found.n["unnamed"]) == (11, 9)
    text = found.apa()
    assert "of 12 sessions from at most 11 clients with the codebook" in text
    assert "bootstrap samples of clients (seed 0). With at most 11 clients (fewer than 20)" in text
    assert "9 sessions name no client (client_id) and count as one each" in text
    assert "Warning: at most 11 clients; intervals from fewer than 20 are rough." in found.notes


def test_one_session_that_names_no_client_and_a_study_whose_clients_are_named() -> None:
    found = two_coders({}, {"client_id": "a"})
    told = (
        "1 session names no client (client_id) and counts as one: if its client has others, there are fewer clients "
        "and any intervals are too narrow."
    )
    assert told in found.notes
    assert told in found.apa()
    few = two_coders({}, {})
    assert "2 sessions: no intervals are given for fewer than 10, and the figures are exploratory." in few.notes
    named = two_coders(*[{"client_id": f"c{i}"} for i in range(12)])
    assert named.n["unnamed"] == 0
    assert "no client" not in " ".join((named.apa(), *named.notes, *two_coders({}).notes))


def test_the_paragraph_says_what_each_coder_coded_where_that_differs() -> None:
    sessions = [talk(f"s{s}", 12, roles="both", client_id=f"c{s}") for s in range(5)]
    whole = [coded(s, f"coder:{who}") for s in sessions[:4] for who in ("CD", "EF")]
    ab = coded(sessions[0], "coder:AB", read=(0, 6))
    alone = coded(sessions[4], "coder:AB")
    found = agreement(whole, [ab, alone])
    text = found.apa()
    assert text.startswith(
        "Three coders (AB, CD, EF) coded 24 client turns and 24 therapist turns of 4 sessions from 4 clients with the "
        "codebook 3rs-2015 1.0. Of these, AB coded 3 client turns and 4 therapist turns of 1 session, CD 24 client "
        "turns and 24 therapist turns of 4 sessions, EF 24 client turns and 24 therapist turns of 4 sessions. 1 "
        "session that only one coder coded took no part. "
    )
    assert found.coded["AB"] == {"client_units": 3, "therapist_units": 4, "sessions": 1, "clients": 1, "unnamed": 0}
    by_session = agreement(whole, [coded(sessions[0], "coder:AB")], level="session").apa()
    assert "Of these, AB coded 1 session, CD 4 sessions, EF 4 sessions." in by_session
    assert "AB coded" not in agreement(whole, [coded(s, "coder:AB") for s in sessions[:4]]).apa()
    assert "independent" not in text


def test_a_session_that_one_person_coded_counts_for_the_machine_alone() -> None:
    sessions = [talk(f"s{s}", 4) for s in range(3)]
    people = [coded(sessions[0], "coder:AB"), coded(sessions[0], "coder:CD"), coded(sessions[1], "coder:CD")]
    found = agreement(people, [coded(s, "model") for s in sessions])
    told = "1 session that only one coder coded took no part in the coders' agreement."
    assert told in found.notes
    assert told in found.apa()
    assert row(found, "withdrawal", "agreement", "machine vs CD")["sessions"] == 2


def test_what_half_of_the_coders_means_is_told() -> None:
    transcript = talk("s", 4)
    people = [coded(transcript, f"coder:{who}", {t: [("W2", 2)]}) for t, who in enumerate(("AB", "CD", "EF"))]
    machine = coded(transcript, "model", {1: [("W2", None)]})
    pair = agreement(people[:2], [machine])
    assert (
        "Against what either of the two coders gave, the machine reached precision = 1.00, recall = .50" in pair.apa()
    )
    told = "“at least half” is what at least half of those who coded a unit gave: of two coders, what either gave."
    assert told in pair.notes
    three = agreement(people, [machine])
    assert "Against what at least half of the coders gave, the machine reached " in three.apa()
    assert told in three.notes
    for found in (pair, three):
        assert "majority" not in " ".join((found.apa(), found.latex(), found.markdown(), *found.table[0]))
    assert told not in agreement(people).notes
    assert told not in agreement(people[:1], [machine]).notes


def test_the_screens_table_has_every_comparison_and_the_notes(hostile: Agreement) -> None:
    text = hostile.markdown()
    assert "\u202e" not in text
    assert "Never given: complaint_therapist, " in text
    tables = agreement(study(3, coders=("AB", "CD", "EF"))).markdown()
    assert [line for line in tables.splitlines() if line.startswith("##")] == [
        *("## all (AB, CD, EF), by turn", "## AB vs CD, by turn", "## AB vs EF, by turn", "## CD vs EF, by turn")
    ]
    widths = {line.count("|") for line in tables.split("## AB vs CD")[1].split("##")[0].splitlines() if "|" in line}
    assert len(widths) == 1


def test_what_is_written_is_the_same_bytes_in_whatever_order_the_codings_come(tmp_path: Path) -> None:
    sessions = study(11, coders=("AB", "CD", "EF"))
    first = write(agreement(sessions, draws=50), tmp_path / "a")
    second = write(agreement(sessions[::-3], sessions[1::3], sessions[::3][::-1], draws=50), tmp_path / "b" / "c")
    assert [path.name for path in first] == sorted(path.name for path in (tmp_path / "a").iterdir())
    assert [path.name for path in first] == [
        *("agreement.csv", "agreement.tex", "agreement.txt", "disagreements.csv", "disagreements.html", "made-by.json")
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_a_teams_own_codebook_says_which_markers_there_are() -> None:
    own = replace(BOOK, name="ours", markers=(replace(BOOK["denial"], id="shrug", label="Shrugs_it 100% off"),))
    given = Marker(0, 0, 7, "withdrawal", "shrug", source="coder:AB")
    transcript = talk("s")
    codings = [replace(coded(transcript, "coder:AB"), markers=(given,)), coded(transcript, "coder:CD")]
    with pytest.raises(ValueError, match="3rs-2015 has no shrug"):
        agreement(codings)
    found = agreement(codings, codebook=own)
    assert found.names[-1] == "shrug"
    assert found.never_given == ()
    assert r"Shrugs\_it 100\% off &" in found.latex()


def test_coders_of_the_shipped_tables_can_be_compared() -> None:
    table = Path(__file__).parents[2] / "shared" / "data" / "hlqc_train.csv"
    if not table.is_file():
        pytest.skip("the coded tables are not here")
    from rupturekit.coding import read_coded

    found = agreement(read_coded(table), draws=50, names=["withdrawal", "confrontation"])
    assert len(found.coders) == 2
    kappa = row(found, "withdrawal", "Cohen's kappa", found.main)
    assert 0 < kappa["low"] < kappa["value"] < kappa["high"] < 1
