"""Runs the replicator on a thread, so that the loop never waits for a store."""

import sys
import traceback
from collections.abc import Callable
from threading import Event, Thread

from spawn.runner.replicator import Replicator


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
            self._replicator.run()
        except Exception:
            print("the replica stands still:", file=sys.stderr)
            traceback.print_exc()
        finally:
            self.over = True
            self._over()
