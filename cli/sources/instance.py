"""A queue of an instance, read from the instance's feed over SSH, or from S3 if that fails."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Self

from msgspec import Struct, structs

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.background_retry import BackgroundRetry
from spawn.cli.sources.failover_stream import MovingStream
from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.instance_cache import remember_queue, remember_tagged_queue
from spawn.cli.sources.instance_errors import (
    expect_instance,
    explain_port_closed,
    no_source,
    query_failed,
    still_booting,
    waiting_message,
    why_read_from_s3,
)
from spawn.cli.sources.instance_queue_location import asked_queue, locate_instance_queue
from spawn.cli.sources.logged_instance import LoggedInstance, read_logged_instance
from spawn.cli.sources.open_feed import open_feed
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.output import OutputStream, StartedAttempt
from spawn.cli.sources.replica import ReplicaQueue
from spawn.cli.sources.slow_notice import notice_when_slow
from spawn.cli.ssh.access import instance_access
from spawn.cli.ssh.errors import (
    AuthenticationFailed,
    ConnectionLost,
    ForwardingRefused,
    HostKeyError,
    HostKeyUnknown,
    InstanceNotRunning,
    PortClosed,
    StillBooting,
    Unreachable,
)
from spawn.cli.ssh.reach import LogHints
from spawn.cli.ssh.tunnel import Tunnel
from spawn.core.domain.replay import Row
from spawn.core.domain.state import QueueState
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.reports.model import Report, Target, Trouble
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import FeedRefused, FeedUnavailable, IncompatibleProtocol, NotAFeed
from spawn.store.feed.requests import feed_port
from spawn.store.objects.interface import ObjectStore, StoreError, Unavailable
from spawn.store.queue_dir.paths import Roots

SILENT_SECONDS = 30.0
"""How long an instance may not answer before its queue's log in S3 is read instead."""
_INCOMPATIBLE = (NotAFeed, IncompatibleProtocol)
_LOGIN_WORKS = (PortClosed, ForwardingRefused, FeedUnavailable, *_INCOMPATIBLE)
"""SSH works, but no compatible feed answers."""
_FINAL_STATES = ("shutting-down", "terminated", "unknown")
"""EC2 states after which an instance never runs again."""
_NO_FEED = (
    Unreachable,
    InstanceNotRunning,
    StillBooting,
    PortClosed,
    ForwardingRefused,
    ConnectionLost,
    StoreError,
    *_INCOMPATIBLE,
)
"""No compatible feed answers, or EC2 has no address: the log in S3 is read."""
_REFUSES = (HostKeyError, AuthenticationFailed, FeedRefused)
"""Errors that the user must resolve; S3 is not read instead."""


class _Feed(Struct, frozen=True):
    """An open feed and its tunnel. `newest`: the instance's default queue."""

    source: FeedQueue
    tunnel: Tunnel
    newest: str
    open: ExitStack


