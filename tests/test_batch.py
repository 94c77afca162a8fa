"""Archives: several workers, kills at any moment, workers that die, parts of a run."""

from __future__ import annotations

import csv
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rupturekit as rk
from rupturekit import batch
from rupturekit.batch import Stopped, annotate_folder
from rupturekit.inputs import Reading
from rupturekit.readers import RawSession
from rupturekit.store import OutputError, Store
from rupturekit.tables import Pseudonyms
from rupturekit.work import Job, Workers

CLIENT = [
    "This isn't helping, you know.",
    "I don't know.",
    "Whatever you say.",
    "My sister called on Sunday and we talked about the allotment for an hour.",
    "Fine, I suppose.",
    "You're not listening to me.",
]
THERAPIST = ["How was the week?", "What would help most today?", "I may have got that wrong.", "Tell me more."]


def talk(number: int, turns: int = 12) -> list[tuple[str, str]]:
    rng = random.Random(number)
    return [("T", rng.choice(THERAPIST)) if i % 2 == 0 else ("C", rng.choice(CLIENT)) for i in range(turns)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Ten files and a table of five sessions, of which one bears the name of a file."""
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    for number in range(10):
        place = folder if number % 2 else folder / "more"
        text = "\n\n".join(f"{speaker}: {words}" for speaker, words in talk(number))
        (place / f"s{number}.txt").write_text(text, "utf-8")
    with (folder / "all.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["session_id", "speaker", "text"])
        for number in range(5):
            rows.writerows([f"t{number}" if number else "s1", *turn] for turn in talk(100 + number))
    return folder


@pytest.fixture(scope="module")
def rules() -> rk.Annotator:
    return rk.Annotator(model=None)


def outputs(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def whole(archive: Path, tmp_path: Path, rules: rk.Annotator) -> dict[str, bytes]:
    annotate_folder(archive, tmp_path / "whole", rules)
    return outputs(tmp_path / "whole")


# --- the same outputs, however the work is shared -----------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_writes_the_same_bytes(
    archive: Path, tmp_path: Path, rules: rk.Annotator, whole: dict[str, bytes], workers: int
) -> None:
    report = annotate_folder(archive, tmp_path / "out", rules, workers=workers)
    assert outputs(tmp_path / "out") == whole
    # the table comes first, and its s1 takes the name
    ids = [s.session_id for outcome in report.inputs for s in outcome.sessions]
    assert ids == ["s1", "t1", "t2", "t3", "t4", "s0", "s2", "s4", "s6", "s8", "s1.txt", "s3", "s5", "s7", "s9"]


def test_workers_find_with_the_model_what_this_process_finds(archive: Path, tmp_path: Path) -> None:
    annotate_folder(archive, tmp_path / "here", rk.Annotator())
    annotate_folder(archive, tmp_path / "there", rk.Annotator(), workers=2)
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")


def test_an_annotator_that_was_pickled_is_the_same_and_one_of_another_version_is_refused(rules: rk.Annotator) -> None:
    import pickle

    data = pickle.dumps(rk.Annotator(model=None, thresholds={"withdrawal": 0.7}))
    assert pickle.loads(data).provenance.thresholds == {"withdrawal": 0.7}
    other = rk.Annotator(model=None)
    other.provenance = replace(other.provenance, rules_sha256="0" * 64)
    data = pickle.dumps(other)
    with pytest.raises(RuntimeError, match="another version"):
        pickle.loads(data)


def test_workers_of_another_version_end_the_run(archive: Path, tmp_path: Path) -> None:
    other = rk.Annotator(model=None)
    other.provenance = replace(other.provenance, version="0.0.0")
    with pytest.raises(OutputError, match="another version"):
        annotate_folder(archive, tmp_path / "out", other, workers=1)
    assert not (tmp_path / "out").exists()


def test_a_model_that_was_used_already_goes_to_workers(archive: Path, tmp_path: Path) -> None:
    annotator = rk.Annotator(rk.Classifier.load())
    annotate_folder(archive / "s1.txt", tmp_path / "here", annotator)
    annotate_folder(archive / "s1.txt", tmp_path / "there", annotator, workers=1)
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")


def test_hidden_words_names_and_paths_are_hidden_by_workers_too(
    archive: Path, tmp_path: Path, rules: rk.Annotator
) -> None:
    (archive / "bad Ophelia.txt").write_bytes(b"")
    hide = Pseudonyms(b"key")
    annotate_folder(archive, tmp_path / "here", rules, hide=hide)
    annotate_folder(archive, tmp_path / "there", rules, hide=hide, workers=2)
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")
    for data in outputs(tmp_path / "there").values():
        assert not any(word in data for word in (b"allotment", b"Ophelia", b"t3", b"all.csv"))


# --- kills --------------------------------------------------------------------------------------------


def in_a_child(do: Callable[[], object], kill_after: float) -> bool:
    """Run a function in a fork that is killed after some seconds; tell whether it came to its end before."""
    child = os.fork()
    if child == 0:
        try:
            do()
        finally:
            os._exit(0)
    deadline = time.monotonic() + kill_after
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test_a_run_killed_at_any_moment_goes_on_to_the_same_bytes(
    archive: Path, tmp_path: Path, rules: rk.Annotator, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SAFE_EVERY", 0.005)
    out, rng = tmp_path / "out", random.Random(7)
    started = time.monotonic()
    annotate_folder(archive, tmp_path / "timed", rules)
    took = time.monotonic() - started
    killed = ended = 0
    while killed < 60 or not ended:
        done = in_a_child(lambda: annotate_folder(archive, out, rules), rng.uniform(0, 1.3 * took))
        if not done and not (out / "run.json").exists():
            killed += 1
            assert killed < 600, "no run comes to its end"
            continue
        ended += 1
        assert {name: data for name, data in outputs(out).items() if not name.startswith(".")} == whole
        annotate_folder(archive, out, rules, overwrite=True)  # whatever a kill after the last rename has left
        assert outputs(out) == whole
        for path in out.iterdir():
            path.unlink()


def test_folders_of_pages_and_for_coders_are_whole_where_the_run_is(
    archive: Path, tmp_path: Path, rules: rk.Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats = ["html", "eaf", "label-studio"]
    annotate_folder(archive, tmp_path / "whole", rules, formats=[*formats, "html"])
    wanted = outputs(tmp_path / "whole")
    assert {name.split("/")[0] for name in wanted} >= set(formats)
    out, rename, count = tmp_path / "out", Path.replace, 0

    def at_most(self: Path, target: Path) -> Path:
        nonlocal count
        count -= 1
        if count < 0:
            raise KeyboardInterrupt
        return rename(self, target)

    for allowed in range(40):
        count = allowed
        with monkeypatch.context() as m:
            m.setattr(Path, "replace", at_most)
            try:
                annotate_folder(archive, out, rules, formats=formats)
            except KeyboardInterrupt:
                assert not (out / "run.json").exists()
        if (out / "run.json").exists():
            break
    assert outputs(out) == wanted
    assert allowed > 8, "it was stopped between all that is put in its place"


def test_a_run_that_is_killed_while_it_replaces_folders_goes_on(
    archive: Path, tmp_path: Path, rules: rk.Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, remove = tmp_path / "out", shutil.rmtree
    annotate_folder(archive, out, rules, formats=["html"])
    wanted = outputs(out)

    def half(path: Path, ignore_errors: bool = False) -> None:
        if path.name == "html":
            for file in path.rglob("*.html"):
                file.unlink()
            raise KeyboardInterrupt
        remove(path, ignore_errors)

    with monkeypatch.context() as m, suppress(KeyboardInterrupt):
        m.setattr(shutil, "rmtree", half)
        annotate_folder(archive, out, rules, formats=["html"], overwrite=True)
    annotate_folder(archive, out, rules, formats=["html"], overwrite=(out / "run.json").exists())
    assert outputs(out) == wanted


def test_the_work_of_coders_is_not_replaced(archive: Path, tmp_path: Path, rules: rk.Annotator) -> None:
    out = tmp_path / "out"
    annotate_folder(archive, out, rules, formats=["eaf"])
    with pytest.raises(OutputError, match="eaf is there already"):
        annotate_folder(archive, out, rules, formats=["eaf"], overwrite=True)
    # nor when the run that goes on there was not one that wrote it
    (out / "eaf" / "s1.eaf").write_text("coded", "utf-8")
    (archive / "broken.docx").write_bytes(b"no")
    with pytest.raises(Stopped):
        annotate_folder(archive, out, rules, overwrite=True, fail_fast=True)
    (archive / "broken.docx").unlink()
    (out / "run.json").unlink()
    with pytest.raises(OutputError, match="eaf is there already"):
        annotate_folder(archive, out, rules, formats=["eaf"])
    assert (out / "eaf" / "s1.eaf").read_text("utf-8") == "coded"
    annotate_folder(archive, out, rules)


def test_no_words_of_an_earlier_run_stay_beside_outputs_without_words(
    archive: Path, tmp_path: Path, rules: rk.Annotator
) -> None:
    out, hide = tmp_path / "out", Pseudonyms(b"key")
    annotate_folder(archive, out, rules, formats=["html"])
    with pytest.raises(OutputError, match="html is of an earlier run, with its words"):
        annotate_folder(archive, out, rules, hide=hide, overwrite=True)
    annotate_folder(archive, out, rules, formats=["html"], hide=hide, overwrite=True)
    assert not any(b"allotment" in data for data in outputs(out).values())


def test_a_format_that_cannot_be_written_costs_nothing_that_was_done(
    archive: Path, tmp_path: Path, rules: rk.Annotator
) -> None:
    out = tmp_path / "out"
    hide = Pseudonyms(b"key")
    with pytest.raises(OutputError, match=r"format eaf: .*has no words.*leave the format out"):
        annotate_folder(archive, out, rules, formats=["eaf"], hide=hide)
    report = annotate_folder(archive, out, rules, hide=hide)
    assert report.kept == 15
    with pytest.raises(ValueError, match="give one of parquet, html, eaf"):
        annotate_folder(archive, out, rules, formats=["docx"], overwrite=True)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "rupturekit", "annotate", *map(str, arguments), "--no-model"]


def test_workers_end_with_a_run_that_is_killed(archive: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    run = subprocess.Popen(command(archive, "--out", out, "--workers", 2), start_new_session=True)
    children: list[int] = []
    while not children:
        listed = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        children = [int(pid) for pid in listed]
        time.sleep(0.01)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a worker outlived its run"
        time.sleep(0.05)
    done = subprocess.run(command(archive, "--out", out, "--workers", 2), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert outputs(out) == whole


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_was_done_before_a_kill_is_not_done_again(
    archive: Path, tmp_path: Path, rules: rk.Annotator, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    for number in (0, 2, 4):
        annotate_folder(archive, out, rules, shard=(number + 1, 6))
    assert not (out / "run.json").exists()

    class Deaf:
        """An annotator that may not be asked for more than is missing."""

        provenance, codebook, device = rules.provenance, rules.codebook, None
        asked = 0

        def pipe(self, transcripts: Any) -> Any:
            return map(self, transcripts)

        def __call__(self, transcript: rk.Transcript) -> rk.AnnotatedTranscript:
            self.asked += 1
            return rules(transcript)

    deaf: Any = Deaf()
    report = annotate_folder(archive, out, deaf)
    assert report.kept + deaf.asked == 15
    assert report.kept >= 5
    assert outputs(out) == whole


def test_a_changed_file_or_setting_is_noticed(archive: Path, tmp_path: Path, rules: rk.Annotator) -> None:
    out = tmp_path / "out"
    annotate_folder(archive, out, rules, shard=(1, 1))
    (archive / "s3.txt").write_text("T: How are you?\n\nC: You never listen to me.", "utf-8")
    assert annotate_folder(archive, out, rules, shard=(1, 1)).kept == 14
    other = rk.Annotator(model=None, thresholds={"withdrawal": 0.99})
    assert annotate_folder(archive, out, other, shard=(1, 1)).kept == 0
    clients = Reading(clients={"s5": "K1"})
    assert annotate_folder(archive, out, rules, reading=clients, shard=(1, 1)).kept == 14
    report = annotate_folder(archive, out, rules)
    assert report.kept == 15
    annotate_folder(archive, tmp_path / "fresh", rules)
    assert outputs(out) == outputs(tmp_path / "fresh")


def test_a_full_disk_loses_nothing(archive: Path, tmp_path: Path, rules: rk.Annotator, whole: dict[str, bytes]) -> None:
    out, told = tmp_path / "out", tmp_path / "told"

    def on_a_small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            annotate_folder(archive, out, rules)
        except (OutputError, OSError) as error:
            told.write_text(str(error))

    assert in_a_child(on_a_small_disk, 60)
    assert told.read_text()
    assert not (out / "run.json").exists()
    annotate_folder(archive, out, rules)
    assert outputs(out) == whole


# --- workers and files that fail ----------------------------------------------------------------------


class Deadly:
    """A model that takes its process down with it at a session of that name."""

    name, sha256, thresholds = "deadly", "0" * 64, dict.fromkeys((*rk.annotation.FAMILIES,), 0.5)

    def __init__(self, victim: str) -> None:
        self.victim = victim

    def __call__(self, transcript: rk.Transcript) -> rk.Transcript:
        if transcript.id == self.victim:
            os.kill(os.getpid(), signal.SIGKILL)
        return transcript

    def probability(self, output: rk.Transcript, rule_scores: np.ndarray) -> np.ndarray:
        return np.zeros((len(output), 5))

    def marker_probability(self, output: rk.Transcript, turn_probabilities: np.ndarray) -> np.ndarray:
        return np.zeros((len(output), 0))


def test_a_worker_that_dies_costs_its_session_alone(archive: Path, tmp_path: Path) -> None:
    report = annotate_folder(archive, tmp_path / "out", rk.Annotator(Deadly("s4")), workers=2)
    sessions = {s.session_id: s for outcome in report.inputs for s in outcome.sessions}
    assert [id for id, s in sessions.items() if s.outcome != "done"] == ["s4"]
    assert sessions["s4"].stage == "annotate"
    assert "worker that had it died" in str(sessions["s4"].reason)


def die(job: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def live(job: object) -> int:
    return 7


def test_what_is_handed_to_workers_that_have_just_died_is_lost_and_not_the_run(rules: rk.Annotator) -> None:
    with closing(Workers(Job(rules, Reading(), (), None), 1, None)) as workers:
        assert isinstance(workers.submit(die).exception(), BrokenExecutor)
        assert isinstance(workers.submit(live).exception(), BrokenExecutor)
        workers.renew()
        assert workers.submit(live).result() == 7
        with pytest.raises(BrokenExecutor):
            workers.alone(die)
        assert workers.alone(live) == 7


class DeadlyReading(Reading):
    def sessions(self, path: Path) -> list[RawSession]:
        if path.stem == "s4":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sessions(path)


def test_a_file_that_kills_its_reader_costs_itself_alone(archive: Path, tmp_path: Path, rules: rk.Annotator) -> None:
    report = annotate_folder(archive, tmp_path / "out", rules, reading=DeadlyReading(), workers=2)
    failed = [(outcome.path, outcome.stage) for outcome in report.inputs if outcome.outcome != "done"]
    assert failed == [("more/s4.txt", "read")]
    assert sum(len(outcome.sessions) for outcome in report.inputs) == 14


@pytest.mark.parametrize("workers", [0, 2])
def test_fail_fast_stops_and_keeps_what_was_done(
    archive: Path, tmp_path: Path, rules: rk.Annotator, workers: int
) -> None:
    out = tmp_path / "out"
    (archive / "s9.txt").write_bytes(b"")
    with pytest.raises(Stopped, match=r"s9\.txt: .*empty"):
        annotate_folder(archive, out, rules, fail_fast=True, workers=workers)
    assert not (out / "run.json").exists()
    (archive / "s9.txt").unlink()
    assert annotate_folder(archive, out, rules, fail_fast=True).kept > 0


def test_a_file_that_changes_while_it_is_read_is_not_taken_for_what_it_was(
    archive: Path, tmp_path: Path, rules: rk.Annotator
) -> None:
    class Slow(Reading):
        def sessions(self, path: Path) -> list[RawSession]:
            found = super().sessions(path)
            if path.stem == "s5":
                path.write_text(path.read_text("utf-8") + "\n\nT: And now?", "utf-8")
            return found

    report = annotate_folder(archive, tmp_path / "out", rules, reading=Slow())
    assert [o.path for o in report.inputs if "changed" in (o.reason or "")] == ["s5.txt"]


# --- parts of a run, and runs side by side ------------------------------------------------------------


def test_parts_put_together_are_the_whole(
    archive: Path, tmp_path: Path, rules: rk.Annotator, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    parts = [annotate_folder(archive, out, rules, shard=(part, 3)) for part in (3, 1, 2)]
    assert sorted(o.path for part in parts for o in part.inputs) == sorted(
        path.relative_to(archive).as_posix() for path in archive.rglob("*.*")
    )
    report = annotate_folder(archive, out, rules)
    # one name is given anew: what stands in another part was not known to the part that gave it
    assert report.kept >= 14
    assert outputs(out) == whole


def test_a_second_run_on_the_same_folder_is_refused(archive: Path, tmp_path: Path, rules: rk.Annotator) -> None:
    out = tmp_path / "out"
    first = Store(out)
    with pytest.raises(OutputError, match="another run writes here"):
        annotate_folder(archive, out, rules)
    first.close()
    part = Store(out, (2, 3))
    annotate_folder(archive, out, rules, shard=(1, 3))
    with pytest.raises(OutputError, match="another run writes here"):
        annotate_folder(archive, out, rules)
    part.close()
    annotate_folder(archive, out, rules)


def test_a_damaged_store_is_told_of(archive: Path, tmp_path: Path, rules: rk.Annotator) -> None:
    store = tmp_path / "out" / ".rupturekit" / "run.db"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"no database at all, but long enough to look like one" * 100)
    with pytest.raises(OutputError, match=r"run\.db.*remove it"):
        annotate_folder(archive, tmp_path / "out", rules)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b"])
def test_a_part_that_is_none_is_a_wrong_usage(
    archive: Path, tmp_path: Path, shard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rupturekit.cli import main

    assert main(["annotate", str(archive), "--out", str(tmp_path / "out"), "--shard", shard]) == 2
    assert "give I/N" in capsys.readouterr().err


def test_the_command_line_does_a_run_in_parts(
    archive: Path, tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    from rupturekit.cli import main

    def run(*more: str) -> Sequence[str]:
        assert main(["annotate", str(archive), "--out", str(tmp_path / "out"), "--no-model", *more]) == 0
        return capsys.readouterr().out.splitlines()

    assert "Part 1 of 2: 10 sessions are done." in run("--shard", "1/2")
    assert "Part 2 of 2: 5 sessions are done." in run("--shard", "2/2")
    assert any("had been done by an earlier run" in line for line in run())
    assert outputs(tmp_path / "out") == whole


# --- Parquet ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows_of_a_part", [1_000_000, 50])
def test_parquet_in_parts_holds_the_rows_of_the_csv(
    archive: Path, tmp_path: Path, rules: rk.Annotator, monkeypatch: pytest.MonkeyPatch, rows_of_a_part: int
) -> None:
    pytest.importorskip("pyarrow")
    import pandas as pd

    monkeypatch.setattr(rk.tables, "ROWS_OF_A_PART", rows_of_a_part)
    monkeypatch.setattr(rk.tables, "ROWS_TOGETHER", 20)
    out = tmp_path / "out"
    annotate_folder(archive, out, rules, formats=["parquet"], workers=2)
    found = rk.load(out)
    for level, stem in rk.tables.FILES.items():
        got, expected = pd.read_parquet(out / f"{stem}.parquet"), rk.to_frame(found, level)
        assert list(got.columns) == list(expected.columns)
        for name in expected:
            assert [None if pd.isna(v) else v for v in got[name]] == [None if pd.isna(v) else v for v in expected[name]]
    parts = sorted(path.name for path in (out / "turns.parquet").iterdir())
    assert len(parts) == (1 if rows_of_a_part > 50 else 3)
    for name, read in readers_of_parquet():
        assert read(out / "turns.parquet") == 15 * 12, name


def readers_of_parquet() -> list[tuple[str, Callable[[Path], int]]]:
    found: list[tuple[str, Callable[[Path], int]]] = []
    try:
        import polars

        found.append(("polars", lambda folder: len(polars.read_parquet(folder / "*.parquet"))))
    except ImportError:
        pass
    try:
        import duckdb

        query = "SELECT count(*) FROM read_parquet('{}/*.parquet')"
        found.append(("duckdb", lambda folder: duckdb.sql(query.format(folder)).fetchall()[0][0]))
    except ImportError:
        pass
    return found


# --- a cluster ----------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Any:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


def test_a_cluster_writes_the_same_bytes(
    archive: Path,
    tmp_path: Path,
    rules: rk.Annotator,
    whole: dict[str, bytes],
    cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    annotate_folder(archive, tmp_path / "out", rules, client=cluster)
    assert outputs(tmp_path / "out") == whole
    # its workers were started elsewhere, and paths may be relative
    monkeypatch.chdir(archive)
    annotate_folder(".", "../relative", rules, client=cluster)
    assert outputs(tmp_path / "relative") == whole
    address = cluster.scheduler.address
    done = subprocess.run(
        command(archive, "--out", tmp_path / "by-address", "--scheduler", address), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "by-address") == whole


class DeadlyOnce(Deadly):
    """Takes its process down the first time that it meets the session."""

    def __call__(self, transcript: rk.Transcript) -> rk.Transcript:
        mark = Path(self.victim)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return transcript


def test_a_worker_of_the_cluster_that_is_killed_costs_nothing(archive: Path, tmp_path: Path, cluster: Any) -> None:
    annotator = rk.Annotator(DeadlyOnce(str(tmp_path / "killed")))
    report = annotate_folder(archive, tmp_path / "out", annotator, client=cluster)
    assert (tmp_path / "killed").exists()
    assert {s.outcome for outcome in report.inputs for s in outcome.sessions} == {"done"}


def test_a_session_that_kills_every_worker_of_the_cluster_costs_itself(
    archive: Path, tmp_path: Path, cluster: Any
) -> None:
    report = annotate_folder(archive, tmp_path / "out", rk.Annotator(Deadly("s4")), client=cluster)
    failed = {s.session_id: s.reason for outcome in report.inputs for s in outcome.sessions if s.outcome == "failed"}
    assert "s4" in failed
    assert "worker that had it died" in str(failed["s4"])


# --- several hosts ------------------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Three hosts with an address each on one network, made of network namespaces: 10.77.0.1 and so on."""
    pytest.importorskip("distributed")
    if shutil.which("ip") is None or os.geteuid() != 0 or ip("netns", "add", net := f"rk{os.getpid()}"):
        pytest.skip("hosts of network namespaces need root, the right to make them, and iproute2's ip")
    names = tuple(f"{net}-{number}" for number in (1, 2, 3))
    try:
        assert not ip("-n", net, "link", "add", "bridge", "up", "type", "bridge")
        for number, name in enumerate(names, 1):
            assert not ip("netns", "add", name)
            assert not ip("-n", net, "link", "add", f"to{number}", "up", "type", "veth", "peer", "eth0", "netns", name)
            assert not ip("-n", net, "link", "set", f"to{number}", "master", "bridge")
            assert not ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                assert not ip("-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in (*names, net):
            running = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
            for pid in running.split():
                os.kill(int(pid), signal.SIGKILL)
            ip("netns", "delete", name)


def ip(*arguments: str) -> int:
    return subprocess.run(["ip", *arguments], capture_output=True).returncode


class Unplugs(Deadly):
    """Cuts its host off the network the first time that it meets the session."""

    def __call__(self, transcript: rk.Transcript) -> rk.Transcript:
        mark = Path(self.victim)
        if not mark.exists():
            mark.touch()
            assert not ip("link", "set", "eth0", "down")
        return transcript


RUN_ON_A_HOST = """
import sys
import rupturekit as rk
from distributed import Client
from test_batch import Unplugs

folder, out, mark = sys.argv[1:]
with Client("tcp://10.77.0.1:8786", timeout=60) as client:
    client.wait_for_workers(2, timeout=60)
    rk.annotate_folder(folder, out, rk.Annotator(Unplugs(mark)), client=client)
    print(len(client.nthreads()))
"""


def test_a_host_that_is_cut_off_in_mid_run_costs_nothing(archive: Path, tmp_path: Path, hosts: tuple[str, ...]) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        # a host from which nothing comes is given up after this; 30 s are Dask's own choice
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    }

    def on(host: str, *arguments: object) -> list[str]:
        return ["ip", "netns", "exec", host, sys.executable, *map(str, arguments)]

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = ("-m", "distributed.cli.dask_scheduler", "--host", "10.77.0.1", "--port", 8786, "--no-dashboard")
    subprocess.Popen(on(hosts[0], *scheduler), env=environment, cwd=tmp_path, **quiet)
    worker = ("-m", "distributed.cli.dask_worker", "tcp://10.77.0.1:8786", "--nthreads", 1, "--no-dashboard")
    for host in hosts[1:]:
        subprocess.Popen(on(host, *worker, "--local-directory", tmp_path), env=environment, cwd=tmp_path, **quiet)
    mark = tmp_path / "cut-off"
    arguments = ("-c", RUN_ON_A_HOST, archive, tmp_path / "out", mark)
    done = subprocess.run(on(hosts[0], *arguments), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert mark.exists()
    assert done.stdout == "1\n"  # the other host is gone
    annotate_folder(archive, tmp_path / "whole", rk.Annotator(Unplugs(str(mark))))
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
