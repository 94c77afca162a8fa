"""Figures for papers, drawn with matplotlib: one session, one client's sessions, the agreement of coders.

Each returns its Axes, for you to go on with, and leaves matplotlib's settings as they were. Without an Axes of yours
the figure is as wide as a journal's column (`SINGLE` or `DOUBLE`), in 7- and 8-point type, and made by pyplot, so that
a notebook shows it. `save` writes it with its text as text, and with the same bytes each time.

No family is told by its colour alone: shape, filling, line or lane differ too, and remain in grey. A figure shows hints
for human coders, and what was not found may still be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .annotation import CLIENT_FAMILIES, FAMILIES, SCORES, AnnotatedTranscript
from .codebook import Codebook, load_codebook
from .score import is_timed, present
from .transcript import Transcript
from .treatment import as_date, as_number, client_of, counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .agree import Agreement

SINGLE, DOUBLE = 3.4, 7.0
"""Width of one and of two columns of a journal, in inches."""
COLOUR: Mapping[str, str] = {
    "confrontation": "#a63a00",
    "withdrawal": "#00548c",
    "rupture": "#333333",
    "resolution": "#00664b",
    "therapist_defensive": "#8a3a72",
}
"""Dark on white, and told apart by the colour-blind; in grey they are much alike."""
SHAPE: Mapping[str, str] = {
    "confrontation": "^",
    "withdrawal": "v",
    "rupture": "o",
    "resolution": "D",
    "therapist_defensive": "s",
}
LINE: Mapping[str, Any] = {
    "confrontation": "-",
    "withdrawal": (0, (4, 1.5)),
    "rupture": (0, (8, 2)),
    "resolution": (0, (4, 1.5, 1, 1.5)),
    "therapist_defensive": (0, (1, 1.2)),
}
FILLED = ("confrontation", "rupture", "resolution")
"""Whose shapes are filled where families stand side by side; the others are open."""
LANE = 0.17
"""Height of a family's lane below a session's scores, which go from 0 to 1."""
STYLE: dict[Any, float] = {
    **{"font.size": 8.0, "axes.labelsize": 8.0, "axes.titlesize": 8.0, "legend.fontsize": 7.0},
    **{"xtick.labelsize": 7.0, "ytick.labelsize": 7.0, "xtick.major.width": 0.6, "ytick.major.width": 0.6},
    **{"xtick.major.size": 3.0, "ytick.major.size": 3.0, "axes.linewidth": 0.6, "lines.linewidth": 1.0},
    **{"axes.spines.top": False, "axes.spines.right": False},
}
"""matplotlib's settings of a figure that is made here; for panels of yours, ``with matplotlib.rc_context(STYLE):``."""


