"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..transcript import ROLES

if TYPE_CHECKING:
    from ..annotation import AnnotatedTranscript
    from ..inputs import Reading


def add_parser(commands: Any, name: str, help: str, description: str) -> argparse.ArgumentParser:
    """Add a command; every one can answer in JSON."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, formatter_class=_WithDefaults
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, for programs")
    return parser


class _WithDefaults(argparse.HelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str:
        return "; ".join(filter(None, (action.help, if_not_given(action))))


def if_not_given(action: argparse.Action) -> str:
    """Return what a help text says of an option's default; nothing where there is none."""
    default = action.default
    # 0 is a default, and equals False
    none = default is None or default is False or default in ("", [], argparse.SUPPRESS)
    if none or action.required or not action.option_strings:
        return ""
    return f"{format(default, 'g') if isinstance(default, float) else default} if not given"


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add how to read what is not found out right."""
    group = parser.add_argument_group("reading, where it is not found out right")
    group.add_argument(
        "--roles",
        type=_roles,
        metavar="LABEL=ROLE,…",
        help='who is who: "Speaker 1=therapist,Speaker 2=client"; roles are client, therapist, other; a label '
        'may hold commas: "Tan, Jake=client"',
    )
    group.add_argument(
        "--columns",
        type=pairs,
        metavar="FIELD=NAME,…",
        help="which column of a table holds what: text=utterance,speaker=who,session=id; fields are text, speaker, "
        "start, end, turn, session, client_id, group, session_number and date",
    )
    group.add_argument("--input-format", metavar="NAME", help="text, docx, vtt, csv, json, …")
    group.add_argument("--encoding", metavar="NAME", help="such as utf-8, utf-16, cp1252")


def pairs(text: str) -> dict[str, str]:
    """Return what an option of the form NAME=VALUE,… says; a name may hold commas."""
    found: dict[str, str] = {}
    # a comma parts two of them only after a value: the others belong to the name
    for part in re.findall(r"(?:^|,)([^=]*=?[^,]*)", text):
        name, equals, value = (piece.strip() for piece in part.rpartition("="))
        if not (name and equals and value):
            raise argparse.ArgumentTypeError("give NAME=VALUE,NAME=VALUE")
        if name in found:
            raise argparse.ArgumentTypeError(f"{name} is given twice")
        found[name] = value
    return found


def _roles(text: str) -> dict[str, str]:
    roles = pairs(text)
    if wrong := sorted(set(roles.values()) - set(ROLES)):
        raise argparse.ArgumentTypeError(f"no role {', '.join(wrong)}; roles are {', '.join(ROLES)}")
    return roles


def reading_of(args: argparse.Namespace) -> Reading:
    """Return how to read, as the options say."""
    from ..inputs import Reading, read_clients

    clients = getattr(args, "clients", None)
    return Reading(
        args.roles, args.input_format, args.columns, args.encoding, read_clients(clients) if clients else None
    )


def add_annotated(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add where annotated sessions are."""
    parser.add_argument(
        "annotated",
        nargs="+" if several else None,
        type=Path,
        metavar="ANNOTATED",
        help="folder that annotate wrote, or a JSONL file",
    )


def add_codebook(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a codebook."""
    parser.add_argument(
        "--codebook",
        default="3rs-2015",
        metavar="NAME",
        help="the codes' codebook: a name, or a .toml file of your own",
    )


def annotated(path: Path) -> list[AnnotatedTranscript]:
    """Read annotated sessions or codings, whichever a path holds."""
    from ..coding import read_codings
    from ..tables import load

    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if (path / "annotations.jsonl").is_file() or path.suffix == ".jsonl":
        return load(path)
    return read_codings(path)


def exchange_formats() -> Sequence[str]:
    """Return the formats of other tools."""
    from ..exchange import FORMATS

    return tuple(FORMATS)


def tools() -> str:
    """Return them for a help text."""
    return "one of " + ", ".join(exchange_formats())
