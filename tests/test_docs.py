"""The documentation site: it builds without a warning, needs no network, and what its pages show runs.

In a page, a fence says what is done with it. ``bash`` holds ``rupturekit`` commands and ``python`` a program: they run,
in order, in a folder with the example sessions (``sessions``) and two coders' work (``codes``). A fence with a title is
a file that the page tells its reader to make. ``text`` right after a fence that runs is what it prints (``...`` and
``…`` stand for anything). All others (``sh``, ``py``, ``r``, …) are only shown.
"""

from __future__ import annotations

import contextlib
import doctest
import html
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

import rupturekit as rk
from rupturekit.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
NEEDS = {"how-to/figures.md": ("matplotlib",), "how-to/outcomes.md": ("sklearn",)}
"""Packages without which a page's code cannot run."""


class Fence(NamedTuple):
    language: str
    title: str | None
    code: str


def fences(text: str) -> Iterator[Fence]:
    for language, title, code in re.findall(
        r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', text, re.DOTALL | re.MULTILINE
    ):
        yield Fence(language, title or None, code)


# --- what the pages show ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what every page finds: sessions, and what two coders gave."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples" / "sessions", folder / "sessions")
    coded_by = runpy.run_path(str(ROOT / "examples" / "study" / "study.py"))["coded_by"]
    transcripts = [t for path in sorted((folder / "sessions").iterdir()) for t in rk.read_all(path)]
    (folder / "codes").mkdir()
    for coder in ("AB", "CD"):
        coding = coded_by(coder, [rk.AnnotatedTranscript(t) for t in transcripts])
        (folder / "codes" / f"{coder}.jsonl").write_text("".join(s.to_json() + "\n" for s in coding), "utf-8")
    return folder


def run(fence: Fence, names: dict[str, Any]) -> str:
    """Run a fence in the working folder, and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if fence.language == "python":
            exec(compile(fence.code, "<page>", "exec"), names)
        for line in fence.code.splitlines() if fence.language == "bash" else ():
            program, *arguments = shlex.split(line)
            assert program == "rupturekit", f"only rupturekit runs in a bash fence: {line}"
            assert main(arguments) == 0, line
    return printed.getvalue()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if re.search("```(bash|python)", (DOCS / page).read_text("utf-8"))]
)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(
    page: str, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in NEEDS.get(page, ()):
        pytest.importorskip(package, reason=f"the code of {page} needs {package}")
    shutil.copytree(given, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = None
    for fence in fences((DOCS / page).read_text("utf-8")):
        if fence.title:
            Path(fence.title).write_text(fence.code, "utf-8")
        elif fence.language in ("bash", "python"):
            printed = run(fence, names)
            continue
        elif fence.language == "text" and printed is not None:
            wanted = fence.code.replace("…", "...")
            same = doctest.OutputChecker().check_output(
                wanted, printed.replace("…", "..."), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            )
            assert same, f"{page} says\n{fence.code}\nand it prints\n{printed}"
        printed = None


def test_a_page_that_says_what_is_not_printed_is_found_out() -> None:
    assert run(Fence("python", None, "print('one')"), {}) == "one\n"
    with pytest.raises(AssertionError, match="no-such-file"):
        run(Fence("bash", None, "rupturekit check no-such-file.txt"), {})


# --- the site ---------------------------------------------------------------------------------------------


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    # not --quiet: it keeps --strict from seeing the warnings
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    # without the variable the theme tells of its own future at each build
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package, reason='the documentation needs the docs extra: pip install "rupturekit[docs]"')
    out = tmp_path_factory.mktemp("site")
    built = build(ROOT, out)
    assert built.returncode == 0, built.stderr
    assert all(line.startswith("INFO ") for line in (built.stdout + built.stderr).splitlines()), built.stderr
    return out


def page(site: Path, uri: str) -> str:
    return (site / uri).read_text("utf-8")


def words(site: Path, uri: str) -> str:
    """Return a page's words as they are read."""
    text = re.sub(r"<(script|style).*?</\1>", " ", page(site, uri), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_a_link_that_leads_nowhere_ends_the_build(site: Path, tmp_path: Path) -> None:
    for entry in ROOT.iterdir():
        if entry.name not in ("docs", ".git"):
            (tmp_path / entry.name).symlink_to(entry)
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "docs" / "cite-it.md").write_text("[one](no-page.md), [two](ethics.md#no-heading)\n", "utf-8")
    built = build(tmp_path, tmp_path / "out")
    assert built.returncode != 0
    for complaint in ("no-page.md", "#no-heading", 'not included in the "nav"'):
        assert complaint in built.stderr


def test_links_between_files_of_the_repository_lead_to_their_pages(site: Path) -> None:
    assert 'href="coding-study.html"' in page(site, "changelog.html")
    assert 'href="measurements.html"' in page(site, "scaling.html")
    notebooks = page(site, "notebooks.html")
    assert "<code>first_look.ipynb</code>" in notebooks
    assert 'ipynb"' not in notebooks


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    elsewhere = r"""["']?(?:https?:)?//"""
    loads = re.compile(rf"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc={elsewhere}|@import|url\({elsewhere}")
    links = re.compile(rf"<link\b(?![^>]*\brel=.?canonical)[^>]*\bhref={elsewhere}")
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text("utf-8")
        assert not loads.search(text), path
        assert not links.search(text), path


