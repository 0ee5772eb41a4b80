"""Real queues in a separate home: run them by the command line, and read their logs.

The end of each test checks general invariants: the log verifies, no process is left, and the jobs'
own record of executions matches the log.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from msgspec import Struct
from tests.support import constants, warm
from tests.support.processes import describe, parent, processes_with_variable, sigterm_kills
from tests.support.wait import wait_until
from tests.support.warm import SPAWN

from spawn.core.domain.codec import decode
from spawn.core.domain.events import Data, Event, JobStarted, Outcome, QueueStarted
from spawn.core.domain.state import QueueState
from spawn.core.errors import QueueNotFound
from spawn.store.log import read
from spawn.store.log.verify import verify
from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import QueuePaths, Roots

SECONDS = 30.0
"""Timeout in seconds for anything, on a machine that is busy with other tests."""
UNOWNED_SECONDS = SECONDS
"""How long a queue that a test waits for may be without a runner, in seconds."""

_TRAP = re.compile(r"^trap '[^']*' TERM", re.MULTILINE)
_WITNESS = """\
if [ -n "$JOB_ID" ]; then
  nap() {{ read -rt 0.05 _ <>{fifo} || true; }}
  printf '%s %s %s\\n' "$QUEUE_ID" "$JOB_ID" "$JOB_ATTEMPT" >> {truth}
  unset BASH_ENV
fi
"""
"""Script that bash reads before each command: it records the execution of an attempt. A shell
without a job, such as a login shell, records nothing. `nap` is a short sleep without a process."""


def job(job_id: str, command: str, *needs: str, **fields: Any) -> dict[str, Any]:
    """A job in the format of a configuration file."""
    return {"job_id": job_id, "command": command, "depends_on": list(needs), **fields}


def retry(attempts: int, delay: str = "50ms", **fields: Any) -> dict[str, Any]:
    """A job's `retry`, with a constant short delay."""
    return {"max_attempts": attempts, "backoff": "fixed", "delay": delay, **fields}


class Finished(Struct, frozen=True):
    """Result of a command."""

    code: int
    out: str
    err: str