def session(annotated: AnnotatedTranscript, ax: Axes | None = None) -> Axes:
    """Draw the course of one session.

    Above, the client turns' scores for confrontation and withdrawal; without a model they are the rules' weights, and a
    human coding has none. Below, a lane for each family with a shape on every turn that has a marker of it, whichever
    source gave it. Rupture episodes are shaded. A resolution marker is filled where it is part of an episode's repair,
    else open.

    Parameters
    ----------
    annotated : AnnotatedTranscript
        The session; its words are not needed.
    ax : Axes, optional
        Where to draw, in its own style; a figure of two columns is made when not given.

    Returns
    -------
    Axes
        x is minutes from the first turn or, where times are missing (`score.is_timed`), the turn as in ``turns.csv``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from rupturekit import Annotator, Turn
    >>> talk = "How has the work been for you?", "Honestly, this isn't helping.", "Have I missed something?"
    >>> who = "therapist", "client", "therapist"
    >>> talked = Transcript("s1", tuple(Turn(i, r[0], r, t) for i, (r, t) in enumerate(zip(who, talk))))
    >>> ax = session(Annotator(model=None)(talked), Figure().subplots())
    >>> ax.get_xlabel(), [tick.get_text() for tick in ax.get_yticklabels()][-2:]
    ('Turn', ['Resolution', 'Therapist defensiveness'])
    """
    left, right, unit = _places(annotated.transcript)
    middle = (left + right) / 2
    scores, found, book = annotated.turn_scores(), present(annotated.markers), load_codebook()
    repairs = {turn for episode in annotated.episodes for turn in episode.repair}
    lanes = {family: -LANE * (number + 0.8) for number, family in enumerate(FAMILIES)}
    with _paper(ax, DOUBLE, 2.6 if scores else 1.5) as ax:
        for number, episode in enumerate(annotated.episodes):
            # the edge keeps an episode in sight that takes no time
            grey: dict[str, Any] = {"facecolor": "0.9", "edgecolor": "0.9", "linewidth": 0.8, "zorder": 0}
            ax.axvspan(left[episode.first], right[episode.last], **grey, label=None if number else "Episode")
        for family in CLIENT_FAMILIES:
            turns = [turn for turn in sorted(scores) if family in scores[turn]]
            if turns:
                heights = [scores[turn][family] for turn in turns]
                look: dict[str, Any] = {"color": COLOUR[family], "linestyle": LINE[family], "linewidth": 0.9}
                ax.plot(middle[turns], heights, **look, label=f"{_label(family, book)} score")
        for family, y in lanes.items():
            turns = sorted(found[family])
            parts = {"": (turns, True)}
            if family == "resolution":
                parts = {
                    "Repair": ([turn for turn in turns if turn in repairs], True),
                    "Other resolution": ([turn for turn in turns if turn not in repairs], False),
                }
            for label, (some, filled) in parts.items():
                if some:
                    _shapes(ax, family, middle[some], np.full(len(some), y), filled, label=label or None)
        ax.set(xlabel=unit, ylim=(-LANE * (len(lanes) + 0.3), 1.03 if scores else -0.2 * LANE))
        steps = [0, 0.5, 1] if scores else []
        ax.set_yticks([*steps, *lanes.values()], [*map(str, steps), *(_label(family, book) for family in lanes)])
        if scores:
            from matplotlib.transforms import ScaledTranslation

            ax.axhline(0, color="0.6", linewidth=0.6, zorder=1)
            ax.set_ylabel("Score")
            # beside the scores' own ticks, not left of the lanes' long names
            beside = ax.get_yaxis_transform() + ScaledTranslation(-0.35, 0, ax.figure.dpi_scale_trans)
            ax.yaxis.set_label_coords(0, 0.5, transform=beside)
        if len(left) and right[-1] > left[0]:
            ax.set_xlim(left[0], right[-1])
        _legend(ax)
    return ax


