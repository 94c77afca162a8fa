"""How long does agreement between coders take, from codings to the table with its intervals?

    python benchmarks/agreement.py [--turns 100000] [--coders 3] [--clients 200] [--draws 2000]

Made-up sessions of 200 turns of a few words, half of them the client's. One turn in ten has a marker, which each coder
gives with probability 0.8, and gives elsewhere with 0.02. Wanted: under 30 seconds at each level.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from rupturekit import AnnotatedTranscript, Coded, Marker, Transcript, Turn, agreement, load_codebook
from rupturekit.annotation import FAMILIES

LENGTH = 200
TALK = "Well, I guess so, if you say that it helps."


def sessions(turns: int, coders: int, clients: int) -> list[AnnotatedTranscript]:
    rng = np.random.default_rng(0)
    book = load_codebook()
    entries = {role: [m for m in book.markers if m.speaker == role] for role in ("client", "therapist")}
    out = []
    for s in range(turns // LENGTH):
        roles = [("therapist", "client")[i % 2] for i in range(LENGTH)]
        talk = tuple(Turn(i, role, role, TALK, 6.0 * i, 6.0 * i + 5) for i, role in enumerate(roles))  # type: ignore[arg-type]
        there = rng.random(LENGTH) < 0.1
        given = rng.random((coders, LENGTH)) < np.where(there, 0.8, 0.02)
        markers, coded = [], []
        for coder in range(coders):
            source = f"coder:{'ABCDEFGH'[coder]}"
            for i in np.flatnonzero(given[coder]):
                entry = entries[roles[i]][int(rng.integers(len(entries[roles[i]])))]
                clarity = int(rng.integers(1, 4))
                markers.append(Marker(int(i), 6, 16, entry.parent, entry.id, clarity=clarity, source=source))
            coded += [Coded(source, family, 0, LENGTH - 1) for family in FAMILIES]
        meta = {"client_id": f"K{s % clients}"}
        out.append(AnnotatedTranscript(Transcript(f"s{s}", talk, meta=meta), tuple(markers), coded=tuple(coded)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--coders", type=int, default=3)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    coded = sessions(arguments.turns, arguments.coders, arguments.clients)
    for level in ("turn", "segment", "session"):
        start = time.perf_counter()
        found = agreement(coded, level=level, draws=arguments.draws)  # type: ignore[arg-type]
        print(
            f"by {level:8}{time.perf_counter() - start:6.1f} s   {len(found.table)} figures of {len(found.names)} names"
        )
    print(f"{arguments.turns} turns × {arguments.coders} coders, {found.n['clients']} clients, {arguments.draws} draws")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
