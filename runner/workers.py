"""Threads that do what they are told, and again later what asks for that."""

import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread

from spawn.runner.threads import FIRST_PAUSE, LONGEST_PAUSE, print_error

Task = Callable[[], float | None]
"""Something to do. It returns after how many seconds to do it again, None for never. What it raises
is printed, and it is done again after a pause."""


class Workers:
    """A few threads, started when there is something to do for them.

    Args:
        name: Of the threads.
        most: How many tasks are done at once.
    """

    def __init__(self, name: str, most: int = 1) -> None:
        self._name = name
        self._most = most
        self._tasks: list[tuple[float, int, Task]] = []
        self._numbers = count()
        self._changed = Condition()
        self._threads: list[Thread] = []
        self._pauses: dict[Task, float] = {}
        """How long those tasks wait whose last try failed unexpectedly."""
        self._idle = 0
        self._closing = False

    def add(self, task: Task, delay: float = 0.0) -> None:
        """Do something, once `delay` seconds have passed."""
        with self._changed:
            heappush(self._tasks, (time.monotonic() + delay, next(self._numbers), task))
            if len(self._tasks) > self._idle and len(self._threads) < self._most:
                thread = Thread(target=self._run, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def hurry(self) -> None:
        """Do now what waits for a later moment."""
        with self._changed:
            self._tasks = [(0.0, number, task) for _, number, task in sorted(self._tasks)]
            self._changed.notify_all()

    def close(self) -> None:
        """Begin no other task."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                again = task()
            except Exception:
                again = self._pauses.get(task, FIRST_PAUSE)
                self._pauses[task] = min(LONGEST_PAUSE, 2 * again)
                print_error(self._name, again)
            else:
                self._pauses.pop(task, None)
            if again is not None:
                self.add(task, again)

    def _next(self) -> Task | None:
        with self._changed:
            while True:
                left = self._tasks[0][0] - time.monotonic() if self._tasks else None
                if self._closing:
                    return None
                if left is not None and left <= 0:
                    return heappop(self._tasks)[2]
                self._idle += 1
                self._changed.wait(left)
                self._idle -= 1
