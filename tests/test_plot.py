"""Figures: what is drawn, and that it stays apart in grey, at a journal's width, with the same bytes each time."""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rupturekit import AnnotatedTranscript, Annotator, Coded, Episode, Marker, Transcript, Turn, load_codebook, plot
from rupturekit import agreement as compare
from rupturekit.annotation import FAMILIES, SCORES, Score
from rupturekit.tables import Pseudonyms, rows
from rupturekit.treatment import in_order

matplotlib = pytest.importorskip("matplotlib", reason='figures need matplotlib: pip install "rupturekit[plot]"')
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

BOOK = load_codebook()
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _settings_are_left_and_figures_closed() -> Iterator[None]:
    before = dict(matplotlib.rcParams)
    yield
    after = dict(matplotlib.rcParams)
    plt.close("all")
    assert after == before


def on(turn: int, name: str, source: str = "rule") -> Marker:
    return Marker(turn, 0, 4, BOOK[name].parent, name, source=source)


def talk(n: int = 8, id: str = "s1", starts: Any = None, **meta: object) -> Transcript:
    """Return a session in which therapist and client take turns; its even turns are the therapist's."""
    turns = (
        Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], "Well, yes.", None if starts is None else starts[i])
        for i in range(n)
    )
    return Transcript(id, tuple(turns), meta=meta)


MARKERS = (
    on(1, "complaint_progress"),
    on(2, "therapist_defensive"),
    on(3, "complaint_progress"),
    on(3, "rejects_intervention"),
    on(4, "invite_feelings"),
    on(7, "denial"),
    on(0, "give_rationale"),
)
SCORED = tuple(
    Score("turn", turn, family, 0.1 * turn if family == "confrontation" else 0.05)
    for turn in (1, 3, 5, 7)
    for family in ("confrontation", "withdrawal", "rupture")
)
SESSION = AnnotatedTranscript(talk(), MARKERS, SCORED, (Episode(1, 3, (4,)), Episode(7, 7)))


def drawn(ax: Any) -> dict[tuple[str, Any, bool], list[tuple[float, float]]]:
    """Return the points of each (shape, colour, filled) that has no line through it."""
    return {
        (line.get_marker(), line.get_markeredgecolor(), line.get_markerfacecolor() != "white"): [
            tuple(point) for point in line.get_xydata().tolist()
        ]
        for line in ax.lines
        if line.get_linestyle() == "None"
    }


def lane(ax: Any, label: str) -> float:
    (y,) = (y for y, tick in zip(ax.get_yticks(), ax.get_yticklabels()) if tick.get_text() == label)
    return float(y)


def curves(ax: Any) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in ax.lines if line.get_label().endswith("score")}


# a session


def test_every_marked_turn_has_its_familys_shape_in_its_familys_lane() -> None:
    ax = plot.session(SESSION)
    shape, colour = plot.SHAPE, plot.COLOUR
    assert drawn(ax) == {
        (shape["confrontation"], colour["confrontation"], True): [(x, lane(ax, "Confrontation")) for x in (1, 3)],
        (shape["withdrawal"], colour["withdrawal"], True): [(7, lane(ax, "Withdrawal"))],
        (shape["resolution"], colour["resolution"], True): [(4, lane(ax, "Resolution"))],
        (shape["resolution"], colour["resolution"], False): [(0, lane(ax, "Resolution"))],
        (shape["therapist_defensive"], colour["therapist_defensive"], True): [(2, lane(ax, "Therapist defensiveness"))],
    }
    assert all(lane(ax, label) < 0 for label in ("Confrontation", "Withdrawal", "Resolution"))


def test_the_curves_are_the_scores_of_the_clients_turns() -> None:
    ax = plot.session(SESSION)
    found = curves(ax)
    assert set(found) == {"Confrontation score", "Withdrawal score"}
    assert found["Confrontation score"].tolist() == [[t, pytest.approx(0.1 * t)] for t in (1, 3, 5, 7)]
    assert found["Withdrawal score"][:, 1].tolist() == [0.05] * 4
    assert ax.get_ylabel() == "Score"
    assert ax.get_ylim()[1] >= 1


