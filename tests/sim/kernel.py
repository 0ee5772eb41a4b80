"""A virtual clock, and tasks that run on it one at a time: the same seed, the same order."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import greenlet


class Crashed(BaseException):
    """The process that this task belongs to has died."""


class Process:
    """Something that may be killed or stopped as a whole: its tasks are its threads."""

    def __init__(self, kernel: "Kernel", name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.alive = True
        self.asleep_until = 0.0
        self.slept = 0.0
        """How long it slept the last time."""
        self.forced = False
        """Whether it was told to take a queue whose owner may be alive."""
        self.tasks: list[Task] = []

    def kill(self) -> None:
        """Die at once; raises `Crashed` when one's own task asks for it."""
        if not self.alive:
            return
        self.alive = False
        self.kernel.trace(f"{self.name} dies")
        for task in self.tasks:
            task.end()
        self.expect_alive()

    def expect_alive(self) -> None:
        """Raise `Crashed` in a task of a process that has died."""
        current = self.kernel.current
        if current is not None and not current.process.alive:
            raise Crashed


class Task:
    """A thread of a process: code that waits by `Kernel.sleep` and `Signal.wait` alone."""

    def __init__(self, process: Process, function: Callable[[], None]) -> None:
        self.process = process
        self.over = False
        self.waits = 0
        """Grows with each wake-up: an older timer finds that it comes too late."""
        self._function = function
        self._greenlet = greenlet.greenlet(self._run, parent=process.kernel.hub)
        process.tasks.append(self)

    def _run(self) -> None:
        try:
            self._function()
        except Crashed:
            pass
        finally:
            self.over = True

    def resume(self) -> None:
        """Go on, on the hub's turn."""
        if self.over or not self.process.alive:
            return
        self.waits += 1
        kernel = self.process.kernel
        kernel.current = self
        try:
            self._greenlet.switch()
        finally:
            kernel.current = None

    def end(self) -> None:
        """Stop for ever where it waits."""
        if self.over or self.process.kernel.current is self:
            return
        if not self._greenlet:  # it never began
            self.over = True
            return
        self.process.kernel.at(0.0, self._throw)

    def _throw(self) -> None:
        if not self.over and self._greenlet:
            self._greenlet.throw(Crashed)


class Kernel:
    """The clock and the order of everything."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.current: Task | None = None
        self.log: list[str] = []
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []
        self._count = 0

    def trace(self, text: str) -> None:
        """Note what happens, for a schedule that fails."""
        self.log.append(f"{self.now:10.3f} {text}")

    def at(self, seconds: float, call: Callable[[], Any]) -> None:
        """Call something so many seconds from now."""
        self._count += 1
        heappush(self._heap, (self.now + seconds, self._count, call))

    def start(self, process: Process, function: Callable[[], None]) -> Task:
        """Begin a task of a process."""
        task = Task(process, function)
        self.at(0.0, lambda: self._wake(task, task.waits))
        return task

    def sleep(self, seconds: float) -> None:
        """Rest, in a task."""
        task = self._task()
        waits = task.waits
        self.at(seconds, lambda: self._wake(task, waits))
        self._rest(task)

    def wait(self, signal: "Signal", seconds: float | None) -> None:
        """Rest until a signal is given, or so long."""
        task = self._task()
        if signal.given:
            signal.given = False
            return
        waits = task.waits
        signal.waiting = lambda: self._wake(task, waits)
        if seconds is not None:
            self.at(seconds, lambda: self._wake(task, waits))
        self._rest(task)
        signal.waiting = None
        signal.given = False

    def step(self) -> bool:
        """Do what comes next; returns whether there was anything."""
        if not self._heap:
            return False
        time, _, call = heappop(self._heap)
        self.now = max(self.now, time)
        call()
        return True

    def _task(self) -> Task:
        assert self.current is not None, "only a task may rest"
        return self.current

    def _rest(self, task: Task) -> None:
        self.hub.switch()
        task.process.expect_alive()

    def _wake(self, task: Task, waits: int) -> None:
        if task.over or task.waits != waits or not task.process.alive:
            return
        late = task.process.asleep_until - self.now
        if late > 0:
            self.at(late, lambda: self._wake(task, waits))
            return
        task.resume()


class Signal:
    """Something that one task waits for, and others give."""

    def __init__(self, kernel: Kernel) -> None:
        self.given = False
        self.waiting: Callable[[], None] | None = None
        self._kernel = kernel

    def give(self) -> None:
        """Wake who waits, or who will."""
        self.given = True
        if self.waiting is not None:
            self._kernel.at(0.0, self.waiting)
            self.waiting = None
