"""A machine: a disk that outlives processes, supervisors that outlive runners, and the ports of its
runner."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from tests.sim.checker import Checker, Command, LogModel, expect
from tests.sim.kernel import Crashed, Kernel, Process, Signal
from tests.sim.store import Client

from spawn.core.config.model import JobConfig
from spawn.core.domain.attempt_exit import AttemptExit, StopCause
from spawn.core.domain.events import CheckpointSaved, Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.domain.replay import Row
from spawn.core.domain.state import JobState
from spawn.runner.ports import (
    CheckpointRestored,
    CheckpointRetrying,
    CheckpointUploaded,
    Ended,
    LoopMessage,
    Prepared,
    ResultsListed,
    ResultsRestored,
    UploadEnded,
    UploadRetrying,
)
from spawn.store.log.ledger import Entry
from spawn.store.log.write import LogFull

START = datetime(2026, 1, 27, 14, 5, 32, tzinfo=UTC)


class Disk:
    """A log that is durable once `append` has returned, or earlier. Implements `EventLog`."""

    def __init__(self, host: "Host", queue_id: str) -> None:
        self._host = host
        self._rows: list[Row] = []
        self.model = LogModel(queue_id)

    name = "a disk"

    def rows(self, after: int = 0) -> Iterable[Row]:
        return self._rows[after:]

    def append(self, entries: Sequence[Entry], *, expected_seq: int) -> None:
        host = self._host
        host.maybe_crash("append")
        if host.rng.random() < host.log_full:
            raise LogFull("the event log cannot be written", why="no space left")
        expect(expected_seq == len(self._rows) + 1, "two processes wrote one log")
        self._take([(e.seq, e.type.encode(), line, hash_) for e, line, hash_ in entries])
        host.maybe_crash("appended")

    def adopt(self, rows: Iterable[Row]) -> None:
        found = list(rows)
        self._host.maybe_crash("adopt")
        self._take(found)

    def close(self) -> None:
        """Do nothing."""

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
        self.exit: AttemptExit | None = None
        self.stop: StopCause | None = None
        self.command: Command | None = None
        self.listener: tuple[Process, Callable[[LoopMessage], None]] | None = None

    def go(self, epoch: int) -> None:
        """Run the command."""
        host = self.host
        self.state = "running"
        self.command = Command(host, self.job_id, self.attempt, self.token, epoch)
        host.kernel.trace(f"{host.name} executes {self.job_id} {self.attempt}")
        host.checker.check_start(self.command, host.disk.model, host.place)
        seconds = host.rng.choice([0.0, 0.3, 2.0, 10.0, 40.0, 200.0]) * host.rng.uniform(0.5, 1.5)
        code = 0 if host.rng.random() < host.success else host.rng.choice([1, 3, 127])
        host.kernel.at(seconds, lambda: self.end(AttemptExit(exit_code=code, wall_seconds=seconds)))

    def ask_to_stop(self, cause: StopCause, grace: float) -> None:
        """Let the command end at a random time within the grace period."""
        if self.state != "running" or self.stop is not None:
            return
        self.stop = cause
        seconds = self.host.rng.uniform(0.0, grace)
        self.host.kernel.at(seconds, lambda: self.end(AttemptExit(exit_code=143, stop=cause)))

    def end(self, exit_: AttemptExit, *, recorded: bool = True) -> None:
        """End the command."""
        if self.state != "running":
            return
        self.state = "over"
        if exit_.exit_code == 0:
            self.host.files.add(self.token)
            if self.job_id in self.host.disk.model.with_results:
                self.host.shared = self.job_id
        if recorded:
            self.exit = exit_._replace(stop=self.stop)
        assert self.command is not None
        self.host.kernel.trace(f"{self.host.name} ended {self.job_id} {self.attempt}")
        self.host.checker.check_end(self.command)
        self.notify_runner()

    def close_gate(self) -> None:
        """Close the gate: the command never runs."""
        if self.state == "gate":
            self.state = "over"
            self.exit = AttemptExit(exit_code=0, started=False)

    def notify_runner(self) -> None:
        """Notify the runner, if there is one."""
        if self.listener is not None:
            process, post = self.listener
            if process.alive:
                post(Ended(self.token, self.exit))


class Host:
    """One machine.

    Args:
        crash: Whether the process at this point dies.
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
        self.lost_share = 0.0
        """Share of saved results that are lost from the store when they are restored."""
        self.boot = 1
        self.exists = True
        self.disk = Disk(self, queue_id)
        self.aside: list[Disk] = []
        self.attempts: dict[str, Attempt] = {}
        self.folders: set[str] = set()
        """Tokens of the attempts that were prepared here."""
        self.files: set[str] = set()
        """Tokens of the attempts whose results are here."""
        self.shared = ""
        """The job whose result was last written or restored: all results have the same path."""
        self.restored: set[str] = set()
        """Restored results, as noted by runners here."""
        self.restoring_until = 0.0
        self.checkpoints: set[str] = set()
        """Keys of the checkpoints that were restored here."""
        self.runner: Process | None = None
        self.client: Client | None = None
        self.awake_since = 0.0
        self._crash = crash
        self.stop: Callable[[], None] = lambda: None
        self.notice: Callable[[float], None] = lambda _: None
        self.troubled: Callable[[], bool] = lambda: False

    def maybe_crash(self, point: str) -> None:
        """Crash here if the schedule says so."""
        if self._crash(point):
            assert self.runner is not None
            self.runner.kill()
            raise Crashed

    @property
    def running(self) -> bool:
        """Whether a runner holds the lock."""
        return self.runner is not None and self.runner.alive

    def quiet_since(self) -> float | None:
        """Return since when the runner could know the store's state; None if it cannot."""
        if not self.running or self.client is None or self.runner is None:
            return None
        if self.runner.asleep_until > self.kernel.now:
            return None
        return max(self.awake_since, self.runner.asleep_until, self.client.failed_at + 21.0)

    def power_off(self) -> None:
        """Kill every process; the disk stays."""
        self.kernel.trace(f"{self.name} loses power")
        if self.runner is not None:
            self.runner.kill()
        for attempt in self.attempts.values():
            if attempt.state == "gate":
                attempt.state = "over"
            attempt.listener = None
            attempt.end(AttemptExit(exit_code=137), recorded=False)
        self.attempts.clear()
        self.boot += 1

    def vanish(self) -> None:
        """Lose the machine and its disk."""
        self.power_off()
        self.exists = False
        self.folders.clear()
        self.files.clear()
        self.restored.clear()
        self.shared = ""
        self.checkpoints.clear()
        self.disk = Disk(self, self.queue_id)

    def put_aside(self) -> None:
        """Set the log aside, as `queues.put_aside` does."""
        self.aside.append(self.disk)
        self.disk = Disk(self, self.queue_id)


