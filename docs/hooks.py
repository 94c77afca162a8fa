"""Pages that are made when the site is built, from what they are about: the codebook, the rules, the parser.

MkDocs calls `on_config`, `on_files` and `on_page_markdown` (`hooks` in ``mkdocs.yml``). Nothing made here is
kept in the repository. In a page, ``<!-- from README.md: What you get -->`` stands for that section of that file.
"""

from __future__ import annotations

import argparse
import html
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from rupturekit.annotation import FAMILIES
from rupturekit.cli import parser as command_line
from rupturekit.cli.options import if_not_given
from rupturekit.codebook import CodebookMarker, load_codebook, load_crosswalk
from rupturekit.rules import Rule, _load
from rupturekit.segment import SESSION_FLAGS, TURN_FLAGS

ROOT = Path(__file__).parents[1]

WHOLE: Mapping[str, str] = {
    "changelog.md": "CHANGELOG.md",
    "examples.md": "examples/README.md",
    "measurements.md": "benchmarks/README.md",
    "model-card.md": "models/withdrawal-en/README.md",
    "notebooks.md": "notebooks/README.md",
    "security.md": "SECURITY.md",
}
"""Pages that are a file of the repository."""
PAGE_OF: Mapping[str, str] = {
    **{file: page for page, file in WHOLE.items()},
    "CITATION.cff": "cite.md",
    "README.md": "index.md",
    "src/rupturekit/data/codebook/3rs-2015.toml": "codebook/index.md",
}
"""Where a link to a file of the repository leads in the site."""
MEANING: Mapping[str, str] = {
    "confrontation": "The client moves against the therapist or the work.",
    "withdrawal": "The client moves away from the therapist or the work, or goes along with them too easily.",
    "resolution": "The therapist takes the rupture up, openly or by changing what is done.",
    "therapist_defensive": "The therapist adds to the rupture.",
}

_INCLUDED = re.compile(r"^<!-- from (\S+): (.+) -->$", re.MULTILINE)
_LINK = re.compile(r"\[([^\[\]]+)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")
_SLOT = re.compile(r"<(\w+)>")


def on_config(config: MkDocsConfig) -> None:
    """List the markers' pages in the navigation, under their families."""
    book = load_codebook()
    codebook = next(entry["Codebook"] for entry in config.nav or () if "Codebook" in entry)
    codebook += [{_title(family): [f"codebook/{marker.id}.md" for marker in book.of(family)]} for family in FAMILIES]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are made."""
    for uri, text in pages():
        files.append(File.generated(config, uri, content=text))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in sections of other files, and let links between files of the repository lead to their pages."""
    uri = page.file.src_uri
    own = _linked(markdown, WHOLE.get(uri, f"docs/{uri}"), uri)
    return _INCLUDED.sub(lambda found: _linked(section(found[1], found[2]), found[1], uri), own)


def section(file: str, heading: str) -> str:
    """Return what stands under a second-level heading of a file of the repository.

    Raises
    ------
    ValueError
        If the file has no such heading.
    """
    _, found, rest = (ROOT / file).read_text("utf-8").partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"{file} has no heading '## {heading}'; a page of the documentation shows that section")
    return rest.partition("\n## ")[0].strip()


def _linked(text: str, source: str, page: str) -> str:
    """Return a page with its links seen from the site; a file that is no page of it is named and not linked."""

    def to_page(link: re.Match[str]) -> str:
        label, target, anchor = link.groups("")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        uri = PAGE_OF.get(file, file)
        if uri == file and not file.startswith("docs/") and (ROOT / file).exists():
            return label if file.endswith(label.strip("`")) else f"{label} (`{file}`)"
        return f"[{label}]({posixpath.relpath(uri.removeprefix('docs/'), posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(to_page, text)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the address and the text of each page that is made."""
    for uri, file in WHOLE.items():
        yield uri, (ROOT / file).read_text("utf-8")
    yield "cite.md", _cite()
    yield "reference/command-line.md", _command_line()
    yield "reference/flags.md", _flags()
    yield "codebook/index.md", _codebook()
    yield "codebook/rules.md", _rule_list()
    for marker in load_codebook().markers:
        yield f"codebook/{marker.id}.md", _marker(marker)


def _title(family: str) -> str:
    return family.replace("_", " ").capitalize()


