"""What every reader starts from and hands on: a source file, utterances, sessions, and the error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rupturekit.transcript import Role


class ReadError(ValueError):
    """A file could not be read as a transcript; says what was found, where, and what to do about it."""


COUNTS = ("header_lines", "duplicate_rows", "tiers_left_out", "cells_left_out", "labels_in_talk")
"""What a session's ``meta`` counts (`RawSession`)."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance as the input had it, before roles and merging.

    ``speaker`` is None where the input names none. ``line`` is the 1-based line or row in the file.
    ``source_id`` is the input's own number of the utterance.
    """

    speaker: str | None
    text: str
    start_s: float | None = None
    end_s: float | None = None
    line: int | None = None
    source_id: str | None = None


@dataclass(frozen=True, slots=True)
class RawSession:
    """The utterances of one session as read from a file.

    ``id`` is the session's id in a table, else None. ``numbered`` says that the input numbers its own
    turns, which then are not merged. ``meta`` holds what else the input said of the session
    (``client_id``, ``session_number``, ``date``) and what was left out of it on purpose
    (``header_lines``, ``duplicate_rows``, ``tiers_left_out``, ``cells_left_out``: how many) or in the talk against all
    likelihood (``labels_in_talk``). ``roles`` holds the roles that it states for labels (by `speaker_key`).
    """

    id: str | None
    utterances: tuple[Utterance, ...]
    format: str
    encoding: str | None = None
    numbered: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: its path, its bytes and, for formats made of text, its decoded text.

    Line ends in ``text`` are ``\\n``. ``labels`` are those that are known to name speakers.
    """

    path: Path
    data: bytes
    text: str = ""
    encoding: str | None = None
    labels: frozenset[str] = frozenset()

    def error(self, found: str, todo: str, line: int | None = None) -> ReadError:
        """Make the error for this file; neither part may quote the file's content."""
        place = f"{self.path}, line {line}" if line is not None else str(self.path)
        return ReadError(f"{place}: {found}. {todo}")


# JSON can spell half of a surrogate pair, which no encoding can write out again.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return the text with each run of white space as one space, and otherwise as it stood.

    Examples
    --------
    >>> clean("  so\\t how\\nare you? ")
    'so how are you?'
    """
    return _LONE_SURROGATE.sub("\ufffd", " ".join(text.split()))


LATEST_S = 1e13
"""A time after which nothing is: dates in milliseconds stay below it until 2286."""
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d{1,9})?)(?:(?<=:\d\d:\d\d)[:;]\d\d)?")
_SECONDS = re.compile(r"(\d{1,15}(?:[.,]\d{1,12})?)(?:\s?(?:s|secs?|seconds?|(ms|milliseconds?))\.?)?")


def seconds(value: object) -> float | None:
    """Return a time in seconds, or None where the value is no usable time.

    Understood are numbers, ``hh:mm:ss``, ``mm:ss``, both with decimals after a point or comma, and
    seconds or milliseconds (``1500 ms``) as text. The frames in ``hh:mm:ss:ff`` are less than a second,
    and left out. What is negative, not finite or anything else is None: a session with a bad time is
    still worth reading.

    Examples
    --------
    >>> seconds("00:01:23,500"), seconds("02:05"), seconds("7.25"), seconds(-1), seconds("noon")
    (83.5, 125.0, 7.25, None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if 0 <= number <= LATEST_S else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest = clock.groups()
        # Rounded because 3600 * h + 60 * m + s picks up binary noise below the nanosecond.
        return round(3600 * int(hours or 0) + 60 * int(minutes) + float(rest.replace(",", ".")), 9)
    if plain := _SECONDS.fullmatch(text):
        return float(plain[1].replace(",", ".")) / (1000 if plain[2] else 1)
    return None


def span(start: object, end: object) -> tuple[float | None, float | None]:
    """Return start and end in seconds; an end before its start is not known."""
    start_s, end_s = seconds(start), seconds(end)
    if start_s is not None and end_s is not None and end_s < start_s:
        end_s = None
    return start_s, end_s
