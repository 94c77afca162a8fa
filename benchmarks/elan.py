"""How long does an ELAN file take? A 50-minute session of 500 annotations, in, out with markers, and back in.

    python benchmarks/elan.py [--times 10]

Wanted: under 2 seconds for each step. With ``--times`` the session is that many times as long: each step should take
about as many times as long, and no more. The talk is made up of a few sentences; each of a client's turns gets two
markers of the machine's and two of each of two coders'.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rupturekit import AnnotatedTranscript, Marker, export, import_codes, read_all

ASKED = ("How was the week for you?", "And what did you make of that?", "Say a little more about it, if you like.")
TOLD = (
    "It went by like the others, mostly work and then the long way home.",
    "I don't know. I thought about it, and then I thought about something else.",
    "My sister called again about the house, and we talked for an hour or so until she had to go.",
)
MINUTES, ANNOTATIONS = 50, 500


def talk(times: int) -> str:
    """Return an EAF file of two speakers who take turns."""
    each = MINUTES * 60_000 // ANNOTATIONS
    slots, tiers = [], {"Therapist": "", "Client": ""}
    for n in range(ANNOTATIONS * times):
        for slot, moment in ((2 * n + 1, n * each), (2 * n + 2, n * each + each - 300)):
            slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{slot}" TIME_VALUE="{moment}"/>')
        speaker, words = (("Therapist", ASKED), ("Client", TOLD))[n % 2]
        tiers[speaker] += (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n + 1}" TIME_SLOT_REF1="ts{2 * n + 1}" '
            f'TIME_SLOT_REF2="ts{2 * n + 2}"><ANNOTATION_VALUE>{words[n % 3]}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>\n"
        )
    inside = "".join(f'<TIER LINGUISTIC_TYPE_REF="talk" TIER_ID="{id}">\n{said}</TIER>\n' for id, said in tiers.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">\n'
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n</HEADER>\n'
        f"<TIME_ORDER>\n{chr(10).join(slots)}\n</TIME_ORDER>\n{inside}"
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="talk" TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )


@contextmanager
def timed(step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{step:<44}{time.perf_counter() - start:8.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder, "session.eaf")
        original.write_text(talk(arguments.times), "utf-8")
        with timed("in (reading, turns, roles)"):
            (transcript,) = read_all(original)
        markers = [
            Marker(turn.index, start, start + 9, "withdrawal", name, source=source)
            for turn in transcript.of("client")
            for source in ("model", "coder:A", "coder:B")
            for start, name in ((0, "minimal_response"), (4, "topic_shift"))
        ]
        session = AnnotatedTranscript(transcript, tuple(markers))
        for step, originals in (("a copy with new tiers", {transcript.id: original}), ("a fresh file", {})):
            with timed(f"out: {step}"):
                (file,) = export([session], "eaf", Path(folder, step), originals=originals)
            with timed("back in"):
                (coding,) = import_codes(file, "eaf", [transcript], coder="C")
            assert len(coding.markers) == len(markers)
    print(f"{len(transcript)} turns, {len(markers)} markers")


if __name__ == "__main__":
    main()
