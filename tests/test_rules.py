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
