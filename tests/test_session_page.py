"""The page of a session: what stands in it, and what a coder does with it in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import rupturekit as rk
from rupturekit.annotation import FAMILIES, Coded, Marker, Provenance, Score
from rupturekit.cli import main
from rupturekit.coding import read_codings
from rupturekit.report.session import session_page
from rupturekit.tables import Pseudonyms

pytest_plugins = ["browser"]

Show = Callable[..., Any]
TALK = (
    ("T", "therapist", "How has the work been going for you?"),
    ("Mira", "client", "😀 Honestly, this isn't helping. You're the expert, I suppose."),
    ("T", "therapist", "I think I pushed you there, and I'm sorry."),
    ("Mira", "client", "Whatever."),
    ("T", "therapist", "You should try harder. Did you fill in the sheet?"),
    ("Mira", "client", "Some of it 🌧 but then the week went away from me."),
    ("door", "other", "(knocks)"),
    ("Mira", "client", "I don't mind."),
)


def transcript(id: str = "mira-3", talk: Any = TALK, **meta: Any) -> rk.Transcript:
    turns = (rk.Turn(i, who, role, text, 10.0 * i, 10.0 * i + 8) for i, (who, role, text) in enumerate(talk))
    return rk.Transcript(id, tuple(turns), meta={"client_id": "Mira K.", **meta})


def marker(turn: int, words: str, marker: str, score: float | None = None, **more: Any) -> Marker:
    text = TALK[turn][2]
    start = text.index(words)
    family = rk.load_codebook()[marker].parent
    return Marker(turn, start, start + len(words), family, marker, score, **more)


MARKERS = (
    marker(1, "this isn't helping", "complaint_progress", 0.85, source="rule", rule_id="C5-001"),
    marker(1, "helping. You're the expert", "deferential_appeasing", 0.7),
    marker(2, "I pushed you there", "acknowledge_contribution", 0.6),
    marker(3, "Whatever", "minimal_response", 0.55),
    marker(3, "Whatever.", "minimal_response", clarity=2, source="coder:CD", note="shuts the door"),
    marker(4, "You should try harder.", "therapist_defensive", 0.45),
)


def session(**meta: Any) -> rk.AnnotatedTranscript:
    t = transcript(**meta)
    scores = tuple(Score("turn", m.turn, m.family, m.score or 0.1) for m in MARKERS if m.score)
    read = [("coder:CD", "withdrawal"), *((source, family) for source in ("rule", "model") for family in FAMILIES)]
    coded = tuple(Coded(source, family, 0, 7) for source, family in read)
    provenance = Provenance(
        "0.1.0", "3rs-2015 1.0", "ab" * 32, "withdrawal-en", "cd" * 32, {"withdrawal": 0.4, "confrontation": 0.3}
    )
    return rk.AnnotatedTranscript(
        t, tuple(sorted(MARKERS, key=lambda m: (m.turn, m.start, m.end))), scores, (), coded, provenance
    )


@pytest.fixture
def file(tmp_path: Path) -> Callable[[rk.AnnotatedTranscript], Path]:
    def written(annotated: rk.AnnotatedTranscript) -> Path:
        path = tmp_path / "page.html"
        path.write_bytes(session_page(annotated).encode("utf-8"))
        return path

    return written


# --- what stands in it --------------------------------------------------------------------------------


class _Parts(HTMLParser):
    """Tags with their attributes, and the content of style and script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.raw.append((self.tags[-1][1].get("id") or self.tags[-1][0], data))
        else:
            self.text += data

    def content(self, name: str) -> str:
        return "".join(data for of, data in self.raw if of == name)


