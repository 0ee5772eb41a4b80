"""Worker threads for tasks, which can ask to be repeated."""

import time
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread

from spawn.runner.threads import FIRST_PAUSE, LONGEST_PAUSE, print_error

Task = Callable[[], float | None]
"""Returns the seconds before the next call; None to end. After an exception, the worker prints the
error and calls the task again after a pause."""


class Workers:
    """A pool of threads. The first starts at once, so that no task depends on whether another
    thread can be started; others start on demand.

    Args:
        name: Name of the threads.
        max_threads: How many tasks run at once.
    """

    def __init__(self, name: str, max_threads: int = 1) -> None:
        self._name = name
        self._max_threads = max_threads
        self._tasks: list[tuple[float, int, Task]] = []
        self._numbers = count()
        self._changed = Condition()
        self._threads: list[Thread] = []
        self._pauses: dict[Task, float] = {}
        """Next pauses of tasks whose last call has raised an exception."""
        self._idle = 0
        self._closing = False
        self._start_thread()

    def add(self, task: Task, delay: float = 0.0) -> None:
        """Call a task after `delay` seconds."""
        with self._changed:
            heappush(self._tasks, (time.monotonic() + delay, next(self._numbers), task))
            if len(self._tasks) > self._idle and len(self._threads) < self._max_threads:
                with suppress(RuntimeError):  # no thread can be started: a running one does it
                    self._start_thread()
            self._changed.notify()

    def hurry(self) -> None:
        """Call all waiting tasks now."""
        with self._changed:
            self._tasks = [(0.0, number, task) for _, number, task in sorted(self._tasks)]
            self._changed.notify_all()

    def close(self) -> None:
        """Start no more calls."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _start_thread(self) -> None:
        thread = Thread(target=self._run, name=self._name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                delay = task()
            except Exception:
                delay = self._pauses.get(task, FIRST_PAUSE)
                self._pauses[task] = min(LONGEST_PAUSE, 2 * delay)
                print_error(self._name, delay)
            else:
                self._pauses.pop(task, None)
            if delay is not None:
                self.add(task, delay)

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
