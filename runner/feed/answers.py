"""Answer requests, at once or when there is news."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import structs

from spawn import __version__
from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.runner.feed.output import OutputReader
from spawn.runner.feed.request import Response
from spawn.runner.feed.watched_queue import WatchedQueue
from spawn.store import queues
from spawn.store.feed.answers import (
    OLDEST_PROTOCOL,
    PROTOCOL,
    SERVICE,
    Hello,
    Page,
    Queues,
    QueueSummary,
)
from spawn.store.feed.requests import Ask, HelloRequest, OutputRequest, PageRequest, QueuesRequest
from spawn.store.log import read
from spawn.store.queue_dir import lock, troubles
from spawn.store.queue_dir.paths import Roots

PAGE_BYTES = 1024 * 1024
"""Size in bytes at which a page ends."""
FORGET_SECONDS = 120.0
"""Time without requests after which the state of a queue is dropped."""
_STATES = {
    None: "pending",
    "QueueStarted": "running",
    "QueueResumed": "running",
    "QueueInterrupted": "interrupted",
    "QueueCompleted": "completed",
    "QueueFailed": "failed",
}


class Unfinished(Exception):
    """The log is not folded yet; call again at once.

    Args:
        meanwhile: Response for a client that has waited too long.
    """

    def __init__(self, meanwhile: Response) -> None:
        super().__init__()
        self.meanwhile = meanwhile


class Answers:
    """Answers requests about the queues of this machine."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._watched: dict[str, WatchedQueue] = {}
        self._outputs = OutputReader(roots)

    def __call__(self, ask: Ask, *, first: bool, last: bool) -> Response | None:
        """Answer a request; None if there is no news yet.

        Args:
            first: Whether this is the first call for the request.
            last: Whether this is the last call: answer even without news.

        Raises:
            SpawnError: The request fails.
            Unfinished: The log is not folded yet.
        """
        match ask:
            case HelloRequest():
                return self._hello()
            case QueuesRequest():
                return Response(msgspec.json.encode(Queues(queues=tuple(self._list()))))
            case PageRequest():
                return self._page(ask, first=first, last=last)
            case OutputRequest():
                return self._outputs.read(ask, last=last)

    def forget(self) -> None:
        """Drop the state of queues without recent requests."""
        limit = time.monotonic() - FORGET_SECONDS
        for queue_id in [id_ for id_, queue in self._watched.items() if queue.asked_at < limit]:
            del self._watched[queue_id]

    @property
    def watching(self) -> bool:
        """Whether any state is kept that `forget` can drop."""
        return bool(self._watched)

    def _hello(self) -> Response:
        try:
            local, others = queues.choose_local(self._roots)
        except QueueNotFound:
            local, others = "", []
        hello = Hello(
            service=SERVICE,
            version=__version__,
            protocol=PROTOCOL,
            oldest=OLDEST_PROTOCOL,
            uid=os.getuid(),
            root=str(self._roots.state),
            local=local,
            others=tuple(others),
        )
        return Response(msgspec.json.encode(hello))

    def _list(self) -> Iterator[QueueSummary]:
        for queue_id in queues.list_queue_ids(self._roots):
            paths = self._roots.queue(queue_id)
            try:
                with read.open_log(paths.events) as connection:
                    state = _STATES.get(read.last_transition(connection), "unreadable")
            except (SpawnError, OSError):
                state = "unreadable"
            runs = lock.is_held(paths.lock)
            found = troubles.find(paths.folder) if runs else ()
            yield QueueSummary(queue_id=queue_id, state=state, runs=runs, troubles=found)

    def _page(self, ask: PageRequest, *, first: bool, last: bool) -> Response | None:
        watched = self._watched.get(ask.queue_id)
        if watched is None:
            watched = WatchedQueue(self._roots, ask.queue_id)
            self._watched[ask.queue_id] = watched
        watched.asked_at = time.monotonic()
        try:
            whole = watched.fold()
        except QueueNotFound:
            del self._watched[ask.queue_id]
            raise
        page, lines = _read_page(ask, watched, whole=whole)
        if not (page.more or page.differs):
            if not whole:
                again = Page(queue_id=ask.queue_id, seq=ask.after, more=True)
                raise Unfinished(_page_response(again, []))
            watched.refresh(fresh=first)
            page = structs.replace(page, machine=watched.machine(ask.since))
        news = lines or page.differs or watched.version != ask.since
        if not (news or last):
            return None
        return _page_response(page, lines)


def _read_page(ask: PageRequest, watched: WatchedQueue, *, whole: bool) -> tuple[Page, list[bytes]]:
    """Read the requested events.

    Args:
        whole: Whether the whole log was folded. If so, events that were added since are not read.
    """
    known = bytes.fromhex(ask.hash_)
    newest = watched.replay.seq
    lines: list[bytes] = []
    page = Page(queue_id=ask.queue_id, seq=ask.after, now=datetime.now(UTC))
    if whole and (ask.after, known) == (newest, watched.replay.hash):
        return page, lines
    with read.open_log(watched.paths.events) as connection:
        genesis = chain.genesis(ask.queue_id)
        actual = read.hash_at(connection, ask.after) if ask.after else genesis
        if actual != (known or genesis):
            return structs.replace(page, seq=0, differs=True), lines
        size, seq = 0, ask.after
        for row in read.rows(connection, ask.after):
            if whole and row[0] > newest:
                break
            if size >= PAGE_BYTES:
                return structs.replace(page, seq=seq, more=True), lines
            lines.append(_line(row))
            size += len(lines[-1])
            seq = row[0]
    return structs.replace(page, seq=seq), lines


def _page_response(page: Page, lines: list[bytes]) -> Response:
    body = b"\n".join((msgspec.json.encode(page), *lines, b""))
    return Response(body, "application/x-spawn-page")


def _line(row: Row) -> bytes:
    """Encode an event. A damaged event is sent as well; the reader detects the damage."""
    if type(row[2]) is not bytes or type(row[3]) is not bytes:
        raise CorruptLog(f"event {row[0]} is not text", seq=row[0])
    return chain.format_line(row[3], row[2].replace(b"\n", b" "))