def test_the_policy_lets_in_this_style_and_this_script_and_nothing_else() -> None:
    parts = _Parts(session_page(session()))
    (policy,) = [a["content"] for tag, a in parts.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parts.content(name).encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert not [tag for tag, a in parts.tags if "style" in a or any(key.startswith("on") for key in a)]
    assert not [a for _, a in parts.tags for key in ("src", "href") if re.match(r"\w+:|//", a.get(key) or "")]


def test_the_head_says_what_a_supervisor_asks_first() -> None:
    text = _Parts(session_page(session(flags=["no_punctuation"]))).text
    assert "One rupture episode; the therapist works at its repair." in text
    assert "4 client + 3 therapist + 1 other" in " ".join(text.split())
    assert "2 of 4 turns" in text
    assert "hardly any punctuation, as in automatic captions" in text
    assert "never a diagnosis" in text
    assert "withdrawal-en cdcdcdcdcdcd" in text
    assert "rules abababababab" in text


def test_the_clients_part_of_the_words_is_that_of_the_talk_features() -> None:
    said = ["How – are – you – now?", "[silence]", "Take your time.", "Okay [sighs] then."]
    roles = ("therapist", "client")
    turns = tuple(rk.Turn(i, roles[i % 2], roles[i % 2], text) for i, text in enumerate(said))
    talk = rk.Transcript("s1", turns)
    assert rk.talk_features(talk)["talk_share_client"] == 2 / 9
    assert "22\u202f% of the words" in session_page(rk.AnnotatedTranscript(talk))


def test_a_card_says_why() -> None:
    text = " ".join(_Parts(session_page(session())).text.split())
    assert next(rule.why for rule in rk.load_rules() if rule.id == "C5-001") in text
    assert "rule C5-001 · 0.85" in text
    assert "The turn reaches the threshold for withdrawal, 0.40; this is the likeliest marker." in text
    assert "coder CD · clear" in text
    assert "shuts the door" in text
    assert rk.load_codebook()["minimal_response"].definition in text
    assert "in turn 0 by T: How has the work been going for you?" in text


HOSTILE = "</script><script>alert(1)</script>\"'>{{ 7*7 }}&lt;\u202edesrever\u2028 \U0001f469\u200d\U0001f680"


def test_every_string_stays_text() -> None:
    t = rk.Transcript(
        HOSTILE,
        (rk.Turn(0, HOSTILE, "therapist", HOSTILE), rk.Turn(1, HOSTILE, "client", HOSTILE + "\r\n\0x")),
        meta={"client_id": HOSTILE, "flags": [HOSTILE], "date": HOSTILE},
    )
    found = Marker(1, 3, 12, "withdrawal", "denial", source=f"coder:{HOSTILE}", note=HOSTILE)
    html = session_page(rk.AnnotatedTranscript(t, (found,)), index=HOSTILE)
    parts = _Parts(html)
    assert [a for tag, a in parts.tags if tag == "script"] == [
        {"type": "application/json", "id": "session"},
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert json.loads(parts.content("session")) == json.loads(json.dumps(asdict(t)))
    assert "{{ 7*7 }}" in html
    assert "49" not in parts.text
    # a line separator in the data would once have ended a line of script
    assert "\u2028" not in parts.content("session") + parts.content("data")


def test_without_words_the_page_has_the_course_and_the_names_alone() -> None:
    hidden = Pseudonyms(b"key")(session())
    html = session_page(hidden)
    parts = _Parts(html)
    assert not [word for _, _, text in TALK for word in text.split() if len(word) > 6 and word in html]
    assert "Mira" not in html
    assert "shuts the door" not in html
    assert "Minimal response" in parts.text
    assert "0.55" in parts.text
    assert not [a for _, a in parts.tags if a.get("id") in ("session", "coder", "save", "query")]
    assert "of the time" in parts.text
    # links of the course lead to what is there
    ids = {a.get("id") for _, a in parts.tags}
    assert all(a["href"][1:] in ids for tag, a in parts.tags if tag == "a")  # type: ignore[index]


def test_the_same_session_makes_the_same_page() -> None:
    assert session_page(session()) == session_page(session())


def test_the_page_leads_back_to_all_sessions() -> None:
    links = [a.get("href") for tag, a in _Parts(session_page(session(), index="../index.html")).tags if tag == "a"]
    assert "../index.html" in links


def test_a_codebook_of_ones_own_names_the_markers(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\n[[marker]]\nid = "x"\ncode = "Z9"\nparent = "withdrawal"\nlabel = "Looks away"\n', "utf-8"
    )
    found = Marker(3, 0, 8, "withdrawal", "x", source="coder:A")
    text = _Parts(session_page(rk.AnnotatedTranscript(transcript(), (found,)), rk.load_codebook(str(own)))).text
    assert "Looks away" in text
    assert "Z9" in text


def test_a_session_without_turns_or_markers_has_a_page() -> None:
    assert "No rupture episode was found." in session_page(rk.AnnotatedTranscript(rk.Transcript("empty", ())))
    assert "No rupture episode was found." in session_page(rk.AnnotatedTranscript(transcript()))


@pytest.mark.parametrize("late", [8e4, 9e11, 1e300])
@pytest.mark.parametrize("others", [0.0, None])
def test_a_time_that_no_recording_has_makes_a_page_all_the_same(late: float, others: float | None) -> None:
    turns = tuple(rk.Turn(i, who, "client", "Yes.", late if i > 3 else others) for i, who in enumerate("CCCCCCCC"))
    html = session_page(rk.AnnotatedTranscript(rk.Transcript("s", turns)))
    assert html.count('<text class="tick"') <= 11 + 5
    assert len(html) < 200_000


def test_the_axis_of_turns_has_few_names_however_many_turns_there_are() -> None:
    for n in (1, 12, 3000):
        turns = tuple(rk.Turn(i, "C", "client", "Yes.") for i in range(n))
        html = session_page(rk.AnnotatedTranscript(rk.Transcript("s", turns)))
        assert 4 <= html.count('<text class="tick"') <= 11 + 5


# --- in the browser -----------------------------------------------------------------------------------


def visible_cards(page: Any) -> list[str]:
    return page.locator(".card:visible").evaluate_all("cards => cards.map(card => card.id)")


def texts(page: Any, query: str) -> list[str]:
    return page.locator(query).all_text_contents()


def said(page: Any) -> str:
    return page.locator("#said").inner_text()


def is_on_screen(page: Any, query: str) -> bool:
    return page.locator(query).evaluate(
        "e => { const r = e.getBoundingClientRect(); return r.bottom > 0 && r.top < innerHeight; }"
    )


def long_session(n: int) -> rk.AnnotatedTranscript:
    talk = [
        ("T", "therapist", "And what then?") if i % 2 else ("C", "client", "I said that I was fine. " * 6)
        for i in range(n)
    ]
    found = tuple(Marker(i, 0, 6, "withdrawal", "denial", 0.3 + i % 60 / 100) for i in range(0, n, 20))
    return rk.AnnotatedTranscript(transcript("long", talk), found)


def test_without_a_script_it_can_be_read(show: Show, file: Any) -> None:
    page = show(file(session()), script=False)
    assert page.locator("#t1 .words").inner_text().endswith("You're the expert, I suppose.")
    assert "Minimal response" in page.locator("#t3").inner_text()
    assert page.locator("#tools").is_hidden()
    page.locator("#m5 summary").click()
    assert page.locator("#m5 details").get_attribute("open") is not None


def test_a_click_or_enter_on_the_course_goes_to_the_turn(show: Show, file: Any) -> None:
    page = show(file(long_session(400)))
    mark = page.locator(".course.wide a[href='#t380']")
    mark.click()
    assert page.url.endswith("#t380")
    assert is_on_screen(page, "#t380")
    page.evaluate("scrollTo(0, 0)")
    page.locator(".course.wide a[href='#t200']").focus()
    page.keyboard.press("Enter")
    assert page.url.endswith("#t200")
    assert is_on_screen(page, "#t200")
    assert not is_on_screen(page, "#t380")


def test_filters_show_what_they_say(show: Show, file: Any) -> None:
    page = show(file(session()))
    assert len(visible_cards(page)) == 6
    page.locator(".chip.withdrawal").click()
    assert visible_cards(page) == ["m0", "m2", "m5"]
    assert page.locator("mark[data-m='1']").first.evaluate("m => getComputedStyle(m).textDecorationLine") == "none"
    page.locator(".chip.withdrawal").click()
    page.get_by_text("Filter", exact=True).click()
    page.locator("#only-marker").select_option("minimal_response")
    assert visible_cards(page) == ["m3", "m4"]
    page.locator("#only-source").select_option("coder:CD")
    assert visible_cards(page) == ["m4"]
    page.locator("#only-marker").select_option("")
    page.locator("#only-source").select_option("")
    page.locator("#least").fill("0.6")
    assert visible_cards(page) == ["m0", "m1", "m2", "m4"]  # a coder's marker has no score to fall short with


def test_overlapping_markers_share_their_words(show: Show, file: Any) -> None:
    page = show(file(session()))
    pieces = page.locator("#t1 .words > mark")
    assert pieces.all_text_contents() == ["this isn't ", "helping", ". You're the expert"]
    assert page.locator("#t1 mark mark").all_text_contents() == ["helping"]
    assert page.locator("#t1 .words").text_content() == TALK[1][2]
    lines = "m => getComputedStyle(m).textDecorationStyle"
    styles = [
        page.locator(f"mark.{family}").first.evaluate(lines)
        for family in ("confrontation", "withdrawal", "resolution", "therapist_defensive")
    ]
    assert len(set(styles)) == 4


def test_the_keyboard_steps_from_marker_to_marker(show: Show, file: Any) -> None:
    page = show(file(session()))
    focused = "document.activeElement.id"
    seen = []
    for key in "nnjpk":
        page.keyboard.press(key)
        seen.append(page.evaluate(focused))
    assert seen == ["m0", "m1", "m2", "m1", "m0"]
    page.locator(".chip.confrontation").click()
    page.keyboard.press("n")
    assert page.evaluate(focused) == "m1"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.locator("#keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    assert page.locator(".card.current").get_attribute("id") == "m1"


def test_everything_can_be_reached_with_tab(show: Show, file: Any) -> None:
    page = show(file(session()))
    page.locator("#correct").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("(e => e.id || e.dataset.do || e.getAttribute('href') || e.tagName)(document.activeElement)")
        )
    wanted = {
        "query",
        "hit-next",
        "next",
        "back",
        "correct",
        "ask-help",
        "coder-id",
        "read-first",
        "read-last",
        "undecided",
    }
    assert wanted | {"open", "save", "accept", "reject", "edit", "clarity", "add", "#t3", "SUMMARY"} <= reached


def test_search_counts_and_steps(show: Show, file: Any) -> None:
    page = show(file(session()))
    page.keyboard.press("/")
    page.keyboard.type("YOU")
    assert page.locator("#hits").inner_text() == "5"
    assert page.evaluate("CSS.highlights.get('hits').size") == 5
    page.keyboard.press("Enter")
    assert page.locator("#hits").inner_text() == "1 of 5"
    assert "turn 0" in said(page)
    page.keyboard.press("Shift+Enter")
    assert "turn 4" in said(page)
    # across the edge of a marker, with an emoji before it
    page.locator("#query").fill("isn't helping. You")
    page.keyboard.press("Enter")
    assert page.evaluate("[...CSS.highlights.get('hit')][0].toString()") == "isn't helping. You"
    for query, n in (("(.*[", "0"), ("- / \\", "0"), ("🌧", "1"), ("I'm  sorry", "1")):
        page.locator("#query").fill(query)
        assert page.locator("#hits").inner_text() == n


def select(page: Any, turn: int, words: str) -> None:
    page.evaluate(
        """([turn, words]) => {
            const box = document.querySelector(`#t${turn} .words`);
            const at = box.textContent.indexOf(words), range = document.createRange();
            const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
            let before = 0;
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const from = at - before, to = at + words.length - before;
                if (from >= 0 && from < node.length) range.setStart(node, from);
                if (to > 0 && to <= node.length) range.setEnd(node, to);
                before += node.length;
            }
            getSelection().removeAllRanges();
            getSelection().addRange(range);
        }""",
        [turn, words],
    )


def saved(page: Any, folder: Path) -> Path:
    """Save what was coded, markers undecided or not, and return the file."""
    folder.mkdir(exist_ok=True)
    with page.expect_download() as download:
        page.locator("#save").click()
        if page.locator("#ask").is_visible():
            page.locator("#ask button[value=save]").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def act(page: Any, number: int, what: str) -> None:
    page.locator(f"#m{number} [data-do={what}]").click()


def code_some(page: Any) -> None:
    """Accept, reject, change and add: marker 3 is left undecided."""
    page.locator("#correct").click()
    page.locator("#coder-id").fill("AB")
    act(page, 0, "accept")
    page.locator("#m0 [data-do=clarity]").select_option("3")
    act(page, 1, "reject")
    act(page, 2, "edit")
    page.locator("#edit-marker").select_option("disclose_experience")
    page.locator("#edit-note").fill('owns it <b>"\u202e😀')
    page.locator("#edit-done").click()
    act(page, 5, "accept")
    select(page, 5, "🌧 but then ")
    page.locator("#add").click()
    assert page.locator("#edit-marker optgroup").evaluate_all("g => g.map(e => e.label)") == [
        "Confrontation",
        "Withdrawal",
    ]
    page.locator("#edit-marker").select_option("topic_shift")
    page.locator("#edit-clarity").select_option("1")
    page.locator("#edit-done").click()


EXPECTED = (
    replace(MARKERS[0], score=None, rule_id=None, source="coder:AB", clarity=3),
    replace(MARKERS[2], score=None, source="coder:AB", marker="disclose_experience", note='owns it <b>"\u202e😀'),
    replace(MARKERS[5], score=None, source="coder:AB"),
    marker(5, "🌧 but then", "topic_shift", clarity=1, source="coder:AB"),
)


def test_a_correction_is_saved_and_read_back(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session(path="näme.txt", started=1.0)))
    code_some(page)
    assert page.locator("#undecided").inner_text() == "1 undecided"
    page.locator("#save").click()
    assert "1 of the markers" in page.locator("#ask-what").inner_text()
    page.locator("#ask button[value=first]").click()
    page.locator("#m3:focus").wait_for()
    path = saved(page, tmp_path / "codes")
    assert path.name == "mira-3.AB.jsonl"
    assert path.read_text("utf-8").count("\n") == 1

    (coding,) = rk.load(path)
    assert coding.transcript == session(path="näme.txt", started=1.0).transcript
    assert coding.markers == EXPECTED
    assert [coding.text_of(m) for m in coding.markers][-1] == "🌧 but then"
    # a family is missing, not "none", where one of its markers waits
    assert {(c.family, c.first, c.last) for c in coding.coded} == {
        ("confrontation", 0, 7),
        ("withdrawal", 0, 2),
        ("withdrawal", 4, 7),
        ("resolution", 0, 7),
        ("therapist_defensive", 0, 7),
    }
    assert {c.source for c in coding.coded} == {"coder:AB"}
    assert rk.AnnotatedTranscript.from_json(coding.to_json()) == coding
    assert '"start_s":10.0' in path.read_text("utf-8")  # the transcript to the letter


def test_a_correction_goes_on_to_agreement_and_training(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session()))
    code_some(page)
    path = saved(page, tmp_path / "codes")
    (read,) = read_codings(tmp_path / "codes")
    assert read.markers == EXPECTED
    agreement = rk.agreement([*rk.load(path)], [session()], level="turn")
    assert agreement.coders == ("AB", "CD", "machine")
    other = tmp_path / "other.jsonl"
    other.write_text(session().to_json() + "\n", "utf-8")
    assert main(["agree", str(path), str(other), "--out", str(tmp_path / "agreement")]) == 0
    assert list((tmp_path / "agreement").iterdir())


