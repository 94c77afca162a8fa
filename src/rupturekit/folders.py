"""A folder of outputs that appears whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``out`` once it is full; nothing is left of it if that fails.

    Raises
    ------
    FileExistsError
        If ``out`` is a file, or has something in it.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_folder(Path(folder, "out")) as parts:
    ...         _ = (parts / "a.txt").write_text("a")
    ...     [path.name for path in Path(folder, "out").iterdir()]
    ['a.txt']
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not an empty folder; give another")
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(prefix=".rupturekit-", dir=out.parent))
    try:
        yield parts
        if out.exists():
            out.rmdir()
        parts.rename(out)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    out.chmod(0o755)
