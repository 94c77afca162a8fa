"""Every reader and importer on bytes that nobody wrote: a short run each, and what longer ones have found.

``tests/fuzz.py`` makes the long runs and says what the rule is. ``tests/found/READER.NAME`` broke it once.
"""

from __future__ import annotations

from itertools import islice

import pytest

import fuzz


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_any_bytes_give_a_transcript_or_an_error_of_ours(name: str) -> None:
    for number, data in enumerate(islice(fuzz.cases(name, seed=8), 40)):
        try:
            fuzz.run_case(name, data)
        except Exception as error:
            pytest.fail(f"case {number} of {name}, {len(data)} bytes: {error!r}")


@pytest.mark.parametrize("path", sorted(fuzz.FOUND.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once_is_mended(path: fuzz.Path) -> None:
    fuzz.run_case(path.name.partition(".")[0], path.read_bytes())


def test_the_rule_can_be_broken() -> None:
    with pytest.raises(fuzz.Broken):
        fuzz.check_error(ValueError(f"line 3: {sorted(fuzz.talk_words())[0]} is no number"))