def test_saved_work_is_taken_up_again(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session()))
    code_some(page)
    page.locator("#read-last").fill("6")
    first = saved(page, tmp_path / "first")
    page = show(file(session()))
    page.locator("#correct").click()
    page.locator("#open").set_input_files(first)
    page.locator("#said", has_text="Opened").wait_for()
    assert page.locator("#coder-id").input_value() == "AB"
    assert page.locator("#read-last").input_value() == "6"
    assert "rejected" in page.locator("#m1").get_attribute("class")
    assert page.locator("#m2 .verdict").inner_text().startswith("Changed to ◆ Discloses")
    assert page.locator("#t5 .card.added").count() == 1
    assert page.locator("#undecided").inner_text() == "1 undecided"
    again = saved(page, tmp_path / "again")
    assert again.read_bytes() == first.read_bytes()


def test_what_lies_on_turns_that_do_not_count_waits_in_the_file(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session()))
    page.locator("#correct").click()
    page.locator("#coder-id").fill("AB")
    page.locator("#read-last").fill("3")
    act(page, 4, "accept")  # beside the machine's own, which is undecided
    act(page, 5, "accept")  # after the turns that were read
    page.locator("#save").click()
    assert "2 of your markers" in page.locator("#ask-what").inner_text()
    page.keyboard.press("Escape")
    path = saved(page, tmp_path / "codes")
    (coding,) = rk.load(path)
    assert coding.markers == ()
    # what is in it does not contradict itself
    assert rk.agreement([coding], [session()], level="turn").coders == ("AB", "CD", "machine")
    page = show(file(session()))
    page.locator("#correct").click()
    page.locator("#open").set_input_files(path)
    page.locator("#said", has_text="Opened").wait_for()
    act(page, 3, "reject")
    page.locator("#read-last").fill("7")
    (coding,) = rk.load(saved(page, tmp_path / "more"))
    assert [(m.turn, m.marker) for m in coding.markers] == [(3, "minimal_response"), (4, "therapist_defensive")]


