"""Episodes: where they begin and end, what they are, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rupturekit.annotation import AnnotatedTranscript, Episode, Marker
from rupturekit.codebook import EpisodeGuide, load_codebook
from rupturekit.episodes import episodes, episodes_of
from rupturekit.transcript import Transcript, Turn

OWN, LONG, SHORT = " ".join(["word"] * 12), " ".join(["word"] * 25), "Yes."


def talk(*client: str, **meta: object) -> Transcript:
    """Return a session of these client turns (0, 2, 4, …), each before one of the therapist's."""
    said = [turn for text in client for turn in (("client", text), ("therapist", "And then?"))]
    return Transcript("s", tuple(Turn(i, who[0], who, text) for i, (who, text) in enumerate(said)), meta=meta)


def rupture(turn: int, marker: str = "denial", **told: object) -> Marker:
    against = marker in {m.id for m in load_codebook().of("confrontation")}
    return Marker(turn, 0, 3, "confrontation" if against else "withdrawal", marker, **told)


def spans(found: Sequence[Episode]) -> list[tuple[int, int]]:
    return [(e.first, e.last) for e in found]


def test_an_episode_ends_before_collaboration_returns_and_otherwise_with_the_session() -> None:
    returned = episodes(talk(SHORT, SHORT, OWN, SHORT, OWN, SHORT), [rupture(2)])
    assert spans(returned) == [(2, 3)]
    assert returned[0].returns == (4, 8)
    at_once = episodes(talk(SHORT, SHORT, SHORT, LONG, SHORT), [rupture(2)])
    assert (spans(at_once), at_once[0].returns) == ([(2, 5)], (6,))
    never = episodes(talk(SHORT, SHORT, SHORT, OWN, SHORT, SHORT), [rupture(2)])
    assert (spans(never), never[0].returns, never[0].outcome) == ([(2, 11)], (), "unrepaired")


def test_a_rupture_at_length_is_no_return() -> None:
    (episode,) = episodes(talk(LONG, LONG, OWN, OWN), [rupture(0), rupture(2)])
    assert (episode.first, episode.last) == (0, 3)


@pytest.mark.parametrize("told", [{"clarity": 1}, {"score": 0.2}])
def test_a_faint_marker_alone_opens_no_episode_and_two_near_each_other_do(told: dict) -> None:
    transcript = talk(*[SHORT] * 6, LONG)
    assert episodes(transcript, [rupture(2, **told)]) == ()
    assert episodes(transcript, [rupture(2, **told), rupture(8, **told)]) == ()
    assert spans(episodes(transcript, [rupture(2, **told), rupture(6, **told)])) == [(2, 11)]
    assert spans(episodes(transcript, [rupture(2)])) == [(2, 11)]


@pytest.mark.parametrize(("between", "expected"), [(2, [(0, 9)]), (3, [(0, 1), (8, 11)])])
def test_stretches_with_little_collaboration_between_them_are_one(between: int, expected: list) -> None:
    transcript = talk(SHORT, *[LONG] * between, SHORT, SHORT, LONG)
    assert spans(episodes(transcript, [rupture(0), rupture(2 * between + 2)])) == expected


def test_the_therapists_answers_are_those_inside_and_in_the_four_turns_after() -> None:
    transcript = talk(SHORT, SHORT, LONG, LONG, LONG, LONG)
    answers = [Marker(i, 0, 3, "resolution", "invite_feelings") for i in (1, 3, 7, 9)]
    answers += [Marker(5, 0, 3, "therapist_defensive", "therapist_defensive")]
    (episode,) = episodes(transcript, [rupture(2), *answers])
    assert (episode.last, episode.repair, episode.defended) == (3, (3, 7), (5,))


def test_an_answer_belongs_to_one_episode() -> None:
    transcript = talk(SHORT, LONG, LONG, LONG, SHORT, LONG)
    answer = Marker(9, 0, 3, "resolution", "invite_feelings")
    first, second = episodes(transcript, [rupture(0), rupture(8), answer], EpisodeGuide(after=20))
    assert (first.repair, second.repair) == ((), (9,))


