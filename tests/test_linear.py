"""Every regular expression of the package takes time in proportion to the text, also where somebody means it ill.

Each is run on long repetitions of signs and of its own literals that end before it matches, first on a tenth of the
length: one whose time grows with the square of the length then needs a hundred times as long, and one in proportion ten
times, on a slow machine too. What is done within seconds is not asked how it grows.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import signal
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import rupturekit
from rupturekit.rules import shipped

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_parse

LENGTH = 30_000
LIMIT_S = 2
PARTS = 16  # of the rules' patterns, two thousand, so that several processes can share them
SIGNS = [
    *" \t\naA0.([<{\"'“-:_=@*#/\\é;,|\x15\x1f",
    "(a",
    "[ ",
    "a ",
    "a:",
    "0:",
    '"\\',
    "\\\n",
    "a-",
    "a'",
    "1.",
    "<v.",
    ", ",
]
# Whose texts are short or have no such runs, because their callers see to that.
SEEN_TO = {
    "segment._INAUDIBLE": "what stands in brackets, up to sixty characters",
    "text._LABEL": "the beginning of a line",
    "praat._ROLE_FIRST": "the name of a file",
    "praat._ROLE_LAST": "the name of a file",
    "deidentify._OPENS": "twelve characters",
    "chat._SPACED": "single spaces",
    "refi_qda._LEVEL": "single spaces",
}
FILES = sorted(Path(rupturekit.__file__).parent.rglob("*.py"))
METHODS = "match|fullmatch|search|sub|split|findall|finditer"


def in_modules() -> Iterator[tuple[str, re.Pattern[str], set[str]]]:
    """Yield name, pattern and the methods that are called of it, for each that a module holds."""
    for module in pkgutil.walk_packages(rupturekit.__path__, "rupturekit."):
        if module.name.endswith("__main__"):
            continue
        here = importlib.import_module(module.name)
        source = Path(str(here.__file__)).read_text("utf-8")
        for name, value in vars(here).items():
            several = value if isinstance(value, (list, tuple)) else [value]
            for n, pattern in enumerate(several):
                if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
                    called = set(re.findall(rf"\b{name}\.({METHODS})\(", source))
                    yield f"{module.name.rpartition('.')[2]}.{name}{n or ''}", pattern, called or {"search", "match"}


def in_calls() -> Iterator[tuple[str, re.Pattern[str], set[str]]]:
    """Yield the same for each that stands in a call of `re` as it is."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=called), args=[ast.Constant(value=str(text)), *_]
                ) if re.fullmatch(METHODS, called):
                    yield f"{file.stem}:{node.lineno}", re.compile(text), {called}


@cache
def patterns() -> dict[str, tuple[re.Pattern[str], set[str]]]:
    found = [*in_modules(), *in_calls()]
    return {name: (pattern, called) for name, pattern, called in found if name not in SEEN_TO}


def literals(tree: sre_parse.SubPattern) -> Iterator[str]:
    """Yield the runs of letters in an expression."""
    run = ""
    for op, given in tree:
        if str(op) == "LITERAL":
            run += chr(given)
            continue
        yield run
        run = ""
        below = given[1] if str(op) == "BRANCH" else given if isinstance(given, tuple) else ()
        for part in below:
            if isinstance(part, sre_parse.SubPattern):
                yield from literals(part)
    yield run


def ill_texts(pattern: re.Pattern[str], signs: list[str], length: int) -> Iterator[str]:
    own = sorted(set(literals(sre_parse.parse(pattern.pattern, pattern.flags))) - {""}, key=len)
    long = own[-8:]
    spaced = [f"{word.strip()} " for word in own[:: len(own) // 60 + 1]]
    for unit in (*signs, *long, *(f" {word}" for word in long), *spaced, "".join(spaced) or " "):
        yield (unit * (length // len(unit)))[:length] + "\0"


def run(pattern: re.Pattern[str], called: set[str], text: str) -> None:
    if called & {"sub", "split", "findall", "finditer"}:
        for _ in pattern.finditer(text):
            pass
    for one in called & {"match", "fullmatch", "search"}:
        getattr(pattern, one)(text)


def seconds(pattern: re.Pattern[str], called: set[str], signs: list[str], length: int, limit_s: float) -> float:
    """Return the processor's time on all texts of a length; longer than the limit is an error."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"it took {limit_s:.1f} s on texts of {length} characters")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
    begun = time.process_time()
    try:
        for text in ill_texts(pattern, signs, length):
            run(pattern, called, text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return time.process_time() - begun


def check(pattern: re.Pattern[str], called: set[str], signs: list[str] = SIGNS) -> None:
    short = seconds(pattern, called, signs, LENGTH // 10, LIMIT_S)
    seconds(pattern, called, signs, LENGTH, max(LIMIT_S, 20 * short))


@pytest.mark.skipif(not hasattr(signal, "SIGVTALRM"), reason="needs POSIX timers")
@pytest.mark.parametrize("name", patterns())
def test_an_expression_is_linear(name: str) -> None:
    check(*patterns()[name])


@pytest.mark.skipif(not hasattr(signal, "SIGVTALRM"), reason="needs POSIX timers")
@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_patterns_are_linear(part: int) -> None:
    by_role = shipped()._anchors.values()
    found = list({id(p): p for anchors in by_role for p in anchors._patterns.values()}.values())
    assert len(found) > 300
    for pattern in found[part::PARTS]:
        check(pattern.regex("without subjects"), {"finditer"}, [" a", " ,", "\x1flike", " ."])


@pytest.mark.skipif(not hasattr(signal, "SIGVTALRM"), reason="needs POSIX timers")
@pytest.mark.parametrize("wrong", [r"\s+x", r"[^\S\n]*,?[^\S\n]*x", r"^(?:\W*(?:so|um)\b\W*)*what"])
def test_one_that_is_not_is_found(wrong: str) -> None:
    with pytest.raises(TimeoutError):
        check(re.compile(wrong), {"search"})