def _text(words: str) -> str:
    """Return words so that Markdown shows them as they are."""
    return re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", html.escape(words, quote=False))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- codebook and rules ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _rules() -> tuple[tuple[Rule, ...], Mapping[str, tuple[str, ...]]]:
    book = load_codebook()
    rules, slots, _ = _load(None, book)
    order = [marker.id for marker in book.markers]
    return tuple(sorted(rules, key=lambda rule: (order.index(rule.marker), rule.id))), slots


def _rules_of(marker: str) -> list[Rule]:
    return [rule for rule in _rules()[0] if rule.marker == marker]


def _codebook() -> str:
    book = load_codebook()
    parts = [
        "# The markers",
        "A *marker* is what somebody says that shows a rupture of the alliance, or an answer to one. Codes are given "
        "turn by turn. What decides a close call stands in [Close calls](close-calls.md).",
        "The names derive from the Rupture Resolution Rating System (3RS; [references](../cite.md)); the definitions "
        f"are in this project's words. Codebook `{book.name}`, version {book.version}. Not endorsed by the 3RS's "
        "authors.",
    ]
    for family in FAMILIES:
        rows = [
            (m.code, f"[{m.label}]({m.id}.md)", f"`{m.id}`", str(len(_rules_of(m.id))), m.source)
            for m in book.of(family)
        ]
        speaker = book.of(family)[0].speaker
        parts += [
            f"## {_title(family)}",
            f"{MEANING[family]} Coded on the {speaker}'s turns.",
            _table(["code", "marker", "name in the outputs", "rules", "from"], rows),
        ]
    return "\n\n".join(parts) + "\n"


