"""Ask a feed, which is at a given address: a tunnel's end on this machine, say."""

from collections.abc import Callable
from typing import Self, TypeVar

import msgspec
from msgspec import Struct

from spawn import __version__
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.core.feed.address import Ask, AskHello, AskOutput, AskPage, AskQueues
from spawn.core.feed.wire import OLDEST, PROTOCOL, SERVICE, Fault, Hello, Page, Queues
from spawn.store.feed.connection import Answer, Connection, Foreign
from spawn.store.feed.errors import NoFeed, NoOutput, NotAFeed, OtherProtocol, Refused

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""How long an answer may take, beyond what it was told to wait for news."""

T = TypeVar("T")


class Output(Struct, frozen=True):
    """A piece of what an attempt printed. `size` is that of the whole so far, bytes; `over`: no
    more will come."""

    data: bytes
    size: int
    over: bool


class FeedClient:
    """Asks a feed over one connection, which is made anew where it broke. Closed by `with`.

    Whatever it asks raises `NoFeed` where nobody answers, `NotAFeed` where something else does,
    `OtherProtocol`, `Refused`, and what went wrong there: `QueueNotFound`, `CorruptLog`.

    Args:
        where: Gives the address; called for each new connection, as a tunnel may have moved.
        name: What to call the machine: an instance id.
    """

    def __init__(self, where: Callable[[], tuple[str, int]], name: str) -> None:
        self.name = name
        self._where = where
        self._connection: Connection | None = None
        self._hello: Hello | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def hello(self) -> Hello:
        """Who answers. Asked when a connection is made, so without a request where one is there."""
        if self._hello is None or self._connection is None or not self._connection.is_open:
            self._connect()
        assert self._hello is not None
        return self._hello

    @property
    def traffic(self) -> int:
        """Bytes that went over the present connection, both ways."""
        return 0 if self._connection is None else self._connection.sent + self._connection.received

    def queues(self) -> Queues:
        """The queues that are there, newest first."""
        return self._decode(self._ask(AskQueues()).body, Queues)

    def page(self, ask: AskPage) -> tuple[Page, list[bytes]]:
        """The events after one, as they travel, and what they lead to."""
        head, *lines = self._ask(ask, ask.wait).body.split(b"\n")
        page = self._decode(head, Page)
        if not lines or lines.pop():
            raise self._foreign("its answer is not whole")
        return page, lines

    def output(self, ask: AskOutput) -> Output:
        """What an attempt printed from a byte on.

        Raises:
            NoOutput: It is not there.
        """
        answer = self._ask(ask, ask.wait)
        size, over = (answer.headers.get(f"spawn-{name}", "") for name in ("size", "over"))
        if not size.isdecimal():
            raise self._foreign("it does not say how much output there is")
        return Output(answer.body, int(size), over == "1")

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, ask: Ask, wait: float = 0.0) -> Answer:
        """Ask once more where a connection that was there before turns out to be gone."""
        used = self._connection is not None and self._connection.is_open
        if not used:
            self._connect()
        try:
            return self._answer(ask, wait)
        except NoFeed:
            if not used:
                raise
        self._connect()
        return self._answer(ask, wait)

    def _connect(self) -> None:
        """Connect, and see who answers."""
        self.close()
        host, port = self._where()
        try:
            self._connection = Connection(host, port, CONNECT_SECONDS)
        except OSError as error:
            raise self._silent(error) from None
        hello = self._decode(self._answer(AskHello()).body, Hello)
        if hello.service != SERVICE:
            raise self._foreign(f"it says that it is '{hello.service[:40]}'")
        self._hello = hello
        self._expect_protocol(hello)

    def _answer(self, ask: Ask, wait: float = 0.0) -> Answer:
        assert self._connection is not None
        try:
            answer = self._connection.get(ask.target, ANSWER_SECONDS + wait)
        except Foreign as error:
            raise self._foreign(str(error)) from None
        except OSError as error:
            self.close()
            raise self._silent(error) from None
        if answer.status == 200:
            return answer
        raise self._failed(answer, ask)

    def _failed(self, answer: Answer, ask: Ask) -> SpawnError:
        try:
            fault = msgspec.json.decode(answer.body, type=Fault)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._foreign(f"it answers {answer.status}")
        if fault.service != SERVICE:
            return self._foreign(f"it says that it is '{fault.service[:40]}'")
        match fault.kind:
            case "queue_not_found":
                what = fault.what.replace("this machine", self.name)
                if self.name not in what:
                    what = f"{self.name}: {what}"
                hint = fault.hint
                if not hint or "spawn queue " in hint:  # what is to be typed there
                    hint = f"`spawn queue list {self.name}` shows those that are"
                return QueueNotFound(what, why=fault.why, hint=hint)
            case "corrupt_log":
                hint = f"{fault.hint}; " if fault.hint else ""
                return CorruptLog(
                    fault.what,
                    seq=fault.seq,
                    why=fault.why,
                    hint=f"{hint}this is the log on {self.name}",
                )
            case "another_user":
                return Refused(
                    f"the feed of {self.name} does not serve us",
                    why=fault.why,
                    hint="--ssh-user says who to be there",
                )
            case "no_such_address" | "invalid_argument":
                return OtherProtocol(
                    f"the feed of {self.name} does not understand what it is asked",
                    why=fault.what,
                    hint=f"{self._versions()}; update spawn there",
                )
        if isinstance(ask, AskOutput) and fault.kind == "no_output":
            return NoOutput(fault.what, why=fault.why)
        error = NoFeed if fault.kind == "busy" else Refused
        return error(f"{self.name}: {fault.what}", why=fault.why, hint=fault.hint)

    def _expect_protocol(self, hello: Hello) -> None:
        if hello.oldest <= PROTOCOL and hello.protocol >= OLDEST:
            return
        ours = hello.oldest > PROTOCOL
        self.close()
        raise OtherProtocol(
            f"the feed of {self.name} speaks another protocol",
            why=f"it speaks {hello.oldest} to {hello.protocol}, we speak {OLDEST} to {PROTOCOL}",
            hint=f"{self._versions()}; update spawn {'here' if ours else 'there'}",
        )

    def _versions(self) -> str:
        there = self._hello.version if self._hello is not None else "another version"
        return f"spawn is {__version__} here and {there} there"

    def _decode(self, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._foreign(str(error)) from None

    def _foreign(self, why: str) -> NotAFeed:
        self.close()
        return NotAFeed(
            f"what answers on the feed's port of {self.name} is no feed of spawn",
            why=why,
            hint="SPAWN_FEED_PORT names another port, on both sides",
        )

    def _silent(self, error: OSError) -> NoFeed:
        return NoFeed(
            f"the feed of {self.name} does not answer",
            why=error.strerror or str(error),
            hint=f"`spawn queue feed` serves it, on {self.name}",
        )
