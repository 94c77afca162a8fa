"""The corpus page and the folder of a report: what is on the page, what is not, and how it works in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from rupturekit import AnnotatedTranscript, Coded, Marker, Provenance, Score, Transcript, Turn, load_codebook
from rupturekit.annotation import FAMILIES
from rupturekit.episodes import episodes
from rupturekit.report import write
from rupturekit.report.corpus import corpus_page, session_row
from rupturekit.score import rates
from rupturekit.tables import Pseudonyms

pytest_plugins = ["browser"]

MADE = Provenance("0.1.0", "3rs-2015 1.0", "f" * 64, "withdrawal-en", "a" * 64, {"confrontation": 0.4})


def session(
    id: str,
    client: str | None = None,
    n: int = 40,
    *,
    confrontation: tuple[int, ...] = (),
    withdrawal: tuple[int, ...] = (),
    resolution: tuple[int, ...] = (),
    defensive: tuple[int, ...] = (),
    **meta: Any,
) -> AnnotatedTranscript:
    """Return a session of which every even turn is the therapist's, with markers on the given turns."""
    turns = tuple(
        Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], "I guess so.", 10.0 * i, 10.0 * i + 8)  # type: ignore[arg-type]
        for i in range(n)
    )
    told = {"client_id": client, "flags": [], **meta}
    transcript = Transcript(id, turns, meta={key: value for key, value in told.items() if value is not None})
    found = [
        *(Marker(i, 0, 7, "confrontation", "complaint_progress", 0.8) for i in confrontation),
        *(Marker(i, 0, 7, "withdrawal", "minimal_response", 0.6) for i in withdrawal),
        *(Marker(i, 0, 7, "resolution", "invite_feelings", 0.7) for i in resolution),
        *(Marker(i, 0, 7, "therapist_defensive", "therapist_defensive", 0.7) for i in defensive),
    ]
    markers = tuple(sorted(found, key=lambda m: m.turn))
    scores = tuple(Score("turn", m.turn, m.family, m.score or 0.0) for m in markers)
    return AnnotatedTranscript(transcript, markers, scores, episodes(transcript, markers), provenance=MADE)


def corpus(n: int, per_client: int = 5) -> Iterator[AnnotatedTranscript]:
    """Yield made-up sessions, always the same."""
    rng = np.random.default_rng(6)
    for k in range(n):
        length = int(rng.integers(80, 400))
        of_client, of_therapist = np.arange(1, length, 2), np.arange(0, length, 2)
        strain = rng.beta(1, 14)
        yield session(
            f"s{k + 1}",
            f"K{k // per_client + 1}",
            length,
            confrontation=tuple(of_client[rng.random(len(of_client)) < strain / 2].tolist()),
            withdrawal=tuple(of_client[rng.random(len(of_client)) < strain].tolist()),
            resolution=tuple(of_therapist[rng.random(len(of_therapist)) < strain / 3].tolist()),
            defensive=tuple(of_therapist[rng.random(len(of_therapist)) < 0.01].tolist()),
            session_number=k % per_client + 1,
            flags=[flag for flag, often in (("no_times", 0.2), ("many_one_word_turns", 0.1)) if rng.random() < often],
        )


def text_of(sessions: Any) -> str:
    return corpus_page(session_row(one, f"sessions/{number}.html") for number, one in enumerate(sessions))