def test_work_from_another_tool_is_taken_up(show: Show, file: Any, tmp_path: Path) -> None:
    kept = replace(MARKERS[3], score=None, source="coder:AB", clarity=2)
    read = (Coded("coder:AB", "withdrawal", 0, 5), Coded("coder:AB", "confrontation", 0, 5))
    (tmp_path / "AB.jsonl").write_text(rk.AnnotatedTranscript(transcript(), (kept,), coded=read).to_json(), "utf-8")
    page = show(file(session()))
    page.locator("#correct").click()
    page.locator("#open").set_input_files(tmp_path / "AB.jsonl")
    page.locator("#said", has_text="Opened").wait_for()
    states = {n: page.locator(f"#m{n}").get_attribute("class").split()[2:] for n in range(6)}
    # coded and not kept is rejected; what nobody coded is open
    assert states == {0: ["rejected"], 1: ["rejected"], 2: [], 3: ["accepted"], 4: [], 5: []}


def test_a_coders_own_earlier_markers_wait_for_a_decision(show: Show, file: Any) -> None:
    page = show(file(session()))
    page.locator("#correct").click()
    assert page.locator("#undecided").inner_text() == "5 undecided"
    page.locator("#coder-id").fill("CD")
    assert page.locator("#undecided").inner_text() == "6 undecided"


