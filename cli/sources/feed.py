"""A queue of another machine, read from the feed that serves it there."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Self

from msgspec import structs

from spawn.cli.sources.output import Attempt, StoredStream, Stream, attempts
from spawn.cli.sources.words import read_anew
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.feed.address import MAX_WAIT, AskOutput, AskPage
from spawn.core.feed.wire import Machine
from spawn.core.replay import Replay, Row
from spawn.core.report.build import build
from spawn.core.report.model import Live, Report, Trouble
from spawn.core.state import QueueState
from spawn.store.feed.catch_up import Answered, Caught, catch_up
from spawn.store.feed.client import FeedClient, Output
from spawn.store.feed.errors import NoOutput
from spawn.store.objects.port import ObjectStore
from spawn.store.place import Place, open_place, parse
from spawn.store.replica.cache import Cache

SKEW = timedelta(seconds=2)
"""How far that machine's clock may be from ours before its own counts."""


class FeedQueue:
    """Reads a queue's log from a feed as it grows, and what its machine knows of it besides.

    A report of it is the one that `local` would make there. Use it in a `with`.

    Args:
        cache: What was read before.
        say: Tells a person something.
        region: Of the bucket of its results, instead of the one that the log says.
        profile: Of the AWS configuration, to ask for them.
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
        self._machine: Machine | None = None
        self._live: dict[str, Live] = {}
        self._earlier: Mapping[str, float] = {}
        self._skew = timedelta()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def state(self) -> QueueState:
        """See `QueueSource.state`."""
        return self._replay.state

    @property
    def seq(self) -> int:
        """See `QueueSource.seq`."""
        return self._replay.seq

    def refresh(self, *, until: str | None = None) -> None:
        """See `QueueSource.refresh`.

        Raises:
            NoFeed: It cannot be asked.
        """
        early, self._early = self._early, None
        with self._cache.updating():
            at = self._cache.seq, self._cache.hash
            caught = catch_up(
                self._client,
                self._cache,
                since=self._since,
                early=early[1] if early is not None and early[0] == at else None,
            )
        self._tell(caught)
        self._take(caught)
        self._replay.feed(self._cache.rows(self._replay.seq), until=until)
        if self._replay.empty:
            when = " at that time" if until else " yet"
            raise QueueNotFound(f"queue {self.queue_id} was not submitted{when}")

    def pause(self, seconds: float) -> bool:
        """Wait until there is news for `refresh`, at most so long; returns whether there is. The
        feed waits, so that nothing is asked meanwhile.

        Args:
            seconds: At most `MAX_WAIT`; more counts as that.

        Raises:
            NoFeed: It cannot be asked.
        """
        ask = AskPage(
            queue_id=self.queue_id,
            after=self._cache.seq,
            hash_=self._cache.hash.hex(),
            since=self._since,
            wait=min(seconds, MAX_WAIT),
        )
        at = self._cache.seq, self._cache.hash
        page, lines = self._client.page(ask)
        self._early = at, (page, lines)
        known = page.machine is not None and page.machine.version == self._since
        return bool(lines) or page.differs or not known

    @property
    def traffic(self) -> int:
        """Bytes that went over the present connection, both ways."""
        return self._client.traffic

    def rows(self) -> Iterator[Row]:
        """See `QueueSource.rows`."""
        return self._cache.rows()

    def runner_alive(self) -> bool:
        """Whether a runner held the queue just before the newest `refresh` looked at its log;
        before that none is called dead."""
        return self._machine is None or self._machine.runner_alive

    def troubles(self) -> tuple[Trouble, ...]:
        """See `QueueSource.troubles`."""
        return () if self._machine is None else self._machine.troubles

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """See `QueueSource.report`. The machine's own clock tells how long what has lasted."""
        state = self.state
        if past:
            return build(state, now, past=True)
        goes_on = state.state in ("running", "pending")
        machine = self._machine
        return build(
            state,
            now + self._skew,
            live=self._live,
            earlier=self._earlier if goes_on else {},
            runner_alive=self.runner_alive() if not state.ended else None,
            replica=None if machine is None else machine.replica,
            endings=None if machine is None else machine.endings,
            troubles=self.troubles(),
            lost=0 if machine is None else machine.lost,
        )

    def attempts(self, job_id: str) -> list[Attempt]:
        """See `QueueSource.attempts`."""
        return attempts(self.rows(), job_id)

    def output(self, attempt: Attempt, name: str) -> Stream:
        """See `QueueSource.output`: from its machine, else the copy in the object store."""
        job_id = attempt.prefix.partition("/")[0]
        ask = AskOutput(queue_id=self.queue_id, job_id=job_id, attempt=attempt.number, name=name)
        try:
            return FeedStream(self._client, ask)
        except NoOutput:
            stored = StoredStream(self.objects(), attempt, name)
            stored.expect()
            return stored

    def objects(self) -> ObjectStore:
        """See `QueueSource.objects`.

        Raises:
            SpawnError: They are in a folder of that machine.
        """
        owner = self.state.owner
        at = None if owner is None else parse(owner.results_location)
        if owner is None or at is None:
            raise SpawnError(
                f"the results of queue {self.queue_id} are on {self._client.name} alone",
                why="it has no bucket",
                hint=f"run `spawn queue results {self.queue_id}` there",
            )
        region = self._region or owner.region
        place = Place(bucket=at[0], prefix=at[1], region=region, profile=self._profile)
        return open_place(place, Path())  # a bucket: no folder is asked

    def _tell(self, caught: Caught) -> None:
        place = f"on {self._client.name}"
        for text in read_anew(self.queue_id, self._cache.damaged, caught.differs, place):
            self._say(text)
        self._cache.damaged = 0
        if caught.differs:
            self._replay = Replay(self.queue_id)

    def _take(self, caught: Caught) -> None:
        """Take in what has changed on the machine."""
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
    """A stream in a file of the feed's machine.

    Raises:
        NoOutput: It is not there.
    """

    whole = True

    def __init__(self, client: FeedClient, ask: AskOutput) -> None:
        self._client = client
        self._ask = ask
        self._at = 0
        self._first: Output | None = client.output(ask)

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        """See `Stream.copy_to`."""
        first, self._first = self._first, None
        # One without data is old: what was printed since may be all that there will be.
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
        """Nothing is held."""
