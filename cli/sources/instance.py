"""A queue of an instance: asked of its feed over SSH, and read from its log in S3 where nobody
answers there."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Self

from msgspec import Struct, structs

from spawn.cli.flags import Where
from spawn.cli.remote.errors import (
    Boots,
    Cut,
    Gone,
    HostKeyError,
    HostKeyUnknown,
    NotForwarded,
    NotLetIn,
    PortClosed,
    Unreachable,
)
from spawn.cli.remote.reach import Told
from spawn.cli.remote.tunnel import Tunnel
from spawn.cli.remote.way import reach_of
from spawn.cli.sources.again import Again
from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.learned import learn, learn_tagged
from spawn.cli.sources.moving import MovingStream
from spawn.cli.sources.open_feed import open_feed
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.output import Attempt, Stream
from spawn.cli.sources.replica import ReplicaQueue
from spawn.cli.sources.silent import (
    aside,
    because,
    boots,
    expect_instance,
    joined,
    neither,
    said,
    waits,
)
from spawn.cli.sources.slow import told_when_slow
from spawn.cli.sources.vouched import Vouched, vouched
from spawn.cli.sources.whereabouts import asked_queue, whereabouts
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.feed.address import port
from spawn.core.replay import Row
from spawn.core.report.model import Report, Trouble
from spawn.core.state import QueueState
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import NoFeed, NotAFeed, OtherProtocol, Refused
from spawn.store.objects.port import ObjectStore, StoreError, Unavailable
from spawn.store.paths import Roots

SILENT_SECONDS = 30.0
"""How long an instance may be silent until its queue's log in S3 is read instead."""
_STRANGE = (NotAFeed, OtherProtocol)
_LETS_IN = (PortClosed, NotForwarded, NoFeed, *_STRANGE)
"""It lets us in, and no feed of ours answers there."""
_FOREVER = ("shutting-down", "terminated", "unknown")
"""States that EC2 says of an instance that will not come back."""
_NOBODY = (Unreachable, Gone, Boots, PortClosed, NotForwarded, Cut, StoreError, *_STRANGE)
"""No feed of ours answers, or EC2 does not say where: the log in S3 is what there is to know."""
_REFUSES = (HostKeyError, NotLetIn, Refused)
"""It is for a person to decide what to believe, or whom to be."""


class _Feed(Struct, frozen=True):
    """An open way to a feed. `newest`: the queue that the instance itself means."""

    source: FeedQueue
    tunnel: Tunnel
    newest: str
    open: ExitStack


