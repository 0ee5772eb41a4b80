"""The folded state of a requested queue, updated as its log grows."""

import os
import time
from collections.abc import Mapping
from itertools import islice
from secrets import token_hex

from msgspec import Struct

from spawn.core.domain.replay import Replay, Row
from spawn.core.errors import SpawnError
from spawn.core.reports.model import LiveData, Replica, Trouble, UnloggedEnd
from spawn.store import queues
from spawn.store.feed.answers import MachineState
from spawn.store.live_facts import LiveFactsReader
from spawn.store.log import head, read
from spawn.store.queue_dir import lock, troubles
from spawn.store.queue_dir.paths import Roots

AT_ONCE = 10_000
"""Number of events folded before other clients are served; about 40 ms."""
REFRESH_SECONDS = 1.0
"""Maximum age of the machine's state for a client that waits for news."""
_SETTLED_NS = 2_500_000_000
"""Age from which a file's time is reliable. Some file systems have a resolution of two seconds, so
a file may be written again without a new time."""


class _QueueFacts(Struct, frozen=True):
    """The parts of `Machine` that concern the whole queue."""

    alive: bool
    replica: Replica | None = None
    endings: dict[str, UnloggedEnd] = {}
    troubles: tuple[Trouble, ...] = ()
    lost: int = 0


Signature = tuple[tuple[int, int, int] | None, ...]


class WatchedQueue:
    """One queue.

    The database is closed after each read: SQLite checkpoints the WAL when the last connection
    closes, and only the runner may do that.

    Raises:
        QueueNotFound: The queue is not on this machine.
    """

    def __init__(self, roots: Roots, queue_id: str) -> None:
        self.paths = queues.find_queue(roots, queue_id)
        self.queue_id = queue_id
        self.replay = Replay(queue_id)
        self._roots = roots
        self.asked_at = time.monotonic()
        self._lives = LiveFactsReader(roots, queue_id)
        self._seen: Signature | None = None
        self._failed: tuple[Signature, SpawnError] | None = None
        self._nonce = token_hex(4)
        self._count = 0
        self._alive = False
        self._refreshed_at = float("-inf")
        self._refreshed_seq = -1
        self._jobs: dict[str, tuple[int, LiveData | None]] = {}
        self._earlier: tuple[int, Mapping[str, float]] = (0, {})
        self._written = 0
        self._facts = _QueueFacts(alive=False)

    def fold(self) -> bool:
        """Fold some of the new events; return whether the whole log is folded.

        Raises:
            QueueNotFound: The queue is gone, or was not submitted yet.
            CorruptLog: The log is invalid; `seq` is the first invalid event.
        """
        # Before the read, so that everything a dead runner wrote is seen.
        self._alive = lock.is_held(self.paths.lock)
        self._written = head.newest_noted_seq(self.paths.events)
        return self._fold()

    def refresh(self, *, fresh: bool) -> None:
        """Update the machine's state, once the whole log is folded.

        Args:
            fresh: Refresh even if the last refresh is recent.
        """
        now, seq = time.monotonic(), self.replay.seq
        if fresh or seq != self._refreshed_seq or now >= self._refreshed_at + REFRESH_SECONDS:
            self._refreshed_at, self._refreshed_seq = now, seq
            self._update(self._alive)

    def machine(self, since: str) -> MachineState:
        """Return the machine's state as of the last `refresh`.

        Args:
            since: The `version` that the client knows; empty for none.
        """
        nonce, _, count = since.partition(".")
        known = int(count) if nonce == self._nonce and count.isdecimal() else 0
        facts = self._facts
        earlier_at, earlier = self._earlier
        return MachineState(
            version=self.version,
            whole=not known,
            runner_alive=facts.alive,
            replica=facts.replica,
            endings=facts.endings,
            troubles=facts.troubles,
            jobs={} if known >= self._count else _changed_jobs(self._jobs, known),
            earlier=dict(earlier) if earlier_at > known else None,
            lost=facts.lost,
        )

    @property
    def version(self) -> str:
        """The version of the machine's state: a nonce of this process and a counter."""
        return f"{self._nonce}.{self._count}"

    def _update(self, alive: bool) -> None:
        state, seq = self.replay.state, self.replay.seq
        count = self._count + 1
        changed = False
        live = self._lives.jobs(state, seq)
        for job_id, found in live.items():
            before = self._jobs.get(job_id)
            if before is None or (before[1] is not found and before[1] != found):
                self._jobs[job_id] = (count, found)
                changed = True
        gone = [each for each, (_, known) in self._jobs.items() if known and each not in live]
        for job_id in gone:
            self._jobs[job_id] = (count, None)
            changed = True
        earlier = self._lives.earlier(state)
        if earlier != self._earlier[1]:
            self._earlier = (count, dict(earlier))
            changed = True
        facts = _QueueFacts(
            alive=alive,
            replica=self._lives.replica(seq, self._row),
            endings={} if alive or state.ended else self._lives.endings(state),
            troubles=troubles.find(self.paths.folder) if alive else (),
            lost=max(0, self._written - seq),
        )
        changed = changed or facts != self._facts
        self._facts = facts
        if changed or not self._count:
            self._count = count

    def _fold(self) -> bool:
        signature = self._signature()
        if signature == self._seen:
            return True
        if self._failed is not None and self._failed[0] == signature:
            raise self._failed[1]
        try:
            with read.open_log(self.paths.events) as connection:
                before = self.replay.seq
                if before and read.hash_at(connection, before) != self.replay.hash:
                    self._reset()  # the log was replaced
                    before = 0
                self.replay.feed(islice(read.rows(connection, before), AT_ONCE))
        except SpawnError as error:
            self._reset()
            self._failed = signature, error
            raise
        if self.replay.seq - before == AT_ONCE:
            self._seen = signature[:1]
            return False
        if self.replay.empty:
            raise queues.not_submitted(self.queue_id, held=self._alive)
        settled = max(each[2] for each in signature if each) < time.time_ns() - _SETTLED_NS
        self._seen = signature if settled else signature[:1]
        return True

    def _reset(self) -> None:
        self.replay = Replay(self.queue_id)
        self._lives = LiveFactsReader(self._roots, self.queue_id)
        self._seen = None
        self._refreshed_seq = -1

    def _signature(self) -> Signature:
        """Return values that change whenever the log is written."""
        db = self.paths.events
        found: list[tuple[int, int, int] | None] = []
        for path in (db, db.with_name(f"{db.name}-wal")):
            try:
                at = os.stat(path)
                found.append((at.st_ino, at.st_size, at.st_mtime_ns))
            except OSError:
                found.append(None)
        return tuple(found)

    def _row(self, after: int) -> Row | None:
        with read.open_log(self.paths.events) as connection:
            return next(iter(read.rows(connection, after)), None)


def _changed_jobs(
    jobs: Mapping[str, tuple[int, LiveData | None]], known: int
) -> dict[str, LiveData | None]:
    """Return the jobs that changed after a count; without a count, omit jobs with no live state."""
    return {
        job_id: live
        for job_id, (count, live) in jobs.items()
        if count > known and (known or live is not None)
    }
