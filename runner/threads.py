"""Background threads, which restart their work after an unexpected error."""

import sys
import time
import traceback
from collections.abc import Callable
from threading import Event, Thread

from spawn.runner.replication.replicator import Replicator

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before work is restarted after an unexpected error: doubled each time."""


def keep_running(
    name: str, work: Callable[[], None], pause: Callable[[float], object] = time.sleep
) -> None:
    """Call `work` until it returns. After an exception, print the error and call it again.

    Args:
        name: Name of the work, for the message.
        pause: Waits for up to the given seconds.
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
    """Print the current exception of work that restarts in `seconds`."""
    print(f"unexpected error in {name}, which restarts in {seconds:.1f} s:", file=sys.stderr)
    traceback.print_exc()


class ThreadBell:
    """A `Bell` for threads."""

    def __init__(self) -> None:
        self._event = Event()

    def wait(self, seconds: float | None) -> None:
        """Wait for `ring`."""
        self._event.wait(seconds)
        self._event.clear()

    def ring(self) -> None:
        """End a wait."""
        self._event.set()


class ReplicatorThread(Thread):
    """Runs a replicator.

    Args:
        on_end: Called after the replicator has ended.
    """

    def __init__(self, replicator: Replicator, on_end: Callable[[], None]) -> None:
        super().__init__(name="replicator", daemon=True)
        self._replicator = replicator
        self.ended = False
        """Whether the replicator has ended; set before `on_end` is called."""
        self._on_end = on_end

    def run(self) -> None:
        """Run the replicator to its end."""
        try:
            keep_running(self.name, self._replicator.run)
        finally:
            self.ended = True
            self._on_end()