def test_type_is_mixed_where_both_families_have_a_share() -> None:
    transcript = talk(*[SHORT] * 9)
    against = [rupture(2 * i, "rejects_intervention") for i in range(7)]
    assert [e.type for e in episodes(transcript, against)] == ["confrontation"]
    assert [e.type for e in episodes(transcript, [*against, rupture(14)])] == ["confrontation"]
    assert [e.type for e in episodes(transcript, [*against[:3], rupture(6)])] == ["mixed"]
    assert [e.type for e in episodes(transcript, [rupture(2)])] == ["withdrawal"]


def test_depth_grows_with_the_ruptures_and_is_greatest_where_the_bond_is_in_question() -> None:
    long_ago = talk(*[SHORT] * 8)
    plain = [rupture(2 * i) for i in range(4)]
    assert [e.depth for e in episodes(long_ago, plain[:3])] == [1]
    assert [e.depth for e in episodes(long_ago, plain)] == [2]
    bond = [rupture(2 * i, "complaint_therapist") for i in range(4)]
    assert [e.depth for e in episodes(long_ago, bond)] == [3]
    assert [e.depth for e in episodes(talk(*[SHORT] * 5, LONG), bond)] == [2]


@pytest.mark.parametrize(
    ("client", "answered", "outcome"),
    [
        ((SHORT, OWN, OWN), True, "repaired"),
        ((SHORT, OWN, OWN), False, "partly"),
        ((SHORT, LONG), False, "repaired"),
        ((SHORT, SHORT), True, "unrepaired"),
    ],
)
def test_outcome_by_what_comes_back_and_whether_it_was_taken_up(client: tuple, answered: bool, outcome: str) -> None:
    answer = [Marker(1, 0, 3, "resolution", "invite_feelings")] if answered else []
    assert [e.outcome for e in episodes(talk(*client), [rupture(0), *answer])] == [outcome]


def test_an_episode_that_turns_against_the_bond_has_escalated() -> None:
    later = [rupture(0), rupture(2), rupture(4, "complaint_therapist"), rupture(6, "control_pressure")]
    assert [e.outcome for e in episodes(talk(*[SHORT] * 5), later)] == ["escalated"]
    sooner = [rupture(0, "complaint_therapist"), rupture(2, "control_pressure"), rupture(4), rupture(6)]
    assert [e.outcome for e in episodes(talk(*[SHORT] * 5), sooner)] == ["unrepaired"]


def test_where_words_are_withheld_turns_without_a_rupture_count_as_collaboration() -> None:
    withheld = talk("", "", "", "", text_withheld=True)
    (episode,) = episodes_of(AnnotatedTranscript(withheld, (rupture(0),)))
    assert (episode.last, episode.returns) == (1, (2, 4))


def test_nothing_is_found_where_nothing_was_marked() -> None:
    assert episodes(Transcript("s", ()), []) == ()
    assert episodes(talk(SHORT), [Marker(1, 0, 3, "resolution", "invite_feelings")]) == ()


def test_the_guide_of_a_codebook_may_be_set_and_is_checked(tmp_path) -> None:  # type: ignore[no-untyped-def]
    own = tmp_path / "own.toml"
    marker = '[[marker]]\nid = "huff"\ncode = "H"\nparent = "withdrawal"\nlabel = "Huff"\n'
    own.write_text(f'name = "own"\n{marker}[episode]\nown_words = 3\nbond = ["huff"]\n', "utf-8")
    guide = load_codebook(str(own)).episode
    assert (guide.own_words, guide.bond, guide.apart) == (3, ("huff",), EpisodeGuide().apart)
    for line, told in (
        ("own_word = 3", "own_word"),
        ('own_words = "3"', "not a number"),
        ("own_words = true", "not a number"),
        ('bond = ["denial"]', "no list of markers"),
    ):
        own.write_text(f'name = "own"\n{marker}[episode]\n{line}\n', "utf-8")
        with pytest.raises(ValueError, match=told):
            load_codebook(str(own))
