"""What is told on the screen: tables, complaints, and JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 40
"""Sessions, or clients, that are shown one by one; all of them are in the files."""


def plain(text: str) -> str:
    """Take out what could steer a terminal: ids and labels come from the files."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def complain(message: str, code: int) -> int:
    """Say on standard error what went wrong, and return the exit code."""
    print("\n".join(map(plain, f"rupturekit: {message}".split("\n"))), file=sys.stderr)
    return code


def print_json(what: Any) -> None:
    """Print one JSON document, for programs; what is undefined (NaN) is null."""
    print(json.dumps(_finite(what), ensure_ascii=False, indent=1, allow_nan=False, default=str))


def _finite(what: Any) -> Any:
    if isinstance(what, Mapping):
        return {str(name): _finite(value) for name, value in what.items()}
    if isinstance(what, (list, tuple)):
        return [_finite(value) for value in what]
    if hasattr(what, "tolist"):  # numpy's numbers and arrays
        return _finite(what.tolist())
    return None if isinstance(what, float) and not math.isfinite(what) else what


def print_table(header: Sequence[object], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a table: with rules and bold on a terminal, aligned text anywhere else."""
    cells = [[plain(str(cell)) for cell in row] for row in (header, *rows)]
    if sys.stdout is not None and sys.stdout.isatty():
        _drawn(cells, title)
        return
    if title:
        print(f"{title}:")
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for first, *rest in cells:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *numbers]).rstrip())


def _drawn(cells: Sequence[Sequence[str]], title: str) -> None:
    # rich looks at NO_COLOR, TERM and the width itself
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for number, name in enumerate(cells[0]):
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in cells[1:]:
        # as Text: brackets in an id are no markup
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