def course(
    sessions: Iterable[AnnotatedTranscript],
    ax: Axes | None = None,
    family: str | Iterable[str] = CLIENT_FAMILIES,
) -> Axes:
    """Draw how often families are found in the sessions of one client.

    The rate is of turns with the family per 100 turns of its role that were read for it, as in ``sessions.csv`` for
    what the machine read. The bar is Wilson's 95 % interval of a proportion [1]_, which takes a session's turns for
    independent of each other. They are not, so it is rather too narrow; and it says nothing of markers missed.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
        They are put in order of ``session_number`` in their ``meta`` if all have one, else of ``date`` (ISO 8601), and
        stand as far apart as these; else they stay in the order given. Markers of all sources count.
    ax : Axes, optional
        Where to draw, in its own style; a figure of one column is made when not given.
    family : str or iterable of str
        Families or ``rupture`` (either family of the client).

    Returns
    -------
    Axes
        With a gap where nothing in a session was read.

    Raises
    ------
    ValueError
        If there is no session, there are several clients (``client_id``), or a family is not known.
    ImportError
        If matplotlib is not installed.

    References
    ----------
    .. [1] Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of the
       American Statistical Association, 22, 209-212.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from rupturekit import Marker, Turn
    >>> def fourth(number):
    ...     turns = tuple(Turn(i, "C", "client", "I guess.") for i in range(4))
    ...     talked = Transcript(f"s{number}", turns, meta={"session_number": number})
    ...     return AnnotatedTranscript(talked, (Marker(0, 0, 7, "withdrawal", "minimal_response"),))
    >>> ax = course([fourth(2), fourth(1)], Figure().subplots(), family="withdrawal")
    >>> ax.lines[0].get_xydata().tolist()
    [[1.0, 25.0], [2.0, 25.0]]
    """
    from scipy.stats import binomtest

    names = (family,) if isinstance(family, str) else tuple(family)
    if wrong := [name for name in names if name not in SCORES]:
        raise ValueError(f"no family {', '.join(map(repr, wrong))}; give some of {', '.join(SCORES)}")
    sessions = list(sessions)
    if not sessions:
        raise ValueError("no session to draw")
    if len(clients := {*map(client_of, sessions)} - {None}) > 1:
        raise ValueError(f"sessions of {len(clients)} clients; give those of one, by transcript.meta['client_id']")
    book = load_codebook()
    with _paper(ax, SINGLE, 2.3) as ax:
        places, label = _order(sessions)
        by_place = sorted(range(len(sessions)), key=places.__getitem__)
        x = np.array([places[i] for i in by_place])
        aside = 0.012 * (np.ptp(x) or 1.0)
        for number, name in enumerate(names):
            figures = np.full((len(x), 3), np.nan)
            for row, i in zip(figures, by_place):
                k, n = counts(sessions[i], name)
                if n:
                    ends = binomtest(k, n).proportion_ci(method="wilson")
                    row[:] = 100 * k / n, 100 * ends.low, 100 * ends.high
            rate, low, high = figures.T
            look: dict[str, Any] = {
                **{"color": COLOUR[name], "linestyle": LINE[name], "elinewidth": 0.7, "capsize": 1.5},
                **{"marker": SHAPE[name], "markersize": 4},
                **({} if name in FILLED else {"markerfacecolor": "white"}),
            }
            # the ends of an interval may miss a rate of 0 or 100 by rounding
            bars = np.clip([rate - low, high - rate], 0, None)
            ax.errorbar(x + aside * (number - (len(names) - 1) / 2), rate, bars, **look, label=_label(name, book))
        if label == "Date":
            from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

            ticks = AutoDateLocator(minticks=2, maxticks=6)
            ax.xaxis.set_major_locator(ticks)
            in_january = ["", "%b\n%Y", "%b", "%b-%d", "%H:%M", "%H:%M"]  # by default the year in place of the month
            ax.xaxis.set_major_formatter(ConciseDateFormatter(ticks, zero_formats=in_january))
        else:
            from matplotlib.ticker import MaxNLocator

            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel=label, ylabel="Turns with a marker, per 100")
        ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])  # shapes at 0 are seen whole
        _legend(ax)
    return ax


