"""Real queues in a home of their own: run them by the command line, read what became of them.

The end of a test checks what holds for every queue, whatever it was about: its log verifies, no
process of it is left, and what ran by the jobs' own account is what the log says.
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
from tests.support.processes import carriers, describe, ends_by_term, parent
from tests.support.wait import wait_until
from tests.support.warm import SPAWN

from spawn.core.codec import decode
from spawn.core.errors import QueueNotFound
from spawn.core.events import Data, Event, JobStarted, Outcome, QueueStarted
from spawn.core.state import QueueState
from spawn.store import lock
from spawn.store.log import read
from spawn.store.log.verify import verify
from spawn.store.paths import QueuePaths, Roots

SECONDS = 30.0
"""How long anything may take on a machine that is busy with other tests."""
UNOWNED_SECONDS = SECONDS
"""How long a queue that somebody waits for may be without a runner."""

_TRAP = re.compile(r"^trap '[^']*' TERM", re.MULTILINE)
_WITNESS = """\
if [ -n "$JOB_ID" ]; then
  nap() {{ read -rt 0.05 _ <>{fifo} || true; }}
  printf '%s %s %s\\n' "$QUEUE_ID" "$JOB_ID" "$JOB_ATTEMPT" >> {truth}
  unset BASH_ENV
fi
"""
"""What bash reads before each command: an attempt records that it was executed. A shell that runs
no job, such as a login shell, records nothing. `nap` is a short sleep that starts no process."""


def job(job_id: str, command: str, *needs: str, **fields: Any) -> dict[str, Any]:
    """A job as a configuration file has it."""
    return {"job_id": job_id, "command": command, "depends_on": list(needs), **fields}


def retry(attempts: int, delay: str = "50ms", **fields: Any) -> dict[str, Any]:
    """A job's `retry`, with the same short delay each time."""
    return {"max_attempts": attempts, "backoff": "fixed", "delay": delay, **fields}


class Finished(Struct, frozen=True):
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