class InstanceQueue:
    """A `QueueSource` that reads from the instance's feed, or from S3 if the feed does not answer.

    A command that keeps reading from S3 retries the feed in the background, and returns to it once
    it answers. A host key that is not trusted and a rejected login are errors: S3 is not read then.

    Args:
        say: Receives user-facing messages.
    """

    def __init__(
        self,
        instance_id: str,
        roots: Roots,
        where: LocationFlags,
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
        self._retry: BackgroundRetry[_Feed] | None = None
        self._feed_error: SpawnError | None = None
        """Why S3 is read instead of the feed."""
        self._silent_since: float | None = None
        self._refreshed = False
        self._unreported: SpawnError | None = None
        """`_feed_error` until the first read from S3."""
        self._tagged = False
        self._newest = ""

    def __enter__(self) -> Self:
        try:
            if self._where.from_s3:
                self._to_replica(None)
            else:
                with notice_when_slow(waiting_message(self._id), self._say):
                    self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def place(self) -> object:
        """The current source; another object after a switch to S3 or back."""
        return self._source

    @property
    def queue_id(self) -> str:
        return self._current.queue_id

    @property
    def poll_seconds(self) -> float:
        return self._current.poll_seconds

    @property
    def state(self) -> QueueState:
        return self._current.state

    @property
    def seq(self) -> int:
        return self._current.seq

    def refresh(self, *, until: str | None = None) -> None:
        """Fold the new events; switches to S3 if the feed stops answering, and back.

        Raises:
            Unavailable: The feed does not answer; a retry may succeed.
            HostKeyError, NotLetIn: After a reconnect, the host key is not trusted or the login is
                rejected.
        """
        if self._refreshed and until is None:
            self._return_to_feed()
        try:
            if isinstance(self._source, ReplicaQueue):
                self._refresh_replica(until)
            else:
                self._current.refresh(until=until)
        except (FeedUnavailable, *_INCOMPATIBLE) as error:
            trouble = self._feed.tunnel.last_error() if self._feed is not None else None
            self._switch_to_replica(explain_port_closed(self._id, trouble or error))
            self._refresh_replica(until)
        self._silent_since = None
        self._refreshed = True
        self._remember()

    def pause(self, seconds: float) -> bool:
        """Wait for changes that `refresh` would read; returns whether there may be any.

        Raises:
            NoFeed: The feed does not answer.
        """
        if isinstance(self._source, FeedQueue):
            try:
                return self._source.pause(seconds)
            except _INCOMPATIBLE:
                return True  # `refresh` raises it again
        if not self._start_retry():
            time.sleep(seconds)
        elif self._retry is not None:
            self._retry.wait(seconds)
        return True

    def rows(self) -> Iterator[Row]:
        return self._current.rows()

    def runner_alive(self) -> bool:
        """Whether a runner holds the queue; False if the instance is gone and the queue never
        started."""
        return self._current.runner_alive() and (self.seq > 0 or not self._is_gone)

    def troubles(self) -> tuple[Trouble, ...]:
        return self._current.troubles()

    def report(self, now: datetime, *, past: bool = False) -> Report:
        report = self._current.report(now, past=past)
        if isinstance(self._source, FeedQueue):
            is_this = report.instance_id == "local"  # as that instance calls itself
            named = self._id if is_this else report.instance_id
            return structs.replace(report, instance_id=named, target=self._target)
        if report.origin is not None and report.origin.booting and not past:
            if self._is_gone:
                return structs.replace(report, runner_alive=False)
            report = structs.replace(report, instance_id=self._id)
        if isinstance(self._feed_error, _LOGIN_WORKS):  # `resume` over SSH works
            return structs.replace(
                report, target=Target(self._id, self.queue_id), target_can_resume=True
            )
        return report

    @property
    def _is_gone(self) -> bool:
        """Whether the instance is in a final state."""
        error = self._feed_error
        return isinstance(error, InstanceNotRunning) and error.state in _FINAL_STATES

    @property
    def _target(self) -> Target:
        """The target of suggested commands."""
        return Target(self._id, self.queue_id if self._asked_queue else "")

    def attempts(self, job_id: str) -> list[StartedAttempt]:
        return self._current.attempts(job_id)

    def output(self, attempt: StartedAttempt, name: str) -> OutputStream:
        """A stream of an attempt; it continues in S3 if the instance goes away."""
        return MovingStream(lambda: self._current.output(attempt, name), lambda: self._source)

    def objects(self) -> ObjectStore:
        return self._current.objects()

    @property
    def _current(self) -> FeedQueue | ReplicaQueue:
        assert self._source is not None, "use InstanceQueue in a with"
        return self._source

    # the feed

    def _open(self) -> None:
        """Open the feed, or the replica if no feed answers."""
        try:
            self._to_feed(self._open_feed(self._asked_queue))
        except _NO_FEED as error:
            try:
                self._to_replica(explain_port_closed(self._id, error))
            except SpawnError as other:
                expect_instance(self._id, other)
                raise
        except _REFUSES as error:
            raise self._with_s3_hint(error) from error

    def _open_feed(self, queue: str | None) -> _Feed:
        """Open a tunnel and the feed behind it.

        Raises:
            RemoteError, StoreError, NoFeed, NotAFeed, OtherProtocol, Refused: It cannot be opened.
            QueueNotFound: The instance has no queue.
        """
        log = self._log_reader()
        told = LogHints(host_keys=lambda: log().host_keys or ())
        reach = instance_access(self._id, self._roots, self._where, told=told)
        with ExitStack() as opened:
            try:
                tunnel = opened.enter_context(reach.tunnel(feed_port(os.environ)))
            except (HostKeyUnknown, AuthenticationFailed) as error:
                not_started = self._if_not_started(log)
                if not_started is None:
                    raise
                raise still_booting(self._id, not_started, error) from None
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
                newest = client.hello.local  # connects now, even if a queue was named
            except FeedUnavailable as error:
                raise (tunnel.last_error() or error) from None
            return _Feed(source, tunnel, newest, opened.pop_all())

    def _to_feed(self, feed: _Feed) -> None:
        self._feed, self._source = feed, feed.source
        self._newest = feed.newest
        self._feed_error = None

    def _close(self) -> None:
        if self._retry is not None:
            self._retry.close()
            self._retry = None
        if self._feed is not None:
            self._feed.open.close()
            self._feed = None

    # back from S3 to the feed

    def _start_retry(self) -> bool:
        """Retry the feed in the background unless the instance is gone; returns False if not."""
        if self._feed_error is None or self._is_gone:
            return False
        if self._retry is None:
            queue = self.queue_id

            def ask() -> _Feed | None:
                try:
                    feed = self._open_feed(queue)
                except (*_NO_FEED, QueueNotFound):
                    return None
                try:
                    feed.source.refresh()
                except BaseException as error:
                    feed.open.close()
                    if isinstance(error, (*_NO_FEED, QueueNotFound)):  # the queue may start later
                        return None
                    raise
                return feed

            self._retry = BackgroundRetry(ask, lambda feed: feed.open.close())
        return True

    def _return_to_feed(self) -> None:
        """Switch back to the feed if the background retry has succeeded.

        Raises:
            HostKeyError, NotLetIn, Refused: The retry failed with an error for the user to resolve.
        """
        if not self._start_retry() or self._retry is None:
            return
        try:
            feed = self._retry.take()
        except _REFUSES as error:
            raise self._with_s3_hint(error) from error
        if feed is None:
            return
        self._retry = None
        state, seq = self.state, self.seq
        with suppress(*_NO_FEED, QueueNotFound):
            feed.source.refresh()
            # If another machine took the queue over meanwhile, the instance's log is behind S3.
            if feed.source.seq >= seq and feed.source.state.epoch >= state.epoch:
                self._to_feed(feed)
                self._say(f"{self._id} answers again; its queue is now read there, not from S3")
                return
        feed.open.close()

    def _with_s3_hint(self, error: SpawnError) -> SpawnError:
        """A copy of an error that suggests --from-s3 if the place of the queue's log is known."""
        with suppress(SpawnError):
            locate_instance_queue(self._id, self._roots, self._where, ask_ec2=False)
            return error.with_hint("--from-s3 reads its queue's log in S3 instead")
        return error.with_hint()

    def _log_reader(self) -> Callable[[], LoggedInstance]:
        """A function that reads the queue's log in S3, and caches the result or the error."""
        found: list[LoggedInstance | SpawnError] = []

        def read() -> LoggedInstance:
            if not found:
                try:
                    found.append(read_logged_instance(self._id, self._roots, self._where))
                except SpawnError as error:
                    found.append(error)
            if isinstance(found[0], SpawnError):
                raise found[0]
            return found[0]

        return read

    def _if_not_started(self, log: Callable[[], LoggedInstance]) -> LoggedInstance | None:
        """What the log says, if it shows that the queue never started on this instance; or None."""
        with suppress(SpawnError):
            found = log()
            return found if found.host_keys is None else None
        return None

    # from the feed to S3

    def _switch_to_replica(self, error: SpawnError) -> None:
        """Switch to S3 if the instance is gone, or has not answered for `SILENT_SECONDS`.

        Raises:
            Unavailable: It is too early to switch, or the queue's place in S3 is not known.
            SpawnError: An error for the user to resolve, or the first read failed.
        """
        if isinstance(error, _REFUSES):
            raise self._with_s3_hint(error) from None
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        silent = now - self._silent_since >= SILENT_SECONDS
        kept = self._source
        if self._refreshed:  # the instance may run another queue by now
            self._where = structs.replace(self._where, queue=self.queue_id)
        if silent or not self._refreshed or isinstance(error, (InstanceNotRunning, *_INCOMPATIBLE)):
            try:
                self._to_replica(error)
                return
            except SpawnError:
                self._source = kept
                if not self._refreshed or isinstance(error, _INCOMPATIBLE):
                    raise
        raise Unavailable(query_failed(self._id, error), hint=error.hint) from None

    def _to_replica(self, error: SpawnError | None) -> None:
        """Read from S3 from now on.

        Args:
            error: Why the feed is not read; None if the user asked for S3.

        Raises:
            SpawnError: The queue's place in S3 is not known. Contains `error`.
        """
        say = self._say
        if error is not None:
            reason = why_read_from_s3(self._id, error)

            def say(text: str) -> None:
                self._say(f"{reason}. {text}")

        if isinstance(error, InstanceNotRunning) and error.elsewhere:
            raise error
        unknown = isinstance(error, InstanceNotRunning) and error.state == "unknown"
        try:
            source, tagged = self._replica(say, ask_ec2=not unknown)
        except SpawnError as other:
            if error is None:
                raise
            raise no_source(self._id, error, other) from None
        self._unreported = self._feed_error = error
        self._source, self._tagged = source, tagged
        if self._feed is not None:
            self._feed.open.close()
            self._feed = None

    def _replica(
        self, say: Callable[[str], None], *, ask_ec2: bool = True
    ) -> tuple[ReplicaQueue, bool]:
        """The replica of the instance's queue, and whether only tags name the queue.

        Raises:
            NoCopyInS3, NoQueueKnown, SpawnError: See `whereabouts`.
        """
        found = locate_instance_queue(self._id, self._roots, self._where, ask_ec2=ask_ec2)
        return open_replica(self._roots, found.queue, found.where, say=say), found.tagged

    def _refresh_replica(self, until: str | None) -> None:
        """Refresh the replica.

        Raises:
            SpawnError: It cannot be read. The first time, the error contains `_feed_error` too.
        """
        feed_error, self._unreported = self._unreported, None
        try:
            self._current.refresh(until=until)
        except (StoreError, QueueNotFound) as error:
            if feed_error is None:
                raise
            raise error.as_cause_of(
                query_failed(self._id, feed_error), hint=feed_error.hint
            ) from error

    # the cache

    def _remember(self) -> None:
        """Cache the instance's queue and its place in S3, for when the instance is gone."""
        if isinstance(self._source, ReplicaQueue):
            if self._tagged:
                remember_tagged_queue(self._roots, self._id, self.queue_id)
            return
        owner = self._current.state.owner
        if owner is not None:
            newest = self.queue_id == self._newest
            remember_queue(self._roots, self._id, self._where, owner, self.queue_id, newest)
