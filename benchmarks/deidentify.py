"""What de-identification finds and misses, on invented sessions with planted identifiers; a Markdown table.

    python benchmarks/deidentify.py [--recogniser NAME] [--sessions 200]

Every session is made of frames with slots, each filled by an identifier, of many origins. Frames and fillers are other
than those that the patterns were written on, and most names are outside of the lists on purpose (`UNLISTED`). Sessions
are written in two ways: as people transcribe, and as captions are (small letters, no stops). An identifier counts as
found if no part of it is left. Words wrongly replaced are those of turns in which nothing was planted.
Not measured: real talk, in which names stand in more ways than here.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter

import rupturekit as rk
from rupturekit.deidentify import deidentify

LISTED = "Priyanka Kwabena Siobhan Mateo Agnieszka Yusuf Latisha Hiroshi Thandiwe Dmitri Rosalind Gurpreet".split()
UNLISTED = (
    "Ifunanya Tadhg Wenceslas Nkiruka Oyelaran Ylva Btissam Jarrod Marisela Thuy Xochitl Kyrie Zbigniew Makana "
    "Brynhild Ottoline Rajvir Sunniva Tavita Anouk Deshawn Keturah Lesedi"
).split()
FAMILY = (
    "Okereke Nakagawa Abernathy Vandersloot Chikwanha Petrosyan Gudmundsdottir Achterberg Bhattarai Quispe Delacroix "
    "Siriwardena Mbatha Lindqvist Tamihana Wolanski Pappas"
).split()
WORDS_TOO = "Grace Will Faith Dawn Mark Rose Hope Summer".split()
PLACES = "Leeds Lagos Porto Denver Todmorden Ballyshannon Kalamazoo Wadebridge Nsukka Trollhattan".split()

SLOTS = {
    "given name": LISTED + UNLISTED,
    "family name": FAMILY,
    "name that is a word": WORDS_TOO,
    "place": PLACES,
    "organisation": "Brightmoor Hexaware Tillingbourne Osterley".split(),
    "date": ["14 February", "the 9th of November", "October 2nd, 2021", "07/09/2018", "August", "21 Sept"],
    "age over 89": ["92", "ninety six", "101"],
    "phone": ["07700 900481", "(617) 555-0142", "+44 161 496 0733", "555 0199 211"],
    "e-mail": ["jo.b77@example.net", "the_oak@mail.example.org"],
    "web": ["www.example.net/about", "https://example.org/u/77"],
    "address": ["17 Hollybush Lane", "340 Cedar Ridge Road", "BS6 5RT", "Flat 12b", "6 Quay Street"],
    "number": ["MRN 0048213", "case number AX-20931", "943 476 5870", "219-09-9999", "4929 1234 5678 9010"],
}
FRAMES = [
    "I was out with {given name} again and we ended up arguing.",
    "{given name} told me I should come back here.",
    "So {given name} {family name} was at the door.",
    "Everyone at {organisation} thinks it is my fault.",
    "It's what {given name}'s sister always says about me.",
    "Mrs {family name} from the office wrote it down.",
    "I just wish {name that is a word} had asked me first.",
    "My friend {name that is a word} said the same.",
    "We moved from {place} when I was nine.",
    "They still live near {place}, and I hardly go.",
    "It happened on {date}, I won't forget it.",
    "Since {date} I have not slept well.",
    "My gran is {age over 89} years old and sharper than me.",
    "He's {age over 89} now and he still drives.",
    "You can reach me on {phone} if it gets bad.",
    "Write to {e-mail}, I read that one.",
    "I put it all up on {web} last night.",
    "I'm at {address} for now, with my cousin.",
    "The letter had {number} on top.",
]
FILLER = [
    "I don't know, it's just hard to say what I want.",
    "Honestly I will try, but not this week... I may be tired.",
    "Last Monday my Mum rang and we talked about Christmas.",
    "Work has been busy, and seven out of ten days I feel low.",
    "The CBT sheets did not really help, to be fair.",
    "He goes quiet, you know, and then I get cross about 90 minutes later.",
    "Well, in 2015 I had the same thing with my Polish class.",
    "I hope the summer brings some grace, or at least a rose or two.",
    "Nothing changes. Nobody listens. Therapy is slow.",
]
_MARK = re.compile(r"\[[A-Z]+_\d+\]")
_PART = re.compile(r"[^\W_]{2,}")


def styled(text: str, captions: bool) -> str:
    return re.sub(r"[,?!]|\.(?=\s|$)", "", text).lower() if captions else text


def measure(captions: bool, recogniser: str | None, n: int) -> tuple[Counter[str], Counter[str], int, int]:
    """Return by kind how many were planted and found, and how many other words were replaced, of how many."""
    rng = random.Random(8)
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    wrong = total = 0
    for _ in range(n):
        turns, slots = [], []
        for index in range(12):
            text = rng.choice(FRAMES if rng.random() < 0.5 else FILLER)
            kinds = re.findall(r"{([^}]+)}", text)
            values = [rng.choice(SLOTS[kind]) for kind in kinds]
            for kind, value in zip(kinds, values):
                text = text.replace("{" + kind + "}", value, 1)
            slots.append([(kind, styled(value, captions)) for kind, value in zip(kinds, values)])
            role, speaker = ("therapist", "T") if index % 4 == 3 else ("client", "C")
            turns.append(rk.Turn(index, speaker, role, styled(text, captions)))
        hidden = deidentify(rk.Transcript("s", tuple(turns)), recogniser=recogniser).transcript
        for turn, after, here in zip(turns, hidden, slots):
            left = Counter(_PART.findall(_MARK.sub(" ", after.text)))
            for kind, value in here:
                parts = _PART.findall(re.sub(r"(?i)mrn|case number|\bthe\b|\bof\b|flat", "", value))
                planted[kind] += 1
                found[kind] += not any(left[part] for part in parts)
            if not here:
                said = Counter(_PART.findall(turn.text))
                total += sum(said.values())
                wrong += sum((said - left).values())
    return planted, found, wrong, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recogniser", help="an installed spaCy pipeline, measured beside none")
    parser.add_argument("--sessions", type=int, default=200)
    args = parser.parse_args()
    ways = [(captions, r) for captions in (False, True) for r in dict.fromkeys((None, args.recogniser))]
    results = [measure(*way, args.sessions) for way in ways]
    heads = [("captions" if captions else "transcribed") + (", recogniser" if r else "") for captions, r in ways]
    print("| found, of those planted | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for kind in SLOTS:
        print(f"| {kind} | " + " | ".join(f"{f[kind] / p[kind]:.0%} of {p[kind]}" for p, f, *_ in results) + " |")
    print("| all | " + " | ".join(f"{f.total() / p.total():.1%} of {p.total()}" for p, f, *_ in results) + " |")
    print("| words wrongly replaced in 1,000 | " + " | ".join(f"{1000 * w / n:.1f}" for *_, w, n in results) + " |")


if __name__ == "__main__":
    main()