class Queue:
    """One queue of a `World`; it may be run more than once."""

    def __init__(self, world: "World", queue_id: str, config: dict[str, Any]) -> None:
        self.world = world
        self.queue_id = queue_id
        self.config = config
        self.paths: QueuePaths = world.roots.queue(queue_id)
        self.file = world.folder / f"{queue_id}.json"
        self.file.write_text(json.dumps(config))

    # running it

    def run(self, *flags: str) -> Finished:
        """Run it by the command line and wait for its end."""
        return self.world.spawn("run", str(self.file), "--queue-id", self.queue_id, *flags)

    def resume(self) -> Finished:
        """Go on with it, and wait for its end."""
        return self.run("--or-resume")

    def detach(self, *flags: str) -> Self:
        """Run it and leave it running."""
        finished = self.run("--detach", *flags)
        assert finished.code == 0, finished.err
        return self

    def start(self, *flags: str, **options: Any) -> "subprocess.Popen[str]":
        """Run it by a command line that stays; the test waits for that, or kills it."""
        command = ["run", str(self.file), "--queue-id", self.queue_id, *flags]
        return self.world.start(*command, **options)

    # what became of it

    def events(self) -> list[Event[Data]]:
        """Its log so far; none as long as it is being made."""
        try:
            with read.opened(self.paths.events) as connection:
                rows = list(read.rows(connection))
        except QueueNotFound:
            return []
        return [event for _, type_, line, _ in rows if (event := decode(line, type_)) is not None]

    def of(self, job_id: str, *types: str) -> list[Event[Data]]:
        """A job's events, of these types where any are named."""
        return [
            event
            for event in self.events()
            if event.job_id == job_id and (not types or event.type in types)
        ]

    def types(self, job_id: str | None = None) -> list[str]:
        """The types of a job's events in order, or of those that are of no job."""
        return [event.type for event in self.events() if event.job_id == job_id]

    def data(self, job_id: str, type_: str) -> Any:
        """What the one event of this type says of a job."""
        (event,) = self.of(job_id, type_)
        return event.data

    def outcome(self, job_id: str) -> Any:
        """How the newest attempt of a job that has ended did so."""
        return [event.data for event in self.of(job_id) if isinstance(event.data, Outcome)][-1]

    @property
    def state(self) -> QueueState:
        """The state that the log amounts to."""
        return read.replay(self.paths.events, self.queue_id).state

    def attempt(self, job_id: str, number: int = 1) -> JobStarted:
        """What the log says of an attempt's start."""
        found = [e.data for e in self.of(job_id, "JobStarted") if e.attempt == number]
        assert len(found) == 1
        assert isinstance(found[0], JobStarted)
        return found[0]

    def stdout(self, job_id: str, number: int = 1) -> bytes:
        """An attempt's raw output."""
        return (Path(self.attempt(job_id, number).folder) / "stdout.log").read_bytes()

    def combined(self, job_id: str) -> bytes:
        """A job's combined log."""
        return self.paths.job_log(job_id).read_bytes()

    def executed(self, witnessed: list[str] | None = None) -> list[tuple[str, int]]:
        """The attempts that ran here by their own account, in order."""
        lines = self.world.witnessed() if witnessed is None else witnessed
        return [
            (job_id, int(attempt))
            for queue_id, job_id, attempt in map(str.split, lines)
            if queue_id == self.queue_id
        ]

    # waiting and killing

    def wait_for(
        self, type_: str, job_id: str | None = None, count: int = 1, *, seconds: float = SECONDS
    ) -> Event[Data]:
        """Wait until the log has so many events of a type, of this job; returns the newest."""
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
        assert len(found) >= count, f"nobody runs it, and there is no {what}\n{self.told()}"
        return found[count - 1]

    def wait_executing(self, job_id: str, attempt: int = 1) -> JobStarted:
        """Wait until the command of an attempt runs, and has set the trap for TERM that it sets."""
        self.until(lambda: (job_id, attempt) in self.executed(), f"{job_id} executes")
        started = self.attempt(job_id, attempt)
        if _TRAP.search(self.state.jobs[job_id].config.command):
            self.until(lambda: not ends_by_term(started.pid), f"{job_id} has set its trap")
        return started

    def wait_idle(self) -> None:
        """Wait until no process runs the queue any more."""
        self.until(lambda: not lock.is_held(self.paths.lock), "nobody runs it")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait for something of this queue; shows its log when it does not come."""
        try:
            wait_until(condition, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told()}") from None

    def told(self) -> str:
        """The log in short, for a test that failed."""
        lines = (f"{e.seq} {e.type} {e.job_id or ''} {e.attempt or ''}" for e in self.events())
        said = self.paths.runner_log
        return "\n".join([*lines, said.read_text() if said.exists() else ""])

    def runner(self) -> int:
        """The process id of the newest runner."""
        owners = [e.data for e in self.events() if isinstance(e.data, QueueStarted)]
        return owners[-1].pid

    def stop(self) -> None:
        """Stop it in good order where it runs, and see the runner gone."""
        if not self.state.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.runner(), signal.SIGTERM)
        self.wait_idle()

    def kill_runner(self) -> None:
        """Kill the runner as nothing can be prepared for, and see it gone."""
        os.kill(self.runner(), signal.SIGKILL)
        self.wait_idle()

    def supervisor(self, job_id: str, number: int = 1) -> int:
        """The process id of an attempt's supervisor."""
        return parent(self.attempt(job_id, number).pid)

    def wait_over(self, job_id: str, number: int = 1) -> None:
        """Wait until an attempt's supervisor has ended, whoever runs the queue."""
        folder = Path(self.attempt(job_id, number).folder)
        self.until(lambda: not lock.is_held(folder / "lock"), f"{job_id}'s supervisor ends")

    # what holds for every queue

    def check(self) -> None:
        """Check the log, and what ran against it."""
        verify(self.paths.events, self.queue_id)
        events = self.events()
        starts = Counter((e.job_id, e.attempt) for e in events if e.type == "JobStarted")
        ends = Counter((e.job_id, e.attempt) for e in events if isinstance(e.data, Outcome))
        ran = Counter(self.executed())
        elsewhere = {
            each for other in self.world.others for each in self.executed(other.witnessed())
        }
        assert max([*starts.values(), *ends.values(), *ran.values()], default=1) == 1, self.told()
        assert ran.keys() <= starts.keys(), "executed without a JobStarted"
        completed = {(e.job_id, e.attempt) for e in events if e.type == "JobCompleted"}
        assert completed <= ran.keys() | elsewhere, "completed without having been executed"
        never = {
            (e.job_id, e.attempt) for e in events if getattr(e.data, "cause", "") == "never_began"
        }
        assert not never & ran.keys(), "executed, and the log says that it never began"
        if self.state.state != "running":
            assert starts.keys() == ends.keys(), f"an attempt without an outcome\n{self.told()}"


class World:
    """A home, a folder for jobs to work in, and the queues and commands that a test starts.

    Args:
        folder: An empty one, or that of another world, which is another machine then: what its
            queues' jobs work on is there for both, and each has a home and a truth of its own.
        home: `SPAWN_HOME`; in `folder` when absent.
        environ: What its processes have in their environment on top.
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
        """Write a configuration. Its jobs work in `work` unless they say where."""
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
        """The status as JSON."""
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

    def hurry(self, name: str, value: Any) -> None:
        """Change a constant in its processes, supervisors excepted; see `constants.hurry`."""
        constants.hurry(self.environ, name, value)

    def let(self, name: str) -> None:
        """Let the commands go on that wait for this name."""
        (self.work / name).touch()

    def witnessed(self) -> list[str]:
        """A line for each command that was executed."""
        return self.truth.read_text().splitlines() if self.truth.exists() else []

    def processes(self) -> list[int]:
        """Every process that was started for a queue of this home."""
        return carriers(f"SPAWN_HOME={self.home}")

    def close(self) -> None:
        """Check that nothing is left of the queues, that their logs hold and tell the truth."""
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
    """Make a world and check it at its end."""
    world = World(folder, home)
    try:
        yield world
    finally:
        world.close()


def until(name: str) -> str:
    """A shell command that waits until `World.let` is called with this name."""
    return f"until [ -e {name} ]; do nap 2>/dev/null || sleep 0.05; done"
