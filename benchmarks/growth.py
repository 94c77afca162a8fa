"""Does a run cost as much for each turn, however many there are, and however long a session is?

    python benchmarks/growth.py [--most 100000] [--most-with-model 10000] [--repeats 1] [--figure FILE]

Times `annotate_folder` from files to files in one process that has loaded all, for 100, 1,000 … simulated turns, as
sessions of 100 turns and as one session; rules alone and with the model. Wanted: a slope of 1 in log-log (twice the
turns, twice the time); a little under 1 where a run's own few hundredths of a second weigh on the smallest. With
``--figure``, draws seconds against turns (needs matplotlib).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import archive
import numpy as np

from rupturekit import Annotator, annotate_folder

SEED, EACH = 7, 100
WORDS_KNOWN = 5000
"""Turns after which the rules meet few new words: they keep what they know of a word, and the first are dearer."""
SHAPES = {"sessions of 100": EACH, "one session": None}


def write(folder: Path, turns: int, each: int, seed: int) -> None:
    """Write so many turns, as text files of ``each``."""
    for number in range(turns // each):
        said = archive.talk(number, each, seed)
        path = folder / f"{number // 1000:03}" / f"s{number:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.WRITERS["txt"](said))


def seconds(given: Path, annotator: Annotator) -> float:
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        report = annotate_folder(given, out, annotator, workers=0)
        took = time.perf_counter() - start
    assert all(outcome.outcome == "done" for outcome in report.inputs)
    return took


def sizes(most: int) -> Iterator[int]:
    size = 100
    while size <= most:
        yield size
        size *= 10


def slope(points: list[tuple[int, float]]) -> float:
    turns, took = np.log10(points).T
    return float(np.polyfit(turns, took, 1)[0])


def draw(curves: dict[str, list[tuple[int, float]]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(
        xscale="log", yscale="log", xlabel="turns", ylabel="seconds, files to files, one core", axisbelow=True
    )
    for name, points in curves.items():
        rules = name.startswith("rules")
        line = "--" if "one session" in name else "-"
        axes.plot(*zip(*points), line, marker="o", markersize=4, color="C0" if rules else "C1", label=name)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=100_000, help="turns of the largest run, rules only")
    parser.add_argument("--most-with-model", type=int, default=10_000, help="the same with the model")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--figure", type=Path, help="SVG or PNG file to draw into")
    arguments = parser.parse_args()
    annotators = {"rules only": Annotator(model=None), "with the model": Annotator()}
    most = {"rules only": arguments.most, "with the model": arguments.most_with_model}
    took: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for which, turns in (("rules only", WORDS_KNOWN), ("with the model", EACH)):
            write(folder / f"warm {turns}", turns, EACH, SEED + 1)
            seconds(folder / f"warm {turns}", annotators[which])
        for size in sizes(max(most.values())):
            for shape, each in SHAPES.items():
                write(folder / f"{shape} {size}", size, each or size, SEED)
        for _ in range(arguments.repeats):
            for size in sizes(max(most.values())):
                for shape in SHAPES:
                    for which, annotator in annotators.items():
                        if size <= most[which]:
                            name = f"{which}, {shape}"
                            took.setdefault((name, size), []).append(seconds(folder / f"{shape} {size}", annotator))
    print("| | turns | seconds | seconds for 1,000 turns |\n|---|---|---|---|")
    curves: dict[str, list[tuple[int, float]]] = {}
    for (name, size), times in sorted(took.items()):
        curves.setdefault(name, []).append((size, median(times)))
        shown = f"{median(times):.2f} ({min(times):.2f}–{max(times):.2f})"
        print(f"| {name} | {size:,} | {shown} | {1000 * median(times) / size:.3f} |")
    print("\n| | slope in log-log | its last step |\n|---|---|---|")
    for name, points in curves.items():
        if len(points) > 1:
            print(f"| {name} | {slope(points):.3f} | {slope(points[-2:]):.3f} |")
    if arguments.figure:
        draw(curves, arguments.figure)


if __name__ == "__main__":
    main()