def test_episodes_are_shaded_over_their_turns_and_named_once() -> None:
    ax = plot.session(SESSION)
    shaded = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert shaded == [(0.5, 3.5), (6.5, 7.5)]
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named.count("Episode") == 1
    assert {"Repair", "Other resolution"} <= set(named)


def test_with_times_the_axis_is_minutes_from_the_first_turn() -> None:
    starts = [3600.0, 3630.0, None, 3690.0, 3680.0, 3720.0, 3780.0, 3900.0]
    timed = replace(SESSION, transcript=talk(starts=starts))
    ax = plot.session(timed)
    assert ax.get_xlabel() == "Minutes"
    # a shape stands in the middle of its turn, which lasts until the next one begins
    assert drawn(ax)[plot.SHAPE["confrontation"], plot.COLOUR["confrontation"], True] == [
        (pytest.approx(0.5), lane(ax, "Confrontation")),
        (pytest.approx(1.5), lane(ax, "Confrontation")),
    ]
    assert ax.get_xlim() == (0.0, pytest.approx(5.0))
    (first, _) = ax.patches
    assert (first.get_x(), first.get_x() + first.get_width()) == (0.5, 1.5)


def test_without_times_the_axis_is_the_turns_as_the_tables_count_them() -> None:
    ax = plot.session(replace(SESSION, transcript=talk(starts=[None] * 7 + [5.0])))
    assert ax.get_xlabel() == "Turn"
    assert ax.get_xlim() == (-0.5, 7.5)


def test_a_persons_coding_has_lanes_and_no_scores() -> None:
    coding = AnnotatedTranscript(talk(), tuple(replace(m, source="coder:AB") for m in MARKERS))
    ax = plot.session(coding)
    assert not curves(ax)
    assert ax.get_ylabel() == ""
    assert ax.get_ylim()[1] < 0
    assert sum(map(len, drawn(ax).values())) == 6  # two markers stand on one turn


@pytest.mark.parametrize("n", [0, 1, 8])
@pytest.mark.parametrize("starts", [None, [12.0] * 8])
def test_a_session_with_nothing_in_it_has_empty_lanes(n: int, starts: list[float] | None) -> None:
    ax = plot.session(AnnotatedTranscript(talk(n, starts=starts)))
    ax.figure.canvas.draw()
    assert drawn(ax) == {}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "Confrontation",
        "Withdrawal",
        "Resolution",
        "Therapist defensiveness",
    ]


def test_withheld_words_change_nothing() -> None:
    shown, hidden = plot.session(SESSION), plot.session(Pseudonyms(b"key")(SESSION))
    assert drawn(shown) == drawn(hidden)
    assert curves(shown).keys() == curves(hidden).keys()


