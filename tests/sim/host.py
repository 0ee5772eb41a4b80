"""A machine: a disk that outlives processes, supervisors that outlive runners, and the ports of a
runner on it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from tests.sim.checker import Checker, Command, LogModel, expect
from tests.sim.kernel import Crashed, Kernel, Process, Signal
from tests.sim.store import Client

from spawn.core.config.model import JobConfig
from spawn.core.events import CheckpointSaved, Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.exit import Exit, StopCause
from spawn.core.replay import Row
from spawn.core.state import JobState
from spawn.runner.ports import (
    Checkpointed,
    Collected,
    Ended,
    Faltering,
    Happening,
    Prepared,
    Published,
    PutBack,
    Returned,
    Troubled,
)
from spawn.store.log.ledger import Entry
from spawn.store.log.write import LogFull

START = datetime(2026, 1, 27, 14, 5, 32, tzinfo=UTC)


class Disk:
    """A log that is durable once `append` has returned, and perhaps before. See `EventLog`."""

    def __init__(self, host: "Host", queue_id: str) -> None:
        self._host = host
        self._rows: list[Row] = []
        self.model = LogModel(queue_id)

    name = "a disk"

    def rows(self, after: int = 0) -> Iterable[Row]:
        """See `EventLog.rows`."""
        return self._rows[after:]

    def append(self, entries: Sequence[Entry], *, expected_seq: int) -> None:
        """See `EventLog.append`."""
        host = self._host
        host.maybe_crash("append")
        if host.rng.random() < host.log_full:
            raise LogFull("the event log cannot be written", why="no space left")
        expect(expected_seq == len(self._rows) + 1, "a log was written by two")
        self._take([(e.seq, e.type.encode(), line, hash_) for e, line, hash_ in entries])
        host.maybe_crash("appended")

    def adopt(self, rows: Iterable[Row]) -> None:
        """See `EventLog.adopt`."""
        found = list(rows)
        self._host.maybe_crash("adopt")
        self._take(found)

    def close(self) -> None:
        """See `EventLog.close`."""

    def _take(self, rows: list[Row]) -> None:
        for row in rows:
            self.model.take(row[3], row[2])
            self._rows.append(row)


class Attempt:
    """A supervisor and its command."""

    def __init__(self, host: "Host", job: JobState, attempt: int, token: str) -> None:
        self.host, self.token = host, token
        self.job_id, self.attempt = job.config.job_id, attempt
        self.state = "gate"
        self.exit: Exit | None = None
        self.stop: StopCause | None = None
        self.command: Command | None = None
        self.listener: tuple[Process, Callable[[Happening], None]] | None = None

    def go(self, epoch: int) -> None:
        """Execute the command."""
        host = self.host
        self.state = "running"
        self.command = Command(host, self.job_id, self.attempt, self.token, epoch)
        host.kernel.trace(f"{host.name} executes {self.job_id} {self.attempt}")
        host.checker.executes(self.command, host.disk.model, host.place)
        seconds = host.rng.choice([0.0, 0.3, 2.0, 10.0, 40.0, 200.0]) * host.rng.uniform(0.5, 1.5)
        code = 0 if host.rng.random() < host.success else host.rng.choice([1, 3, 127])
        host.kernel.at(seconds, lambda: self.end(Exit(exit_code=code, wall_seconds=seconds)))

    def ask_to_stop(self, cause: StopCause, grace: float) -> None:
        """TERM now, KILL after the grace."""
        if self.state != "running" or self.stop is not None:
            return
        self.stop = cause
        seconds = self.host.rng.uniform(0.0, grace)
        self.host.kernel.at(seconds, lambda: self.end(Exit(exit_code=143, stop=cause)))

    def end(self, exit_: Exit, *, recorded: bool = True) -> None:
        """The command is over."""
        if self.state != "running":
            return
        self.state = "over"
        if exit_.exit_code == 0:
            self.host.files.add(self.token)
            if self.job_id in self.host.disk.model.promising:
                self.host.shared = self.job_id
        if recorded:
            self.exit = exit_._replace(stop=self.stop)
        assert self.command is not None
        self.host.kernel.trace(f"{self.host.name} ended {self.job_id} {self.attempt}")
        self.host.checker.ends(self.command)
        self.tell()

    def never(self) -> None:
        """The gate is closed for ever."""
        if self.state == "gate":
            self.state = "over"
            self.exit = Exit(exit_code=0, began=False)

    def tell(self) -> None:
        """Let the runner know, if there is one."""
        if self.listener is not None:
            process, post = self.listener
            if process.alive:
                post(Ended(self.token, self.exit))


class Host:
    """One machine.

    Args:
        crash: Decides whether the process at a point dies there.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        queue_id: str,
        checker: Checker,
        rng: Random,
        crash: Callable[[str], bool],
    ) -> None:
        self.kernel, self.name, self.checker, self.rng = kernel, name, checker, rng
        self.place = f"place-{name}"
        self.queue_id = queue_id
        self.success = 0.85
        self.log_full = 0.0
        self.gone = 0.0
        """The share of results that are in the store no more when they are to be restored."""
        self.boot = 1
        self.there = True
        self.disk = Disk(self, queue_id)
        self.aside: list[Disk] = []
        self.attempts: dict[str, Attempt] = {}
        self.folders: set[str] = set()
        """The attempts that were made here, by token."""
        self.files: set[str] = set()
        """The attempts whose results are here."""
        self.shared = ""
        """The job whose result was written, or restored, last: all have the same path."""
        self.restored: set[str] = set()
        """What a runner has noted here as restored."""
        self.restoring_until = 0.0
        self.checkpoints: set[str] = set()
        """The checkpoints that were put back here."""
        self.runner: Process | None = None
        self.client: Client | None = None
        self.awake_since = 0.0
        self._crash = crash
        self.stop: Callable[[], None] = lambda: None
        self.notice: Callable[[float], None] = lambda _: None
        self.troubled: Callable[[], bool] = lambda: False

    def maybe_crash(self, point: str) -> None:
        """Die here, if this is where."""
        if self._crash(point):
            assert self.runner is not None
            self.runner.kill()
            raise Crashed

    @property
    def running(self) -> bool:
        """Whether a runner holds the lock."""
        return self.runner is not None and self.runner.alive

    def quiet_since(self) -> float | None:
        """Since when its runner could have learned whatever the store knows; None: it cannot."""
        if not self.running or self.client is None or self.runner is None:
            return None
        if self.runner.asleep_until > self.kernel.now:
            return None
        return max(self.awake_since, self.runner.asleep_until, self.client.failed_at + 21.0)

    def power_off(self) -> None:
        """Lose every process; the disk stays."""
        self.kernel.trace(f"{self.name} loses power")
        if self.runner is not None:
            self.runner.kill()
        for attempt in self.attempts.values():
            if attempt.state == "gate":
                attempt.state = "over"
            attempt.listener = None
            attempt.end(Exit(exit_code=137), recorded=False)
        self.attempts.clear()
        self.boot += 1

    def vanish(self) -> None:
        """Be gone, disk and all."""
        self.power_off()
        self.there = False
        self.folders.clear()
        self.files.clear()
        self.restored.clear()
        self.shared = ""
        self.checkpoints.clear()
        self.disk = Disk(self, self.queue_id)

    def put_aside(self) -> None:
        """See `queues.put_aside`."""
        self.aside.append(self.disk)
        self.disk = Disk(self, self.queue_id)