def test_a_file_of_another_session_is_refused(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session()))
    page.locator("#correct").click()
    for name, content, told in (
        ("other.jsonl", rk.AnnotatedTranscript(transcript("other")).to_json(), "nothing of this session"),
        ("edited.jsonl", rk.AnnotatedTranscript(transcript(talk=TALK[:3])).to_json(), "another transcript"),
        ("nobody.jsonl", rk.AnnotatedTranscript(transcript()).to_json(), "no coder"),
        ("broken.jsonl", "not json", "cannot be read"),
    ):
        (tmp_path / name).write_text(content, "utf-8")
        page.locator("#open").set_input_files(tmp_path / name)
        page.locator("#said", has_text=told).wait_for()
    assert page.locator(".card.accepted").count() == 0


def test_the_keyboard_corrects_and_undoes(show: Show, file: Any) -> None:
    page = show(file(session()))
    page.keyboard.press("n")
    page.keyboard.press("a")
    assert page.locator("#m0").get_attribute("class") == "card confrontation accepted current"
    assert "Accepted" in said(page)
    assert "4 undecided" in said(page)
    page.keyboard.press("n")
    page.keyboard.press("r")
    assert page.locator("#m1 [data-do=reject]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("n")
    page.keyboard.press("2")
    assert page.locator("#m2 [data-do=clarity]").input_value() == "2"
    page.keyboard.press("e")
    assert page.locator("#edit").is_visible()
    page.keyboard.press("Escape")
    for _ in range(3):
        page.keyboard.press("u")
    assert page.locator("#undecided").inner_text() == "5 undecided"
    assert page.locator(".card:is(.accepted, .rejected, .changed)").count() == 0
    assert page.locator("#undo").is_disabled()


def test_an_added_marker_can_be_removed_and_brought_back(show: Show, file: Any) -> None:
    page = show(file(session()))
    page.locator("#correct").click()
    select(page, 7, "mind")
    page.keyboard.press("m")
    page.locator("#edit-marker").select_option("flattened_affect")
    page.locator("#edit-done").click()
    assert texts(page, "#t7 mark") == ["mind"]
    assert "Flattened affect" in page.locator("#t7 .card").inner_text()
    page.keyboard.press("r")
    assert page.locator("#t7 .card").count() == 0
    assert page.locator("#t7 mark").count() == 0
    page.keyboard.press("u")
    assert texts(page, "#t7 mark") == ["mind"]
    page.keyboard.press("u")
    assert page.locator("#t7 mark").count() == 0
    page.locator("#t0 .who a").focus()
    page.keyboard.press("m")
    assert page.locator("#edit-title").inner_text() == "Add a marker to turn 0"
    page.keyboard.press("Escape")
    # nobody's turn takes no marker
    select(page, 6, "knocks")
    page.keyboard.press("m")
    assert page.locator("#edit").is_hidden()


def test_the_words_of_a_new_marker_can_be_chosen_without_a_mouse(show: Show, file: Any) -> None:
    page = show(file(session()))
    page.locator("#correct").click()
    page.locator("#t5 .here").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Home")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#edit-selected").inner_text() == "Some"
    page.locator("#edit-done").click()
    assert texts(page, "#t5 mark") == ["Some"]