def test_a_figure_of_a_session_has_neither_its_words_nor_its_name(tmp_path: Path) -> None:
    named = replace(SESSION, transcript=talk(id="Ada-Moorland", client_id="Ada"))
    plot.save(plot.session(named), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert "Confrontation" in text
    assert not any(word in text for word in ("Ada", "Well, yes"))


# a treatment


def treated(number: int, n_of: Mapping[str, int], n: int = 40, **meta: object) -> AnnotatedTranscript:
    """Return a session of a client with that many turns of each family."""
    name = {"confrontation": "complaint_progress", "withdrawal": "denial", "resolution": "invite_feelings"}
    markers = [on(2 * i + (family != "resolution"), name[family]) for family, k in n_of.items() for i in range(k)]
    read = tuple(Coded("rule", family, 0, n - 1) for family in FAMILIES)
    return AnnotatedTranscript(talk(n, f"s{number}", client_id="c1", **meta), tuple(markers), coded=read)


def rates(ax: Any) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each family's curve, put back to where its session stands."""
    return {
        bars.get_label(): [(round(x, 0), y) for x, y in bars.lines[0].get_xydata().tolist()] for bars in ax.containers
    }


def test_sessions_stand_at_their_numbers_with_the_rates_of_the_session_table() -> None:
    sessions = [treated(5, {"withdrawal": 4}, session_number="5"), treated(1, {"confrontation": 2}, session_number=1)]
    ax = plot.course(sessions)
    assert rates(ax) == {"Confrontation": [(1, 10), (5, 0)], "Withdrawal": [(1, 0), (5, 20)]}
    (table,) = rows(sessions[0], "session")
    assert table["per100_withdrawal"] == 20
    assert ax.get_xlabel() == "Session"


def test_the_bars_are_wilsons_intervals() -> None:
    # worked out by hand: 4 of 20 turns, z = 1.959964
    z, p, n = 1.959963984540054, 0.2, 20
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    ax = plot.course([treated(1, {"withdrawal": 4})], family="withdrawal")
    ((_, low), (_, high)) = ax.collections[0].get_segments()[0]
    assert low == pytest.approx(100 * (centre - half) / (1 + z * z / n))
    assert high == pytest.approx(100 * (centre + half) / (1 + z * z / n))


def test_no_turn_has_an_interval_from_0_and_all_turns_one_to_100() -> None:
    ax = plot.course([treated(1, {"withdrawal": 20, "confrontation": 0})])
    ends = [segment[:, 1].tolist() for bars in ax.collections for segment in bars.get_segments()]
    assert ends == [[pytest.approx(0), pytest.approx(16.1, abs=0.05)], [pytest.approx(83.9, abs=0.05), 100]]


def test_dates_order_sessions_that_have_no_numbers() -> None:
    sessions = [treated(1, {"withdrawal": 1}, date="2024-03-11"), treated(2, {"withdrawal": 2}, date="2024-02-12")]
    ax = plot.course(sessions, family="withdrawal")
    (points,) = rates(ax).values()
    assert [y for _, y in points] == [10, 5]
    assert points[1][0] - points[0][0] == 28
    assert ax.get_xlabel() == "Date"


@pytest.mark.parametrize(
    "dates",
    [
        # what the clock showed, wherever that was: the first is earlier in Greenwich
        ("2024-03-05T01:00+05:00", "2024-03-04T23:00"),
        (" 2024-03-05", "2024-03-04"),
        ("2024-03-05T10:00Z", "2024-03-05T09:00"),
    ],
)
def test_dates_order_sessions_as_they_do_in_the_table_of_the_course(dates: tuple[str, str]) -> None:
    sessions = [treated(i, {"withdrawal": i}, date=date) for i, date in enumerate(dates, 1)]
    ax = plot.course(sessions, family="withdrawal")
    (points,) = rates(ax).values()
    assert [y for _, y in points] == [10, 5]
    assert [s.transcript.id for s in in_order(sessions)] == [s.transcript.id for s in reversed(sessions)]
    assert ax.get_xlabel() == "Date"


def test_a_client_is_one_whether_a_number_or_text_and_where_none_is_known() -> None:
    clients: list[Any] = [7, "7", math.nan, None, ""]
    sessions = [treated(i, {"withdrawal": 1}, session_number=i) for i in range(len(clients))]
    for session, who in zip(sessions, clients):
        session.transcript.meta["client_id"] = who  # type: ignore[index]
    assert len(next(iter(rates(plot.course(sessions, family="withdrawal")).values()))) == len(clients)


@pytest.mark.parametrize(
    "metas",
    [
        [{}, {}],
        [{"session_number": 2}, {}],
        [{"session_number": "two", "date": "in May"}, {"session_number": "1", "date": "2024-05-01"}],
        [{"session_number": "nan"}, {"session_number": 1}],
        [{"session_number": None, "date": None}, {"session_number": 1, "date": "2024-05-01"}],
        [{"date": "2024-05-01T10:00:00+02:00"}, {"date": "none"}],
    ],
)
def test_other_sessions_stay_in_the_order_given(metas: list[dict[str, Any]]) -> None:
    sessions = [treated(i, {"withdrawal": i + 1}, **meta) for i, meta in enumerate(metas)]
    ax = plot.course(sessions, family="withdrawal")
    assert list(rates(ax).values()) == [[(1, 5), (2, 10)]]
    assert "order given" in ax.get_xlabel()


def test_only_what_was_read_for_a_family_is_in_its_rate() -> None:
    full = treated(1, {"withdrawal": 4, "confrontation": 4})
    read = (Coded("coder:AB", "withdrawal", 0, 9), Coded("coder:AB", "confrontation", 0, 3))
    given = tuple(replace(m, source="coder:AB") for m in full.markers)
    whole = replace(full, markers=given, coded=read)
    ax = plot.course([whole], family=["withdrawal", "confrontation", "rupture", "resolution"])
    # 5 client turns were read for withdrawal, 2 for both, and no therapist turn for resolution
    assert list(rates(ax).values())[:3] == [[(1, 80)], [(1, 100)], [(1, 100)]]
    assert np.isnan(rates(ax)["Resolution"][0][1])


def test_a_course_refuses_what_it_cannot_draw_and_names_nobody() -> None:
    with pytest.raises(ValueError, match="no session"):
        plot.course([])
    with pytest.raises(ValueError, match="no family 'anger'; give some of confrontation"):
        plot.course([SESSION], family=("withdrawal", "anger"))
    others = [AnnotatedTranscript(talk(client_id=f"Moorland {i}")) for i in range(2)]
    with pytest.raises(ValueError, match="2 clients") as caught:
        plot.course(others)
    assert "Moorland" not in str(caught.value)


# agreement


def coding(coder: str, n: int, given: Mapping[str, range]) -> list[AnnotatedTranscript]:
    """Return a coder's sessions: in session i the markers whose range has i."""
    sessions = []
    for i in range(n):
        markers = [
            on(0 if BOOK[name].speaker == "therapist" else 1, name) for name, where in given.items() if i in where
        ]
        transcript = talk(6, f"s{i}", client_id=f"c{i}")
        coded = tuple(Coded(f"coder:{coder}", family, 0, 5) for family in FAMILIES)
        given_by = tuple(replace(m, source=f"coder:{coder}") for m in markers)
        sessions.append(AnnotatedTranscript(transcript, given_by, coded=coded))
    return sessions


GIVEN = (
    {
        "denial": range(6),
        "minimal_response": range(8, 12),
        "invite_feelings": range(5),
        "therapist_defensive": range(3),
    },
    {"denial": range(1, 7), "minimal_response": range(9, 12), "invite_feelings": range(5), "topic_shift": range(2)},
)


def two_coders(n: int = 24) -> Any:
    return compare(*(coding(who, n, given) for who, given in zip(("AB", "CD"), GIVEN)), draws=200)


def in_rows(ax: Any) -> dict[str, tuple[float, list[float], str]]:
    """Return each row's coefficient, the ends of its interval, and what is written beside it."""
    shapes = {y: x for points in ax.lines for x, y in points.get_xydata() if points.get_linestyle() == "None"}
    bars = {
        line.get_ydata()[0]: [float(x) for x in line.get_xdata()]
        for line in ax.lines
        if line.get_linestyle() == "-" and len(set(line.get_ydata())) == 1
    }
    beside = {text.get_position()[1]: text.get_text() for text in ax.texts}
    return {
        tick.get_text(): (float(shapes[y]), bars[y], beside[y])
        for y, tick in zip(ax.get_yticks(), ax.get_yticklabels())
    }


def test_the_forest_has_every_defined_figure_of_the_table_with_its_interval() -> None:
    found = two_coders()
    ax = plot.agreement(found)
    drawn_rows = in_rows(ax)
    table = {
        row["name"]: row
        for row in found.table
        if (row["coders"], row["codes"], row["statistic"]) == ("AB vs CD", "presence", "Cohen's kappa")
        and np.isfinite(row["value"])
    }
    labels = {name: BOOK[name].label if name in BOOK else name.replace("_", " ").capitalize() for name in table}
    assert set(drawn_rows) == set(labels.values())
    for name, row in table.items():
        value, ends, beside = drawn_rows[labels[name]]
        assert value == row["value"]
        assert ends == pytest.approx([row["low"], row["high"]], nan_ok=True)
        assert beside.startswith(f"{value:.2f}".replace("-", "−"))
        assert ax.get_xlim()[0] < min(value, *ends)
        assert max(value, *ends) < ax.get_xlim()[1]
    assert ax.get_xlabel() == "Cohen's κ, 95% interval"
    assert list(drawn_rows)[:3] == ["Rupture", "Withdrawal", "Denial"]  # the families, their markers below


def test_no_verdict_is_drawn() -> None:
    ax = plot.agreement(two_coders())
    words = " ".join(text.get_text() for text in [*ax.texts, *ax.get_xticklabels(), ax.title]).lower()
    assert not any(verdict in words for verdict in ("poor", "slight", "fair", "moderate", "substantial", "perfect"))


def test_with_few_clients_the_forest_has_points_and_promises_no_interval() -> None:
    ax = plot.agreement(two_coders(9))
    assert ax.get_xlabel() == "Cohen's κ"
    assert all("[" not in text.get_text() for text in ax.texts)
    assert in_rows(ax)


def test_three_coders_are_compared_by_alpha_and_another_statistic_on_request() -> None:
    three = compare(*(coding(who, 12, GIVEN[i % 2]) for i, who in enumerate(("AB", "CD", "EF"))), draws=50)
    assert plot.agreement(three).get_xlabel() == "Krippendorff's α, nominal, 95% interval"
    pair = plot.agreement(three, coders="AB vs EF", statistic="Gwet's AC1")
    assert pair.get_xlabel().startswith("Gwet's AC1")
    assert {value for value, _, _ in in_rows(pair).values()} == {1.0}


def test_what_an_agreement_does_not_have_is_refused_with_what_it_has() -> None:
    found = two_coders(3)
    with pytest.raises(ValueError, match=r"no comparison 'AB vs XY'; give one of AB vs CD"):
        plot.agreement(found, coders="AB vs XY")
    with pytest.raises(ValueError, match=r"no figure of 'F1' .* there is agreement, .*Cohen's kappa"):
        plot.agreement(found, statistic="F1")


# all of them


def every_figure(ax: Any = None) -> Iterator[Any]:
    yield plot.session(SESSION, ax)
    yield plot.course([treated(i, {"withdrawal": i, "confrontation": 9 - i}) for i in range(5)], ax)
    yield plot.agreement(two_coders(), ax)


def test_a_given_axes_is_drawn_on_and_pyplot_left_alone() -> None:
    ax = Figure().subplots()
    assert all(found is ax for found in every_figure(ax))
    assert plt.get_fignums() == []


def test_a_style_of_yours_for_several_panels_is_used(tmp_path: Path) -> None:
    with matplotlib.rc_context(plot.STYLE):
        panels = Figure(figsize=(plot.DOUBLE, 2.6), layout="constrained").subplots(1, 2)
        plot.course([treated(i, {"withdrawal": i}) for i in range(3)], panels[0])
        plot.session(SESSION, panels[1])
    plot.save(panels[0], tmp_path / "panels.pdf")
    assert {ax.xaxis.label.get_fontsize() for ax in panels} == {8.0}
    assert panels[0].get_tightbbox().x1 <= panels[1].get_tightbbox().x0


def test_figures_are_as_wide_as_a_column_in_type_that_can_be_read() -> None:
    for ax in every_figure():
        assert ax.figure.get_size_inches()[0] in (plot.SINGLE, plot.DOUBLE)
        ax.figure.canvas.draw()
        labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts, ax.xaxis.label]
        assert min(text.get_fontsize() for text in labels) > 6.5
        assert max(text.get_fontsize() for text in labels) == 8


