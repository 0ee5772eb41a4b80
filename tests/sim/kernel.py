"""A virtual clock, and tasks that run on it one at a time, in an order that the seed determines."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import greenlet


class Crashed(BaseException):
    """The process of this task has died."""


class Process:
    """A process that can be killed or suspended with its tasks, which are its threads."""

    def __init__(self, kernel: "Kernel", name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.alive = True
        self.asleep_until = 0.0
        self.slept = 0.0
        """Duration of the last sleep."""
        self.forced = False
        """Whether the process was started with `--force`."""
        self.tasks: list[Task] = []

    def kill(self) -> None:
        """Die at once; raises `Crashed` if called by one of the process's own tasks."""
        if not self.alive:
            return
        self.alive = False
        self.kernel.trace(f"{self.name} dies")
        for task in self.tasks:
            task.end()
        self.expect_alive()

    def expect_alive(self) -> None:
        """Raise `Crashed` in a task of a dead process."""
        current = self.kernel.current
        if current is not None and not current.process.alive:
            raise Crashed


class Task:
    """A thread of a process: code that blocks only in `Kernel.sleep` and `Kernel.wait`."""

    def __init__(self, process: Process, function: Callable[[], None]) -> None:
        self.process = process
        self.over = False
        self.waits = 0
        """Number of wake-ups, which makes older timers void."""
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
        """Switch to the task; called by the hub."""
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
        """Make the task raise `Crashed` where it waits."""
        if self.over or self.process.kernel.current is self:
            return
        if not self._greenlet:  # it has not started
            self.over = True
            return
        self.process.kernel.at(0.0, self._throw)

    def _throw(self) -> None:
        if not self.over and self._greenlet:
            self._greenlet.throw(Crashed)


class Kernel:
    """Virtual clock and scheduler."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.current: Task | None = None
        self.log: list[str] = []
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []
        self._count = 0

    def trace(self, text: str) -> None:
        """Record what happens, for the report of a failed schedule."""
        self.log.append(f"{self.now:10.3f} {text}")

    def at(self, seconds: float, call: Callable[[], Any]) -> None:
        """Call a function after a delay."""
        self._count += 1
        heappush(self._heap, (self.now + seconds, self._count, call))

    def start(self, process: Process, function: Callable[[], None]) -> Task:
        """Start a task of a process."""
        task = Task(process, function)
        self.at(0.0, lambda: self._wake(task, task.waits))
        return task

    def sleep(self, seconds: float) -> None:
        """Suspend the current task for a time."""
        task = self._task()
        waits = task.waits
        self.at(seconds, lambda: self._wake(task, waits))
        self._rest(task)

    def wait(self, signal: "Signal", seconds: float | None) -> None:
        """Suspend the current task until a signal is given or the timeout is over."""
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
        """Run the next call; returns whether there was one."""
        if not self._heap:
            return False
        time, _, call = heappop(self._heap)
        self.now = max(self.now, time)
        call()
        return True

    def _task(self) -> Task:
        assert self.current is not None, "only a task may wait"
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
    """An event that one task waits for and another one sets."""

    def __init__(self, kernel: Kernel) -> None:
        self.given = False
        self.waiting: Callable[[], None] | None = None
        self._kernel = kernel

    def give(self) -> None:
        """Wake the waiting task, or the next one that waits."""
        self.given = True
        if self.waiting is not None:
            self._kernel.at(0.0, self.waiting)
            self.waiting = None
