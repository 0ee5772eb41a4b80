"""A queue of an instance: asked of its feed over SSH, and read from its log in S3 where nobody
answers there."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from types import TracebackType
from typing import Self

from msgspec import structs

from spawn.cli.flags import Where
from spawn.cli.remote.address import Remembered, recall
from spawn.cli.remote.address import remember as remember_instance
from spawn.cli.remote.errors import Cut, Gone, PortClosed, Unreachable
from spawn.cli.remote.reach import Asked, Reach, Told
from spawn.cli.remote.tunnel import Tunnel
from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.moving import MovingStream
from spawn.cli.sources.open_feed import open_feed
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.output import Attempt, Stream
from spawn.cli.sources.place import remember
from spawn.cli.sources.replica import ReplicaQueue
from spawn.core.codec import decode
from spawn.core.errors import SpawnError
from spawn.core.events import QueueStarted
from spawn.core.feed.address import port
from spawn.core.replay import Row
from spawn.core.report.model import Report
from spawn.core.state import QueueState
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import NoFeed
from spawn.store.objects.port import ObjectStore, Unavailable
from spawn.store.paths import Roots
from spawn.store.place import Place, parse

SILENT_SECONDS = 30.0
"""How long an instance may be silent until its queue's log in S3 is read instead."""
TAG_QUEUE = "spawn:queue-id"
TAG_RESULTS = "spawn:results-location"
"""Tags of an instance: the queue that it was launched for, and where that is in S3."""
_NOBODY = (Unreachable, PortClosed, Cut, NoFeed)
"""Nobody answers: the log in S3 is what there is to know."""


