"""A queue of another machine, read from that machine's feed."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Self

from msgspec import structs

from spawn.cli.sources.output import OutputStream, StartedAttempt, StoredStream, started_attempts
from spawn.cli.sources.replica_messages import reread_messages
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.reports.build import build
from spawn.core.reports.model import LiveData, Report, Trouble
from spawn.store.feed.answers import MachineState
from spawn.store.feed.client import FeedClient, Output
from spawn.store.feed.errors import OutputNotFound
from spawn.store.feed.requests import MAX_WAIT, OutputRequest, PageRequest
from spawn.store.feed.update_cache import Answered, FeedUpdate, update_cache
from spawn.store.objects.interface import ObjectStore
from spawn.store.objects.location import StoreLocation, open_place, parse_s3_uri
from spawn.store.replica.cache import Cache

SKEW = timedelta(seconds=2)
"""Clock difference from which on reports use that machine's clock."""


class FeedQueue:
    """A `QueueSource` that reads the log and the machine's live data from a feed.

    Its reports equal those of `local` on that machine.

    Args:
        cache: The part of the log that was read before.
        say: Receives user-facing messages.
        region: Region of the results' bucket (default: the one in the log).
        profile: AWS profile to read the results with.
    """

    poll_seconds = 1.0

    def __init__(
        self,
        queue_id: str,
        client: FeedClient,
        cache: Cache,
        *,
        say: Callable[[str], None],
        region: str | None = None,
        profile: str | None = None,
    ) -> None:
        self.queue_id = queue_id
        self._client = client
        self._cache = cache
        self._say = say
        self._region = region
        self._profile = profile
        self._replay = Replay(queue_id)
        self._early: tuple[tuple[int, bytes], Answered] | None = None
        self._since = ""
        self._machine: MachineState | None = None
        self._live: dict[str, LiveData] = {}
        self._earlier: Mapping[str, float] = {}
        self._skew = timedelta()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def state(self) -> QueueState:
        return self._replay.state

    @property
    def seq(self) -> int:
        return self._replay.seq

    def refresh(self, *, until: str | None = None) -> None:
        """Fold the new events; see `QueueSource`.

        Raises:
            NoFeed: The feed does not answer.
        """
        early, self._early = self._early, None
        with self._cache.updating():
            at = self._cache.seq, self._cache.hash
            caught = update_cache(
                self._client,
                self._cache,
                since=self._since,
                early=early[1] if early is not None and early[0] == at else None,
            )
        self._report_reread(caught)
        self._update_machine(caught)
        self._replay.feed(self._cache.rows(self._replay.seq), until=until)
        if self._replay.empty:
            when = " at that time" if until else " yet"
            raise QueueNotFound(f"queue {self.queue_id} was not submitted{when}")

    def pause(self, seconds: float) -> bool:
        """Wait for changes, by long polling; returns whether `refresh` would read any.

        Args:
            seconds: Capped at `MAX_WAIT`.

        Raises:
            NoFeed: The feed does not answer.
        """
        ask = PageRequest(
            queue_id=self.queue_id,
            after=self._cache.seq,
            hash_=self._cache.hash.hex(),
            since=self._since,
            wait=min(seconds, MAX_WAIT),
        )
        at = self._cache.seq, self._cache.hash
        page, lines = self._client.page(ask)
        self._early = at, (page, lines)
        unchanged = page.machine is not None and page.machine.version == self._since
        return bool(lines) or page.differs or not unchanged

    @property
    def traffic(self) -> int:
        """Bytes sent and received over the current connection."""
        return self._client.traffic

    def rows(self) -> Iterator[Row]:
        return self._cache.rows()

    def runner_alive(self) -> bool:
        """Whether a runner held the queue just before the newest `refresh`; initially True."""
        return self._machine is None or self._machine.runner_alive

    def troubles(self) -> tuple[Trouble, ...]:
        return () if self._machine is None else self._machine.troubles

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """Report the queue; durations are by that machine's clock."""
        state = self.state
        if past:
            return build(state, now, past=True)
        unfinished = state.state in ("running", "pending")
        machine = self._machine
        return build(
            state,
            now + self._skew,
            live=self._live,
            earlier=self._earlier if unfinished else {},
            runner_alive=self.runner_alive() if not state.ended else None,
            replica=None if machine is None else machine.replica,
            endings=None if machine is None else machine.endings,
            troubles=self.troubles(),
            lost=0 if machine is None else machine.lost,
        )

    def attempts(self, job_id: str) -> list[StartedAttempt]:
        return started_attempts(self.rows(), job_id)

    def output(self, attempt: StartedAttempt, name: str) -> OutputStream:
        """A stream of an attempt, from the feed, else from the object store."""
        job_id = attempt.prefix.partition("/")[0]
        ask = OutputRequest(
            queue_id=self.queue_id, job_id=job_id, attempt=attempt.number, name=name
        )
        try:
            return FeedStream(self._client, ask)
        except OutputNotFound:
            stored = StoredStream(self.objects(), attempt, name)
            stored.expect()
            return stored

    def objects(self) -> ObjectStore:
        """The object store of the results.

        Raises:
            SpawnError: The queue has no bucket: the results are in a folder of that machine.
        """
        owner = self.state.owner
        at = None if owner is None else parse_s3_uri(owner.results_location)
        if owner is None or at is None:
            raise SpawnError(
                f"the results of queue {self.queue_id} are only on {self._client.name}",
                why="it has no bucket",
                hint=f"run `spawn queue results {self.queue_id}` there",
            )
        region = self._region or owner.region
        place = StoreLocation(bucket=at[0], prefix=at[1], region=region, profile=self._profile)
        return open_place(place, Path())  # the path is unused for a bucket

    def _report_reread(self, caught: FeedUpdate) -> None:
        place = f"on {self._client.name}"
        for text in reread_messages(self.queue_id, self._cache.damaged, caught.differs, place):
            self._say(text)
        self._cache.damaged = 0
        if caught.differs:
            self._replay = Replay(self.queue_id)

    def _update_machine(self, caught: FeedUpdate) -> None:
        """Apply the changes of the machine's live data."""
        machine, now = caught.page.machine, caught.page.now
        if now is not None:
            skew = now - datetime.now(UTC)
            self._skew = skew if abs(skew) > SKEW else timedelta()
        if machine is None:
            return
        live = {} if machine.whole else dict(self._live)
        for job_id, found in machine.jobs.items():
            if found is None:
                live.pop(job_id, None)
            else:
                live[job_id] = found
        self._live = live
        if machine.earlier is not None or machine.whole:
            self._earlier = machine.earlier or {}
        self._machine = machine
        self._since = machine.version


class FeedStream:
    """A `Stream` of a file on the feed's machine.

    Raises:
        NoOutput: The file does not exist.
    """

    whole = True

    def __init__(self, client: FeedClient, ask: OutputRequest) -> None:
        self._client = client
        self._ask = ask
        self._at = 0
        self._first: Output | None = client.output(ask)

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        first, self._first = self._first, None
        # An empty first piece is outdated: the attempt may have printed something since.
        piece = first if first is not None and first.data else self._piece()
        while piece.data:
            out.write(piece.data)
            self._at += len(piece.data)
            if self._at >= piece.size and not ended:
                break
            piece = self._piece()
        out.flush()

    def _piece(self) -> Output:
        return self._client.output(structs.replace(self._ask, at=self._at))

    def close(self) -> None:
        """Do nothing: the client stays open."""
