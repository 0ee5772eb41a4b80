"""A TCP relay on loopback that can go dead without closing its connections."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


class Relay:
    """Forwards connections to a port on loopback."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._dead = Event()
        """Set for the present connections when they go dead."""
        self._open: list[socket.socket] = []
        self._threads = [Thread(target=self._accept, name="relay")]
        self._threads[0].start()

    def swallow(self) -> None:
        """Drop all data of the present connections; new ones work."""
        self._dead.set()
        self._dead = Event()

    def close(self) -> None:
        """Close all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                thread = Thread(target=self._pass, args=(one, other, self._dead), name="relay")
                self._threads.append(thread)
                thread.start()

    def _pass(self, one: socket.socket, other: socket.socket, dead: Event) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if not dead.is_set():
                    other.sendall(data)
            if not dead.is_set():
                other.shutdown(socket.SHUT_WR)


@contextmanager
def relay(to: int) -> Iterator[Relay]:
    """A relay during the block."""
    made = Relay(to)
    try:
        yield made
    finally:
        made.close()