class Read(HTMLParser):
    """What a page consists of: its elements with their attributes, and its text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))

    def all(self, tag: str) -> list[str]:
        return [data for name, data in self.texts if name == tag]


def shown_ids(text: str) -> list[str]:
    return re.findall(r'<th role="rowheader".*?<bdi>(.*?)</bdi>', text)


# --- what is on it --------------------------------------------------------------------------------


def test_rates_of_a_session_are_those_of_the_session_table() -> None:
    one = session("s1", n=41, confrontation=(1, 3), withdrawal=(3, 9, 11), resolution=(4,), defensive=(6, 8))
    row = session_row(one)
    told = {s.family: s.value for s in rates(one.transcript, one.markers) if s.level == "session"}
    assert {family: round(row.rate(family) or 0, 4) for family in told} == told
    assert row.rate("rupture") == 20.0


def test_a_session_without_a_turn_of_the_role_has_no_rate() -> None:
    alone = AnnotatedTranscript(Transcript("s1", (Turn(0, "T", "therapist", "Well?"),)))
    assert session_row(alone).rate("withdrawal") is None
    assert session_row(alone).rate("resolution") == 0.0
    assert session_row(AnnotatedTranscript(Transcript("s0", ()))).rate("resolution") is None
    assert text_of([alone, AnnotatedTranscript(Transcript("s0", ()))])


def test_markers_of_the_wrong_role_do_not_count() -> None:
    row = session_row(session("s1", withdrawal=(0, 1)))
    assert row.rate("withdrawal") == 5.0
    assert row.counts["withdrawal", "minimal_response"] == 1


def test_sessions_stand_by_client_and_in_order() -> None:
    sessions = [
        session("s10", "K2"),
        session("s2", "K2"),
        session("late", "K10", session_number=11),
        session("early", "K10", session_number="2"),
        session("intake", "K10", session_number=0),
        session("b", "K3", date="2021-03-04"),
        session("a", "K3", date="2021-11-02"),
        session("undated", "K3"),
        session("nobody's"),
    ]
    wanted = ["s2", "s10", "b", "a", "undated", "intake", "early", "late", "nobody&#39;s"]
    assert shown_ids(text_of(sessions)) == wanted
    assert shown_ids(text_of(reversed(sessions))) == wanted


def test_a_date_that_can_be_read_in_two_ways_does_not_order() -> None:
    sessions = [session("s1", "K", date="04/03/2021"), session("s2", "K", date="01/12/2020")]
    text = text_of(reversed(sessions))
    assert shown_ids(text) == ["s1", "s2"]
    assert "01/12/2020" in text


def test_very_long_numbers_in_ids_are_in_order_too() -> None:
    ids = ["9" * 5000, "8" * 5000, "7"]
    assert shown_ids(text_of(session(id) for id in ids)) == ids[::-1]


def test_rates_of_markers_and_their_intervals() -> None:
    # 20 clients: every second one withdraws on 2 of 20 turns, so that a client's share is the mean of 20 draws
    sessions = [session(f"s{k}", f"K{k}", withdrawal=(1, 3) if k % 2 else ()) for k in range(20)]
    line = rate_line(text_of(sessions), "Minimal response")
    assert line[:3] == ["20", "10", "5.00"]
    low, high = (float(end) for end in line[3].split(" to "))
    expected = np.percentile(np.random.default_rng(1).binomial(20, 0.5, 100_000) / 20 * 10, [2.5, 97.5])
    assert [low, high] == pytest.approx(expected, abs=0.5)
    # of what none has, nothing is claimed
    assert rate_line(text_of(sessions), "Denial") == ["0", "0", "0.00", "–"]


def rate_line(text: str, label: str) -> list[str]:
    book = load_codebook()
    (line,) = re.findall(rf'<th scope="row">[^<]*{label}.*?</tr>', text, re.DOTALL)
    assert any(label in marker.label for marker in book.markers)
    return re.findall(r"<td>([^<]*)</td>", line)


def test_few_clients_are_said_to_be_few() -> None:
    nine = text_of(session(f"s{k}", f"K{k % 9}", withdrawal=(1,)) for k in range(18))
    assert "No intervals: they need 10 clients." in nine
    assert "<td>–</td>" not in nine.split('id="sessions"')[0]
    twelve = text_of(session(f"s{k}", f"K{k}", withdrawal=(1,)) for k in range(12))
    assert "12 clients are few, and the intervals rough" in twelve
    assert "rough" not in text_of(session(f"s{k}", f"K{k}") for k in range(20))
    assert "No intervals: they need 10 sessions." in text_of(session(f"s{k}") for k in range(3))


def test_what_was_run_is_told() -> None:
    by_hand = replace(
        session("s3"), markers=(Marker(1, 0, 7, "withdrawal", "denial", source="coder:AB"),), provenance=None
    )
    older = replace(session("s2"), provenance=replace(MADE, version="0.0.9", model=None))
    text = re.sub(r"\s+", " ", text_of([session("s1"), older, by_hand]))
    assert "rupturekit 0.1.0, codebook 3rs-2015 1.0, model withdrawal-en (aaaaaaaaaaaa)" in text
    assert "rupturekit 0.0.9, codebook 3rs-2015 1.0, no model" in text
    assert "The markers of 1 coder count, too." in text
    alone = re.sub(r"\s+", " ", text_of([by_hand]))
    assert "The markers are those of 1 coder." in alone
    assert "count, too" not in alone
    assert "never a diagnosis" in text


def test_flags_are_in_words_and_explained() -> None:
    text = text_of(
        [session("s1", flags=["no_times", "roles_inferred"]), session("s2", flags=["no_times", "<made up>"])]
    )
    assert '<td role="cell" class="flags">roles inferred; no times</td>' in text
    assert "no turn has times; 2 sessions" in text
    assert "made up" not in text


def test_a_marker_that_the_codebook_lacks_is_not_lost() -> None:
    own = replace(session("s1"), markers=(Marker(1, 0, 7, "withdrawal", "looks_away"),))
    assert "looks_away" in text_of([own])


def test_an_empty_corpus_has_a_page() -> None:
    assert "Rupture markers in 0 sessions" in corpus_page([])


def test_the_course_draws_each_marker_in_its_place() -> None:
    # 160 turns are a pixel each
    drawn = session_row(session("s1", n=160, confrontation=(1,), withdrawal=(21, 159), resolution=(80,))).course
    assert re.findall(r'class="confrontation" d="([^"]*)"', drawn) == ["M1.5 11v-9"]
    assert re.findall(r'class="withdrawal" d="([^"]*)"', drawn) == ["M21.5 11v7M159.5 11v7"]
    assert re.findall(r'class="resolution" d="([^"]*)"', drawn) == ["M80.5 23l3 3-3 3-3-3z"]
    assert "confrontation 1, 0, 0; withdrawal 1, 0, 1; resolution 0, 1, 0" in drawn


# --- what is not on it ----------------------------------------------------------------------------

HOSTILE = "\"><script>alert(1)</script>'&amp;<img src=x onerror=alert(2)>\u202eevil\u2066{{ 7*7 }}"


def hostile() -> AnnotatedTranscript:
    one = session(f"s {HOSTILE}", f"K {HOSTILE}", withdrawal=(1,), session_number=HOSTILE, date=HOSTILE, path=HOSTILE)
    markers = (*one.markers, Marker(3, 0, 7, "withdrawal", HOSTILE, source=f"coder:{HOSTILE}", note=HOSTILE))
    made = replace(MADE, model=HOSTILE, codebook=HOSTILE, version=HOSTILE)
    return replace(one, markers=markers, provenance=made)


def test_every_string_stays_text() -> None:
    read = Read(text_of([hostile()]))
    tags = [tag for tag, _ in read.elements]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert {f"s {HOSTILE}", f"K {HOSTILE}"} <= set(read.all("bdi"))
    assert HOSTILE in read.all("th")


def test_the_page_lets_nothing_in() -> None:
    text = text_of(corpus(3))
    read = Read(text)
    (policy,) = (a["content"] for tag, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?:|url\(|@import", text)
    assert not [a for _, a in read.elements if "style" in a or "src" in a]


CANARY = "canary"


def test_without_text_nothing_of_words_names_or_paths_is_on_it(tmp_path: Path) -> None:
    turns = tuple(
        Turn(i, f"{CANARY} {i}", ("therapist", "client")[i % 2], f"{CANARY} said", source_ids=(f"{CANARY}{i}",))  # type: ignore[arg-type]
        for i in range(8)
    )
    names = ("path", "client_id", "group", "session_number", "date", "raw", "title", "speaker")
    transcript = Transcript(f"{CANARY}-s1", turns, meta={name: f"{CANARY} {name}" for name in names})
    coder = f"coder:{CANARY}@example.org"
    marker = Marker(1, 0, 6, "withdrawal", "denial", source=coder, note=f"{CANARY} note")
    coded = tuple(Coded(coder, family, 0, 7) for family in FAMILIES)
    hidden = Pseudonyms(b"key")(AnnotatedTranscript(transcript, (marker,), coded=coded, provenance=MADE))
    written = write([hidden], tmp_path / "out")
    text = written[0].read_text("utf-8")
    assert CANARY not in text
    assert CANARY not in "".join(path.name for path in written)
    assert "Words, names and paths are withheld." in text
    mixed = text_of([hidden, session("s2")])
    assert "not safe to share" in re.sub(r"\s+", " ", mixed)


def test_hashed_sessions_of_a_client_stay_together_in_the_order_of_the_input() -> None:
    hide = Pseudonyms(b"key")
    sessions = [session(f"s{k}", f"K{k % 2}") for k in range(6)]
    shown = shown_ids(text_of(map(hide, sessions)))
    first, other = ([hide.hash(f"s{k}") for k in of] for of in ((0, 2, 4), (1, 3, 5)))
    assert shown in (first + other, other + first)


# --- the folder -----------------------------------------------------------------------------------


def test_a_folder_has_a_page_for_each_session_and_one_for_all(tmp_path: Path) -> None:
    ids = ["s1", "S1", "a/b c", "ש:3", "con", "..", "x" * 400, "界" * 200, "q?#%20", "bad\udcff", "Ａ", "A"]
    sessions = [session(id) for id in ids]
    written = write(iter(sessions), tmp_path / "new" / "out")
    assert written[0] == tmp_path / "new" / "out" / "index.html"
    assert len({path.name.casefold() for path in written}) == len(ids) + 1
    assert all(len(path.name.encode()) < 150 and path.is_file() for path in written)
    assert all(re.fullmatch(r"[\w-][\w.-]*\.html", path.name) for path in written)
    assert not any(path.stem.lower() in ("con", "nul", "aux") for path in written)
    elements = Read(written[0].read_text("utf-8")).elements
    links = [link for _, a in elements if (link := a.get("href") or "").startswith("sessions/")]
    assert sorted(written[0].parent / unquote(link) for link in links) == sorted(written[1:])
    assert [path.name for path in written[1:4]] == ["s1.html", "S1-2.html", "a_b_c.html"]


def test_the_same_sessions_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (write(corpus(12), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_nothing_is_left_of_a_report_that_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[AnnotatedTranscript]:
        yield session("s1")
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        write(failing(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert write([session("s1")], out)[0].is_file()
    before = {path: path.read_bytes() for path in out.rglob("*.html")}
    with pytest.raises(FileExistsError, match="not an empty folder; give another, or --overwrite"):
        write([session("s2")], out)
    assert {path: path.read_bytes() for path in out.rglob("*.html")} == before


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty sessions with pages of their own."""
    return write(corpus(30), tmp_path_factory.mktemp("report") / "out")[0]


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("thousand") / "index.html"
    path.write_text(text_of(corpus(1000)), "utf-8")
    return path


