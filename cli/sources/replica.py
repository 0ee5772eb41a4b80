"""A queue of any machine, read from the copy of its log in an object store."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from socket import gethostname
from typing import Self

from msgspec import structs

from spawn.cli.sources.newest_output import NewestOutput, Pieces
from spawn.cli.sources.output import StartedAttempt, StoredStream, started_attempts
from spawn.cli.sources.replica_messages import (
    add_error_hints,
    not_found,
    read_summary,
    reread_messages,
)
from spawn.core.config.model import QueueConfig
from spawn.core.domain.events import to_event
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.domain.submission import submit
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.reports.build import build
from spawn.core.reports.model import LiveData, ReplicaSource, Report, Trouble
from spawn.core.values.timestamps import format_timestamp, parse_timestamp
from spawn.store.objects.interface import BucketNotFound, ObjectStore, StoreError
from spawn.store.replica.audit import Audited, audit
from spawn.store.replica.cache import Cache
from spawn.store.replica.lease import LeaseSnapshot, read_lease
from spawn.store.replica.names import QUEUE
from spawn.store.replica.submitted import Submitted, read_boot_log, read_submitted
from spawn.store.replica.update_cache import update_cache
from spawn.store.results.upload import attempt_prefix

BOOT_SECONDS = 15 * 60.0
"""How long an instance may take to start its queue before it counts as lost."""
INSTANCE_SECONDS = 20.0
"""How often to ask EC2 for the state of the instance launched for a queue that has not started."""
BOOT_LINES = 12
SKEW = timedelta(seconds=5)
"""Clock difference from which on reports use the store's clock, which has whole seconds."""


