"""Holds what happens against the invariants, after every step.

It shares no code with the project: it reads lines with `json` and hashes with `hashlib`, so that
a mistake in replay is not believed here too.
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
"""Of a lease; the store's clock tells whole seconds."""
STALE_SECONDS = 60.0
"""From the newest renewal of a lease on, so long its owner may start jobs."""


class Violation(AssertionError):
    """An invariant was broken."""


def expect(condition: object, what: str) -> None:
    """Raise `Violation` unless it holds."""
    if not condition:
        raise Violation(what)


class LogModel:
    """One log, read line by line."""

    promising: frozenset[str] = frozenset()
    """The jobs that have results."""
    gone: frozenset[str] = frozenset()
    """The attempts whose results the store has lost, by token."""

    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id
        self.lines: list[tuple[bytes, bytes]] = []
        self.hash = sha256(queue_id.encode()).digest()
        self.epoch = 0
        self.owners: dict[int, str] = {}
        self.open: dict[str, tuple[int, str]] = {}
        self.attempts: dict[str, int] = {}
        self.completed: dict[str, int] = {}
        self.once: set[str] = set()
        """The jobs that have ever completed."""
        self.made_by: dict[str, str] = {}
        """The attempt that completed each job, by token."""
        self.saved: set[str] = set()
        self.again: set[str] = set()
        """The jobs that are made again, as their results were lost."""
        self.checkpoints: dict[str, str] = {}
        """What each job may go on from: keys."""
        self.tokens: set[str] = set()
        self.ended = False

    def take(self, hash_: bytes, line: bytes) -> dict[str, Any]:
        """Add the next line."""
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
            expect(job not in self.completed, f"seq {seq}: {job} starts though it completed")
            expect(attempt == self.attempts.get(job, 0) + 1, f"seq {seq}: attempt {attempt}")
            self.attempts[job] = attempt
            self.open[job] = (attempt, event["data"]["token"])
            self.tokens.add(event["data"]["token"])
        elif kind in OUTCOMES:
            number, token = self.open.pop(job, (0, ""))
            expect(number == attempt, f"seq {seq}: {kind} of no open attempt")
            if kind == "JobCompleted":
                self.completed[job] = seq
                self.once.add(job)
                self.made_by[job] = token
                self.saved.discard(job)
                self.again.discard(job)
                self.checkpoints.pop(job, None)
        elif kind == "CheckpointSaved":
            expect(job not in self.open, f"seq {seq}: a checkpoint of {job} while it runs")
            self.checkpoints[job] = event["data"]["key"]
        elif kind == "ResultsUploaded":
            self.saved.add(job)
        elif kind == "JobReset":
            if event["data"]["reason"] == "results_lost":
                expect(job in self.completed, f"seq {seq}: {job} is made again though it failed")
                there = job in self.saved and self.made_by[job] not in self.gone
                expect(not there, f"seq {seq}: {job} is made again though it is saved")
                self.again.add(job)
            self.completed.pop(job, None)
        elif kind in ("QueueCompleted", "QueueFailed"):
            self.ended = True
            if kind == "QueueCompleted":
                unsaved = self.promising & self.completed.keys() - self.saved
                expect(not unsaved, f"seq {seq}: completed without the results of {unsaved}")
        return event


class Command:
    """A command that is executing."""

    def __init__(self, host: Any, job: str, attempt: int, token: str, epoch: int) -> None:
        self.host, self.job, self.attempt, self.token = host, job, attempt, token
        self.epoch = epoch


