"""Work on threads beside the loop: none ends without notice."""

import sys
import time
import traceback
from collections.abc import Callable
from threading import Event, Thread

from spawn.runner.replicator import Replicator

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds until work that failed unexpectedly is started again: doubled each time."""


def keep_running(
    name: str, work: Callable[[], None], pause: Callable[[float], object] = time.sleep
) -> None:
    """Do work until it returns. When it fails unexpectedly, print the error and start it again.

    Args:
        name: Of the work, for the message.
        pause: Waits for so many seconds, or less.
    """
    seconds = FIRST_PAUSE
    while True:
        try:
            work()
            return
        except Exception:
            print_error(name, seconds)
        pause(seconds)
        seconds = min(LONGEST_PAUSE, 2 * seconds)


def print_error(name: str, seconds: float) -> None:
    """Print the current exception of work that starts again in so many seconds."""
    print(f"unexpected error in {name}, which starts again in {seconds:.1f} s:", file=sys.stderr)
    traceback.print_exc()


class ThreadBell:
    """See `Bell`."""

    def __init__(self) -> None:
        self._event = Event()

    def wait(self, seconds: float | None) -> None:
        """See `Bell.wait`."""
        self._event.wait(seconds)
        self._event.clear()

    def ring(self) -> None:
        """See `Bell.ring`."""
        self._event.set()


class ReplicatorThread(Thread):
    """A replicator at work.

    Args:
        over: Called when it has ended.
    """

    def __init__(self, replicator: Replicator, over: Callable[[], None]) -> None:
        super().__init__(name="replicator", daemon=True)
        self._replicator = replicator
        self.over = False
        """Whether it has ended: true before `over` is called."""
        self._over = over

    def run(self) -> None:
        """See `Thread.run`."""
        try:
            keep_running(self.name, self._replicator.run)
        finally:
            self.over = True
            self._over()