def ids(page: Any) -> list[str]:
    return page.locator("#table tbody tr:not([hidden]) .session > :first-child").all_text_contents()


def column(page: Any, name: str) -> list[float]:
    cells = page.evaluate(
        "name => [...document.querySelectorAll(`#table tbody tr:not([hidden]) td.${name}`)].map(c => c.textContent)",
        name,
    )
    return [float(re.match(r"[\d.]+", cell.strip())[0]) for cell in cells]  # type: ignore[index]


Show = Callable[..., Any]


def test_a_click_on_a_head_sorts(show: Show, report: Path) -> None:
    page = show(report)
    before = ids(page)
    for name, head in (("withdrawal", "Withdrawal"), ("turns", "Turns"), ("episodes", "Episodes")):
        button = page.get_by_role("button", name=head)
        button.click()
        assert column(page, name) == sorted(column(page, name), reverse=True)
        assert page.locator(f"#table thead .{name}").get_attribute("aria-sort") == "descending"
        button.click()
        assert column(page, name) == sorted(column(page, name))
    assert page.locator("[aria-sort]").count() == 1
    page.get_by_role("button", name="Session").click()
    assert ids(page) == [f"s{k}" for k in range(1, 31)]
    page.get_by_role("button", name="Client").click()
    assert ids(page) == before


