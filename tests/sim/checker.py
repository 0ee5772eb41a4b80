"""Checks the invariants after every step.

It shares no code with the project: it reads lines with `json` and hashes with `hashlib`, so that it
does not repeat a mistake of replay.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

OUTCOMES = {"JobCompleted", "JobFailed", "JobRetryScheduled", "JobInterrupted"}
OWNERSHIP = {"QueueStarted", "QueueResumed"}
FENCED_SECONDS = 15.0 + 3.0
SLACK = 2.0
SLEPT_SECONDS = 35.0
TTL_SECONDS = 58.0
"""Lifetime of a lease; the store's clock has whole seconds."""
STALE_SECONDS = 60.0
"""How long after the last renewal of its lease an owner may start jobs."""


class Violation(BaseException):
    """An invariant is violated. The code under test must not catch it as an error of the store."""


def expect(condition: object, what: str) -> None:
    """Raise `Violation` with the message `what` if the condition is false."""
    if not condition:
        raise Violation(what)


class LogModel:
    """One log, parsed line by line."""

    with_results: frozenset[str] = frozenset()
    """Jobs that have results."""
    lost_results: frozenset[str] = frozenset()
    """Tokens of the attempts whose results the store has lost."""

    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id
        self.lines: list[tuple[bytes, bytes]] = []
        self.hash = sha256(queue_id.encode()).digest()
        self.epoch = 0
        self.owners: dict[int, str] = {}
        self.open: dict[str, tuple[int, str]] = {}
        self.attempts: dict[str, int] = {}
        self.completed: dict[str, int] = {}
        self.ever_completed: set[str] = set()
        """Jobs that have completed at least once."""
        self.made_by: dict[str, str] = {}
        """Token of the attempt that completed each job."""
        self.saved: set[str] = set()
        self.rerun: set[str] = set()
        """Jobs that run again because their results were lost."""
        self.checkpoints: dict[str, str] = {}
        """Key of the checkpoint from which each job may resume."""
        self.tokens: set[str] = set()
        self.ended = False

    def take(self, hash_: bytes, line: bytes) -> dict[str, Any]:
        """Append and check the next line."""
        event = json.loads(line)
        seq, kind, job, attempt = (
            event["seq"],
            event["type"],
            event.get("job_id"),
            event.get("attempt"),
        )
        expect(seq == len(self.lines) + 1, f"seq {seq} follows {len(self.lines)}")
        self.hash = sha256(self.hash + line).digest()
        expect(self.hash == hash_, f"seq {seq}: the chain is broken")
        self.lines.append((hash_, line))
        if kind in OWNERSHIP:
            expect(event["epoch"] > self.epoch, f"seq {seq}: epoch {event['epoch']}")
            self.epoch = event["epoch"]
            self.owners[self.epoch] = event["data"]["place"]
            self.ended = False
        else:
            expect(event["epoch"] == self.epoch, f"seq {seq}: {kind} of epoch {event['epoch']}")
        if kind == "JobStarted":
            expect(job not in self.open, f"seq {seq}: {job} starts while it runs")
            expect(job not in self.completed, f"seq {seq}: {job} starts although it has completed")
            expect(attempt == self.attempts.get(job, 0) + 1, f"seq {seq}: attempt {attempt}")
            self.attempts[job] = attempt
            self.open[job] = (attempt, event["data"]["token"])
            self.tokens.add(event["data"]["token"])
        elif kind in OUTCOMES:
            number, token = self.open.pop(job, (0, ""))
            expect(number == attempt, f"seq {seq}: {kind} without an open attempt")
            if kind == "JobCompleted":
                self.completed[job] = seq
                self.ever_completed.add(job)
                self.made_by[job] = token
                self.saved.discard(job)
                self.rerun.discard(job)
                self.checkpoints.pop(job, None)
        elif kind == "CheckpointSaved":
            expect(job not in self.open, f"seq {seq}: a checkpoint of {job} while it runs")
            self.checkpoints[job] = event["data"]["key"]
        elif kind == "ResultsUploaded":
            self.saved.add(job)
        elif kind == "JobReset":
            if event["data"]["reason"] == "results_lost":
                expect(job in self.completed, f"seq {seq}: {job} is reset before it has completed")
                there = job in self.saved and self.made_by[job] not in self.lost_results
                expect(not there, f"seq {seq}: {job} is reset although its results are saved")
                self.rerun.add(job)
            self.completed.pop(job, None)
        elif kind in ("QueueCompleted", "QueueFailed"):
            self.ended = True
            if kind == "QueueCompleted":
                unsaved = self.with_results & self.completed.keys() - self.saved
                expect(not unsaved, f"seq {seq}: completed without the results of {unsaved}")
        return event


