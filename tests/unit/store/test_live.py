"""A machine's knowledge about jobs: cached while unchanged, and refreshed when it changes."""

import os
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.configs import job
from tests.support.configs import queue as config
from tests.support.logs import running, started

from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.events import JobCompleted
from spawn.core.domain.replay import Replay
from spawn.core.reports.model import UnloggedEnd
from spawn.core.reports.progress import Progress
from spawn.store import live_facts as looking
from spawn.store.live_facts import LiveFactsReader
from spawn.store.queue_dir import lock, output, record
from spawn.store.queue_dir.paths import Roots

DONE = JobCompleted(exit_code=0, wall_seconds=1.0, cpu_seconds=0.5, peak_memory_bytes=4096)
QUEUE = "nightly"


class Machine:
    """A machine with a queue of two jobs: `a` has completed, `b` runs."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots(folder / "state", folder / "log", folder / "cache")
        self.paths = self.roots.queue(QUEUE)
        self.paths.log.mkdir(parents=True)
        log = running(config(job("a"), job("b")))
        for name in ("a", "b"):
            attempt = self.paths.attempt(name, 1, f"{name}1")
            attempt.mkdir(parents=True)
            for stream in ("stdout.log", "stderr.log"):
                (attempt / stream).write_text("")
            self.log(name).write_text(f"[10:00:00] step 1 of 4 of {name}\n")
            began = structs.replace(
                started(name), folder=str(attempt), log_file=str(self.log(name))
            )
            log.job(name, began, attempt=1)
            if name == "a":
                log.job("a", DONE, attempt=1)
        self.replay: Replay = log.replay()
        self.lives = LiveFactsReader(self.roots, QUEUE)
        self.settle()

    def log(self, name: str) -> Path:
        """Path of a job's combined log."""
        return self.paths.job_log(name)

    def settle(self) -> None:
        """Date all folders far in the past."""
        for folder in (self.roots.log, self.paths.log, self.paths.jobs):
            at = folder.stat().st_mtime_ns - 10**10
            os.utime(folder, ns=(at, at))

    def look(self, name: str) -> tuple[str | None, bool]:
        """Return a job's log file, and whether there is only raw output."""
        found = self.lives.jobs(self.replay.state, self.replay.seq)[name]
        return found.log_file, found.raw_alone


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with unchanged folders."""
    return Machine(tmp_path)


def test_a_deleted_log_is_not_shown(machine: Machine) -> None:
    assert machine.look("a") == (str(machine.log("a")), False)
    assert machine.look("a") == (str(machine.log("a")), False)
    machine.log("a").unlink()
    raw = machine.paths.attempt("a", 1, "a1") / "stdout.log"
    assert machine.look("a") == (str(raw), False)
    raw.write_text("x")
    (machine.paths.jobs / "new").mkdir()
    assert machine.look("a") == (str(raw), True)


def test_a_short_path_is_shown_while_it_leads_to_the_log(machine: Machine) -> None:
    short = machine.roots.log / "a.log"
    short.symlink_to(machine.log("a"))
    assert machine.look("a") == (str(short), False)
    machine.settle()
    assert machine.look("a") == (str(short), False)
    short.unlink()
    short.symlink_to(machine.log("b"))
    assert machine.look("a") == (str(machine.log("a")), False), "another queue uses it"


def test_an_unchanged_job_is_checked_again_after_a_while(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.log("a").unlink()
    raw = machine.paths.attempt("a", 1, "a1") / "stdout.log"
    machine.settle()
    assert machine.look("a") == (str(raw), False)
    raw.unlink()
    assert machine.look("a") == (str(raw), False)
    monkeypatch.setattr(looking, "RECHECK_SECONDS", 0.0)
    assert machine.look("a") == ("", False)


def test_a_running_job_is_checked_each_time(machine: Machine) -> None:
    for step in (1, 2, 3):
        machine.log("b").write_text(f"[10:00:00] step {step} of 4\n")
        progress = machine.lives.jobs(machine.replay.state, machine.replay.seq)["b"].progress
        assert progress is not None
        assert progress.text == f"step {step}/4 ({25 * step}%)"


def test_paths_outside_the_queues_folders_are_not_read(machine: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.log"
    secret.write_text("secret\n")
    running_job = machine.replay.state.jobs["b"]
    assert running_job.started is not None
    for fields in ({"log_file": str(secret)}, {"folder": str(tmp_path)}):
        running_job.started = structs.replace(running_job.started, **fields)
        found = LiveFactsReader(machine.roots, QUEUE).jobs(
            machine.replay.state, machine.replay.seq
        )["b"]
        assert (found.recent, found.progress) == ((), None)


def test_an_attempt_has_ended_once_its_lock_is_free_and_its_record_complete(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, folder = machine.replay.state, machine.paths.attempt("b", 1, "b1")
    owner = state.owner
    assert owner is not None
    monkeypatch.setattr(looking, "boot_id", lambda: owner.boot_id)
    held = lock.acquire(folder / "lock")
    assert held is not None
    assert machine.lives.endings(state) == {}
    os.close(held)
    assert "left no record" in machine.lives.endings(state)["b"].how
    block = record.preallocate(folder / "record")
    for exit_, ending in (
        (
            AttemptExit(exit_code=143, stop="stop", observed=False),
            UnloggedEnd(how="lost its supervisor, which left no record of the exit"),
        ),
        (
            AttemptExit(exit_code=0, started=False),
            UnloggedEnd(how="has not started: its runner stopped first"),
        ),
        (AttemptExit(exit_code=3, wall_seconds=1.5), UnloggedEnd(seconds=1.5, exit_code=3)),
        (AttemptExit(exit_code=143, stop="timeout"), UnloggedEnd(exit_code=124, timed_out=True)),
    ):
        record.write(block, "b1", exit_)
        assert machine.lives.endings(state) == {"b": ending}
    os.close(block)
    monkeypatch.setattr(looking, "boot_id", lambda: "another")
    assert "restarted" in machine.lives.endings(state)["b"].how


def _progress(machine: Machine, lives: LiveFactsReader | None = None) -> Progress:
    """Return the progress of `b`."""
    found = (lives or machine.lives).jobs(machine.replay.state, machine.replay.seq)["b"].progress
    assert found is not None
    return found


def test_progress_is_measured_from_the_attempts_start(machine: Machine) -> None:
    log = machine.log("b")
    log.write_text("[10:00:00] Epoch 91/100\n")
    assert _progress(machine).base == 0.91, "the attempt's own share is unknown so far"
    with log.open("a") as out:
        out.write("".join(f"[10:01:00] Epoch {number}/100\n" for number in (92, 93)))
        out.write("[10:02:00]  0%|  | 0/9\r[10:02:00] 50%|# | 4/8\n" * 500)
        out.write("[10:03:00] Epoch 95/100\n")
    for lives in (machine.lives, LiveFactsReader(machine.roots, QUEUE)):
        found = _progress(machine, lives)
        assert (found.text, round(found.base, 3)) == ("Epoch 95/100 (95%)", 0.9)


def test_the_start_of_an_attempt_is_searched_only_after_progress(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    beginning = output.beginning
    monkeypatch.setattr(output, "beginning", lambda job: looks.append(job.token) or beginning(job))
    for number in (1, 1, 1, 2, 2, 3, 4, 4):
        with machine.log("b").open("a") as out:
            out.write(f"[10:01:00] Epoch {number}/100\n")
        _progress(machine)
    assert len(looks) == 2


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_overwritten_progress_file_is_measured_from_the_first_value_seen(
    machine: Machine, attempt: int
) -> None:
    job = machine.replay.state.jobs["b"]
    job.attempt = attempt
    machine.log("b").write_text("no progress\n")
    file = Path(job.folder) / "progress"
    bases = []
    for number in (91, 92, 95):
        file.write_text(f"{number}/100 Epoch\n")
        bases.append(round(_progress(machine).base, 3))
    assert bases == ([0.0, 0.0, 0.0] if attempt == 1 else [0.91, 0.9, 0.9])
    file.write_text("".join(f"{number}/1000 step\n" for number in range(500, 1000)))
    assert round(_progress(machine, LiveFactsReader(machine.roots, QUEUE)).base, 3) == 0.499
