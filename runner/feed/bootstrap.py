"""Wire the feed together and run it until a signal stops it."""

import errno
import json
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress

from spawn.core.errors import SpawnError
from spawn.runner.feed.answers import Answers
from spawn.runner.feed.server import Server
from spawn.runner.feed.socket_owner import listener_uid, user_name
from spawn.store.feed.answers import SERVICE
from spawn.store.feed.requests import PORT_VARIABLE, HelloRequest, feed_port
from spawn.store.queue_dir.paths import Roots, roots


def main() -> int:
    """Serve in the foreground; return the exit code.

    0 after SIGTERM or SIGINT, and if a feed of the same folder is already running. A unit that
    should replace that feed later sets `Restart=always`.
    """
    try:
        here = roots(os.environ)
        listener = listen(feed_port(os.environ), here)
    except AlreadyServed as served:
        _print(f"{served}.")
        return 0
    except SpawnError as error:
        _print(f"Error: {error}")
        if error.hint:
            _print(f"Hint: {error.hint}")
        return error.exit_code
    stop = _stop_descriptor()
    server = Server(listener, Answers(here), frozenset({0, os.getuid()}), _log_error)
    _print(f"Serving the queues of {here.state} on {HOST}:{listener.getsockname()[1]}.")
    with listener:
        server.run(stop)
    return 0


def _stop_descriptor() -> int:
    """Return a descriptor that becomes readable after SIGTERM or SIGINT."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return read


def _log_error(error: BaseException) -> None:
    _print("".join(traceback.format_exception(error)).rstrip())


def _print(text: str) -> None:
    with suppress(OSError):  # stderr may be closed
        print(text, file=sys.stderr, flush=True)


HOST = "127.0.0.1"
_BACKLOG = 64
_SECONDS = 2.0


class AlreadyServed(Exception):
    """A feed of this user and folder is already running."""


def listen(port: int, roots: Roots) -> socket.socket:
    """Listen on a port of 127.0.0.1 only.

    Raises:
        AlreadyServed: A feed of this user and folder listens on the port.
        SpawnError: Another program uses the port, or it cannot be bound.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _port_in_use(port, roots) from None
        raise SpawnError(
            f"the feed cannot listen on port {port}", why=error.strerror or str(error)
        ) from None
    sock.setblocking(False)
    return sock


def _port_in_use(port: int, roots: Roots) -> Exception:
    what = f"port {port} of this machine is in use"
    hint = f"set {PORT_VARIABLE} to another port, for the feed and for its clients"
    uid = listener_uid(port)
    if uid is None:
        return SpawnError(what, hint=hint)
    if uid != os.getuid():
        why = f"a program of the user {user_name(uid)} listens on it"
        return SpawnError(what, why=why, hint=hint)
    root = _served_root(port)
    if root is None:
        return SpawnError(what, why="another program of yours listens on it", hint=hint)
    if root == str(roots.state):
        return AlreadyServed(f"A feed already serves {root} on port {port}")
    return SpawnError(what, why=f"the feed of {root} listens on it", hint=hint)


def _served_root(port: int) -> str | None:
    """Return the folder that the feed on a port serves, or None if it is not a feed."""
    request = f"GET {HelloRequest().target} HTTP/1.0\r\nHost: {HOST}\r\n\r\n"
    with suppress(OSError, ValueError), socket.create_connection((HOST, port), _SECONDS) as sock:
        sock.sendall(request.encode())
        data = b""
        while len(data) < 65536 and (more := sock.recv(65536)):
            data += more
        hello = json.loads(data.partition(b"\r\n\r\n")[2])
        if isinstance(hello, dict) and hello.get("service") == SERVICE:
            return str(hello.get("root"))
    return None
