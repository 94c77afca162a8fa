"""Faults around a command: signals, full disks, lost permissions, closed outputs, odd names, odd locales.

Whatever happens, nothing is lost, an output is whole or not there, the message says what to do and quotes no talk, and
the exit code is not 0.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import rupturekit as rk
from rupturekit.batch import annotate_folder, check_output
from rupturekit.cli import main
from rupturekit.exchange import FORMATS
from rupturekit.folders import whole_folder, write_whole
from rupturekit.store import OutputError, Store

TALK = "T: How was the orchard?\n\nC: This isn't helping, you know.\n\nT: Tell me more.\n\nC: I don't know.\n\n" * 3
NEEDS = {"inception": "cassis", "docbin": "spacy"}


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("s1", "s2"):
        (folder / f"{name}.txt").write_text(TALK, "utf-8")
    return folder


@pytest.fixture
def annotated(sessions: Path, tmp_path: Path) -> Path:
    out = tmp_path / "annotated"
    annotate_folder(sessions, out, rk.Annotator(model=None))
    return out


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def commands(annotated: Path, sessions: Path, out: Path) -> dict[str, list[str]]:
    """Return a command of each kind that writes; its output is ``out``, or in it."""
    a, o = str(annotated), str(out)
    codes = f"{out}.codes"
    return {
        "annotate": ["annotate", str(sessions), "--no-model", "--out", o],
        "annotate parquet": ["annotate", str(sessions), "--no-model", "--format", "parquet", "--out", o],
        "annotate pages": ["annotate", str(sessions), "--no-model", "--format", "html,label-studio", "--out", o],
        "report": ["report", a, "--out", o],
        "course": ["course", a, "--pattern", "(?P<client>s)(?P<number>\\d)", "--out", o],
        "sheet xlsx": ["sheet", a, "--out", f"{o}/sheet.xlsx"],
        "sheet csv": ["sheet", a, "--coder", "AB", "--out", f"{o}/sheet.csv"],
        "sample": ["sample", a, "--n", "1", "--out", o],
        "agree": ["agree", codes, a, "--draws", "5", "--out", o],
        "import": ["import", f"{out}.given/tasks.json", "--format", "label-studio"],
        **{f"export {f}": ["export", a, "--format", f, "--out", o] for f in FORMATS},
    }


KINDS = [*commands(Path(), Path(), Path())]


def write_codes(annotated: Path, file: Path) -> None:
    file.parent.mkdir()
    with file.open("w", encoding="utf-8") as lines:
        for s in rk.load(annotated):
            markers = tuple(replace(m, source="coder:AB", score=None, rule_id=None, clarity=2) for m in s.markers)
            coded = tuple(replace(c, source="coder:AB") for c in s.coded)
            lines.write(rk.AnnotatedTranscript(s.transcript, markers, coded=coded).to_json() + "\n")


@pytest.fixture
def command(request: pytest.FixtureRequest, annotated: Path, sessions: Path, tmp_path: Path) -> list[str]:
    kind: str = request.param
    if package := NEEDS.get(kind.removeprefix("export ")):
        pytest.importorskip(package)
    if kind == "annotate parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    if kind in ("agree", "import"):
        coded = f"{out}.codes/AB.jsonl"
        write_codes(annotated, Path(coded))
    if kind == "import":
        assert main(["export", coded, "--format", "label-studio", "--out", f"{out}.given"]) == 0
        return [*commands(annotated, sessions, out)[kind], "--transcripts", str(annotated), "--out", f"{out}/c.jsonl"]
    return commands(annotated, sessions, out)[kind]


every_command = pytest.mark.parametrize("command", KINDS, indirect=True, ids=[k.replace(" ", "-") for k in KINDS])


class FullDisk:
    """Counts what is opened for writing or renamed, and lets one of these fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int, error: OSError | BaseException) -> None:
        self.n, self.fail_at, self.error = 0, fail_at, error
        opened, replaced = builtins.open, os.replace
        io_open = __import__("io").open

        def writes(mode: str) -> bool:
            return any(letter in mode for letter in "wax+")

        def patched(real):  # type: ignore[no-untyped-def]
            def do(file, mode="r", *rest, **named):  # type: ignore[no-untyped-def]
                if writes(mode) and "null" not in str(file):
                    self.step()
                return real(file, mode, *rest, **named)

            return do

        def replace(*paths):  # type: ignore[no-untyped-def]
            self.step()
            return replaced(*paths)

        monkeypatch.setattr(builtins, "open", patched(opened))
        monkeypatch.setattr("io.open", patched(io_open))
        monkeypatch.setattr(os, "replace", replace)

    def step(self) -> None:
        self.n += 1
        # a disk stays full; a signal comes once
        if self.n == self.fail_at or (self.n > self.fail_at and isinstance(self.error, OSError)):
            raise self.error