def test_leaving_with_unsaved_work_is_asked_about(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session()))
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == []
    page.keyboard.press("n")
    page.keyboard.press("a")
    page.reload()
    assert asked == ["beforeunload"]
    assert page.locator(".card.accepted").count() == 0
    code_some(page)
    saved(page, tmp_path / "codes")
    page.reload()
    assert asked == ["beforeunload"]


def test_nothing_is_kept_in_the_browser(show: Show, file: Any, tmp_path: Path) -> None:
    page = show(file(session()))
    code_some(page)
    saved(page, tmp_path / "codes")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.context.cookies() == []


def test_marks_of_direction_turn_nothing_around_them(show: Show, file: Any) -> None:
    talk = [
        ("T\u202e", "therapist", "\u202eHow are you?"),
        ("C", "client", "מה שלומך? \u202d fine"),
        ("C", "client", "Fine."),
    ]
    t = transcript("a\u202eb", talk)
    page = show(file(rk.AnnotatedTranscript(t, (Marker(1, 0, 3, "withdrawal", "denial", 0.5),))))
    for query in (".who > a", ".at"):
        lefts = page.locator(f".turn {query}").evaluate_all(
            "es => es.map(e => Math.round(e.getBoundingClientRect().right))"
        )
        assert len(set(lefts)) == 1
    assert page.locator("#t1 .words").evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert page.locator("#t2 .words").evaluate("e => getComputedStyle(e).direction") == "ltr"