class ReplicaQueue:
    """A `QueueSource` that reads the log and the jobs' output from an object store.

    Args:
        cache: The part of the log that was read before.
        say: Receives user-facing messages: a summary of the first read, and cache problems.
        elsewhere: Why the queue is not on this machine, for `QueueNotFound`; empty if the user
            asked for S3.
        guessed: Whether the bucket is only the default one. If so, a missing bucket means that the
            queue does not exist.
        found: Called once, when the queue is found.
        launched: Returns the instance launched for the queue and, if it cannot start the queue any
            more, its state; else empty strings.
    """

    poll_seconds = 5.0

    def __init__(
        self,
        queue_id: str,
        store: ObjectStore,
        cache: Cache,
        *,
        say: Callable[[str], None],
        elsewhere: str = "",
        guessed: bool = False,
        found: Callable[[], None] | None = None,
        launched: Callable[[], tuple[str, str]] = lambda: ("", ""),
    ) -> None:
        self.queue_id = queue_id
        self._store = store
        self._cache = cache
        self._say = say
        self._elsewhere = elsewhere
        self._guessed = guessed
        self._on_found = found
        self._launched = launched
        self._instance = self._gone = ""
        self._asked_at = -INSTANCE_SECONDS
        self._replay = Replay(queue_id)
        self._seen: LeaseSnapshot | None = None
        self._booting: QueueState | None = None
        self._boot_log: tuple[str, ...] = ()
        self._looked_at: datetime | None = None
        self._heard_at: datetime | None = None
        self._skew = timedelta()
        self._pieces = Pieces(store)
        self._warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def state(self) -> QueueState:
        return self._booting or self._replay.state

    @property
    def seq(self) -> int:
        return self._replay.seq

    def refresh(self, *, until: str | None = None) -> None:
        self._catch_up()
        if not self._cache.seq:
            self._read_submission(until)
        else:
            self._booting = None
            self._fold(self._cache.rows(self._replay.seq), until)
        self._announce_once()

    def rows(self) -> Iterator[Row]:
        return self._cache.rows()

    def runner_alive(self) -> bool:
        """Whether the runner's lease had not expired at the newest `refresh`; initially True."""
        if self._looked_at is None:
            return True
        if self._booting is not None and self._seen is None:
            age = (self._looked_at - parse_timestamp(self._booting.submitted_at)).total_seconds()
            return age < BOOT_SECONDS and not self._boot_log and not self._gone
        seen = self._seen
        return seen is not None and not (seen.expired or seen.lease.handed_back)

    def troubles(self) -> tuple[Trouble, ...]:
        """As of the newest lease, which the runner renews every 10 s."""
        return self._seen.lease.troubles if self._seen is not None and self.runner_alive() else ()

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """Report the queue. Durations are by the store's clock.

        If the lease has expired, the report is as of the last sign of life from the runner.
        """
        if past:
            report = build(self.state, now, past=True)
            return self._placed(structs.replace(report, origin=self._origin()))
        return self._report(now, output=True)

    def _report(self, now: datetime, *, output: bool) -> Report:
        now += self._skew
        state = self.state
        origin = self._origin()
        alive = None if state.ended else self.runner_alive()
        silent = alive is False and not origin.booting and not state.ended_at
        report = build(
            state,
            self._last_sign_of_life(state, now) if silent else now,
            live=self._live(state, alive=bool(alive)) if output else None,
            runner_alive=alive,
            troubles=() if state.ended else self.troubles(),
        )
        jobs = report.jobs
        if not alive:  # the pids are out of date, and no runner is working on the rest
            jobs = tuple(structs.replace(job, pid=0, time_remaining=None) for job in jobs)
        if origin.booting:  # the log that names both is still empty
            place = self._store.location
            instance = self._instance or "unknown"
            report = structs.replace(report, instance_id=instance, results_location=place)
        return self._placed(structs.replace(report, jobs=jobs, origin=origin))

    def _placed(self, report: Report) -> Report:
        """Show the owner's host name if the owner is neither an instance nor this machine."""
        owner = self.state.owner
        if owner is None or owner.instance_id != "local" or owner.hostname == gethostname():
            return report
        return structs.replace(report, instance_id=owner.hostname)

    def summary(self, now: datetime) -> Report:
        """The report without the jobs' output; sends no request."""
        return self._report(now, output=False)

    def attempts(self, job_id: str) -> list[StartedAttempt]:
        return started_attempts(self.rows(), job_id)

    def output(self, attempt: StartedAttempt, name: str) -> StoredStream:
        """A stream of an attempt; may be empty, since the upload may not be finished."""
        return StoredStream(self._store, attempt, name)

    def objects(self) -> ObjectStore:
        return self._store

    def audit(self) -> tuple[Audited, str]:
        """Verify every object of the log without the cache; returns the result and the location.

        The log must also contain every event in this machine's cache.

        Raises:
            QueueNotFound: The queue is not in the store, or has not started.
            CorruptLog: Names the wrong object or event.
            StoreError: The store cannot be read.
        """
        if self._cache.file is not None:
            self._catch_up()
        with self._error_context():
            try:
                return audit(self._store, self.queue_id), self._store.location
            except QueueNotFound as error:
                if error.cause != "absent" or not self._elsewhere:
                    raise
                raise not_found(self.queue_id, self._store.location, self._elsewhere) from None

    @contextmanager
    def _error_context(self) -> Iterator[None]:
        """Like `asking`. If the default bucket does not exist, raises `QueueNotFound`."""
        missing = f"queue {self.queue_id} is not on this machine ({self._elsewhere})"
        with add_error_hints(self._store, missing if self._elsewhere else ""):
            try:
                yield
            except BucketNotFound as error:
                if not self._guessed:
                    raise
                raise not_found(
                    self.queue_id, self._store.location, self._elsewhere, why=error.what
                ) from None

    def _catch_up(self) -> None:
        from spawn.cli.host import now

        with self._error_context():
            try:
                with self._cache.updating():
                    caught = update_cache(self._store, self._cache)
            except CorruptLog as error:
                if error.seq <= 1:
                    self._expect_this_queue()
                raise
        looked_at = now()
        if caught.seen is not None and caught.seen.now is not None:
            skew = caught.seen.now - looked_at
            self._skew = skew if abs(skew) > SKEW else timedelta()
        looked_at += self._skew
        if caught.seen is not None and (self._seen is None or self._seen.etag != caught.seen.etag):
            # Only for a new lease: the store's clock has whole seconds, so the age would jitter.
            self._heard_at = looked_at - timedelta(seconds=caught.seen.age)
        self._seen = caught.seen
        self._looked_at = looked_at
        place = f"at {self._store.location}"
        for text in reread_messages(self.queue_id, self._cache.damaged, caught.differs, place):
            self._say(text)
        self._cache.damaged = 0
        if caught.differs:
            self._replay = Replay(self.queue_id)

    def _fold(self, rows: Iterator[Row], until: str | None) -> None:
        with add_error_hints(self._store):
            self._replay.feed(rows, until=until)
        if self._replay.empty:
            raise QueueNotFound(f"queue {self.queue_id} was not submitted at that time")

    def _read_submission(self, until: str | None) -> None:
        """Build the state of a queue whose log is empty, from `queue.json` and the boot log."""
        found = self._expect_this_queue()
        if found is None:
            raise CorruptLog(
                f"{QUEUE} is missing", why=f"{self._store.location} has a queue's lease"
            )
        with add_error_hints(self._store):
            self._boot_log = read_boot_log(self._store, BOOT_LINES)
        assert self._looked_at is not None
        at = format_timestamp(self._looked_at - timedelta(seconds=found.age))
        if until is not None and at > until:
            raise QueueNotFound(f"queue {self.queue_id} was not submitted at that time")
        self._booting = _pending(self.queue_id, found.config, at)
        if time.monotonic() - self._asked_at >= INSTANCE_SECONDS:
            self._asked_at = time.monotonic()
            self._instance, self._gone = self._launched()

    def _expect_this_queue(self) -> Submitted | None:
        """Check that the place belongs to this queue; returns the submission, None if only a lease
        exists.

        Raises:
            QueueNotFound: The place is empty or belongs to another queue.
        """
        with add_error_hints(self._store):
            found = read_submitted(self._store)
            leased = found is None and read_lease(self._store) is not None
        if found is not None and found.config.queue_id == self.queue_id:
            return found
        if leased:
            return None
        why = f"{found.config.queue_id} is there" if found else ""
        raise not_found(self.queue_id, self._store.location, self._elsewhere, why=why)

    def _live(self, state: QueueState, *, alive: bool) -> Mapping[str, LiveData]:
        """Progress, newest output and log location of each job: on its machine while the runner is
        alive, else in the store."""
        running = [job for job in state.jobs.values() if job.state == "running" and job.folder]
        found = self._newest_output([attempt_prefix(job) for job in running])
        live = {}
        for job in state.jobs.values():
            if not job.log_file:
                continue
            prefix = attempt_prefix(job)
            progress, recent = found.get(prefix, (None, ()))
            where = job.log_file if alive else self._store.location + prefix
            live[job.config.job_id] = LiveData(progress=progress, recent=recent, log_file=where)
        return live

    def _newest_output(self, prefixes: Sequence[str]) -> Mapping[str, NewestOutput]:
        """The newest output of attempts. A failure is only a warning, shown once."""
        try:
            return self._pieces.newest(prefixes)
        except StoreError as error:
            if not self._warned:
                self._say(f"The output of running jobs cannot be read: {error}")
            self._warned = True
            return {}

    def _last_sign_of_life(self, state: QueueState, now: datetime) -> datetime:
        """The time of the newest event or lease renewal."""
        last = parse_timestamp(state.last_at)
        return min(now, last if self._heard_at is None else max(last, self._heard_at))

    def _origin(self) -> ReplicaSource:
        state = None if self._replay.empty else self._replay.state
        return ReplicaSource(
            location=self._store.location,
            events=self._replay.seq,
            last_at=None if state is None else parse_timestamp(state.last_at),
            read_at=self._looked_at,
            lease_renewed_at=None if self._seen is None else self._heard_at,
            handed_back=self._seen is not None and self._seen.lease.handed_back,
            boot_log=self._boot_log,
        )

    def _announce_once(self) -> None:
        if self._on_found is not None:
            self._on_found()
            self._on_found = None
            assert self._looked_at is not None
            self._say(read_summary(self._origin(), self.state, self._looked_at))


def _pending(queue_id: str, config: QueueConfig, at: str) -> QueueState:
    """The state of a submitted queue, built from the events that its log will start with."""
    replay = Replay(queue_id)
    for draft in submit(config, file="", file_sha256="", version=""):
        event = to_event(draft, seq=replay.seq + 1, queue_id=queue_id, at=at, epoch=0)
        replay.apply(event, b"")
    return replay.state
