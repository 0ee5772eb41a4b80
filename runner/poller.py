"""Waits for descriptors and signals, and turns them into happenings."""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from spawn.runner.guardian import PASSED_ON
from spawn.runner.ports import Happening, Signalled

LOOK_SECONDS = 10.0
"""How often sources are looked at that may have news without saying so."""
SAME_SECONDS = 1.0
"""A signal that comes twice within this time, once through the guardian, was sent to both."""
_STOPS = (signal.SIGTERM, signal.SIGINT)


class HasFileno(Protocol):
    """Something to wait for: readable when it has news."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...


class Poller:
    """The loop's resting place. One in a process: it owns the signal handlers.

    Args:
        stopped: Called when a signal asks the runner to stop.
    """

    def __init__(self, stopped: Callable[[], None]) -> None:
        self._stopped = stopped
        self._selector = selectors.DefaultSelector()
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._unasked: list[Callable[[], Iterable[Happening]]] = []
        self._posted: SimpleQueue[Happening] = SimpleQueue()
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._read, selectors.EVENT_READ, self._awake)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (*_STOPS, *PASSED_ON):
            signal.signal(number, lambda *_: None)
        self._newest_stop = (-SAME_SECONDS, False)

    def watch(
        self,
        source: HasFileno,
        happened: Callable[[], Iterable[Happening]],
        *,
        also_unasked: bool = False,
    ) -> None:
        """Call `happened` whenever `source` has news.

        Args:
            also_unasked: And every `LOOK_SECONDS`: who brings its news may die before it says so.
        """
        self._selector.register(source, selectors.EVENT_READ, happened)
        if also_unasked:
            self._unasked.append(happened)

    def look(self, happened: Callable[[], Iterable[Happening]]) -> None:
        """Call `happened` every `LOOK_SECONDS`: for what never says that it has news."""
        self._unasked.append(happened)

    def forget(self, source: HasFileno) -> None:
        """Stop watching, before `source` is closed."""
        self._selector.unregister(source)

    def post(self, happening: Happening) -> None:
        """Report from another thread."""
        self._posted.put(happening)
        with suppress(BlockingIOError):  # it is full of reasons to wake up
            os.write(self._write, b"\0")

    def wait(self, seconds: float | None) -> Iterable[Happening]:
        """See `Waiter.wait`."""
        happenings: list[Happening] = []
        most = max(0.0, self._look_at - time.monotonic())
        for key, _ in self._selector.select(most if seconds is None else min(seconds, most)):
            happenings.extend(key.data())
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            for happened in self._unasked:
                happenings.extend(happened())
        return happenings

    def _awake(self) -> Iterable[Happening]:
        for number in os.read(self._read, 4096):
            stop = PASSED_ON.get(number, number)
            if stop in _STOPS and not self._is_same(passed_on=number in PASSED_ON):
                self._stopped()
                yield Signalled(stop)
        while True:
            try:
                yield self._posted.get_nowait()
            except Empty:
                return

    def _is_same(self, *, passed_on: bool) -> bool:
        """Whether a signal was seen already that came to the guardian, too."""
        now = time.monotonic()
        at, way = self._newest_stop
        if now - at < SAME_SECONDS and way != passed_on:
            self._newest_stop = (-SAME_SECONDS, passed_on)
            return True
        self._newest_stop = (now, passed_on)
        return False