class Inbox:
    """Where a runner's loop rests. See `Waiter`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._signal = Signal(kernel)
        self._found: list[Happening] = []

    def post(self, happening: Happening) -> None:
        """Leave something for the loop."""
        self._found.append(happening)
        self._signal.give()

    def wait(self, seconds: float | None) -> Iterable[Happening]:
        """See `Waiter.wait`."""
        if not self._found:
            self._kernel.wait(self._signal, seconds)
        found, self._found = self._found, []
        return found


class SimBell:
    """See `Bell`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._signal = Signal(kernel)

    def wait(self, seconds: float | None) -> None:
        """See `Bell.wait`."""
        self._kernel.wait(self._signal, seconds)

    def ring(self) -> None:
        """See `Bell.ring`."""
        self._signal.give()


class SimClock:
    """See `Clock`."""

    def __init__(self, kernel: Kernel, skew: float) -> None:
        self._kernel = kernel
        self._skew = timedelta(seconds=skew)

    def wall(self) -> datetime:
        """See `Clock.wall`."""
        return START + self._skew + timedelta(seconds=round(self._kernel.now, 6))

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._kernel.now


class SimLauncher:
    """See `Launcher`."""

    def __init__(self, host: Host, process: Process, epoch: Callable[[], int]) -> None:
        self._host, self._process, self._epoch = host, process, epoch
        self.post: Callable[[Happening], None] = lambda _: None

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        """See `Launcher.prepare`."""
        token = f"{self._host.rng.getrandbits(64):016x}"
        made = Attempt(self._host, job, attempt, token)
        self._host.attempts[token] = made
        self._host.folders.add(token)
        return Prepared(token=token, pid=4711, folder=f"/{token}", log_file="", log_offset=0)

    def foresee(self, job: JobState, attempt: int) -> None:
        """See `Launcher.foresee`."""

    def go(self, token: str) -> None:
        """See `Launcher.go`."""
        attempt = self._host.attempts[token]
        attempt.listener = (self._process, self.post)
        attempt.go(self._epoch())

    def abandon(self, token: str) -> None:
        """See `Launcher.abandon`."""
        self._host.attempts.pop(token).never()

    def holds(self, job: JobState) -> bool:
        """See `Launcher.holds`."""
        return job.token in self._host.folders

    def adopt(self, job: JobState) -> None:
        """See `Launcher.adopt`."""
        attempt = self._host.attempts.get(job.token)
        if attempt is None:
            self.post(Ended(job.token, None))
            return
        attempt.never()
        attempt.listener = (self._process, self.post)
        if attempt.state == "over":
            attempt.tell()

    def warn(self, token: str, deadline: str) -> None:
        """See `Launcher.warn`."""

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        """See `Launcher.stop`."""
        if token in self._host.attempts:
            self._host.attempts[token].ask_to_stop(cause, grace)

    def end(self, job: JobState) -> None:
        """End an attempt that is not ours to follow."""
        attempt = self._host.attempts.get(job.token)
        if attempt is not None:
            attempt.never()
            attempt.ask_to_stop("fenced", 3.0)
            while attempt.state == "running":
                self._host.kernel.sleep(0.1)