def test_the_table_is_sorted_from_the_keyboard(show: Show, report: Path) -> None:
    page = show(report)
    page.get_by_role("button", name="Confrontation").focus()
    page.keyboard.press("Enter")
    assert column(page, "confrontation") == sorted(column(page, "confrontation"), reverse=True)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("#table thead .withdrawal").get_attribute("aria-sort") == "descending"


def test_sessions_are_filtered_by_text_client_flag_and_rate(show: Show, report: Path) -> None:
    page = show(report)
    shown = page.locator("output")
    page.get_by_label("Find").fill("S12")
    assert ids(page) == ["s12"]
    assert shown.inner_text() == "1 of 30 sessions"
    page.get_by_role("button", name="Clear").click()
    page.locator("#table tbody tr[hidden]").first.wait_for(state="detached")
    page.get_by_label("Client").select_option("K2")
    assert ids(page) == [f"s{k}" for k in range(6, 11)]
    page.get_by_label("Client").select_option("")
    page.locator("select[name=flag]").select_option("no times")
    flagged = ids(page)
    assert flagged
    assert all("no times" in text for text in page.locator("#table tbody tr:visible .flags").all_text_contents())
    page.locator("select[name=flag]").select_option("none")
    assert not set(flagged) & set(ids(page))
    page.locator("select[name=flag]").select_option("")
    page.get_by_label("Family").select_option("withdrawal")
    page.get_by_label("At least").fill("5.5")
    rate = column(page, "withdrawal")
    assert rate
    assert min(rate) >= 5.5
    assert len(rate) == sum((session_row(one).rate("withdrawal") or 0) >= 5.45 for one in corpus(30))
    page.get_by_label("Find").fill("nothing like it")
    assert page.get_by_text("No session is like that.").is_visible()


