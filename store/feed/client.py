"""The client of a feed, usually at the local end of a tunnel."""

from collections.abc import Callable
from typing import Self, TypeVar

import msgspec
from msgspec import Struct

from spawn import __version__
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.store.feed.answers import OLDEST_PROTOCOL, PROTOCOL, SERVICE, Fault, Hello, Page, Queues
from spawn.store.feed.connection import Answer, FeedConnection, InvalidAnswer
from spawn.store.feed.errors import (
    FeedRefused,
    FeedUnavailable,
    IncompatibleProtocol,
    NotAFeed,
    OutputNotFound,
)
from spawn.store.feed.requests import Ask, HelloRequest, OutputRequest, PageRequest, QueuesRequest

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""Maximum time for an answer, in addition to the request's `wait`."""

T = TypeVar("T")


class Output(Struct, frozen=True):
    """A piece of an attempt's output.

    Attributes:
        size: Bytes of the whole output so far.
        over: Whether the attempt has ended.
    """

    data: bytes
    size: int
    over: bool


class FeedClient:
    """Sends requests over one connection and reconnects when it breaks. A context manager.

    Every request may raise `FeedUnavailable` (no answer), `NotAFeed` (another program answers),
    `IncompatibleProtocol`, `Refused`, and the feed's own errors: `QueueNotFound`, `CorruptLog`.

    Args:
        where: Returns the address. Called for each connection, because a tunnel's port may change.
        name: Name of the machine in messages: an instance id.
    """

    def __init__(self, where: Callable[[], tuple[str, int]], name: str) -> None:
        self.name = name
        self._where = where
        self._connection: FeedConnection | None = None
        self._hello: Hello | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def hello(self) -> Hello:
        """The feed's `Hello`, requested once per connection."""
        if self._hello is None or self._connection is None or not self._connection.is_open:
            self._connect()
        assert self._hello is not None
        return self._hello

    @property
    def traffic(self) -> int:
        """Bytes sent and received over the current connection."""
        return 0 if self._connection is None else self._connection.sent + self._connection.received

    def queues(self) -> Queues:
        """Return all queues, newest first."""
        return self._decode(self._send(QueuesRequest()).body, Queues)

    def page(self, ask: PageRequest) -> tuple[Page, list[bytes]]:
        """Return a page and its encoded events."""
        head, *lines = self._send(ask, ask.wait).body.split(b"\n")
        page = self._decode(head, Page)
        if not lines or lines.pop():
            raise self._not_a_feed("its answer is incomplete")
        return page, lines

    def output(self, ask: OutputRequest) -> Output:
        """Return a piece of an attempt's output.

        Raises:
            NoOutput: The machine does not have the output.
        """
        answer = self._send(ask, ask.wait)
        size, over = (answer.headers.get(f"spawn-{name}", "") for name in ("size", "over"))
        if not size.isdecimal():
            raise self._not_a_feed("its answer lacks the size of the output")
        return Output(answer.body, int(size), over == "1")

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, ask: Ask, wait: float = 0.0) -> Answer:
        """Send a request; retry once if an existing connection turns out to be closed."""
        reused = self._connection is not None and self._connection.is_open
        if not reused:
            self._connect()
        try:
            return self._send_once(ask, wait)
        except FeedUnavailable:
            if not reused:
                raise
        self._connect()
        return self._send_once(ask, wait)

    def _connect(self) -> None:
        """Connect and check the feed's protocol."""
        self.close()
        host, port = self._where()
        try:
            self._connection = FeedConnection(host, port, CONNECT_SECONDS)
        except OSError as error:
            raise self._no_feed(error) from None
        hello = self._decode(self._send_once(HelloRequest()).body, Hello)
        if hello.service != SERVICE:
            raise self._not_a_feed(f"it identifies as '{hello.service[:40]}'")
        self._hello = hello
        self._check_protocol(hello)

    def _send_once(self, ask: Ask, wait: float = 0.0) -> Answer:
        assert self._connection is not None
        try:
            answer = self._connection.get(ask.target, ANSWER_SECONDS + wait)
        except InvalidAnswer as error:
            raise self._not_a_feed(str(error)) from None
        except OSError as error:
            self.close()
            raise self._no_feed(error) from None
        if answer.status == 200:
            return answer
        raise self._to_error(answer, ask)

    def _to_error(self, answer: Answer, ask: Ask) -> SpawnError:
        try:
            fault = msgspec.json.decode(answer.body, type=Fault)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._not_a_feed(f"it answers with status {answer.status}")
        if fault.service != SERVICE:
            return self._not_a_feed(f"it identifies as '{fault.service[:40]}'")
        match fault.kind:
            case "queue_not_found":
                return self._queue_not_found(fault, ask)
            case "corrupt_log":
                error = CorruptLog(fault.what, seq=fault.seq, why=fault.why, hint=fault.hint)
                return error.with_hint(f"this is the log on {self.name}")
            case "another_user":
                return FeedRefused(
                    f"the feed of {self.name} does not serve this user",
                    why=fault.why,
                    hint="--ssh-user sets the user on the instance",
                )
            case "no_such_address" | "invalid_argument":
                return IncompatibleProtocol(
                    f"the feed of {self.name} does not understand the request",
                    why=fault.what,
                    hint=f"{self._versions()}; update spawn there",
                )
        if isinstance(ask, OutputRequest) and fault.kind == "no_output":
            return OutputNotFound(fault.what, why=fault.why)
        kind = FeedUnavailable if fault.kind == "busy" else FeedRefused
        return kind(f"{self.name}: {fault.what}", why=fault.why, hint=fault.hint)

    def _queue_not_found(self, fault: Fault, ask: Ask) -> QueueNotFound:
        """Word the error for this machine: the feed's sentence and hint are about its own."""
        what = f"{self.name}: {fault.what}"
        if fault.cause == "absent" and isinstance(ask, PageRequest | OutputRequest):
            what = f"queue {ask.queue_id} is not on {self.name}"
        hint = f"`spawn queue list {self.name}` lists its queues"
        if fault.cause == "starting":
            hint = fault.hint
        return QueueNotFound(what, why=fault.why, hint=hint)

    def _check_protocol(self, hello: Hello) -> None:
        if hello.oldest <= PROTOCOL and hello.protocol >= OLDEST_PROTOCOL:
            return
        is_newer = hello.oldest > PROTOCOL
        self.close()
        supported = f"this spawn supports {OLDEST_PROTOCOL} to {PROTOCOL}"
        raise IncompatibleProtocol(
            f"the feed of {self.name} uses an incompatible protocol",
            why=f"it supports {hello.oldest} to {hello.protocol}, {supported}",
            hint=f"{self._versions()}; update spawn {'here' if is_newer else 'there'}",
        )

    def _versions(self) -> str:
        there = self._hello.version if self._hello is not None else "another version"
        return f"spawn is {__version__} here and {there} there"

    def _decode(self, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._not_a_feed(str(error)) from None

    def _not_a_feed(self, why: str) -> NotAFeed:
        self.close()
        return NotAFeed(
            f"the program on the feed's port of {self.name} is not a spawn feed",
            why=why,
            hint="set SPAWN_FEED_PORT to another port on both machines",
        )

    def _no_feed(self, error: OSError) -> FeedUnavailable:
        return FeedUnavailable(
            f"the feed of {self.name} does not answer",
            why=error.strerror or str(error),
            hint=f"run `spawn queue feed` on {self.name}",
        )