class Queue:
    """One queue of a `World`; it may be run several times."""

    def __init__(self, world: "World", queue_id: str, config: dict[str, Any]) -> None:
        self.world = world
        self.queue_id = queue_id
        self.config = config
        self.paths: QueuePaths = world.roots.queue(queue_id)
        self.file = world.folder / f"{queue_id}.json"
        self.file.write_text(json.dumps(config))

    # running it

    def run(self, *flags: str) -> Finished:
        """Run the queue by the command line and wait for its end."""
        return self.world.spawn("run", str(self.file), "--queue-id", self.queue_id, *flags)

    def resume(self) -> Finished:
        """Resume the queue and wait for its end."""
        return self.run("--or-resume")

    def detach(self, *flags: str) -> Self:
        """Start the queue and leave it running."""
        finished = self.run("--detach", *flags)
        assert finished.code == 0, finished.err
        return self

    def start(self, *flags: str, **options: Any) -> "subprocess.Popen[str]":
        """Start the queue by a command line that the test waits for or kills."""
        command = ["run", str(self.file), "--queue-id", self.queue_id, *flags]
        return self.world.start(*command, **options)

    # reading its log

    def events(self) -> list[Event[Data]]:
        """Return the log so far; empty until it exists."""
        try:
            with read.open_log(self.paths.events) as connection:
                rows = list(read.rows(connection))
        except QueueNotFound:
            return []
        return [event for _, type_, line, _ in rows if (event := decode(line, type_)) is not None]

    def job_events(self, job_id: str, *types: str) -> list[Event[Data]]:
        """Return a job's events, optionally of these types."""
        return [
            event
            for event in self.events()
            if event.job_id == job_id and (not types or event.type in types)
        ]

    def types(self, job_id: str | None = None) -> list[str]:
        """Return the types of a job's events, or of those without a job, in order."""
        return [event.type for event in self.events() if event.job_id == job_id]

    def data(self, job_id: str, type_: str) -> Any:
        """Return the data of a job's only event of this type."""
        (event,) = self.job_events(job_id, type_)
        return event.data

    def outcome(self, job_id: str) -> Any:
        """Return the data of the outcome of a job's newest attempt."""
        return [event.data for event in self.job_events(job_id) if isinstance(event.data, Outcome)][
            -1
        ]

    @property
    def state(self) -> QueueState:
        """State of the log."""
        return read.replay(self.paths.events, self.queue_id).state

    def attempt(self, job_id: str, number: int = 1) -> JobStarted:
        """Return the data of an attempt's start."""
        found = [e.data for e in self.job_events(job_id, "JobStarted") if e.attempt == number]
        assert len(found) == 1
        assert isinstance(found[0], JobStarted)
        return found[0]

    def stdout(self, job_id: str, number: int = 1) -> bytes:
        """Return an attempt's raw stdout."""
        return (Path(self.attempt(job_id, number).folder) / "stdout.log").read_bytes()

    def combined(self, job_id: str) -> bytes:
        """Return a job's combined log."""
        try:
            return self.paths.job_log(job_id).read_bytes()
        except FileNotFoundError:
            return b""  # the command has not started yet

    def executed(self, recorded: list[str] | None = None) -> list[tuple[str, int]]:
        """Return the attempts that ran on this machine, from the jobs' own record, in order."""
        lines = self.world.execution_lines() if recorded is None else recorded
        return [
            (job_id, int(attempt))
            for queue_id, job_id, attempt in map(str.split, lines)
            if queue_id == self.queue_id
        ]

    # waiting and killing

    def wait_for(
        self, type_: str, job_id: str | None = None, count: int = 1, *, seconds: float = SECONDS
    ) -> Event[Data]:
        """Wait for `count` events of a type and job; returns the last of them."""
        found: list[Event[Data]] = []
        held_at = time.monotonic()

        def there() -> bool:
            nonlocal held_at
            if lock.is_held(self.paths.lock):
                held_at = time.monotonic()
            found[:] = [e for e in self.events() if (e.type, e.job_id) == (type_, job_id)]
            return len(found) >= count or time.monotonic() > held_at + UNOWNED_SECONDS

        what = f"{count} {type_} of {job_id or 'the queue'}"
        self.until(there, what, seconds)
        assert len(found) >= count, (
            f"the queue has no runner, and there is no {what}\n{self.describe()}"
        )
        return found[count - 1]

    def wait_executing(self, job_id: str, attempt: int = 1) -> JobStarted:
        """Wait until an attempt's command runs, and has set its TERM trap if it has one."""
        self.until(lambda: (job_id, attempt) in self.executed(), f"{job_id} executes")
        started = self.attempt(job_id, attempt)
        if _TRAP.search(self.state.jobs[job_id].config.command):
            self.until(lambda: not sigterm_kills(started.pid), f"{job_id} has set its trap")
        return started

    def wait_idle(self) -> None:
        """Wait until no process runs the queue."""
        self.until(lambda: not lock.is_held(self.paths.lock), "the runner has ended")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait for a condition; a timeout's message includes the log."""
        try:
            wait_until(condition, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    def describe(self) -> str:
        """Return a summary of the log, for the message of a failed test."""
        lines = (f"{e.seq} {e.type} {e.job_id or ''} {e.attempt or ''}" for e in self.events())
        said = self.paths.runner_log
        return "\n".join([*lines, said.read_text() if said.exists() else ""])

    def runner(self) -> int:
        """Return the process id of the newest runner."""
        owners = [e.data for e in self.events() if isinstance(e.data, QueueStarted)]
        return owners[-1].pid

    def stop(self) -> None:
        """Stop the queue gracefully if it runs, and wait for the runner's end."""
        if not self.state.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.runner(), signal.SIGTERM)
        self.wait_idle()

    def kill_runner(self) -> None:
        """Kill the runner with SIGKILL and wait for its end."""
        os.kill(self.runner(), signal.SIGKILL)
        self.wait_idle()

    def supervisor(self, job_id: str, number: int = 1) -> int:
        """Return the process id of an attempt's supervisor."""
        return parent(self.attempt(job_id, number).pid)

    def wait_over(self, job_id: str, number: int = 1) -> None:
        """Wait until an attempt's supervisor has ended."""
        folder = Path(self.attempt(job_id, number).folder)
        self.until(lambda: not lock.is_held(folder / "lock"), f"{job_id}'s supervisor ends")

    # general invariants

    def check(self) -> None:
        """Check the log against the record of executions."""
        verify(self.paths.events, self.queue_id)
        events = self.events()
        starts = Counter((e.job_id, e.attempt) for e in events if e.type == "JobStarted")
        ends = Counter((e.job_id, e.attempt) for e in events if isinstance(e.data, Outcome))
        ran = Counter(self.executed())
        elsewhere = {
            each for other in self.world.others for each in self.executed(other.execution_lines())
        }
        assert max([*starts.values(), *ends.values(), *ran.values()], default=1) == 1, (
            self.describe()
        )
        assert ran.keys() <= starts.keys(), "executed without a JobStarted"
        completed = {(e.job_id, e.attempt) for e in events if e.type == "JobCompleted"}
        assert completed <= ran.keys() | elsewhere, "completed without an execution"
        never = {
            (e.job_id, e.attempt) for e in events if getattr(e.data, "cause", "") == "never_began"
        }
        assert not never & ran.keys(), "executed although the log says that it never started"
        if self.state.state != "running":
            assert starts.keys() == ends.keys(), f"an attempt without an outcome\n{self.describe()}"


