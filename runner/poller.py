"""Waits for descriptors, signals and posts of other threads on behalf of the loop."""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from spawn.runner.guardian import FORWARDED
from spawn.runner.ports import LoopMessage, Signalled

POLL_SECONDS = 10.0
"""Poll interval for sources that do not reliably become readable."""
SAME_SECONDS = 1.0
"""A stop that arrives twice within this time, once from the guardian, was sent to both."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class HasFileno(Protocol):
    """A source to wait for, which becomes readable when something has happened."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...


class Poller:
    """The loop's `Waiter`. Only one per process, because it owns the signal handlers.

    Args:
        stopped: Called when a signal asks the runner to stop.
    """

    def __init__(self, stopped: Callable[[], None]) -> None:
        self._stopped = stopped
        self._selector = selectors.DefaultSelector()
        self._poll_at = time.monotonic() + POLL_SECONDS
        self._polled: list[Callable[[], Iterable[LoopMessage]]] = []
        self._posted: SimpleQueue[LoopMessage] = SimpleQueue()
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._read, selectors.EVENT_READ, self._read_wakeups)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (*_STOP_SIGNALS, *FORWARDED):
            signal.signal(number, lambda *_: None)
        self._last_stop = (-SAME_SECONDS, False)
        """Time of the last stop signal, and whether the guardian forwarded it."""

    def watch(
        self,
        source: HasFileno,
        happened: Callable[[], Iterable[LoopMessage]],
        *,
        also_poll: bool = False,
    ) -> None:
        """Call `happened` whenever `source` is readable.

        Args:
            also_poll: Whether to call it every `POLL_SECONDS` too, for a source whose writer may
                die before it makes the source readable.
        """
        self._selector.register(source, selectors.EVENT_READ, happened)
        if also_poll:
            self._polled.append(happened)

    def poll_regularly(self, happened: Callable[[], Iterable[LoopMessage]]) -> None:
        """Call `happened` every `POLL_SECONDS`."""
        self._polled.append(happened)

    def forget(self, source: HasFileno) -> None:
        """Stop watching, before `source` is closed."""
        self._selector.unregister(source)

    def post(self, happening: LoopMessage) -> None:
        """Make `wait` return a happening. From any thread."""
        self._posted.put(happening)
        with suppress(BlockingIOError):  # a full pipe wakes the loop anyway
            os.write(self._write, b"\0")

    def wait(self, seconds: float | None) -> Iterable[LoopMessage]:
        """Wait for happenings, up to `seconds` or the next poll."""
        happenings: list[LoopMessage] = []
        longest = max(0.0, self._poll_at - time.monotonic())
        for key, _ in self._selector.select(longest if seconds is None else min(seconds, longest)):
            happenings.extend(key.data())
        if time.monotonic() >= self._poll_at:
            self._poll_at = time.monotonic() + POLL_SECONDS
            for happened in self._polled:
                happenings.extend(happened())
        return happenings

    def _read_wakeups(self) -> Iterable[LoopMessage]:
        for number in os.read(self._read, 4096):
            stop = FORWARDED.get(number, number)
            if stop in _STOP_SIGNALS and not self._is_repeated(forwarded=number in FORWARDED):
                self._stopped()
                yield Signalled(stop)
        while True:
            try:
                yield self._posted.get_nowait()
            except Empty:
                return

    def _is_repeated(self, *, forwarded: bool) -> bool:
        """Whether this runner has already received the same stop directly or from the guardian."""
        now = time.monotonic()
        at, last_forwarded = self._last_stop
        if now - at < SAME_SECONDS and last_forwarded != forwarded:
            self._last_stop = (-SAME_SECONDS, forwarded)
            return True
        self._last_stop = (now, forwarded)
        return False