def failures(
    command: list[str], tmp_path: Path, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[int, str]]:
    """Run a command with a fault at each of its writes in turn, each time afresh; yield its code and message."""
    out = tmp_path / "out"
    for at in range(1, 60):
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            disk = FullDisk(patch, at, error)
            code = main(command)
        if disk.n < at:
            assert code == 0
            assert at > 1, "nothing was written"
            return
        yield code, capsys.readouterr().err
        shutil.rmtree(out, ignore_errors=True)


@every_command
def test_a_disk_that_is_full_at_any_write(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    for code, told in failures(command, tmp_path, OSError(errno.ENOSPC, "No space left on device"), capsys):
        assert code == 2
        assert "No space left on device" in told
        assert str(tmp_path) in told
        assert "start" in told
        assert "orchard" not in told
        assert_nothing_half_written(command, tmp_path / "out")
        assert {p.name for p in tmp_path.iterdir()} - {"out"} == before


@every_command
def test_an_interrupt_at_any_write(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code, told in failures(command, tmp_path, KeyboardInterrupt(signal.SIGTERM), capsys):
        assert code == 128 + signal.SIGTERM
        assert "SIGTERM" in told
        assert_nothing_half_written(command, tmp_path / "out")


def assert_nothing_half_written(command: list[str], out: Path) -> None:
    if command[0] != "annotate":
        assert not out.exists() or not any(out.iterdir())
        return
    # a folder without a run.json is no whole run, and the next goes on with it
    assert not (out / "run.json").exists()
    if (out / ".rupturekit").exists():
        assert main(command) == 0
        assert not (out / ".rupturekit").exists()


@every_command
def test_an_output_that_is_there_is_left_alone(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    before = everything(tmp_path / "out")
    assert main(command) == 2
    assert everything(tmp_path / "out") == before
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").write_text("mine", "utf-8")
    assert main(command) == 2
    assert (tmp_path / "out").read_text("utf-8") == "mine"


ROOT = hasattr(os, "geteuid") and not os.geteuid()
SMALL = """
mount -t tmpfs -o size={size}k none disk || exit 77
run() { "$@" annotate in --no-model --workers 0 --format html --out disk/out; }
run "$@"; echo $?; ls -A disk/out
mount -o remount,size=64m disk
run "$@"; echo $?; cp -r disk/out whole
"""


@pytest.mark.skipif(not (ROOT and shutil.which("unshare")), reason="only root can mount a disk, and only on Linux")
@pytest.mark.parametrize("size", [40, 200, 600])
def test_a_real_disk_that_fills_up_and_then_has_room(sessions: Path, tmp_path: Path, size: int) -> None:
    for n in range(40):
        (sessions / f"more{n}.txt").write_text(TALK.replace("know", f"know {n}"), "utf-8")
    (tmp_path / "disk").mkdir()
    script = SMALL.replace("{size}", str(size))
    line = ["unshare", "-m", "bash", "-c", script, "run", sys.executable, "-m", "rupturekit"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("nothing can be mounted here")
    first, *listed, second = [line for line in done.stdout.splitlines() if line.isdigit() or "." in line]
    assert (first, second) == ("2", "0"), done.stderr
    assert "run.json" not in listed
    assert any(words in done.stderr for words in ("No space left", "disk is full"))
    assert "Traceback" not in done.stderr
    assert "orchard" not in done.stderr
    options = ["--no-model", "--format", "html", "--out", str(tmp_path / "other")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["annotate", "in", *options]) == 0
    assert everything(tmp_path / "whole") == everything(tmp_path / "other")


@pytest.fixture
def as_nobody() -> Iterator[tuple[Path, Callable[..., subprocess.CompletedProcess[str]]]]:
    """Give a folder that everybody can enter, and what runs a command there as a user who may do little."""
    if not ROOT:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)

        def run(*command: str) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, "-m", "rupturekit", *command]
            nobody = {"user": 65534, "group": 65534, "extra_groups": []}
            return subprocess.run(line, cwd=name, env=environment(), capture_output=True, text=True, **nobody)

        try:
            run("--version").check_returncode()
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this Python is not for everybody")
        yield Path(name), run


def test_another_user_reads_what_may_be_read_and_writes_where_they_may(
    as_nobody: tuple[Path, Callable[..., subprocess.CompletedProcess[str]]],
) -> None:
    place, run = as_nobody
    for folder, mode in (("in", 0o755), ("in/shut", 0o700), ("mine", 0o755), ("locked", 0o755)):
        (place / folder).mkdir()
        (place / folder).chmod(mode)
    os.chown(place / "mine", 65534, 65534)
    for file, mode in (("s1", 0o644), ("s2", 0o600), ("s3", 0o644)):
        (place / "in" / f"{file}.txt").write_text(TALK, "utf-8")
        (place / "in" / f"{file}.txt").chmod(mode)
    done = run("annotate", "in", "--no-model", "--out", "mine/out")
    assert done.returncode == 1, done.stderr
    inputs = json.loads((place / "mine" / "out" / "run.json").read_text("utf-8"))["inputs"]
    assert [(entry["path"], entry["outcome"]) for entry in inputs] == [
        ("s1.txt", "done"), ("s2.txt", "failed"), ("s3.txt", "done")
    ]  # fmt: skip
    assert "Permission denied" in inputs[1]["reason"]
    for command in ("annotate in --no-model", "report mine/out", "export mine/out --format eaf"):
        done = run(*command.split(), "--out", "locked/out")
        assert done.returncode == 2, done.stderr
        assert "locked" in done.stderr
        assert "ermission denied" in done.stderr or "may write there" in done.stderr
        assert "Traceback" not in done.stderr
        assert not any((place / "locked").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_run_that_then_goes_on(sessions: Path, tmp_path: Path, number: signal.Signals) -> None:
    for n in range(400):
        (sessions / f"more{n}.txt").write_text(TALK.replace("know", f"know {n}"), "utf-8")
    out = tmp_path / "out"
    line = [sys.executable, "-m", "rupturekit", "annotate", sessions, "--no-model", "--workers", "0", "--out", out]
    # under nohup, or in a shell's background, a signal is ignored by the tests and all that they start
    heed = partial(signal.signal, number, signal.SIG_DFL)
    run = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, preexec_fn=heed)
    while not (out / ".rupturekit" / "run.db").exists():
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(number)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 128 + number, told
    assert f"({number.name})" in told
    assert "start the run again" in told
    assert not (out / "run.json").exists()
    assert subprocess.run(line, capture_output=True).returncode == 0
    assert not (out / ".rupturekit").exists()


def test_a_second_run_for_the_same_output_is_refused_and_what_a_killed_one_left_is_cleared(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with whole_folder(out) as parts:
        (parts / "a.txt").write_text("a")
        with pytest.raises(OutputError, match="another run writes here"), whole_folder(out):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    shutil.rmtree(out)
    child = os.fork()
    if not child:
        with whole_folder(out) as parts:
            (parts / "secret.txt").write_text("words")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert any(p.name == "secret.txt" for p in tmp_path.rglob("*"))
    with whole_folder(out) as parts:
        (parts / "b.txt").write_text("b")
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["out", "out/b.txt"]


def hidden_of(output: Path) -> Path:
    return output.parent / f".rupturekit-{hashlib.sha256(output.name.encode()).hexdigest()[:8]}"


def plant(command: list[str], out: Path, kind: str, thesis: Path) -> None:
    """Put something of that kind wherever a command may have its hidden folder."""
    assert main(command) == 0
    places = [hidden_of(out)]
    if command[0] == "annotate":
        places = [out / ".rupturekit"]
    elif command[0] in ("sheet", "course", "import"):
        places = [hidden_of(out / name) for name in everything(out)]
    shutil.rmtree(out)
    for hidden in places:
        hidden.parent.mkdir(exist_ok=True)
        if kind == "folder":
            shutil.copytree(thesis, hidden)
        elif kind == "file":
            hidden.write_text("mine")
        elif kind == "link in it":
            hidden.mkdir()
            (hidden / ("run.db" if command[0] == "annotate" else "lock.db")).symlink_to(thesis / "draft.db")
        else:
            hidden.symlink_to(thesis if kind == "link" else thesis / "nowhere", target_is_directory=True)


@every_command
@pytest.mark.parametrize("kind", ["link", "link to nowhere", "link in it", "folder", "file"])
def test_nothing_of_anybody_elses_is_cleared(
    command: list[str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thesis = tmp_path / "home" / "thesis"
    (thesis / "parts").mkdir(parents=True)
    for name in ("chapter1.txt", "0", "parts/figure.txt"):
        (thesis / name).write_text("years of work")
    (thesis / "draft.db").touch()
    plant(command, tmp_path / "out", kind, thesis)
    before = everything(tmp_path)
    capsys.readouterr()
    assert main(command) == 2
    told = capsys.readouterr().err
    assert ".rupturekit" in told
    assert "move it" in told
    assert everything(tmp_path) == before


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_hidden_folder_that_another_user_planted_is_not_used(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".rupturekit").mkdir(parents=True)
    hidden_of(out).mkdir()
    for folder in (out / ".rupturekit", hidden_of(out)):
        os.chown(folder, 65534, 65534)
    with pytest.raises(OutputError, match="belongs to another user"):
        Store(out)
    shutil.rmtree(out)
    with pytest.raises(OutputError, match="belongs to another user"), whole_folder(out):
        pass
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_links_among_what_a_killed_run_left_are_removed_and_not_followed(tmp_path: Path, kind: str) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "0").write_text("years of work")
    out, codes = tmp_path / "out", tmp_path / "codes.csv"
    for output in (out, codes):
        hidden_of(output).mkdir()
        for name in ("0", "parts", "replaced"):
            (hidden_of(output) / name).symlink_to(thesis / "0" if name == "0" else thesis)
    if kind == "link":  # to an empty folder on a larger disk
        (tmp_path / "large").mkdir()
        out.symlink_to(tmp_path / "large", target_is_directory=True)
    with whole_folder(out) as parts:
        (parts / "0").write_text("new")
    write_whole({codes: b"new"})
    assert everything(thesis) == {"0": b"years of work"}
    assert ((out / "0").read_text(), codes.read_text()) == ("new", "new")
    assert not list(tmp_path.glob(".rupturekit*"))


def test_a_run_ends_well_where_something_comes_into_its_hidden_folder(sessions: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    (store.folder / ".DS_Store").touch()
    store.clear()
    store.close()
    assert everything(tmp_path / "out") == {".rupturekit/.DS_Store": b""}


def test_files_that_belong_together_are_all_there_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {tmp_path / name: b"x" for name in ("a", "b")}
    FullDisk(monkeypatch, 4, OSError(errno.EACCES, "Permission denied"))  # two writes, and the second rename
    with pytest.raises(OutputError, match="Permission denied"):
        write_whole(files)
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_after_the_last_rename_leaves_is_put_away(annotated: Path) -> None:
    (annotated / ".rupturekit" / "outputs").mkdir(parents=True)
    (annotated / ".rupturekit" / "run.db").write_bytes(b"")
    with pytest.raises(OutputError, match="--overwrite"):
        check_output(annotated, overwrite=False)
    assert not (annotated / ".rupturekit").exists()


def test_pages_are_replaced_when_asked_and_nothing_else_is(annotated: Path) -> None:
    again = ["report", str(annotated), "--overwrite"]
    assert main(again) == main(again) == 0
    before = everything(annotated / "html")
    (annotated / "html" / "notes.html").write_text("mine", "utf-8")
    assert main(again) == 2
    (annotated / "html" / "notes.html").unlink()
    (annotated / "html" / "index.html").write_text("mine", "utf-8")
    assert main(again) == 2
    assert (annotated / "html" / "index.html").read_text("utf-8") == "mine"
    assert set(everything(annotated / "html")) == set(before)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **more}


@pytest.mark.parametrize(
    "told",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "tr_TR.UTF-8"},
        {"TMPDIR": "/nowhere", "HOME": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"},
    ],
    ids=["C", "Turkish", "no home"],
)
def test_the_place_of_a_run_changes_nothing(sessions: Path, tmp_path: Path, told: dict[str, str]) -> None:
    (sessions / "Zoë I.txt").write_text(TALK.replace("orchard", "Obstgärten"), "utf-8")
    for name, env in (("here", environment()), ("there", environment(**told))):
        line = [sys.executable, "-m", "rupturekit", "annotate", sessions, "--no-model", "--out", tmp_path / name]
        done = subprocess.run([*line, "--format", "html,eaf"], env=env, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert everything(tmp_path / "here") == everything(tmp_path / "there")


EACH = """
import sys
from rupturekit.cli import main
for line in (
    "annotate in --no-model --out out --format html,eaf,convokit", "check in/s1.txt", "report out --out pages",
    "export out --format refi-qda --out project", "sheet out --out sheet.xlsx",
    "course out --pattern (?P<client>s) --out course",
):
    assert main(line.split()) == 0, line
try:
    open(sys.modules["rupturekit"].__file__ + ".new", "w")
except PermissionError:
    print("nothing can be written there")
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions of Windows are others")
@pytest.mark.parametrize("home", [None, "/nowhere", "locked"])
def test_a_package_that_cannot_be_written_to_and_no_home(sessions: Path, tmp_path: Path, home: str | None) -> None:
    shutil.copytree(Path(rk.__file__).parent, tmp_path / "site" / "rupturekit", ignore=lambda *_: ["__pycache__"])
    (tmp_path / "locked").mkdir()
    locked = [tmp_path / "locked", *(tmp_path / "site").rglob("*"), tmp_path / "site"]
    for path in locked:
        path.chmod(path.stat().st_mode & 0o555)
    command = [sys.executable, "-c", EACH]
    if not os.geteuid():
        # root may write anywhere, unless it gives that up
        if not (setpriv := shutil.which("setpriv")):
            pytest.skip("needs setpriv, of util-linux")
        command = [setpriv, "--bounding-set", "-dac_override", "--inh-caps", "-dac_override", *command]
    env = environment(PYTHONPATH=str(tmp_path / "site"), **({"HOME": str(tmp_path / home)} if home else {}))
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    for path in reversed(locked):
        path.chmod(path.stat().st_mode | 0o700)
    assert done.returncode == 0, done.stderr
    assert "nothing can be written there" in done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_utf8_or_nearly_the_same(sessions: Path, tmp_path: Path) -> None:
    for name in (b"caf\xff", "café".encode(), "cafe\u0301".encode(), b"CAFE", b"cafe"):
        Path(os.fsdecode(bytes(sessions) + b"/" + name + b".txt")).write_text(TALK, "utf-8")
    out = tmp_path / "out"
    formats = "html,eaf,textgrid,label-studio,prodigy,refi-qda,convokit"
    assert main(["annotate", str(sessions), "--no-model", "--out", str(out), "--format", formats]) == 0
    assert "caf\\xff" in {s.transcript.id for s in rk.load(out)}
    for format, pattern in (("html", "sessions/*.html"), ("eaf", "*.eaf"), ("textgrid", "*.TextGrid")):
        assert len(list((out / format).glob(pattern))) == 7, format


def test_pages_of_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "annotatde")]) == 2
    assert "annotatde: no such file or folder" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("where", ["full", "closed", "left"])
def test_a_standard_output_that_takes_nothing(sessions: Path, where: str) -> None:
    line = f"{sys.executable} -m rupturekit check {sessions}/s1.txt"
    end = {"full": ">/dev/full", "closed": ">&-", "left": "| true; exit ${PIPESTATUS[0]}"}[where]
    done = subprocess.run(["bash", "-c", f"{line} {end}"], capture_output=True, text=True)
    assert done.returncode in {"full": (1,), "closed": (0, 1), "left": (0, 1)}[where]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert ("standard output" in done.stderr) == (where == "full")


def test_a_clock_that_stands_before_1980(annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = time.gmtime(3600)
    monkeypatch.setattr(time, "localtime", lambda seconds=None: early)
    monkeypatch.setattr(time, "time", lambda: 3600.0)
    for name, line in (("a.xlsx", "sheet"), ("b", "sample --n 1"), ("c", "export --format refi-qda")):
        command, *rest = line.split()
        assert main([command, str(annotated), *rest, "--out", str(tmp_path / name)]) == 0


@pytest.mark.parametrize("rest", [b'{"transcript": {"id": "orchard', b"orchard\xff\n"], ids=["cut short", "no utf-8"])
def test_annotations_that_were_damaged_are_told_by_their_line(
    annotated: Path, capsys: pytest.CaptureFixture[str], rest: bytes
) -> None:
    with (annotated / "annotations.jsonl").open("ab") as file:
        file.write(rest)
    assert main(["report", str(annotated)]) == 2
    told = capsys.readouterr().err
    assert "annotations.jsonl, line 3" in told
    assert "orchard" not in told
    assert not (annotated / "html").exists()