class InstanceQueue:
    """Reads a queue of an instance as `QueueSource` says. Opened by `with`.

    Who answers there and is not whom we expect, or does not let us in, is an error: it is for a
    person to decide what to believe.

    Args:
        say: Tells a person something.
    """

    def __init__(
        self,
        instance_id: str,
        roots: Roots,
        where: Where,
        *,
        say: Callable[[str], None],
    ) -> None:
        self._id = instance_id
        self._roots = roots
        self._asked_queue = where.queue or os.environ.get("SPAWN_QUEUE")
        self._where = where
        self._say = say
        self._open = ExitStack()
        self._source: FeedQueue | ReplicaQueue | None = None
        self._tunnel: Tunnel | None = None
        self._silent_since: float | None = None

    def __enter__(self) -> Self:
        try:
            if self._where.from_s3:
                self._to_replica(None)
            else:
                self._ask()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._open.close()
        return None

    @property
    def queue_id(self) -> str:
        """The queue's id."""
        return self._at.queue_id

    @property
    def poll_seconds(self) -> float:
        """See `QueueSource.poll_seconds`."""
        return self._at.poll_seconds

    @property
    def state(self) -> QueueState:
        """See `QueueSource.state`."""
        return self._at.state

    @property
    def seq(self) -> int:
        """See `QueueSource.seq`."""
        return self._at.seq

    def refresh(self, *, until: str | None = None) -> None:
        """See `QueueSource.refresh`. An instance that has gone meanwhile is asked no more.

        Raises:
            Unavailable: It does not answer, which may pass.
        """
        try:
            self._at.refresh(until=until)
        except NoFeed as error:
            trouble = self._tunnel.trouble() if self._tunnel is not None else None
            if not self._gives_up(trouble or error):
                said = trouble or error
                raise Unavailable(said.what, why=said.why, hint=said.hint) from None
            self._at.refresh(until=until)
        self._silent_since = None
        self._remember()

    def pause(self, seconds: float) -> bool:
        """Wait until there is news for `refresh`, at most so long; returns whether there is.

        Raises:
            NoFeed: It cannot be asked.
        """
        if isinstance(self._source, FeedQueue):
            return self._source.pause(seconds)
        time.sleep(seconds)
        return True

    def rows(self) -> Iterator[Row]:
        """See `QueueSource.rows`."""
        return self._at.rows()

    def runner_alive(self) -> bool:
        """See `QueueSource.runner_alive`."""
        return self._at.runner_alive()

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """See `QueueSource.report`."""
        report = self._at.report(now, past=past)
        asked = isinstance(self._source, FeedQueue)
        return structs.replace(report, target=self._id) if asked else report

    def attempts(self, job_id: str) -> list[Attempt]:
        """See `QueueSource.attempts`."""
        return self._at.attempts(job_id)

    def output(self, attempt: Attempt, name: str) -> Stream:
        """See `QueueSource.output`. It goes on in S3 where its instance went meanwhile."""
        return MovingStream(lambda: self._at.output(attempt, name), lambda: self._source)

    def objects(self) -> ObjectStore:
        """See `QueueSource.objects`."""
        return self._at.objects()

    @property
    def _at(self) -> FeedQueue | ReplicaQueue:
        assert self._source is not None, "use InstanceQueue in a with"
        return self._source

    # the instance

    def _ask(self) -> None:
        """Open the way to its feed, else to S3."""
        try:
            self._to_feed()
        except Gone as error:
            self._open.close()
            if error.state == "unknown":
                raise
            self._to_replica(error)
        except _NOBODY as error:
            self._open.close()
            self._to_replica(error)

    def _to_feed(self) -> None:
        reach = reach_of(self._id, self._roots, self._where, told=Told(host_keys=self._keys_of_log))
        tunnel = self._open.enter_context(reach.tunnel(port(os.environ)))
        client = FeedClient(lambda: tunnel.address, self._id)
        try:
            source = open_feed(
                self._roots,
                client,
                queue=self._asked_queue,
                say=self._say,
                region=self._where.region,
                profile=self._where.profile,
            )
            self._source = self._open.enter_context(source)
            client.hello  # noqa: B018, a queue that was named is asked for only later
        except NoFeed as error:
            trouble = tunnel.trouble()
            raise (
                _no_feed(self._id) if isinstance(trouble, PortClosed) else trouble or error
            ) from None
        self._tunnel = tunnel

    def _keys_of_log(self) -> Sequence[str]:
        """The host keys that the queue's log in S3 has of this instance, the newest epoch's."""
        source = self._replica(lambda _: None)
        if source is None:
            return ()
        with source:
            source.refresh()
            owners = (decode(raw, type_) for _, type_, raw, _ in source.rows() if _owns(type_))
            data = [each.data for each in owners if each is not None]
        ours = [
            each for each in data if isinstance(each, QueueStarted) and each.instance_id == self._id
        ]
        return ours[-1].ssh_host_keys if ours else ()

    # its queue in S3

    def _to_replica(self, error: SpawnError | None) -> None:
        """Read the log in S3 from here on.

        Raises:
            SpawnError: The error that brought us here, where nobody knows of a queue in S3.
        """
        say = self._say
        if error is not None:
            why = error.what

            def say(text: str) -> None:
                self._say(f"{why[:1].upper()}{why[1:]}. {text}")

        source = self._replica(say)
        if source is None and error is not None:
            error.hint = f"{error.hint}; " if error.hint else ""
            error.hint += "a queue's own id reads its log in S3"
            raise error
        if source is None:
            raise SpawnError(
                f"nobody knows which queue of {self._id} is in S3",
                hint=f"`spawn queue status QUEUE-ID --from-s3`, or --queue ID with {self._id}",
            )
        self._tunnel = None
        self._source = self._open.enter_context(source)

    def _replica(self, say: Callable[[str], None]) -> ReplicaQueue | None:
        """The replica of the queue that the instance has or had; None where nobody knows it."""
        queue, where = self._asked_queue or self._kept.queue, self._where
        if not queue or not where.bucket:
            tags = self._tags() if not queue else {}
            queue = queue or tags.get(TAG_QUEUE, "")
            at = parse(tags.get(TAG_RESULTS, ""))
            if at is not None and not where.typed:
                where = structs.replace(where, bucket=at[0], prefix=at[1])
        if not queue:
            return None
        where = structs.replace(where, from_s3=True, region=where.region or self._kept.region)
        return open_replica(self._roots, queue, where, say=say)

    def _tags(self) -> dict[str, str]:
        from spawn.store.instances import describe  # boto3 costs 180 ms to import

        with suppress(SpawnError):
            region = self._where.region or self._kept.region
            found = describe(self._id, region, self._where.profile or self._kept.profile)
            return found.tags if found is not None else {}
        return {}

    def _gives_up(self, error: SpawnError) -> bool:
        """Turn to S3 when the instance is gone, or has been silent for long."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        silent = now - self._silent_since >= SILENT_SECONDS
        if not isinstance(self._source, FeedQueue) or not (silent or isinstance(error, Gone)):
            return False
        kept = self._source
        try:
            self._to_replica(error)
        except SpawnError:
            self._source = kept
            return False
        return True

    # what is kept for the next time

    @property
    def _kept(self) -> Remembered:
        return recall(self._roots, self._id) or Remembered()

    def _remember(self) -> None:
        """Which queue it has, and where that is in S3: for when it does not answer any more."""
        owner = self._at.state.owner
        at = parse(owner.results_location) if owner is not None else None
        if owner is None or at is None or owner.instance_id != self._id:
            return
        remember_instance(self._roots, self._id, structs.replace(self._kept, queue=self.queue_id))
        place = Place(
            bucket=at[0],
            prefix=at[1],
            region=self._where.region or owner.region,
            profile=self._where.profile,
        )
        remember(self._roots, self.queue_id, place)


def reach_of(instance_id: str, roots: Roots, where: Where, *, told: Told | None = None) -> Reach:
    """The way to an instance, as the flags say."""
    asked = Asked(
        ssh_user=where.ssh_user,
        identity=where.identity,
        region=where.region,
        profile=where.profile,
    )
    return Reach(instance_id, roots, asked=asked, told=told)


def _no_feed(instance_id: str) -> PortClosed:
    return PortClosed(
        f"no feed runs on {instance_id}",
        why=f"nothing listens on its port {port(os.environ)}",
        hint="`spawn queue feed` serves it, there",
    )


def _owns(type_: bytes | None) -> bool:
    return type_ in (None, b"QueueStarted", b"QueueResumed")
