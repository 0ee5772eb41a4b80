"""The loop of the feed: one thread, few clients, none of which can hold it."""

import errno
import socket
import time
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from typing import Protocol

from spawn.core.errors import SpawnError
from spawn.core.feed.address import Ask, AskOutput, AskPage, parse
from spawn.runner.feed.answer import Unfinished
from spawn.runner.feed.connection import Connection
from spawn.runner.feed.peer import owner, user
from spawn.runner.feed.request import BadRequest
from spawn.runner.feed.response import Response, fault, refuse

MAX_CLIENTS = 32
MAX_REFUSED = 16
"""Clients that are being told that they are not served: others are just cut off."""
TICK_SECONDS = 0.2
"""How often it is looked for news while somebody waits."""
SOON_SECONDS = 5.0
"""When a client is told that its answer takes work, lest it takes us for dead."""
ROUND_SECONDS = 30.0
PAUSE_SECONDS = 0.5
"""How long no client is taken after one could not be, or served after an internal error."""


class Answers(Protocol):
    """See `spawn.runner.feed.answer.Answers`."""

    def __call__(self, ask: Ask, *, first: bool, last: bool) -> Response | None: ...

    def forget(self) -> None: ...

    @property
    def watching(self) -> bool: ...


class Server:
    """Serves clients of some users on a socket that listens.

    Args:
        listener: On 127.0.0.1; does not block.
        uids: The users that are served.
        complain: Told of an error of ours.
    """

    def __init__(
        self,
        listener: socket.socket,
        answers: Answers,
        uids: frozenset[int],
        complain: Callable[[BaseException], None],
    ) -> None:
        self._listener = listener
        self._answers = answers
        self._uids = uids
        self._complain = complain
        self._selector = DefaultSelector()
        self._clients: dict[int, Connection] = {}
        self._accept_at = 0.0
        self._hasty = False

    def run(self, stop: int) -> None:
        """Serve until the descriptor `stop` can be read."""
        self._selector.register(self._listener, EVENT_READ)
        self._selector.register(stop, EVENT_READ)
        while True:
            try:
                if self._turn(stop):
                    self._close()
                    return
            except Exception as error:  # whatever it is, it must not end the service
                self._complain(error)
                time.sleep(PAUSE_SECONDS)

    def _turn(self, stop: int) -> bool:
        """Wait for what happens, and see to it; returns whether that is the end."""
        for key, events in self._selector.select(self._timeout()):
            if key.fd == stop:
                return True
            if key.fileobj is self._listener:
                self._accept()
            elif (client := self._clients.get(key.fd)) is not None:
                try:
                    self._serve(client, events)
                except BaseException:
                    self._drop(client)
                    raise
        self._attend()
        return False

    def _timeout(self) -> float | None:
        """How long nothing needs to be done; None for ever."""
        if self._hasty:
            return 0.0
        now = time.monotonic()
        ends = [client.deadline for client in self._clients.values()]
        if any(client.ask is not None for client in self._clients.values()):
            ends.append(now + TICK_SECONDS)
        if self._answers.watching:
            ends.append(now + ROUND_SECONDS)
        if self._accept_at:
            ends.append(self._accept_at)
        return max(0.0, min(ends) - now) if ends else None

    def _accept(self) -> None:
        try:
            sock, peer = self._listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR):
                self._selector.unregister(self._listener)
                self._accept_at = time.monotonic() + PAUSE_SECONDS
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serves = owner(peer, sock.getsockname()) in self._uids
        room = self._make_room(serves=serves)
        if not room and not serves:
            sock.close()
            return
        now = time.monotonic()
        client = Connection(sock, now, serves=serves and room)
        self._clients[sock.fileno()] = client
        if not serves:
            what = "this is another user's feed"
            why = f"it serves {' and '.join(map(user, sorted(self._uids, reverse=True)))}"
            client.send(refuse(403, what, why=why, kind="another_user"), now, keep=False)
        elif not room:
            what = "the feed has too many clients"
            client.send(refuse(503, what, hint="try again later", kind="busy"), now, keep=False)
        self._watch(client, new=True)

    def _make_room(self, *, serves: bool) -> bool:
        """See whether there is room for one more; who has nothing under way makes way."""
        among = [client for client in self._clients.values() if client.serves == serves]
        if len(among) < (MAX_CLIENTS if serves else MAX_REFUSED):
            return True
        idle = [client for client in among if client.idle]
        if not idle:
            return False
        self._drop(min(idle, key=lambda client: client.deadline))
        return True

    def _serve(self, client: Connection, events: int) -> None:
        now = time.monotonic()
        if events & EVENT_READ:
            client.read(now)
        if not client.closed:
            client.write(now)
            self._take(client, now)
        self._watch(client)

    def _take(self, client: Connection, now: float) -> None:
        """Answer the requests that are there, one after another."""
        while not client.closed:
            try:
                request = client.request()
                if request is None:
                    return
                ask = parse(request.target)
            except BadRequest as error:
                client.send(refuse(error.status, str(error)), now, keep=False)
                return
            except SpawnError as error:
                client.send(fault(error), now)
                continue
            wait = ask.wait if isinstance(ask, AskPage | AskOutput) else 0.0
            client.wait(ask, now, wait)
            self._answer(client, now)
            if client.ask is not None:
                return

    def _answer(self, client: Connection, now: float) -> None:
        """Answer what a client waits for, if there is an answer by now."""
        assert client.ask is not None
        last = now >= client.ask_until
        try:
            response = self._answers(client.ask, first=client.first, last=last)
            client.first = False
        except Unfinished as work:
            self._hasty = True
            if now < client.asked_at + SOON_SECONDS:
                return
            response = work.meanwhile
        except SpawnError as error:
            response = fault(error)
        except OSError as error:
            response = fault(SpawnError("what was asked for cannot be read", why=str(error)))
        except Exception as error:  # one question must not end the service
            self._complain(error)
            response = refuse(500, "the feed met an error of its own", why=repr(error))
        if response is not None:
            client.send(response, now)

    def _attend(self) -> None:
        """Look after those who wait, and those who have waited or taken too long."""
        self._hasty = False
        now = time.monotonic()
        for client in list(self._clients.values()):
            if client.ask is not None:
                try:
                    self._answer(client, now)
                    if client.ask is None:
                        self._take(client, now)
                except BaseException:
                    self._drop(client)
                    raise
            if now >= client.deadline:
                client.closed = True
            self._watch(client)
        if self._accept_at and now >= self._accept_at:
            self._accept_at = 0.0
            self._selector.register(self._listener, EVENT_READ)
        self._answers.forget()

    def _watch(self, client: Connection, *, new: bool = False) -> None:
        if client.closed:
            self._drop(client, registered=not new)
            return
        if not new:
            events = self._selector.get_map().get(client.sock)
            if events is None or events.events != client.events:
                self._unwatch(client)
                new = True
        if new and client.events:
            self._selector.register(client.sock, client.events)

    def _unwatch(self, client: Connection) -> None:
        if client.sock in self._selector.get_map():
            self._selector.unregister(client.sock)

    def _drop(self, client: Connection, *, registered: bool = True) -> None:
        del self._clients[client.sock.fileno()]
        if registered:
            self._unwatch(client)
        client.sock.close()

    def _close(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
