"""Every rule hits what it must and misses what it must; scope holds for what people really say."""

import pytest

from rupturekit.codebook import load_codebook
from rupturekit.rules import RuleDetector, load_rules
from rupturekit.transcript import Transcript, Turn

BOOK = load_codebook()
RULES = load_rules()


@pytest.fixture(scope="module")
def detector() -> RuleDetector:
    return RuleDetector()


def found(detector, example, speaker):
    """Return the markers on the last turn of an example (a turn, or turn before and turn)."""
    texts = [example] if isinstance(example, str) else list(example)
    other = "client" if speaker == "therapist" else "therapist"
    roles = [speaker] if len(texts) == 1 else [other, speaker]
    if len(texts) == 1 and speaker == "therapist":
        texts, roles = ["I don't know.", *texts], [other, speaker]
    turns = tuple(Turn(i, r, r, t) for i, (r, t) in enumerate(zip(roles, texts)))
    ruptures = {0} if speaker == "therapist" else set()
    return [m for m in detector(Transcript("s", turns), ruptures) if m.turn == len(turns) - 1]


CASES = [(rule, example) for rule in RULES for example in rule.hits]
NOT = [(rule, example) for rule in RULES for example in rule.misses]


@pytest.mark.parametrize(("rule", "example"), CASES, ids=[f"{r.id}-hit{i}" for i, (r, _) in enumerate(CASES)])
def test_rule_hits(detector, rule, example):
    assert rule.id in {m.rule_id for m in found(detector, example, BOOK[rule.marker].speaker)}


@pytest.mark.parametrize(("rule", "example"), NOT, ids=[f"{r.id}-miss{i}" for i, (r, _) in enumerate(NOT)])
def test_rule_misses(detector, rule, example):
    assert rule.id not in {m.rule_id for m in found(detector, example, BOOK[rule.marker].speaker)}


def test_what_is_only_denied_counts_against_and_is_no_marker(detector):
    def scan(text):
        return detector.scan(Transcript("s", (Turn(0, "C", "client", text),)))

    denied = scan("I'm not saying this isn't helping.")
    assert {(m.marker, m.score < 0) for m in denied} == {("complaint_progress", True)}
    assert detector(Transcript("s", (Turn(0, "C", "client", "I'm not saying this isn't helping."),))) == ()
    assert [m.score > 0 for m in scan("This isn't helping.")] == [True]


def test_a_broken_rule_is_named(tmp_path):
    rule = '[[rule]]\nid = "C5-001"\nmarker = "complaint_progress"\nwhy = "x"\nweight = 0.5\n'
    good = 'patterns = ["this is bad"]\nhits = ["This is bad."]\nmisses = ["Good."]\n'
    for broken, said in [
        (rule.replace("0.5", "1.5") + good, "C5-001: weight"),
        (rule.replace("C5", "W5") + good, "W5-001: the id must be"),
        (rule + good.replace("this is bad", "<nowhere> bad"), "C5-001: .*no slot"),
        (rule + good.replace("this is bad", "a?|b bad"), "C5-001: .*optional"),
        (rule + good + rule + good, "C5-001: the id is used twice"),
        (rule, "C5-001: .*patterns"),
    ]:
        (tmp_path / "mine.toml").write_text(broken, "utf-8")
        with pytest.raises(ValueError, match=said):
            RuleDetector(tmp_path)


def test_there_are_enough_rules_and_ten_or_more_for_every_confrontation_marker():
    assert len(RULES) >= 150
    for marker in BOOK.of("confrontation"):
        assert sum(rule.marker == marker.id for rule in RULES) >= 10
    assert all(len(rule.hits) >= 2 and rule.misses for rule in RULES if rule.marker != "minimal_response")