class Checker:
    """Watches a bucket and hosts.

    Args:
        now: The virtual clock.
        needs: Each job's dependencies.
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
        """When each epoch's ownership came to the store."""
        self._puts: dict[str, list[float]] = {}
        self._lease_epoch = 0
        self._lease_of: str | None = None
        self._submitted_by: str | None = None
        self._leases: dict[str, tuple[float, bool]] = {}
        self.vanished: Callable[[str | None], bool] = lambda _: False
        self.takeovers = 0
        self.size_of: Callable[[str], int] = lambda _: 0
        """How many events the log of a place has."""
        self._claims: dict[int, str] = {}
        self._forced: set[str] = set()
        """Places from which the queue was ever claimed by force."""
        self.executions = 0
        self.overlaps = 0
        self.returns = 0
        """Commands that went on from a checkpoint."""

    def wrote(self, key: str, data: bytes, before: bytes | None, by: Any) -> None:
        """An object was written."""
        if key.startswith("_spawn/log/"):
            expect(before is None, f"{key} was overwritten")
            first = int(key.removeprefix("_spawn/log/").removesuffix(".jsonl"))
            expect(first == len(self.remote.lines) + 1, f"{key} does not follow the log")
            for hash_, line in _lines(data):
                before_it = (self.remote.owners.get(self.remote.epoch), set(self.remote.open))
                event = self.remote.take(hash_, line)
                if event["type"] in OWNERSHIP:
                    self.taken_at[event["epoch"]] = self._now()
                    self._taken(event["data"]["place"], *before_it, by)
            if self._now() - by.asleep_until > 1.0:  # a request may sleep too, and then come late
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
            expect(lease["epoch"] >= self._lease_epoch, "the lease went back to an earlier epoch")
            self._lease_epoch = lease["epoch"]
            self._leases[lease["owner"]["place"]] = (self._now(), lease["handed_back"])
            self._lease_of = place = lease["owner"]["place"]
            if by.forced:
                self._forced.add(place)
            claimed = self._claims.setdefault(lease["epoch"], place)
            expect(claimed == place, f"epoch {lease['epoch']} was claimed by two")
            seq = lease["seq"]
            if lease["handed_back"] and by.alive:  # else a late write of one that has died
                size = self.size_of(lease["owner"]["place"])
                expect(seq == size, f"handed back with {seq} of {size} events in the store")
            expect(seq <= len(self.remote.lines), "the lease names an event that is not there")
            if seq:
                expect(
                    self.remote.lines[seq - 1][0].hex() == lease["hash"],
                    "the lease names another event",
                )
        elif key == "_spawn/queue.json":
            expect(before is None, "queue.json was overwritten")
            self._submitted_by = json.loads(data)["claimed_by"]

    def _taken(self, place: str, from_: str | None, open_: set[str], by: Any) -> None:
        """See that whoever took the queue was allowed to."""
        self.takeovers += 1
        forced = by.forced or place in self._forced  # an earlier runner there may have been
        if from_ in (None, place) or forced or self.vanished(from_):
            return
        at, handed_back = self._leases.get(from_, (-1e9, False))
        if handed_back:
            expect(not open_, f"{from_} handed it back though {open_} may still run")
            return
        expect(self._now() - at > TTL_SECONDS, f"{by.name} took it from an owner that was alive")
        expect(not open_, f"{by.name} took it though {open_} may still run")

    def executes(self, command: Command, local: LogModel, place: str) -> None:
        """A command begins."""
        job, epoch = command.job, command.epoch
        self.executions += 1
        expect(command.token in local.tokens, f"{job} executes without a durable JobStarted")
        expect(
            self.remote.owners.get(epoch) == place,
            f"{job} begins in epoch {epoch}, which is not {place}'s in the store",
        )
        for other in self.alive:
            if other.job != job:
                continue
            expect(other.host is not command.host, f"two attempts of {job} on one machine")
            expect(other.epoch != epoch, f"two attempts of {job} in one epoch")
            self.overlaps += 1
        needs = self._ancestors(job)
        for need in needs:
            expect(need in local.completed, f"{job} begins while {need} is not completed")
            if need in local.promising:
                made = local.made_by[need] in command.host.files
                expect(made, f"{job} begins without the results of {need}")
        last = command.host.shared
        later = {other for other in needs & local.promising if last in self._ancestors(other)}
        expect(not later, f"{job} begins with a file of {last} over that of {later}")
        checkpoint = local.checkpoints.get(job)
        if checkpoint is not None:
            made = checkpoint.split("/")[1] in command.host.folders
            made = made or checkpoint in command.host.checkpoints
            expect(made, f"{job} begins without its checkpoint")
            self.returns += 1
        if self._durable:
            for need in needs:
                expect(need in self.remote.once, f"{job} begins before {need} is in the store")
        if self.remote.owners.get(self.remote.epoch) == place and self.remote.epoch == epoch:
            again = job not in self.remote.completed or job in local.again
            expect(again, f"{job} runs again though it completed")
        stale = self._now() - self._leases[place][0]
        expect(stale <= STALE_SECONDS, f"{job} begins {stale:.1f} s after the lease was renewed")
        self._in_time(command, "begins")
        self._awake(command)
        self.alive.append(command)

    def restored(self, host: Any, job: str) -> None:
        """The results of a job come back to a machine: nothing runs there that makes them anew."""
        running = {command.job for command in self.alive if command.host is host}
        before = running & self._ancestors(job)
        expect(not before, f"the results of {job} come back while {before} run")

    def _ancestors(self, job: str) -> set[str]:
        """What a job depends on, directly or through others."""
        return set(self._needs[job]).union(*map(self._ancestors, self._needs[job]))

    def ends(self, command: Command) -> None:
        """A command has ended."""
        self.alive.remove(command)
        self._in_time(command, "still ran")

    def _in_time(self, command: Command, what: str) -> None:
        """See that a superseded owner's commands are gone soon after it can know."""
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
                "that the queue was taken",
            )

    def _awake(self, command: Command) -> None:
        """See that who slept for long asks before it begins anything."""
        runner, client = command.host.runner, command.host.client
        if command.epoch < self.remote.epoch and runner.slept >= SLEPT_SECONDS:
            expect(
                client.asked_at >= runner.asleep_until,
                f"{command.job} begins after a sleep in which the queue was taken",
            )

    def fenced(self, host: Any) -> None:
        """A runner ends because another machine owns the queue: one does."""
        owners = {self._lease_of, self.remote.owners.get(self.remote.epoch)} - {None}
        others = (owners or {self._submitted_by}) - {host.place}
        expect(others, f"{host.name} was fenced by itself")

    def left(self, host: Any) -> None:
        """A runner ends that could ask the store: nothing goes on that is over by the log."""
        tokens = {token for _, token in self.remote.open.values()}
        for command in self.alive:
            if command.host is host and command.token not in tokens:
                # Its start may not have been shipped: then its own log has it open.
                own = {token for _, token in host.disk.model.open.values()}
                expect(
                    command.token in own, f"{command.job} is left running, and is over by the log"
                )

    def rate(self) -> None:
        """See that nobody wrote more than two segments a second."""
        for name, times in self._puts.items():
            for first, third in zip(times, times[2:], strict=False):
                expect(third - first > 0.5, f"{name} wrote three segments in {third - first:.2f} s")


def _lines(data: bytes) -> Any:
    for exported in data.splitlines():
        hash_, _, line = exported.partition(b" ")
        yield bytes.fromhex(hash_.decode()), line