def test_nothing_is_cut_off() -> None:
    for ax in every_figure():
        ax.figure.canvas.draw()
        box, page = ax.get_tightbbox(), ax.figure.bbox
        assert page.x0 - 1 <= box.x0
        assert box.x1 <= page.x1 + 1
        assert page.y0 - 1 <= box.y0
        assert box.y1 <= page.y1 + 1


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_a_saved_figure_has_the_same_bytes_each_time(suffix: str, tmp_path: Path) -> None:
    one, again = tmp_path / f"one.{suffix}", tmp_path / f"again.{suffix}"
    for ax, same in zip(every_figure(), every_figure()):
        plot.save(ax, one)
        plot.save(same, again)
        assert one.read_bytes() == again.read_bytes()
        assert not any(date in one.read_bytes() for date in (b"CreationDate", b"dc:date"))


def test_a_saved_picture_is_sharp_enough_for_print_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "again.png"):
        plot.save(plot.course([treated(1, {"withdrawal": 4})]), tmp_path / name)
    picture = (tmp_path / "one.png").read_bytes()
    assert picture == (tmp_path / "again.png").read_bytes()
    assert int.from_bytes(picture[16:20], "big") == 600 * plot.SINGLE


def test_text_is_saved_as_text(tmp_path: Path) -> None:
    ax = plot.session(SESSION)
    plot.save(ax, tmp_path / "a.svg")
    assert ">Withdrawal</text>" in (tmp_path / "a.svg").read_text("utf-8")
    plot.save(ax, tmp_path / "a.pdf")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # a TrueType font is embedded, and
    assert b"/Type3" not in pdf
    streams = [part.split(b"endstream")[0] for part in pdf.split(b"stream\n")[1:]]
    assert any(b" Tj" in zlib.decompress(s) or b" TJ" in zlib.decompress(s) for s in streams if s[:1] == b"x")


