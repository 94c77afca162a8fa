"""The counterfactual set: every exchange in every rendering, the same codes, the therapist's words the same."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from rupturekit.codebook import load_codebook

DATA = Path(__file__).parents[1] / "data"
ITEMS = [json.loads(line) for line in (DATA / "fairness" / "exchanges.jsonl").read_text("utf-8").splitlines()]
GROUPS = {"standard", "african-american", "indian", "irish", "nigerian", "second-language", "short-spoken",
          "formal-polite", "autistic-direct"}  # fmt: skip
BY_BASE = defaultdict(list)
for item in ITEMS:
    BY_BASE[item["pair"]].append(item)


def codes(turn):
    return turn[2] if len(turn) > 2 else []


@pytest.mark.parametrize("base", BY_BASE)
def test_a_base_item_has_every_rendering_with_the_same_codes_and_therapist(base):
    assert Counter(item["group"] for item in BY_BASE[base]) == Counter(GROUPS)
    shape = {
        json.dumps([(t[0], [c[:2] for c in codes(t)], t[1] if t[0] == "T" else "") for t in item["turns"]])
        for item in BY_BASE[base]
    }
    assert len(shape) == 1
    assert {item["id"] for item in BY_BASE[base]} == {f"{base}-{group}" for group in GROUPS}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_codes_are_of_client_markers_and_stand_on_words(item):
    book = load_codebook()
    marked = [code for turn in item["turns"] for code in codes(turn)]
    assert len(marked) == (item["pair"][0] in "cw")
    for role, text, *_ in item["turns"]:
        assert role in "TC"
        assert text == text.strip()
        assert "{" not in text
    for turn in item["turns"]:
        for code, clarity, start, end, readers in codes(turn):
            assert (turn[0], book.by_code(code).speaker, readers) == ("C", "client", "A")
            assert clarity in (1, 2, 3)
            assert 0 <= start < end <= len(turn[1])
            assert turn[1][start:end] == turn[1][start:end].strip()


def test_enough_base_items_with_and_without_a_marker():
    kinds = Counter(base[0] for base in BY_BASE)
    assert kinds["n"] >= 30
    assert kinds["c"] + kinds["w"] >= 30


def runs(text, length=8):
    words = ["".join(c for c in word if c.isalnum()) for word in text.lower().split()]
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def test_no_run_of_eight_words_is_shared_with_what_was_trained_on():
    own = set().union(*(runs(text) for item in ITEMS for _, text, *_ in item["turns"]))
    for name in ("exchanges", "sessions"):
        with open(DATA / "synthetic" / f"{name}.jsonl", encoding="utf-8") as lines:
            shared = [run for line in lines for turn in json.loads(line)["turns"] for run in runs(turn[1]) & own]
        assert not shared