class InstanceQueue:
    """Reads a queue of an instance as `QueueSource` says. Opened by `with`.

    While it is read from S3 by a command that stays, the instance is asked again beside that, and
    read again when it answers.

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
        self._asked_queue = asked_queue(where)
        self._where = where
        self._say = say
        self._feed: _Feed | None = None
        self._source: FeedQueue | ReplicaQueue | None = None
        self._again: Again[_Feed] | None = None
        self._not_asked: SpawnError | None = None
        self._silent_since: float | None = None
        self._refreshed = False
        self._fell: SpawnError | None = None
        self._tagged = False
        self._newest = ""

    def __enter__(self) -> Self:
        try:
            if self._where.from_s3:
                self._to_replica(None)
            else:
                with told_when_slow(waits(self._id), self._say):
                    self._ask()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def place(self) -> object:
        """Where it is read by now: another one when it turned to S3, or back."""
        return self._source

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
        """See `QueueSource.refresh`. What does not answer is read from S3, until it does again.

        Raises:
            Unavailable: It does not answer, which may pass.
            HostKeyError, NotLetIn: Somebody else answers by now, or it lets us in no more.
        """
        if self._refreshed and until is None:
            self._return()
        try:
            if isinstance(self._source, ReplicaQueue):
                self._read(until)
            else:
                self._at.refresh(until=until)
        except (NoFeed, *_STRANGE) as error:
            trouble = self._feed.tunnel.trouble() if self._feed is not None else None
            self._turn(said(self._id, trouble or error))
            self._read(until)
        self._silent_since = None
        self._refreshed = True
        self._remember()

    def pause(self, seconds: float) -> bool:
        """Wait until there is news for `refresh`, at most so long; returns whether there is.

        Raises:
            NoFeed: It cannot be asked.
        """
        if isinstance(self._source, FeedQueue):
            try:
                return self._source.pause(seconds)
            except _STRANGE:
                return True  # `refresh` says what it is
        if not self._ask_again():
            time.sleep(seconds)
        elif self._again is not None:
            self._again.wait(seconds)
        return True

    def rows(self) -> Iterator[Row]:
        """See `QueueSource.rows`."""
        return self._at.rows()

    def runner_alive(self) -> bool:
        """See `QueueSource.runner_alive`. A queue that has not begun is begun by no instance that
        is gone."""
        return self._at.runner_alive() and (self.seq > 0 or not self._is_gone)

    def troubles(self) -> tuple[Trouble, ...]:
        """See `QueueSource.troubles`."""
        return self._at.troubles()

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """See `QueueSource.report`."""
        report = self._at.report(now, past=past)
        if isinstance(self._source, FeedQueue):
            here = report.instance_id == "local"  # over there
            named = self._id if here else report.instance_id
            return structs.replace(report, instance_id=named, target=self._target)
        if report.origin is not None and report.origin.booting and not past:
            if self._is_gone:
                return structs.replace(report, runner_alive=False)
            report = structs.replace(report, instance_id=self._id)
        if isinstance(self._not_asked, _LETS_IN):  # what goes on with it can be done there
            return structs.replace(report, target=f"{self._id} --queue {self.queue_id}", there=True)
        return report

    @property
    def _is_gone(self) -> bool:
        """Whether EC2 says that it will not come back."""
        error = self._not_asked
        return isinstance(error, Gone) and error.state in _FOREVER

    @property
    def _target(self) -> str:
        """What a next command names: with the queue, where that was picked."""
        return f"{self._id} --queue {self.queue_id}" if self._asked_queue else self._id

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
            self._to_feed(self._feed_of(self._asked_queue))
        except _NOBODY as error:
            try:
                self._to_replica(said(self._id, error))
            except SpawnError as other:
                expect_instance(self._id, other)
                raise
        except _REFUSES as error:
            self._advise(error)
            raise

    def _feed_of(self, queue: str | None) -> _Feed:
        """Open the way to its feed.

        Raises:
            RemoteError, NoFeed, NotAFeed, OtherProtocol, Refused: There is none.
            QueueNotFound: It has no queue.
        """
        log = self._log()
        told = Told(host_keys=lambda: log().host_keys or ())
        reach = reach_of(self._id, self._roots, self._where, told=told)
        with ExitStack() as opened:
            try:
                tunnel = opened.enter_context(reach.tunnel(port(os.environ)))
            except (HostKeyUnknown, NotLetIn) as error:
                not_begun = self._not_begun(log)
                if not_begun is None:
                    raise
                raise boots(self._id, not_begun, error) from None
            client = FeedClient(lambda: tunnel.address, self._id)
            try:
                source = open_feed(
                    self._roots,
                    client,
                    queue=queue,
                    say=self._say,
                    region=self._where.region,
                    profile=self._where.profile,
                )
                opened.enter_context(source)
                newest = client.hello.local  # a queue that was named is asked for only later
            except NoFeed as error:
                raise (tunnel.trouble() or error) from None
            return _Feed(source, tunnel, newest, opened.pop_all())

    def _to_feed(self, feed: _Feed) -> None:
        self._feed, self._source = feed, feed.source
        self._newest = feed.newest
        self._not_asked = None

    def _close(self) -> None:
        if self._again is not None:
            self._again.close()
            self._again = None
        if self._feed is not None:
            self._feed.open.close()
            self._feed = None

    # back from S3

    def _ask_again(self) -> bool:
        """Have the instance asked beside what is done, if it may come back; whether it is."""
        if self._not_asked is None or self._is_gone:
            return False
        if self._again is None:
            queue = self.queue_id

            def ask() -> _Feed | None:
                try:
                    feed = self._feed_of(queue)
                except (*_NOBODY, QueueNotFound):
                    return None
                try:
                    feed.source.refresh()
                except BaseException as error:
                    feed.open.close()
                    if isinstance(error, (*_NOBODY, QueueNotFound)):  # or it has not begun there
                        return None
                    raise
                return feed

            self._again = Again(ask, lambda feed: feed.open.close())
        return True

    def _return(self) -> None:
        """Read the instance again, if it answers by now.

        Raises:
            HostKeyError, NotLetIn, Refused: Who answers is not whom we expect, or does not let us
                in.
        """
        if not self._ask_again() or self._again is None:
            return
        try:
            feed = self._again.take()
        except _REFUSES as error:
            self._advise(error)
            raise
        if feed is None:
            return
        self._again = None
        state, seq = self.state, self.seq
        with suppress(*_NOBODY, QueueNotFound):
            feed.source.refresh()
            # One that was away may have what another machine has gone on with since.
            if feed.source.seq >= seq and feed.source.state.epoch >= state.epoch:
                self._to_feed(feed)
                self._say(f"{self._id} answers again: its queue is read there, and not from S3")
                return
        feed.open.close()

    def _advise(self, error: SpawnError) -> None:
        """Where its queue is known, there is another way to read of it."""
        with suppress(SpawnError):
            whereabouts(self._id, self._roots, self._where, ask_ec2=False)
            error.hint = joined(error.hint, "--from-s3 reads its queue's log in S3 meanwhile")

    def _log(self) -> Callable[[], Vouched]:
        """Asks its queue's log in S3, once: who did not answer would not do so sooner."""
        found: list[Vouched | SpawnError] = []

        def ask() -> Vouched:
            if not found:
                try:
                    found.append(vouched(self._id, self._roots, self._where))
                except SpawnError as error:
                    found.append(error)
            if isinstance(found[0], SpawnError):
                raise found[0]
            return found[0]

        return ask

    def _not_begun(self, log: Callable[[], Vouched]) -> Vouched | None:
        """What the log says of its queue, where that has not begun on it; None: it has, or nobody
        knows."""
        with suppress(SpawnError):
            found = log()
            return found if found.host_keys is None else None
        return None

    # its queue in S3

    def _turn(self, error: SpawnError) -> None:
        """Turn to S3 when the instance is gone, or has been silent for long.

        Raises:
            Unavailable: Not yet, or nobody knows of its queue in S3.
        """
        if isinstance(error, _REFUSES):
            self._advise(error)
            raise error from None
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        silent = now - self._silent_since >= SILENT_SECONDS
        kept = self._source
        if self._refreshed:  # whatever runs there by now, this is the queue that is read
            self._where = structs.replace(self._where, queue=self.queue_id)
        if silent or not self._refreshed or isinstance(error, (Gone, *_STRANGE)):
            try:
                self._to_replica(error)
                return
            except SpawnError:
                self._source = kept
                if not self._refreshed or isinstance(error, _STRANGE):
                    raise
        raise Unavailable(because(self._id, error), hint=error.hint) from None

    def _to_replica(self, error: SpawnError | None) -> None:
        """Read the log in S3 from here on.

        Args:
            error: Why the instance is not asked; None: nobody wanted to.

        Raises:
            SpawnError: Nobody knows of a queue in S3; it says also why the instance is not asked.
        """
        say = self._say
        if error is not None:
            instead_of = aside(self._id, error)

            def say(text: str) -> None:
                self._say(f"{instead_of}. {text}")

        if isinstance(error, Gone) and error.elsewhere:
            raise error
        unknown = isinstance(error, Gone) and error.state == "unknown"
        try:
            source, tagged = self._replica(say, ask_ec2=not unknown)
        except SpawnError as other:
            if error is None:
                raise
            raise neither(self._id, error, other) from None
        self._fell = self._not_asked = error
        self._source, self._tagged = source, tagged
        if self._feed is not None:
            self._feed.open.close()
            self._feed = None

    def _replica(
        self, say: Callable[[str], None], *, ask_ec2: bool = True
    ) -> tuple[ReplicaQueue, bool]:
        """The replica of the queue that the instance has or had, and whether tags alone name it.

        Raises:
            Alone, NotTagged, SpawnError: See `whereabouts`.
        """
        found = whereabouts(self._id, self._roots, self._where, ask_ec2=ask_ec2)
        return open_replica(self._roots, found.queue, found.where, say=say), found.tagged

    def _read(self, until: str | None) -> None:
        """Refresh the replica; when that fails at first, say also why it is read at all.

        Raises:
            SpawnError: It cannot be read.
        """
        fell, self._fell = self._fell, None
        try:
            self._at.refresh(until=until)
        except (StoreError, QueueNotFound) as error:
            if fell is not None:
                error.why = joined(f"{error.what}: {error.why}" if error.why else error.what)
                error.what = because(self._id, fell)
                error.hint = joined(fell.hint, error.hint)
            raise

    # what is kept for the next time

    def _remember(self) -> None:
        """Which queue it has, and where that is in S3: for when it does not answer any more."""
        if isinstance(self._source, ReplicaQueue):
            if self._tagged:
                learn_tagged(self._roots, self._id, self.queue_id)
        elif self._at.state.owner is not None:
            newest = self.queue_id == self._newest
            learn(self._roots, self._id, self._where, self._at.state.owner, self.queue_id, newest)