class Inbox:
    """Queue of happenings for a runner's loop. Implements `Waiter`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._signal = Signal(kernel)
        self._found: list[LoopMessage] = []

    def post(self, happening: LoopMessage) -> None:
        """Add a happening."""
        self._found.append(happening)
        self._signal.give()

    def wait(self, seconds: float | None) -> Iterable[LoopMessage]:
        if not self._found:
            self._kernel.wait(self._signal, seconds)
        found, self._found = self._found, []
        return found


class SimBell:
    """Simulated `Bell`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._signal = Signal(kernel)

    def wait(self, seconds: float | None) -> None:
        self._kernel.wait(self._signal, seconds)

    def ring(self) -> None:
        self._signal.give()


class SimClock:
    """Simulated `Clock`."""

    def __init__(self, kernel: Kernel, skew: float) -> None:
        self._kernel = kernel
        self._skew = timedelta(seconds=skew)

    def wall(self) -> datetime:
        return START + self._skew + timedelta(seconds=round(self._kernel.now, 6))

    def monotonic(self) -> float:
        return self._kernel.now


class SimLauncher:
    """Simulated `Launcher`."""

    def __init__(self, host: Host, process: Process, epoch: Callable[[], int]) -> None:
        self._host, self._process, self._epoch = host, process, epoch
        self.post: Callable[[LoopMessage], None] = lambda _: None

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        token = f"{self._host.rng.getrandbits(64):016x}"
        made = Attempt(self._host, job, attempt, token)
        self._host.attempts[token] = made
        self._host.folders.add(token)
        return Prepared(token=token, pid=4711, folder=f"/{token}", log_file="", log_offset=0)

    def foresee(self, job: JobState, attempt: int) -> None:
        """Do nothing."""

    def open_gate(self, token: str) -> None:
        attempt = self._host.attempts[token]
        attempt.listener = (self._process, self.post)
        attempt.go(self._epoch())

    def abandon(self, token: str) -> None:
        self._host.attempts.pop(token).close_gate()

    def ran_here(self, job: JobState) -> bool:
        return job.token in self._host.folders

    def adopt(self, job: JobState) -> None:
        attempt = self._host.attempts.get(job.token)
        if attempt is None:
            self.post(Ended(job.token, None))
            return
        attempt.close_gate()
        attempt.listener = (self._process, self.post)
        if attempt.state == "over":
            attempt.notify_runner()

    def warn(self, token: str, deadline: str) -> None:
        """Do nothing."""

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        if token in self._host.attempts:
            self._host.attempts[token].ask_to_stop(cause, grace)

    def end(self, job: JobState) -> None:
        """End an attempt that this runner does not follow."""
        attempt = self._host.attempts.get(job.token)
        if attempt is not None:
            attempt.close_gate()
            attempt.ask_to_stop("fenced", 3.0)
            while attempt.state == "running":
                self._host.kernel.sleep(0.1)