def test_odd_characters_keep_their_places_when_coded(show: Show, file: Any, tmp_path: Path) -> None:
    talk = [("T", "therapist", "Well?"), ("C", "client", "a\r\nb\0 👩\u200d🚀 \u2028fin <b>e</b>")]
    page = show(file(rk.AnnotatedTranscript(transcript("odd/id: 1", talk))))
    page.locator("#correct").click()
    page.locator("#coder-id").fill("A/B")
    select(page, 1, "fin")
    page.locator("#add").click()
    page.locator("#edit-done").click()
    path = saved(page, tmp_path / "codes")
    assert path.name == "odd_id_ 1.A_B.jsonl"
    (coding,) = rk.load(path)
    assert coding.transcript == transcript("odd/id: 1", talk)
    assert [coding.text_of(m) for m in coding.markers] == ["fin"]
    assert coding.markers[0].source == "coder:A/B"


def test_it_prints(show: Show, file: Any) -> None:
    page = show(file(session()))
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 10_000
    page.emulate_media(media="print")
    assert page.locator("#tools").is_hidden()
    assert page.locator(".course.wide").is_visible()
    assert page.locator("#m3").is_visible()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_barrier(show: Show, file: Any, barriers: Any, dark: bool, width: int) -> None:
    page = show(file(session(flags=["no_punctuation"])), dark=dark, width=width)
    assert barriers(page) == []
    page.locator("#m3 summary").click()
    page.locator("#correct").click()
    act(page, 0, "accept")
    act(page, 1, "reject")
    assert barriers(page) == []
    act(page, 2, "edit")
    assert barriers(page) == []
    page.locator("#edit-cancel").click()
    page.locator("#ask-help").click()
    assert barriers(page) == []


def test_nothing_is_wider_than_a_phone(show: Show, file: Any) -> None:
    page = show(file(session()), width=390)
    page.locator("#correct").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_thousand_turns_can_be_stepped_through(show: Show, file: Any) -> None:
    page = show(file(long_session(2000)))
    page.locator("#correct").click()
    page.locator("#back").click()
    page.keyboard.press("p")
    page.keyboard.press("a")
    assert page.locator(".card.accepted").count() == 1
    page.locator("#query").fill("fine")
    assert page.locator("#hits").inner_text() == "6000"
