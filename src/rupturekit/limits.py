"""How much of a file is read at most, so that a hostile one cannot take all memory.

Whoever has larger files raises a limit by the environment variable of its name, as ``RUPTUREKIT_FILE_MB=2000``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

DEFAULTS: Mapping[str, int] = {
    "RUPTUREKIT_FILE_MB": 500,
    "RUPTUREKIT_UNPACKED_MB": 250,
    "RUPTUREKIT_PARTS": 10_000,
    "RUPTUREKIT_LINES": 1_000_000,
}
"""Size of a file; of all that is read of an archive, unpacked (both in units of 2**20 bytes); its parts; lines.

A file takes mostly 4 to 12 times its size in memory while it is read, and besides at most 1.5 kB for each line. Where
many turns can stand in a line, as in JSON, it is their objects, elements or quotation marks that are counted.
"""


def limit(name: str) -> int:
    """Return a limit: what the environment says, else the default.

    Raises
    ------
    ValueError
        If the environment has something else there than a whole number.

    Examples
    --------
    >>> limit("RUPTUREKIT_PARTS")
    10000
    """
    value = os.environ.get(name, "")
    if value and not (value.isascii() and value.isdigit()):
        raise ValueError(f"the environment variable {name} is not a whole number; correct it, or take it out")
    return int(value or DEFAULTS[name])