class SimPublisher:
    """See `Publisher`."""

    def __init__(
        self, host: Host, process: Process, post: Callable[[Happening], None], saved: set[str]
    ) -> None:
        self._host, self._process, self._post, self._saved = host, process, post, saved
        self._dropped = False

    def collect(self, token: str, job: JobConfig, folder: str) -> None:
        """See `Publisher.collect`."""
        self._later(Collected(token, Results(files=1, size=1, sha256="00")))

    def publish(self, token: str, job: JobState, *, last: bool = False) -> None:
        """See `Publisher.publish`."""
        host, rng = self._host, self._host.rng
        seconds = rng.uniform(0.0, 3.0)
        if host.troubled() and rng.random() < 0.1:
            seconds = rng.choice([20.0, 400.0, 5000.0]) * rng.uniform(0.5, 1.5)
            self._post(Troubled(token, host.kernel.now, "unreachable"))

        def save() -> None:
            if self._process.alive and token in host.files:
                self._saved.add(token)

        host.kernel.at(seconds, save)
        outcome: ResultsUploaded | ResultsUploadFailed | None = None
        if job.state == "completed" and job.config.result_files:
            outcome = ResultsUploaded(files=1, size=1, key="k", sha256="00")
            if token not in host.files:
                outcome = ResultsUploadFailed(error="gone")
        self._later(Published(token, outcome), seconds + rng.uniform(0.0, 1.0))

    def follow(self, token: str, job: JobState) -> None:
        """See `Publisher.follow`."""

    def put_back(self, job: JobState, as_of: str) -> None:
        """See `Publisher.put_back`. One after the other."""
        host = self._host

        def arrive() -> None:
            if self._process.alive:
                if host.rng.random() < host.gone:
                    self._saved.discard(job.token)
                    LogModel.gone |= {job.token}
                found = job.token in self._saved
                if found:
                    host.files.add(job.token)
                    host.restored.add(f"{job.token} {job.upstream_resets}")
                    host.shared = job.config.job_id
                    host.checker.restored(host, job.config.job_id)
                self._post(PutBack(job.config.job_id, job.token, "" if found else "gone"))

        now = host.kernel.now
        host.restoring_until = max(host.restoring_until, now) + host.rng.uniform(0.0, 20.0)
        host.kernel.at(host.restoring_until - now, arrive)

    def is_back(self, job: JobState) -> bool:
        """See `Publisher.is_back`."""
        return f"{job.token} {job.upstream_resets}" in self._host.restored

    def save_checkpoint(self, token: str, job: JobState) -> None:
        """See `Publisher.save_checkpoint`."""
        host, rng = self._host, self._host.rng
        key = f"{job.config.job_id}/{token}/checkpoint.json"
        seconds = rng.uniform(0.0, 20.0)
        if host.troubled() and rng.random() < 0.1:
            seconds = rng.choice([20.0, 100.0, 1000.0])
            self._post(Faltering(token, "unreachable"))

        def save() -> None:
            if self._process.alive and not self._dropped:
                self._saved.add(key)

        host.kernel.at(seconds, save)
        saved = CheckpointSaved(files=1, size=1, key=key, sha256="00")
        self._later(Checkpointed(token, saved), seconds + rng.uniform(0.0, 1.0))

    def drop_checkpoints(self) -> None:
        """See `Publisher.drop_checkpoints`."""
        self._dropped = True

    def return_checkpoint(self, job: JobState) -> None:
        """See `Publisher.return_checkpoint`."""
        assert job.checkpoint is not None
        key = job.checkpoint.key
        expect(key in self._saved, f"{key} is in a log and not in the store")

        def arrive() -> None:
            if self._process.alive:
                self._host.checkpoints.add(key)
                self._post(Returned(job.config.job_id, job.token, files=1))

        self._host.kernel.at(self._host.rng.uniform(0.0, 20.0), arrive)

    def give_up(self) -> None:
        """See `Publisher.give_up`."""

    def _later(self, happening: Happening, seconds: float | None = None) -> None:
        def tell() -> None:
            if self._process.alive:
                self._post(happening)

        rng = self._host.rng
        self._host.kernel.at(rng.uniform(0.0, 3.0) if seconds is None else seconds, tell)