def test_links_to_elsewhere_are_well_formed(site: Path) -> None:
    seen = set()
    for path in site.rglob("*.html"):
        for target in re.findall(r"""<a\b[^>]*\bhref=["']?([^"'\s>]+)""", path.read_text("utf-8")):
            if re.match(r"[a-z]+:|//", target):
                seen.add(target)
                found = urlsplit(html.unescape(target))
                assert found.scheme == "https", (path.name, target)
                assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", found.netloc), (path.name, target)
    assert any("doi.org" in target for target in seen)


def test_each_marker_has_a_page_with_what_counts_and_what_does_not(site: Path) -> None:
    for marker in rk.load_codebook().markers:
        told = words(site, f"codebook/{marker.id}.html")
        for part in (marker.code, marker.label, marker.definition, marker.not_when):
            assert " ".join(part.split()) in told, marker.id
    index = page(site, "codebook/index.html")
    assert all(f"{marker.id}.html" in index for marker in rk.load_codebook().markers)


def test_each_rule_has_an_entry_with_its_hits_and_misses(site: Path) -> None:
    told = {m.id: words(site, f"codebook/{m.id}.html") for m in rk.load_codebook().markers}
    rules = rk.load_rules()
    for rule in rules:
        assert f'id="{rule.id.lower()}"' in page(site, f"codebook/{rule.marker}.html"), rule.id
        for turn in (rule.why, *rule.patterns, *rule.hits, *rule.misses):
            for part in (turn,) if isinstance(turn, str) else turn:
                assert " ".join(part.split()) in told[rule.marker], (rule.id, part)
    listed = page(site, "codebook/rules.html")
    assert all(f"{rule.marker}.html#{rule.id.lower()}" in listed for rule in rules)


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    reference = page(site, "reference/python.html")
    for name in rk.__all__:
        assert f'id="rupturekit.{name}"' in reference, f"add ::: rupturekit.{name} to docs/reference/python.md"


def test_every_command_and_option_is_in_the_reference(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = words(site, "reference/command-line.html")
    assert main(["--help"]) == 0
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert {"annotate", "check", "agree", "train"} <= set(commands)
    for command in commands:
        assert f'id="{command}"' in page(site, "reference/command-line.html")
        assert main([command, "--help"]) == 0
        for option in set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}:
            assert option in told, (command, option)


def test_every_column_and_flag_of_the_outputs_is_told(site: Path) -> None:
    from rupturekit.segment import SESSION_FLAGS, TURN_FLAGS
    from rupturekit.tables import columns

    told = set(re.findall(r"<code>([^<]+)</code>", page(site, "reference/outputs.html")))
    for level in ("turn", "marker", "session"):
        for column in columns(level):
            assert column in told or any(column.startswith(part) for part in told if part.endswith("_")), column
    flags = page(site, "reference/flags.html")
    assert all(f"<code>{flag}</code>" in flags for flag in (*TURN_FLAGS, *SESSION_FLAGS))


def test_the_home_page_says_what_a_marker_is_not(site: Path) -> None:
    told = words(site, "index.html")
    assert "never a diagnosis" in told
    assert "is not “no rupture”" in told or 'is not "no rupture"' in told


# --- what the pages say -----------------------------------------------------------------------------------


def test_figures_with_intervals_are_those_of_the_card_and_the_measurements() -> None:
    sources = "".join(
        (ROOT / file).read_text("utf-8") for file in ("models/withdrawal-en/README.md", "benchmarks/README.md")
    )
    figures = re.findall(r"-?\d\.\d\d \(-?\d\.\d\d–-?\d\.\d\d\)", (DOCS / "method.md").read_text("utf-8"))
    assert len(figures) >= 20
    for figure in figures:
        assert figure in sources, f"{figure} is in docs/method.md, and in no source"


def test_what_is_missed_and_marked_in_vain_is_told_as_the_card_has_it() -> None:
    card = (ROOT / "models/withdrawal-en/README.md").read_text("utf-8")

    def missed(family: str) -> int:
        row = re.search(rf"^\| {family} \| two raters or more \|(.+)\|$", card, re.MULTILINE)
        assert row is not None
        recall = row[1].split("|")[5].split()[0]
        return round(100 * (1 - float(recall)))

    def marked(kind: str) -> str:
        row = re.search(rf"^\| {kind} \| \d+ \| \d+ \| ([\d.]+) \|$", card, re.MULTILINE)
        assert row is not None
        return row[1]

    ethics = " ".join((DOCS / "ethics.md").read_text("utf-8").split())
    assert f"saw confrontation the program misses {missed('confrontation')}, and" in ethics
    assert f"saw withdrawal {missed('withdrawal')} (" in ethics
    assert f"called a rupture it marks {marked('all')} in 100, and {marked('sustain talk')} in 100" in ethics
    correct = " ".join((DOCS / "how-to" / "correct.md").read_text("utf-8").split())
    assert f"saw withdrawal, {missed('withdrawal')} are missed" in correct