def _marker(marker: CodebookMarker) -> str:
    rules = _rules_of(marker.id)
    whence = "the 3RS; the definition is in this project's words" if marker.source == "3RS" else "this project"
    counterpart = load_crosswalk()[marker.id]
    facts = [
        ("code", marker.code),
        ("name in the outputs", f"`{marker.id}`"),
        ("family", f"[{_title(marker.parent).lower()}](index.md#{marker.parent.replace('_', '-')})"),
        ("coded on", f"the {marker.speaker}'s turns"),
        ("from", whence),
        ("in the scheme of 2022", f"{counterpart}. {counterpart.note}".strip()),
    ]
    parts = [
        f"# {marker.code} {marker.label}",
        f"**Counts.** {marker.definition}",
        f"**Does not count.** {marker.not_when}" if marker.not_when else "",
        "See also what is [never a marker by itself](close-calls.md#never-a-marker-by-itself).",
        _table(["", ""], [(f"**{name}**", fact) for name, fact in facts]),
        "## Rules",
        f"{len(rules)} {'rule finds' if len(rules) == 1 else 'rules find'} it where it is said plainly; what is said "
        "otherwise is left to the [classifier](../model-card.md). Patterns are read as [How a rule is "
        "written](../rules.md) says. A weight is what the rule's author expected of it, not what was measured: that is "
        "in [Measurements](../measurements.md).",
        *(_rule(rule, marker.speaker) for rule in rules),
    ]
    if slots := _slots_of(rules):
        values = [f"<{name}> = {' | '.join(_rules()[1][name])}" for name in slots]
        parts += ["## Slots", "What may stand for a name in angle brackets in the patterns above.", _code(values)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _rule(rule: Rule, speaker: str) -> str:
    facts = [f"Weight {rule.weight:g}."]
    if rule.allow:
        facts.append(f"Not silenced by: {', '.join(rule.allow)}.")
    if rule.after:
        facts.append(f"Only after: {', '.join(kind.replace('_', ' ') for kind in rule.after)}.")
    if rule.alone:
        facts.append("Only when it is all that the turn says.")
    return "\n\n".join([
        f"### {rule.id}",
        f"{rule.why} {' '.join(facts)}",
        _code(rule.patterns),
        "**Hits**",
        _examples(rule.hits, speaker),
        "**Misses**",
        _examples(rule.misses, speaker),
    ])  # fmt: skip


def _code(lines: Iterable[str]) -> str:
    return "\n".join(["```text", *lines, "```"])


def _examples(turns: Iterable[str | tuple[str, str]], speaker: str) -> str:
    other = "therapist" if speaker == "client" else "client"

    def shown(turn: str | tuple[str, str]) -> str:
        if isinstance(turn, str):
            return f"“{_text(turn)}”"
        return f"{other}: “{_text(turn[0])}” – {speaker}: “{_text(turn[1])}”"

    return "\n".join(f"* {shown(turn)}" for turn in turns)


def _slots_of(rules: Iterable[Rule]) -> list[str]:
    """Return the slots in the rules' patterns, and those within these."""
    found: set[str] = set()
    new = {name for rule in rules for pattern in rule.patterns for name in _SLOT.findall(pattern)}
    while new:
        found |= new
        new = {name for slot in new for value in _rules()[1][slot] for name in _SLOT.findall(value)} - found
    return sorted(found)


def _rule_list() -> str:
    rows = [
        (f"[{rule.id}]({rule.marker}.md#{rule.id.lower()})", f"`{rule.marker}`", _text(rule.why), f"{rule.weight:g}")
        for rule in _rules()[0]
    ]
    parts = [
        "# All rules",
        f"{len(rows)} rules. The id is the `rule_id` of `markers.csv`; it leads to the rule with its patterns, and the "
        "turns that it must hit and must miss. The tests run every one of them.",
        _table(["rule", "marker", "what it tells the coder", "weight"], rows),
    ]
    return "\n\n".join(parts) + "\n"


# --- outputs and command line ---------------------------------------------------------------------------


def _flags() -> str:
    parts = [
        "# Flags",
        "What to beware of, in the column `flags` of `turns.csv` and `sessions.csv`. A flag changes no score.",
        "## Of a turn",
        _table(["flag", "meaning"], [(f"`{name}`", _text(meaning)) for name, meaning in TURN_FLAGS.items()]),
        "## Of a session",
        _table(["flag", "meaning"], [(f"`{name}`", _text(meaning)) for name, meaning in SESSION_FLAGS.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _command_line() -> str:
    parser = command_line()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    summary = {action.dest: action.help or "" for action in commands._choices_actions}
    parts = [
        "# Command line",
        f"{parser.description} `rupturekit COMMAND --help` prints what stands here. Exit codes: 0 all done, 1 "
        "something failed, 2 wrong usage, 128 and more where a signal ended it (130 is Ctrl-C).",
        _table(
            ["command", "what it does"], [(f"[{name}](#{name})", _text(summary[name])) for name in commands.choices]
        ),
        *(_command(name, command) for name, command in commands.choices.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: argparse.ArgumentParser) -> str:
    # as wide wherever it is built
    command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=84)
    parts = [f"## {name}", _text(command.description or ""), _code([command.format_usage().strip()])]
    for group in command._action_groups:
        rows = [_argument(action, command) for action in group._group_actions if action.dest != "help"]
        if rows:
            title = {"positional arguments": "arguments"}.get(group.title or "", group.title or "")
            parts += [f"**{title.capitalize()}**", _table(["", ""], rows)]
    return "\n\n".join(parts)


def _argument(action: argparse.Action, command: argparse.ArgumentParser) -> tuple[str, str]:
    formatter = command._get_formatter()
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    written = [f"`{' '.join(filter(None, (name, value)))}`" for name in action.option_strings or [""]]
    told = [formatter._expand_help(action) if action.help else ""]
    if action.required and action.option_strings:
        told.append("needed")
    told.append(if_not_given(action))
    return ", ".join(written), _text("; ".join(filter(None, told)))


# --- how to cite ----------------------------------------------------------------------------------------


def _cite() -> str:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    cff = yaml.safe_load(text)
    parts = [
        "# How to cite",
        cff["message"],
        f"* {_reference(cff)}",
        "The rating system:",
        "\n".join(f"* {_reference(entry)}" for entry in cff["references"]),
        "For a reference manager, `CITATION.cff`:",
        f"```yaml\n{text.strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _reference(entry: Mapping[str, Any]) -> str:
    """Return an entry of the citation file in the manner of the APA."""
    names = [_name(author) for author in entry["authors"]]
    who = f"{', '.join(names[:-1])}, & {names[-1]}" if len(names) > 1 else names[0]
    year = entry.get("year") or entry["date-released"].year
    where = [f"*{entry['journal']}*." if "journal" in entry else ""]
    where.append(f"Version {entry['version']}." if "version" in entry else "")
    where.append(f"<https://doi.org/{entry['doi']}>" if "doi" in entry else "")
    return " ".join(filter(None, [f"{who.removesuffix('.')}. ({year}). {entry['title']}.", *where]))


def _name(author: Mapping[str, str]) -> str:
    if "name" in author:
        return author["name"]
    initials = " ".join(f"{name[0]}." for name in author["given-names"].split())
    return f"{author['family-names']}, {initials}"