def agreement(
    found: Agreement, ax: Axes | None = None, *, coders: str | None = None, statistic: str | None = None
) -> Axes:
    """Draw the agreement on each family and marker as a forest plot.

    The thin lines at every .20 are there to read by. Verdicts such as "substantial" are often put there; none is drawn,
    because what a coefficient can reach depends on how rare the code is.

    Parameters
    ----------
    found : Agreement
        From `rupturekit.agreement`; where it has intervals, they are drawn.
    ax : Axes, optional
        Where to draw, in its own style; a figure of two columns is made when not given.
    coders : str, optional
        Which of ``found.compared``; by default ``found.main``.
    statistic : str, optional
        Which of the table's statistics of presence, such as ``"Gwet's AC1"`` or ``"F1"``; by default Cohen's kappa of
        two and Krippendorff's alpha of more.

    Returns
    -------
    Axes
        A row for each name whose figure is defined, markers below their family.

    Raises
    ------
    ValueError
        If there is no such comparison or statistic, or no figure of it is defined.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from rupturekit import Coded, Marker, Turn
    >>> from rupturekit import agreement as compare
    >>> talk = Transcript("s1", tuple(Turn(i, "C", "client", "I guess.") for i in range(4)))
    >>> def coded_by(coder, *turns):
    ...     given = (Marker(t, 0, 7, "withdrawal", "minimal_response", source=f"coder:{coder}") for t in turns)
    ...     read = (Coded(f"coder:{coder}", family, 0, 3) for family in CLIENT_FAMILIES)
    ...     return AnnotatedTranscript(talk, tuple(given), coded=tuple(read))
    >>> ax = agreement(compare([coded_by("AB", 0, 1)], [coded_by("CD", 0)]), Figure().subplots())
    >>> ax.get_xlabel(), [label.get_text().strip() for label in ax.get_yticklabels()]
    ("Cohen's κ", ['Rupture', 'Withdrawal', 'Minimal response'])
    """
    coders = found.main if coders is None else coders
    if coders not in found.compared:
        raise ValueError(f"no comparison {coders!r}; give one of {', '.join(found.compared)}")
    if statistic is None:
        statistic = "Cohen's kappa" if len(found.compared[coders]) == 2 else "Krippendorff's alpha, nominal"
    table = [row for row in found.table if row["coders"] == coders and row["codes"] == "presence"]
    rows = {row["name"]: row for row in table if row["statistic"] == statistic and np.isfinite(row["value"])}
    if not rows:
        known = ", ".join(dict.fromkeys(row["statistic"] for row in table if np.isfinite(row["value"])))
        raise ValueError(f"no figure of {statistic!r} for {coders!r}; there is {known or 'none'}")
    # every name → the family whose shape it bears
    shape_of = {"rupture": "rupture"}
    for family in FAMILIES:
        shape_of |= {family: family} | {marker.id: family for marker in found.codebook.of(family)}
    names = [name for name in shape_of if name in rows]
    y = np.cumsum([1.0 + 0.4 * (name in SCORES) for name in names])
    value, low, high = np.array([[rows[name][key] for key in ("value", "low", "high")] for name in names]).T
    with _paper(ax, DOUBLE, 0.6 + 0.16 * y[-1]) as ax:
        for at in np.arange(0, 1.1, 0.2):
            ax.axvline(at, color="0.85" if at else "0.5", linewidth=0.6, zorder=0)
        beside = ax.get_yaxis_transform()
        for i, name in enumerate(names):
            whole = name in SCORES
            colour = COLOUR[shape_of[name]]
            ax.plot([low[i], high[i]], [y[i], y[i]], color=colour, linewidth=1.4 if whole else 0.8)
            _shapes(ax, shape_of[name], value[i : i + 1], y[i : i + 1], whole)
            figures = f"{value[i]:.2f}" + (f" [{low[i]:.2f}, {high[i]:.2f}]" if np.isfinite(low[i]) else "")
            about: dict[str, Any] = {"transform": beside, "va": "center_baseline", "fontsize": "small"}
            ax.text(1.02, y[i], figures.replace("-", "−"), fontweight=_weight(name), **about)
        bounds = [*value, *low[np.isfinite(low)]]
        ax.set(xlim=(min(0, *bounds) - 0.03, 1.03), ylim=(y[-1] + 0.8, y[0] - 0.8))
        ax.set_yticks(y, [_label(name, found.codebook) for name in names])
        for tick, name in zip(ax.get_yticklabels(), names):
            tick.set_fontweight(_weight(name))
        ax.tick_params(axis="y", length=0)
        interval = ", 95% interval" if np.isfinite(low).any() else ""
        ax.set_xlabel(statistic.replace("kappa", "κ").replace("alpha", "α") + interval)
    return ax


