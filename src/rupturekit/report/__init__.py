"""Pages to look at: one for each session, one for all of them. They need no network and nothing beside themselves.

`session_page` and `corpus_page` are strings of HTML; `write` puts a folder of them together::

    OUT/index.html             the corpus
    OUT/sessions/S1.html       a session; a name that no file can bear is spelled otherwise

Every string from a transcript goes through Jinja2's autoescaping, or through `embedded` where a script reads it.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..annotation import AnnotatedTranscript, Family
from ..folders import file_stem, whole_folder

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..codebook import Codebook
    from .corpus import SessionRow

_HEAD = 1 << 16  # bytes of a page in which it says who made it
GLYPH: Mapping[Family, str] = {
    "confrontation": "▲",
    "withdrawal": "▼",
    "resolution": "◆",
    "therapist_defensive": "■",
}
"""A family's shape: none is told by its colour alone."""
LABEL: Mapping[str, str] = {
    "confrontation": "Confrontation",
    "withdrawal": "Withdrawal",
    "resolution": "Resolution",
    "therapist_defensive": "Therapist defensiveness",
}
"""What a reader calls a family."""


def write(
    sessions: Iterable[AnnotatedTranscript],
    out: str | PathLike[str],
    codebook: Codebook | None = None,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write a page for each session, and one for all of them.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
        They are gone through once, and of each no more is held than the corpus page shows.
    out : path-like
        Folder to make; it must not exist, or be empty.
    codebook : Codebook, optional
        What the markers are called; the shipped one by default.
    overwrite : bool
        Replace a folder of such pages; one that has anything else in it is left alone.

    Returns
    -------
    list of Path
        ``index.html``, then the pages of the sessions in the order in which they came. Nothing is written if one of
        them cannot be.

    Raises
    ------
    FileExistsError
        If ``out`` has something in it.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit import Transcript, Turn
    >>> session = Transcript("s 1", (Turn(0, "C", "client", "I guess."),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write([AnnotatedTranscript(session)], Path(folder, "out"))]
    ['index.html', 's_1.html']
    """
    from .corpus import corpus_page, session_row
    from .session import session_page

    out = Path(out)
    rows: list[SessionRow] = []
    taken: set[str] = set()
    names: list[str] = []
    ours = is_pages(out)
    if ours and not overwrite:
        raise FileExistsError(f"{out} exists and is not an empty folder; give another, or --overwrite its pages")
    with whole_folder(out, replace=ours) as folder:
        (folder / "sessions").mkdir()
        for annotated in sessions:
            names.append(f"{file_stem(annotated.transcript.id, taken)}.html")
            _save(folder / "sessions" / names[-1], session_page(annotated, codebook, index="../index.html"))
            rows.append(session_row(annotated, f"sessions/{quote(names[-1])}"))
        _save(folder / "index.html", corpus_page(rows, codebook))
    return [out / "index.html", *(out / "sessions" / name for name in names)]


def is_pages(folder: Path) -> bool:
    """Tell whether a folder holds pages that `write` made, and nothing else."""
    if not (folder / "index.html").is_file():
        return False  # before what may be anybody's whole disk is gone through
    pages = folder / "sessions"
    files = [path for path in folder.rglob("*") if path != pages]
    return all(
        path == folder / "index.html" or (path.parent == pages and path.suffix == ".html") for path in files
    ) and all(map(_is_page, files))


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'<meta name="generator" content="rupturekit' in file.read(_HEAD)


def _save(path: Path, text: str) -> None:
    # an id that comes from a file's name may hold half of a surrogate pair
    path.write_bytes(text.encode("utf-8", "replace"))


@lru_cache(maxsize=1)
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("rupturekit.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["glyph"] = GLYPH
    return found


def page(template: str, **what: Any) -> str:
    """Return a page: a template of the folder ``page`` filled in."""
    return str(_templates().get_template(template).render(**what))


@lru_cache(maxsize=8)
def asset(*names: str) -> Markup:
    """Return files of the folder ``page``, one after the other, as they stand in a page.

    Examples
    --------
    >>> asset("base.css")[:2]
    Markup('/*')
    """
    from markupsafe import Markup

    folder = resources.files("rupturekit.report") / "page"
    return Markup("\n".join((folder / name).read_text("utf-8") for name in names))


def policy(style: str, script: str) -> str:
    """Return the content security policy under which this style and this script run, and nothing else.

    Examples
    --------
    >>> policy("p {}", "")[:50]
    "default-src 'none'; style-src 'sha256-..."
    """
    style_hash, script_hash = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(value: Any) -> str:
    """Return JSON that can stand between ``<script type="application/json">`` and its end, whatever is in it.

    Half a surrogate pair, as in an id from a file name that is no UTF-8, is spelled out: no page can hold it.

    Examples
    --------
    >>> print(embedded({"text": "</script>"}))
    {"text":"\\u003c/script>"}
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
