"""A queue of any machine, read from its log in an object store."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from socket import gethostname
from typing import Self

from msgspec import structs

from spawn.cli.sources.output import Attempt, StoredStream, attempts
from spawn.cli.sources.pieces import Newest, Pieces
from spawn.cli.sources.words import asking, not_found, read_anew, summary
from spawn.core.config.model import QueueConfig
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.events import seal
from spawn.core.moments import moment, stamp
from spawn.core.replay import Replay, Row
from spawn.core.report.build import build
from spawn.core.report.model import Live, Origin, Report, Trouble
from spawn.core.state import QueueState
from spawn.core.submission import submit
from spawn.store.objects.port import NoBucket, ObjectStore, StoreError
from spawn.store.replica.audit import Audited, audit
from spawn.store.replica.cache import Cache
from spawn.store.replica.catch_up import catch_up
from spawn.store.replica.lease import Seen, look
from spawn.store.replica.names import QUEUE
from spawn.store.replica.submitted import Submitted, boot_log, submitted
from spawn.store.results.publish import attempt_prefix

BOOT_SECONDS = 15 * 60.0
"""How long an instance may take until its queue begins; then it is taken for lost."""
INSTANCE_SECONDS = 20.0
"""How often EC2 is asked for the instance that a queue was launched on and has not begun."""
BOOT_LINES = 12
SKEW = timedelta(seconds=5)
"""How far the store's clock may be from ours before its own counts: it tells whole seconds, and its
answer takes a while."""


class ReplicaQueue:
    """Reads a queue's log in an object store as it grows, and its jobs' output there.

    Args:
        cache: What was read before.
        say: Tells a person something; called once for what was read, and when what was cached was
            of no use.
        elsewhere: Why it is not read on this machine, for the error that it is not there either;
            empty where it was asked for.
        guessed: Whether nobody named the bucket; without one the queue is not there then.
        found: Called once the queue was found there.
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
        self._found = found
        self._launched = launched
        self._instance = self._gone = ""
        self._asked_at = -INSTANCE_SECONDS
        self._replay = Replay(queue_id)
        self._seen: Seen | None = None
        self._booting: QueueState | None = None
        self._boot_log: tuple[str, ...] = ()
        self._looked_at: datetime | None = None
        self._heard_at: datetime | None = None
        self._skew = timedelta()
        self._pieces = Pieces(store)
        self._said_silent = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def state(self) -> QueueState:
        """See `QueueSource.state`."""
        return self._booting or self._replay.state

    @property
    def seq(self) -> int:
        """See `QueueSource.seq`."""
        return self._replay.seq

    def refresh(self, *, until: str | None = None) -> None:
        """See `QueueSource.refresh`.

        Raises:
            StoreError: The store cannot be asked.
        """
        self._catch_up()
        if not self._cache.seq:
            self._boot(until)
        else:
            self._booting = None
            self._fold(self._cache.rows(self._replay.seq), until)
        self._tell()

    def rows(self) -> Iterator[Row]:
        """See `QueueSource.rows`."""
        return self._cache.rows()

    def runner_alive(self) -> bool:
        """Whether a runner's lease holds, as of the newest `refresh`; before that none is called
        dead."""
        if self._looked_at is None:
            return True
        if self._booting is not None and self._seen is None:
            age = (self._looked_at - moment(self._booting.submitted_at)).total_seconds()
            return age < BOOT_SECONDS and not self._boot_log and not self._gone
        seen = self._seen
        return seen is not None and not (seen.expired or seen.lease.handed_back)

    def troubles(self) -> tuple[Trouble, ...]:
        """See `QueueSource.troubles`. As of the newest lease, which is renewed every 10 s."""
        return self._seen.lease.troubles if self._seen is not None and self.runner_alive() else ()

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """See `QueueSource.report`. A queue whose runner is silent is reported as of when it was
        last heard of: what it did since then nobody knows. The store's own clock tells how long
        what has lasted: ours may be wrong."""
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
            self._heard(state, now) if silent else now,
            live=self._live(state, alive=bool(alive)) if output else None,
            runner_alive=alive,
            troubles=() if state.ended else self.troubles(),
        )
        jobs = report.jobs
        if not alive:  # its numbers are nobody's any more, and nobody works on what is left
            jobs = tuple(structs.replace(job, pid=0, time_remaining=None) for job in jobs)
        if origin.booting:  # nothing of it is in a log yet
            place = self._store.location
            instance = self._instance or "unknown"
            report = structs.replace(report, instance_id=instance, results_location=place)
        return self._placed(structs.replace(report, jobs=jobs, origin=origin))

    def _placed(self, report: Report) -> Report:
        """Name the machine that the queue is on, where it is no instance and not this one."""
        owner = self.state.owner
        if owner is None or owner.instance_id != "local" or owner.hostname == gethostname():
            return report
        return structs.replace(report, instance_id=owner.hostname)

    def summary(self, now: datetime) -> Report:
        """The report without its jobs' output, which costs no request."""
        return self._report(now, output=False)

    def attempts(self, job_id: str) -> list[Attempt]:
        """See `QueueSource.attempts`."""
        return attempts(self.rows(), job_id)

    def output(self, attempt: Attempt, name: str) -> StoredStream:
        """See `QueueSource.output`. Nothing is expected of it: it may be on its way."""
        return StoredStream(self._store, attempt, name)

    def objects(self) -> ObjectStore:
        """See `QueueSource.objects`."""
        return self._store

    def audit(self) -> tuple[Audited, str]:
        """Check every object of the log, past the cache; returns what it amounts to, and where.

        What this machine has read there before must be there still.

        Raises:
            QueueNotFound: The queue is not there, or has not begun.
            CorruptLog: With the object or the event that is wrong.
            StoreError: The store cannot be read.
        """
        if self._cache.kept_at is not None:
            self._catch_up()
        with self._asking():
            try:
                return audit(self._store, self.queue_id), self._store.location
            except QueueNotFound as error:
                if error.why or not self._elsewhere:  # something is there
                    raise
                raise not_found(self.queue_id, self._store.location, self._elsewhere) from None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """See `asking`. That nobody made the bucket that the queue would be in by default says that
        it is not there."""
        missing = f"queue {self.queue_id} is not on this machine ({self._elsewhere})"
        with asking(self._store, missing if self._elsewhere else ""):
            try:
                yield
            except NoBucket as error:
                if not self._guessed:
                    raise
                raise not_found(
                    self.queue_id, self._store.location, self._elsewhere, why=error.what
                ) from None

    def _catch_up(self) -> None:
        from spawn.cli.bootstrap import now

        with self._asking():
            try:
                with self._cache.updating():
                    caught = catch_up(self._store, self._cache)
            except CorruptLog as error:
                if error.seq <= 1:
                    self._expect_ours()
                raise
        looked_at = now()
        if caught.seen is not None and caught.seen.now is not None:
            skew = caught.seen.now - looked_at
            self._skew = skew if abs(skew) > SKEW else timedelta()
        looked_at += self._skew
        if caught.seen is not None and (self._seen is None or self._seen.etag != caught.seen.etag):
            # Once for each lease: a store's clock has whole seconds, and its age would waver.
            self._heard_at = looked_at - timedelta(seconds=caught.seen.age)
        self._seen = caught.seen
        self._looked_at = looked_at
        place = f"at {self._store.location}"
        for text in read_anew(self.queue_id, self._cache.damaged, caught.differs, place):
            self._say(text)
        self._cache.damaged = 0
        if caught.differs:
            self._replay = Replay(self.queue_id)

    def _fold(self, rows: Iterator[Row], until: str | None) -> None:
        with asking(self._store):
            self._replay.feed(rows, until=until)
        if self._replay.empty:
            raise QueueNotFound(f"queue {self.queue_id} was not submitted at that time")

    def _boot(self, until: str | None) -> None:
        """Take what is known of a queue whose log has nothing yet."""
        found = self._expect_ours()
        if found is None:
            raise CorruptLog(
                f"{QUEUE} is gone", why=f"{self._store.location} has the lease of a queue"
            )
        with asking(self._store):
            self._boot_log = boot_log(self._store, BOOT_LINES)
        assert self._looked_at is not None
        at = stamp(self._looked_at - timedelta(seconds=found.age))
        if until is not None and at > until:
            raise QueueNotFound(f"queue {self.queue_id} was not submitted at that time")
        self._booting = _pending(self.queue_id, found.config, at)
        if time.monotonic() - self._asked_at >= INSTANCE_SECONDS:
            self._asked_at = time.monotonic()
            self._instance, self._gone = self._launched()

    def _expect_ours(self) -> Submitted | None:
        """See that the place is this queue's; returns what was submitted, if that is there.

        Raises:
            QueueNotFound: It is another's, or nobody's.
        """
        with asking(self._store):
            found = submitted(self._store)
            leased = found is None and look(self._store) is not None
        if found is not None and found.config.queue_id == self.queue_id:
            return found
        if leased:
            return None
        why = f"{found.config.queue_id} is there" if found else ""
        raise not_found(self.queue_id, self._store.location, self._elsewhere, why=why)

    def _live(self, state: QueueState, *, alive: bool) -> Mapping[str, Live]:
        """Where each job's output is: on its machine while that lives, else in the store."""
        running = [job for job in state.jobs.values() if job.state == "running" and job.folder]
        found = self._newest([attempt_prefix(job) for job in running])
        live = {}
        for job in state.jobs.values():
            if not job.log_file:
                continue
            prefix = attempt_prefix(job)
            progress, recent = found.get(prefix, (None, ()))
            where = job.log_file if alive else self._store.location + prefix
            live[job.config.job_id] = Live(progress=progress, recent=recent, log_file=where)
        return live

    def _newest(self, prefixes: Sequence[str]) -> Mapping[str, Newest]:
        """The newest output of attempts. Without it a status is as true: that it cannot be read is
        said, once."""
        try:
            return self._pieces.newest(prefixes)
        except StoreError as error:
            if not self._said_silent:
                self._say(f"What running jobs print cannot be read: {error}")
            self._said_silent = True
            return {}

    def _heard(self, state: QueueState, now: datetime) -> datetime:
        """When the queue was last known to be run."""
        last = moment(state.last_at)
        return min(now, last if self._heard_at is None else max(last, self._heard_at))

    def _origin(self) -> Origin:
        state = None if self._replay.empty else self._replay.state
        return Origin(
            location=self._store.location,
            events=self._replay.seq,
            last_at=None if state is None else moment(state.last_at),
            looked_at=self._looked_at,
            heard_at=None if self._seen is None else self._heard_at,
            handed_back=self._seen is not None and self._seen.lease.handed_back,
            boot_log=self._boot_log,
        )

    def _tell(self) -> None:
        if self._found is not None:
            self._found()
            self._found = None
            assert self._looked_at is not None
            self._say(summary(self._origin(), self.state, self._looked_at))


def _pending(queue_id: str, config: QueueConfig, at: str) -> QueueState:
    """The state of a queue that was submitted, as its log will begin."""
    replay = Replay(queue_id)
    for draft in submit(config, file="", file_sha256="", version=""):
        event = seal(draft, seq=replay.seq + 1, queue_id=queue_id, at=at, epoch=0)
        replay.apply(event, b"")
    return replay.state