class World:
    """A home, a working folder for jobs, and the queues and commands of a test.

    Args:
        folder: An empty folder, or that of another world, which is another machine then: both share
            the jobs' working folder, and each has its own home and record of executions.
        home: `SPAWN_HOME`; in `folder` if absent.
        environ: Additional environment variables of its processes.
    """

    def __init__(
        self, folder: Path, home: Path | None = None, environ: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.home = home or folder / "home"
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.others: list[World] = []
        self.roots = Roots(self.home / "state", self.home / "log", self.home / "cache")
        self.queues: list[Queue] = []
        name = "" if home is None else f"-{home.name}"
        self.truth = folder / f"truth{name}"
        witness = folder / f"witness{name}.sh"
        fifo = folder / "nap"
        if not fifo.exists():
            os.mkfifo(fifo)
        witness.write_text(_WITNESS.format(truth=self.truth, fifo=fifo))
        self.environ = {
            **os.environ,
            "SPAWN_HOME": str(self.home),
            "BASH_ENV": str(witness),
            **(environ or {}),
        }
        self.started: list[subprocess.Popen[str]] = []

    def queue(self, *jobs: dict[str, Any], queue_id: str = "q", **fields: Any) -> Queue:
        """Write a configuration. By default its jobs work in `work`."""
        for each in jobs:
            each.setdefault("working_directory", str(self.work))
        queue = Queue(self, queue_id, {"jobs": list(jobs), **fields})
        self.queues.append(queue)
        return queue

    def spawn(self, *command: str) -> Finished:
        """Run `spawn queue ...` to its end."""
        process = self.start(*command)
        out, err = process.communicate(timeout=2 * SECONDS)
        return Finished(process.returncode, out, err)

    def status(self, target: str = "local") -> Any:
        """Return the status as JSON."""
        finished = self.spawn("status", target, "--json")
        assert finished.code == 0, finished.err
        return json.loads(finished.out)

    def start(self, *command: str, wrapper: tuple[str, ...] = (), **options: Any) -> Any:
        """Start `spawn queue ...`.

        Args:
            wrapper: A command that starts it, with its arguments.
            options: For `Popen`.
        """
        settings: dict[str, Any] = {
            "env": self.environ,
            "cwd": self.folder,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        }
        process = warm.spawn([*wrapper, SPAWN, "queue", *command], **settings)
        self.started.append(process)
        return process

    def override_constant(self, name: str, value: Any) -> None:
        """Change a constant in its processes, except supervisors; see `constants.override`."""
        constants.override(self.environ, name, value)

    def release(self, name: str) -> None:
        """Release the commands that wait for this name."""
        (self.work / name).touch()

    def execution_lines(self) -> list[str]:
        """Return a line for each executed command."""
        return self.truth.read_text().splitlines() if self.truth.exists() else []

    def processes(self) -> list[int]:
        """Return every process that was started for a queue of this home."""
        return processes_with_variable(f"SPAWN_HOME={self.home}")

    def close(self) -> None:
        """Check that no process is left and that the logs are valid and complete."""
        for process in self.started:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        left: list[int] = []
        try:
            wait_until(lambda: not self.processes(), seconds=5)
        except AssertionError:
            left = self.processes()
        told = [describe(pid) for pid in left]
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()
        assert not told, f"left behind: {told}"
        for queue in self.queues:
            if queue.paths.events.exists():
                queue.check()


@contextlib.contextmanager
def world_in(folder: Path, home: Path | None = None) -> Iterator[World]:
    """Create a world and check it at its end."""
    world = World(folder, home)
    try:
        yield world
    finally:
        world.close()


def until(name: str) -> str:
    """Return a shell command that waits until this name is released."""
    return f"until [ -e {name} ]; do nap 2>/dev/null || sleep 0.05; done"
