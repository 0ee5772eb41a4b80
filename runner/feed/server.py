"""The feed's loop: one thread, few clients, and no client can block it."""

import errno
import socket
import time
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from typing import Protocol

from spawn.core.errors import SpawnError
from spawn.runner.feed.answers import Unfinished
from spawn.runner.feed.connection import ClientConnection
from spawn.runner.feed.request import BadRequest, Response, error_response, refuse
from spawn.runner.feed.socket_owner import peer_uid, user_name
from spawn.store.feed.requests import Ask, OutputRequest, PageRequest, parse_target

MAX_CLIENTS = 32
MAX_REFUSED = 16
"""Maximum number of clients that receive a refusal; more are disconnected without one."""
TICK_SECONDS = 0.2
"""Interval of checks for news while a client waits."""
SOON_SECONDS = 5.0
"""Time after which a client gets an interim answer, so that it does not time out."""
ROUND_SECONDS = 30.0
PAUSE_SECONDS = 0.5
"""Pause after an accept that failed, and after an internal error."""


class Answers(Protocol):
    """Answers requests; `spawn.runner.feed.answers.Answers` implements it."""

    def __call__(self, ask: Ask, *, first: bool, last: bool) -> Response | None: ...

    def forget(self) -> None: ...

    @property
    def watching(self) -> bool: ...


class Server:
    """Serves clients of some users on a listening socket.

    Args:
        listener: A non-blocking socket on 127.0.0.1.
        uids: The users that are served.
        on_error: Receives internal errors.
    """

    def __init__(
        self,
        listener: socket.socket,
        answers: Answers,
        uids: frozenset[int],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._listener = listener
        self._answers = answers
        self._uids = uids
        self._on_error = on_error
        self._selector = DefaultSelector()
        self._clients: dict[int, ClientConnection] = {}
        self._accept_at = 0.0
        self._unfinished = False

    def run(self, stop: int) -> None:
        """Serve until the descriptor `stop` is readable."""
        self._selector.register(self._listener, EVENT_READ)
        self._selector.register(stop, EVENT_READ)
        while True:
            try:
                if self._run_once(stop):
                    self._close()
                    return
            except Exception as error:  # no error may end the service
                self._on_error(error)
                time.sleep(PAUSE_SECONDS)

    def _run_once(self, stop: int) -> bool:
        """Wait for events and handle them; return whether to stop."""
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
        self._check_clients()
        return False

    def _timeout(self) -> float | None:
        """Return the seconds until the next check; None if there is none."""
        if self._unfinished:
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
        serves = peer_uid(peer, sock.getsockname()) in self._uids
        room = self._make_room(serves=serves)
        if not room and not serves:
            sock.close()
            return
        now = time.monotonic()
        client = ClientConnection(sock, now, serves=serves and room)
        self._clients[sock.fileno()] = client
        if not serves:
            what = "this is another user's feed"
            users = " and ".join(map(user_name, sorted(self._uids, reverse=True)))
            why = f"it serves only {users}"
            client.send(refuse(403, what, why=why, kind="another_user"), now, keep=False)
        elif not room:
            what = "the feed has too many clients"
            client.send(refuse(503, what, hint="try again later", kind="busy"), now, keep=False)
        self._watch(client, new=True)

    def _make_room(self, *, serves: bool) -> bool:
        """Return whether another client can be accepted; drop an idle client if necessary."""
        same = [client for client in self._clients.values() if client.serves == serves]
        if len(same) < (MAX_CLIENTS if serves else MAX_REFUSED):
            return True
        idle = [client for client in same if client.idle]
        if not idle:
            return False
        self._drop(min(idle, key=lambda client: client.deadline))
        return True

    def _serve(self, client: ClientConnection, events: int) -> None:
        now = time.monotonic()
        if events & EVENT_READ:
            client.read(now)
        if not client.closed:
            client.write(now)
            self._handle_requests(client, now)
        self._watch(client)

    def _handle_requests(self, client: ClientConnection, now: float) -> None:
        """Handle the received requests until one has to wait."""
        while not client.closed:
            try:
                request = client.request()
                if request is None:
                    return
                ask = parse_target(request.target)
            except BadRequest as error:
                client.send(refuse(error.status, str(error)), now, keep=False)
                return
            except SpawnError as error:
                client.send(error_response(error), now)
                continue
            wait = ask.wait if isinstance(ask, PageRequest | OutputRequest) else 0.0
            client.wait(ask, now, wait)
            self._answer(client, now)
            if client.ask is not None:
                return

    def _answer(self, client: ClientConnection, now: float) -> None:
        """Answer the client's pending request, if there is an answer."""
        assert client.ask is not None
        last = now >= client.ask_until
        try:
            response = self._answers(client.ask, first=client.first, last=last)
            client.first = False
        except Unfinished as work:
            self._unfinished = True
            if now < client.asked_at + SOON_SECONDS:
                return
            response = work.meanwhile
        except SpawnError as error:
            response = error_response(error)
        except OSError as error:
            response = error_response(SpawnError("the data cannot be read", why=str(error)))
        except Exception as error:  # one request must not end the service
            self._on_error(error)
            response = refuse(500, "the feed had an internal error", why=repr(error))
        if response is not None:
            client.send(response, now)

    def _check_clients(self) -> None:
        """Answer pending requests that have news, and close connections past their deadline."""
        self._unfinished = False
        now = time.monotonic()
        for client in list(self._clients.values()):
            if client.ask is not None:
                try:
                    self._answer(client, now)
                    if client.ask is None:
                        self._handle_requests(client, now)
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

    def _watch(self, client: ClientConnection, *, new: bool = False) -> None:
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

    def _unwatch(self, client: ClientConnection) -> None:
        if client.sock in self._selector.get_map():
            self._selector.unregister(client.sock)

    def _drop(self, client: ClientConnection, *, registered: bool = True) -> None:
        del self._clients[client.sock.fileno()]
        if registered:
            self._unwatch(client)
        client.sock.close()

    def _close(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
