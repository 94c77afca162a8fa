"""How long do the agreement coefficients and their intervals take?

    python benchmarks/agreement.py [--turns 100000] [--coders 3] [--clients 200] [--draws 2000]

Made-up binary codes, one in ten turns marked and one code in twenty missing; then the same number of turns with spans.
Wanted: well under 30 seconds for all coefficients of binary codes, in bounded memory.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from rupturekit.coefficients import (
    PABAK,
    Against,
    Alpha,
    BiasIndex,
    FleissKappa,
    GwetAC,
    Kappa,
    PrevalenceIndex,
    RawAgreement,
    SpanF1,
    SpecificAgreement,
    UnitizedAlpha,
    exact_matches,
    resample,
    unitized,
)

BINARY = (0.0, 1.0)
COEFFICIENTS = (
    RawAgreement(),
    SpecificAgreement(1),
    SpecificAgreement(0),
    Kappa(BINARY),
    FleissKappa(BINARY),
    Alpha(BINARY),
    GwetAC(BINARY),
    PABAK(BINARY),
    PrevalenceIndex(),
    BiasIndex(),
    Against("precision", 0, (1, 2)),
    Against("recall", 0, (1, 2)),
    Against("F1", 0, (1, 2)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--coders", type=int, default=3)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    marked = rng.random(arguments.turns) < 0.1
    chance = np.where(marked, 0.8, 0.02)[:, None]
    codes = (rng.random((arguments.turns, arguments.coders)) < chance).astype(float)
    codes[rng.random(codes.shape) < 0.05] = np.nan
    client = rng.integers(0, arguments.clients, arguments.turns)

    start = time.perf_counter()
    for name, (point, low, high) in resample(COEFFICIENTS, codes, client, arguments.draws).items():
        print(f"{name:32}{point:7.3f} ({low:.3f}–{high:.3f})")
    print(f"{len(COEFFICIENTS)} coefficients of binary codes: {time.perf_counter() - start:.1f} s\n")

    start = time.perf_counter()
    spans = [[[(5, 20)] if code == 1 else [] for code in turn if not np.isnan(code)] for turn in codes]
    rows = np.array([unitized(80, turn) for turn in spans])
    told = resample([UnitizedAlpha()], rows, client, arguments.draws)
    rows = np.array([exact_matches(turn[0], turn[1]) if len(turn) > 1 else np.zeros(3) for turn in spans])
    told |= resample([SpanF1()], rows, client, arguments.draws)
    for name, (point, low, high) in told.items():
        print(f"{name:32}{point:7.3f} ({low:.3f}–{high:.3f})")
    print(f"spans: {time.perf_counter() - start:.1f} s\n")

    print(f"{arguments.turns} turns × {arguments.coders} coders, {arguments.clients} clients, {arguments.draws} draws")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