class SimPublisher:
    """Simulated `Publisher`."""

    def __init__(
        self, host: Host, process: Process, post: Callable[[LoopMessage], None], saved: set[str]
    ) -> None:
        self._host, self._process, self._post, self._saved = host, process, post, saved
        self._dropped = False

    def list_results(self, token: str, job: JobConfig, folder: str) -> None:
        self._later(ResultsListed(token, Results(files=1, size=1, sha256="00")))

    def upload(self, token: str, job: JobState, *, last: bool = False) -> None:
        host, rng = self._host, self._host.rng
        seconds = rng.uniform(0.0, 3.0)
        if host.troubled() and rng.random() < 0.1:
            seconds = rng.choice([20.0, 400.0, 5000.0]) * rng.uniform(0.5, 1.5)
            self._post(UploadRetrying(token, host.kernel.now, "unreachable"))

        def save() -> None:
            if self._process.alive and token in host.files:
                self._saved.add(token)

        host.kernel.at(seconds, save)
        outcome: ResultsUploaded | ResultsUploadFailed | None = None
        if job.state == "completed" and job.config.result_files:
            outcome = ResultsUploaded(files=1, size=1, key="k", sha256="00")
            if token not in host.files:
                outcome = ResultsUploadFailed(error="gone")
        self._later(UploadEnded(token, outcome), seconds + rng.uniform(0.0, 1.0))

    def upload_output(self, token: str, job: JobState) -> None:
        """Do nothing."""

    def restore_results(self, job: JobState, as_of: str) -> None:
        """Restore results, one job after the other."""
        host = self._host

        def arrive() -> None:
            if self._process.alive:
                if host.rng.random() < host.lost_share:
                    self._saved.discard(job.token)
                    LogModel.lost_results |= {job.token}
                found = job.token in self._saved
                if found:
                    host.files.add(job.token)
                    host.restored.add(f"{job.token} {job.upstream_resets}")
                    host.shared = job.config.job_id
                    host.checker.check_restore(host, job.config.job_id)
                self._post(ResultsRestored(job.config.job_id, job.token, "" if found else "gone"))

        now = host.kernel.now
        host.restoring_until = max(host.restoring_until, now) + host.rng.uniform(0.0, 20.0)
        host.kernel.at(host.restoring_until - now, arrive)

    def has_restored(self, job: JobState) -> bool:
        return f"{job.token} {job.upstream_resets}" in self._host.restored

    def save_checkpoint(self, token: str, job: JobState) -> None:
        host, rng = self._host, self._host.rng
        key = f"{job.config.job_id}/{token}/checkpoint.json"
        seconds = rng.uniform(0.0, 20.0)
        if host.troubled() and rng.random() < 0.1:
            seconds = rng.choice([20.0, 100.0, 1000.0])
            self._post(CheckpointRetrying(token, "unreachable"))

        def save() -> None:
            if self._process.alive and not self._dropped:
                self._saved.add(key)

        host.kernel.at(seconds, save)
        saved = CheckpointSaved(files=1, size=1, key=key, sha256="00")
        self._later(CheckpointUploaded(token, saved), seconds + rng.uniform(0.0, 1.0))

    def drop_checkpoints(self) -> None:
        self._dropped = True

    def restore_checkpoint(self, job: JobState) -> None:
        assert job.checkpoint is not None
        key = job.checkpoint.key
        expect(key in self._saved, f"{key} is in a log and not in the store")

        def arrive() -> None:
            if self._process.alive:
                self._host.checkpoints.add(key)
                self._post(CheckpointRestored(job.config.job_id, job.token, files=1))

        self._host.kernel.at(self._host.rng.uniform(0.0, 20.0), arrive)

    def give_up(self) -> None:
        """Do nothing."""

    def _later(self, happening: LoopMessage, seconds: float | None = None) -> None:
        def tell() -> None:
            if self._process.alive:
                self._post(happening)

        rng = self._host.rng
        self._host.kernel.at(rng.uniform(0.0, 3.0) if seconds is None else seconds, tell)