def grey(colour: str) -> float:
    """Return a colour's lightness L* of CIE 1976, 0 to 100."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    y = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_families_differ_in_grey_by_shape_and_line() -> None:
    for one, other in combinations(SCORES, 2):
        assert plot.SHAPE[one] != plot.SHAPE[other]
        assert plot.LINE[one] != plot.LINE[other]
    # the two that are most often drawn together differ in lightness as well: one is filled, one is open
    ax = plot.course([treated(i, {"withdrawal": i, "confrontation": 9 - i}) for i in range(5)])
    faces = [grey(bars.lines[0].get_markerfacecolor()) for bars in ax.containers]
    assert abs(faces[0] - faces[1]) > 40


def test_families_are_dark_enough_to_be_read_on_white() -> None:
    assert all(grey(colour) < 45 for colour in plot.COLOUR.values())


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    dated = treated(1, {"withdrawal": 1}, date="2024-03-11")
    for draw in (lambda: plot.session(SESSION), lambda: plot.course([dated]), lambda: plot.agreement(two_coders(3))):
        with pytest.raises(ImportError, match=r'pip install "rupturekit\[plot\]"'):
            draw()


def test_the_rules_find_what_is_drawn() -> None:
    said = "How has the work been for you?", "Honestly, this isn't helping.", "Have I missed something?"
    turns = tuple(Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], text) for i, text in enumerate(said))
    annotated = Annotator(model=None)(Transcript("s1", turns))
    ax = plot.session(annotated)
    assert sum(map(len, drawn(ax).values())) == len({(m.turn, m.family) for m in annotated.markers}) >= 1