def save(ax: Axes, path: str | PathLike[str]) -> None:
    """Write the figure of an Axes, by its suffix (``.pdf``, ``.svg``, ``.png`` and what else matplotlib knows).

    Text stays text: fonts are embedded in a PDF as TrueType, and named in an SVG. PDF, SVG and PNG (600 dpi) have the
    same bytes each time, as they bear no date.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Figure().subplots(), Path(folder, "figure1.pdf"))
    ...     Path(folder, "figure1.pdf").read_bytes()[:5]
    b'%PDF-'
    """
    import matplotlib

    undated: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    text: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "rupturekit"}
    whole: Any = ax.figure.figure  # of a subfigure, the figure that it is in
    with matplotlib.rc_context(text):
        whole.savefig(path, dpi=600, metadata=undated.get(Path(path).suffix.lower()))


@contextmanager
def _paper(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Give the Axes to draw on: the user's, or one of a new figure for a journal."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "rupturekit[plot]"', name=error.name) from None
    if ax is not None:
        yield ax
        return
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        ax = pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()
        # ticks are made when they are drawn, after the settings are back
        ax.tick_params(labelsize=STYLE["xtick.labelsize"], width=STYLE["xtick.major.width"])
        yield ax


def _shapes(ax: Axes, family: str, x: np.ndarray, y: np.ndarray, filled: bool, label: str | None = None) -> None:
    look: dict[str, Any] = {
        **{"linestyle": "none", "marker": SHAPE[family], "color": COLOUR[family], "markeredgewidth": 0.8},
        "markersize": 3.6 if SHAPE[family] in "Ds" else 4.6,  # diamonds and squares look larger
        **({} if filled else {"markerfacecolor": "white"}),
    }
    ax.plot(x, y, **look, zorder=3, label=label)


def _legend(ax: Axes) -> None:
    """Put the legend above the Axes, in as many columns as there is room for."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    handles, labels = ax.get_legend_handles_labels()
    if handles:
        column = 11 / 72 * FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()  # inches
        columns = max(1, int(ax.get_window_extent().width / ax.figure.dpi / column))
        look: dict[str, Any] = {"frameon": False, "columnspacing": 1.2, "handlelength": 2.2, "borderaxespad": 0.2}
        # to the right: what is too wide has room above the names on the left
        ax.legend(handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, **look)


def _weight(name: str) -> str:
    return "bold" if name in SCORES else "normal"


def _label(name: str, book: Codebook) -> str:
    return book[name].label if name in book else name.replace("_", " ").capitalize()


def _places(transcript: Transcript) -> tuple[np.ndarray, np.ndarray, str]:
    """Return where each turn begins, where it ends, and what that is in."""
    if not transcript.turns or not is_timed(transcript):
        numbers = np.arange(len(transcript))
        return numbers - 0.5, numbers + 0.5, "Turn"
    first = next(turn.start_s for turn in transcript if turn.start_s is not None)
    # as `score.segments` has it: a turn without a time, or before the turn above it, is with that one
    start = np.maximum.accumulate([first if turn.start_s is None else turn.start_s for turn in transcript])
    end = np.append(start[1:], max(start[-1], transcript[len(transcript) - 1].end_s or 0.0))
    return (start - first) / 60, (end - first) / 60, "Minutes"


def _order(sessions: list[AnnotatedTranscript]) -> tuple[list[float], str]:
    """Return each session's place on an axis, and what the axis is of, as `treatment.in_order` reads them."""
    metas = [session.transcript.meta for session in sessions]
    numbers = [number for meta in metas if (number := as_number(meta.get("session_number"))) is not None]
    if len(numbers) == len(sessions):
        return [float(number) for number in numbers], "Session"
    dates = [date for meta in metas if (date := as_date(meta.get("date"))) is not None]
    if len(dates) == len(sessions):
        from matplotlib.dates import date2num

        return [float(date2num(date)) for date in dates], "Date"
    return [float(number) for number in range(1, len(sessions) + 1)], "Session, in the order given"