def test_a_client_is_named_once_in_each_run_of_its_sessions(show: Show, report: Path) -> None:
    page = show(report)
    names = "[...document.querySelectorAll('#table tbody tr.first:not([hidden]) .client')].map(c => c.textContent)"
    assert page.evaluate(names) == [f"K{k}" for k in range(1, 7)]
    page.get_by_label("Find").fill("s8")
    assert page.evaluate(names) == ["K2"]


def test_a_link_leads_to_the_session_and_back(show: Show, report: Path) -> None:
    page = show(report)
    page.get_by_role("link", name="s7", exact=True).click()
    assert page.url == (report.parent / "sessions" / "s7.html").as_uri()
    page.locator("a[href='../index.html']").first.click()
    assert page.url.startswith(report.as_uri())


def test_odd_names_have_links_that_work(show: Show, tmp_path: Path) -> None:
    ids = ["a b#c?d%20", "ש:3", "x/../y", HOSTILE]
    index, *pages = write([session(id) for id in ids], tmp_path / "out")
    page = show(index)
    links = page.locator("#table tbody .session a")
    for k in range(len(ids)):
        page.goto(index.as_uri())
        links.nth(k).click()
        assert Path(page.evaluate("decodeURIComponent(location.pathname)")) in pages


def test_hostile_names_are_shown_and_do_nothing(show: Show, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(text_of([hostile(), session("s2", "K2")]), "utf-8")
    page = show(path)
    page.on("dialog", lambda dialog: pytest.fail("a script of the transcript ran"))
    assert page.locator("#table tbody .session bdi").all_text_contents()[-3:] == [f"s {HOSTILE}", HOSTILE, HOSTILE]
    page.get_by_label("Client").select_option(f"K {HOSTILE}")
    assert page.locator("#table tbody tr:visible").count() == 1
    assert page.locator("img").count() == 0


def test_a_thousand_sessions_are_sorted_and_filtered(show: Show, thousand: Path) -> None:
    page = show(thousand)
    assert page.locator("output").inner_text() == "1,000 sessions"
    page.get_by_role("button", name="Resolution").click()
    assert column(page, "resolution") == sorted(column(page, "resolution"), reverse=True)
    page.get_by_label("Find").fill("K17 no times")
    found = [one.transcript.id for one in corpus(1000) if in_client_17(one)]
    assert sorted(ids(page)) == sorted(found)
    page.get_by_role("button", name="Clear").click()
    # the browser puts the count back before the page's script shows the rows
    page.locator("#table tbody tr[hidden]").first.wait_for(state="detached")
    assert len(column(page, "turns")) == 1000
    assert page.locator("output").inner_text() == "1,000 sessions"


def in_client_17(one: AnnotatedTranscript) -> bool:
    meta = one.transcript.meta
    return "K17" in meta["client_id"] and "no_times" in meta["flags"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_barriers(show: Show, barriers: Callable[[Any], list[str]], report: Path, width: int, dark: bool) -> None:
    page = show(report, width=width, dark=dark)
    assert barriers(page) == []
    # nothing is cut off at the side
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_rows_are_rows_for_a_screen_reader(show: Show, report: Path) -> None:
    page = show(report, width=390)
    table = page.get_by_role("table", name="Sessions")
    assert table.get_by_role("row").count() == 31
    row = table.get_by_role("row").nth(1)
    assert row.get_by_role("rowheader").text_content().startswith("s1")
    assert row.get_by_role("cell").count() == 9


def test_without_a_script_it_is_a_table_to_read(show: Show, report: Path) -> None:
    page = show(report, script=False)
    assert page.locator("#table tbody tr:visible .session").count() >= 30
    assert not page.locator("form").is_visible()
    assert page.locator("#table thead button").count() == 0


def test_it_prints_with_its_head_on_every_page(show: Show, thousand: Path) -> None:
    page = show(thousand)
    data = page.pdf(prefer_css_page_size=True)
    assert data.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert pages > 10
    page.emulate_media(media="print")
    assert not page.locator("form").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('#table thead')).display") == "table-header-group"
    # Chromium leaves buttons out of a head that it repeats
    assert page.evaluate("getComputedStyle(document.querySelector('#table thead button')).display") == "contents"