class Command:
    """A running command."""

    def __init__(self, host: Any, job: str, attempt: int, token: str, epoch: int) -> None:
        self.host, self.job, self.attempt, self.token = host, job, attempt, token
        self.epoch = epoch


class Checker:
    """Checks the bucket and the hosts.

    Args:
        now: The virtual clock.
        needs: Dependencies of each job.
    """

    def __init__(
        self,
        queue_id: str,
        now: Callable[[], float],
        needs: dict[str, tuple[str, ...]],
        *,
        durable: bool,
    ) -> None:
        self._now = now
        self._needs = needs
        self._durable = durable
        self.remote = LogModel(queue_id)
        self.alive: list[Command] = []
        self.taken_at: dict[int, float] = {}
        """Time at which the ownership of each epoch reached the store."""
        self._puts: dict[str, list[float]] = {}
        self._lease_epoch = 0
        self._lease_of: str | None = None
        self._submitted_by: str | None = None
        self._leases: dict[str, tuple[float, bool]] = {}
        self.vanished: Callable[[str | None], bool] = lambda _: False
        self.takeovers = 0
        self.size_of: Callable[[str], int] = lambda _: 0
        """Returns the number of events in the log of a place."""
        self._claims: dict[int, str] = {}
        self._forced: set[str] = set()
        """Places that have ever claimed the queue by force."""
        self.executions = 0
        self.overlaps = 0
        self.checkpoint_resumptions = 0
        """Number of commands that resumed from a checkpoint."""

    def check_write(self, key: str, data: bytes, before: bytes | None, by: Any) -> None:
        """Check a write of an object."""
        if key.startswith("_spawn/log/"):
            expect(before is None, f"{key} was overwritten")
            first = int(key.removeprefix("_spawn/log/").removesuffix(".jsonl"))
            expect(first == len(self.remote.lines) + 1, f"{key} does not follow the log")
            for hash_, line in _lines(data):
                before_it = (self.remote.owners.get(self.remote.epoch), set(self.remote.open))
                event = self.remote.take(hash_, line)
                if event["type"] in OWNERSHIP:
                    self.taken_at[event["epoch"]] = self._now()
                    self._check_takeover(event["data"]["place"], *before_it, by)
            if self._now() - by.asleep_until > 1.0:  # a request may sleep, too, and arrive late
                self._puts.setdefault(by.name, []).append(self._now())
        elif key.startswith("_spawn/packs/"):
            expect(before is None, f"{key} was overwritten")
            name = key.removeprefix("_spawn/packs/").removesuffix(".jsonl")
            first, last = map(int, name.split("-"))
            expect(
                list(_lines(data)) == self.remote.lines[first - 1 : last],
                f"{key} is not what the segments say",
            )
        elif key == "_spawn/lease.json":
            lease = json.loads(data)
            expect(lease["epoch"] >= self._lease_epoch, "the epoch of the lease decreased")
            self._lease_epoch = lease["epoch"]
            self._leases[lease["owner"]["place"]] = (self._now(), lease["handed_back"])
            self._lease_of = place = lease["owner"]["place"]
            if by.forced:
                self._forced.add(place)
            claimed = self._claims.setdefault(lease["epoch"], place)
            expect(claimed == place, f"two places claimed epoch {lease['epoch']}")
            seq = lease["seq"]
            if lease["handed_back"] and by.alive:  # otherwise a late write of a dead process
                size = self.size_of(lease["owner"]["place"])
                expect(seq == size, f"handed back with {seq} of {size} events in the store")
            expect(seq <= len(self.remote.lines), "the lease names a missing event")
            if seq:
                expect(
                    self.remote.lines[seq - 1][0].hex() == lease["hash"],
                    "the lease names another event",
                )
        elif key == "_spawn/queue.json":
            expect(before is None, "queue.json was overwritten")
            self._submitted_by = json.loads(data)["claimed_by"]

    def _check_takeover(self, place: str, from_: str | None, open_: set[str], by: Any) -> None:
        """Check that the new owner was allowed to take the queue."""
        self.takeovers += 1
        forced = by.forced or place in self._forced  # an earlier runner of that place may have
        if from_ in (None, place) or forced or self.vanished(from_):
            return
        at, handed_back = self._leases.get(from_, (-1e9, False))
        if handed_back:
            expect(not open_, f"{from_} handed the queue back although {open_} may still run")
            return
        expect(self._now() - at > TTL_SECONDS, f"{by.name} took the queue from a live owner")
        expect(not open_, f"{by.name} took the queue although {open_} may still run")

    def check_start(self, command: Command, local: LogModel, place: str) -> None:
        """Check the start of a command."""
        job, epoch = command.job, command.epoch
        self.executions += 1
        expect(command.token in local.tokens, f"{job} runs without a durable JobStarted")
        expect(
            self.remote.owners.get(epoch) == place,
            f"{job} starts in epoch {epoch}, which {place} does not own in the store",
        )
        for other in self.alive:
            if other.job != job:
                continue
            expect(other.host is not command.host, f"two attempts of {job} on one machine")
            expect(other.epoch != epoch, f"two attempts of {job} in one epoch")
            self.overlaps += 1
        needs = self._ancestors(job)
        for need in needs:
            expect(need in local.completed, f"{job} starts before {need} has completed")
            if need in local.with_results:
                found = local.made_by[need] in command.host.files
                expect(found, f"{job} starts without the results of {need}")
        last = command.host.shared
        later = {other for other in needs & local.with_results if last in self._ancestors(other)}
        expect(not later, f"{job} starts with a file of {last} in place of the one of {later}")
        checkpoint = local.checkpoints.get(job)
        if checkpoint is not None:
            found = checkpoint.split("/")[1] in command.host.folders
            found = found or checkpoint in command.host.checkpoints
            expect(found, f"{job} starts without its checkpoint")
            self.checkpoint_resumptions += 1
        if self._durable:
            for need in needs:
                expect(
                    need in self.remote.ever_completed,
                    f"{job} starts before {need} is in the store",
                )
        if self.remote.owners.get(self.remote.epoch) == place and self.remote.epoch == epoch:
            allowed = job not in self.remote.completed or job in local.rerun
            expect(allowed, f"{job} runs again although it has completed")
        stale = self._now() - self._leases[place][0]
        expect(stale <= STALE_SECONDS, f"{job} starts {stale:.1f} s after the lease was renewed")
        self._check_ended_in_time(command, "starts")
        self._check_lease_read_after_sleep(command)
        self.alive.append(command)

    def check_restore(self, host: Any, job: str) -> None:
        """Check a restore of a job's results: no running job there recomputes its input."""
        running = {command.job for command in self.alive if command.host is host}
        before = running & self._ancestors(job)
        expect(not before, f"the results of {job} are restored while {before} run")

    def _ancestors(self, job: str) -> set[str]:
        """Return all direct and indirect dependencies."""
        return set(self._needs[job]).union(*map(self._ancestors, self._needs[job]))

    def check_end(self, command: Command) -> None:
        """Check the end of a command."""
        self.alive.remove(command)
        self._check_ended_in_time(command, "still runs")

    def _check_ended_in_time(self, command: Command, what: str) -> None:
        """Check that commands of a superseded owner end soon after it can know of the takeover."""
        place = command.host.place
        own = max((e for e, owner in self.remote.owners.items() if owner == place), default=0)
        later = [at for epoch, at in self.taken_at.items() if epoch > max(own, command.epoch)]
        quiet = command.host.quiet_since()
        if later and quiet is not None:
            known = max(min(later), quiet)
            limit = FENCED_SECONDS + SLACK
            expect(
                self._now() - known <= limit,
                f"{command.job} {what} {self._now() - known:.1f} s after its owner could know "
                "of the takeover",
            )

    def _check_lease_read_after_sleep(self, command: Command) -> None:
        """Check that a runner that has slept long reads the lease before it starts a job."""
        runner, client = command.host.runner, command.host.client
        if command.epoch < self.remote.epoch and runner.slept >= SLEPT_SECONDS:
            expect(
                client.asked_at >= runner.asleep_until,
                f"{command.job} starts after a sleep during which the queue was taken over",
            )

    def check_fenced(self, host: Any) -> None:
        """Check that another machine owns the queue when a runner ends as fenced."""
        owners = {self._lease_of, self.remote.owners.get(self.remote.epoch)} - {None}
        others = (owners or {self._submitted_by}) - {host.place}
        expect(others, f"{host.name} was fenced by itself")

    def check_exit(self, host: Any) -> None:
        """Check that a runner with access to the store leaves no command that has ended."""
        tokens = {token for _, token in self.remote.open.values()}
        for command in self.alive:
            if command.host is host and command.token not in tokens:
                # Its start may be unshipped: then it is open in the host's own log.
                own = {token for _, token in host.disk.model.open.values()}
                expect(
                    command.token in own, f"{command.job} is left running, and has ended in the log"
                )

    def check_rate(self) -> None:
        """Check that no process wrote more than two segments per second."""
        for name, times in self._puts.items():
            for first, third in zip(times, times[2:], strict=False):
                expect(third - first > 0.5, f"{name} wrote three segments in {third - first:.2f} s")


def _lines(data: bytes) -> Any:
    for exported in data.splitlines():
        hash_, _, line = exported.partition(b" ")
        yield bytes.fromhex(hash_.decode()), line
