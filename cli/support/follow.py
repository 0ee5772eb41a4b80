"""Show a queue that this process started until it ends: live on a terminal, else line by line.

The runner is independent of this process: the queue keeps running if this process is killed.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from spawn.cli.host import now
from spawn.cli.output.history import describe, late_end
from spawn.cli.output.queue_summary import summary
from spawn.cli.output.style import GLYPHS, Style, style_for
from spawn.cli.sources.local import LocalQueue
from spawn.core.domain.events import Data, Event
from spawn.core.errors import RunnerAlive, SpawnError
from spawn.core.reports.model import Report
from spawn.core.values.text import printable
from spawn.core.values.timestamps import parse_timestamp
from spawn.runner.runner_process import (
    LogCommitted,
    RunnerError,
    RunnerExited,
    RunnerProcess,
    WarningMessage,
)
from spawn.store.queue_dir.paths import Roots

TICK_SECONDS = 1.0
EXIT_RUNNER_DIED = 70
"""Exit code of a service whose runner died before the queue ended: that of an internal error, so
that the service manager restarts it."""


class RunnerDied(SpawnError):
    """The followed runner died before its queue ended."""


class View(Protocol):
    """Shows the progress of a queue."""

    def events(self, events: list[Event[Data]], source: LocalQueue) -> None:
        """Show new events of the log."""
        ...

    def tick(self, source: LocalQueue) -> None:
        """Update what depends on the current time."""
        ...

    def say(self, text: str) -> None:
        """Show a warning from the runner."""
        ...

    def close(self, report: Report) -> None:
        """Show how the queue ended or was interrupted."""
        ...


def wait_for_ownership(runner: RunnerProcess, queue_id: str) -> int:
    """Wait until the runner owns the queue, and print the queue's id; returns the exit code.

    Raises:
        SpawnError: The runner refused to start, or died.
    """
    over = False
    while (news := runner.messages()) is not None:
        for item in news:
            if isinstance(item, RunnerError):
                raise _refused_error(runner, item)
            if isinstance(item, LogCommitted):
                print(queue_id)
                print(
                    f"Running. `spawn queue status {queue_id}` shows its progress.", file=sys.stderr
                )
                return 0
            over = over or isinstance(item, RunnerExited)
    if not over:
        raise _died_error(runner, queue_id)
    print(queue_id)
    return runner.wait()


def wait_for_exit(runner: RunnerProcess, queue_id: str) -> int:
    """Wait until the runner exits; returns its exit code.

    Raises:
        SpawnError: The runner refused to start, or died.
    """
    over = False
    while (news := runner.messages()) is not None:
        for item in news:
            if isinstance(item, RunnerError):
                raise _refused_error(runner, item)
            if isinstance(item, WarningMessage):
                print(f"Warning: {printable(item.text)}", file=sys.stderr)
            over = over or isinstance(item, RunnerExited)
    if not over:
        raise _died_error(runner, queue_id)
    return runner.wait()


def follow_runner(runner: RunnerProcess, roots: Roots, queue_id: str) -> int:
    """Show the queue until the runner exits; returns the runner's exit code."""
    with _forward_signals(runner):
        first = _wait_for_ownership(runner)
        if isinstance(first, RunnerExited):
            _print_already_ended(roots, queue_id)
            return runner.wait()
        if first is None:
            code = runner.wait()
            if code in (-signal.SIGINT, -signal.SIGTERM):
                print("Stopped before the queue started.", file=sys.stderr)
                return 128 - code
            raise _died_error(runner, queue_id)
        with LocalQueue(roots, queue_id) as source, open_view(queue_id) as view:
            view.events(events_since_resume(source.follow()), source)
            while True:
                ready, _, _ = select.select([runner], [], [], TICK_SECONDS)
                if ready:
                    news = runner.messages()
                    if news is None:
                        break
                    for item in news:
                        if isinstance(item, RunnerError):
                            raise _refused_error(runner, item)
                        if isinstance(item, WarningMessage):
                            view.say(item.text)
                    view.events(source.follow(), source)
                else:
                    view.tick(source)
            view.events(source.follow(), source)
            code = runner.wait()
            report = source.report(now())
            if report.status not in ("pending", "running"):
                view.close(report)
    if report.status in ("pending", "running") and code > 128:
        # The runner has printed why it stopped.
        print(f"Resume it with: spawn queue resume {queue_id}", file=sys.stderr)
    elif report.status in ("pending", "running"):
        running = any(job.status == "running" and not job.unlogged_end for job in report.jobs)
        raise RunnerDied(
            f"the runner of queue {queue_id} died",
            why=_exit_text(code),
            hint=f"{'its jobs keep running; ' * running}`spawn queue resume {queue_id}` resumes it",
        )
    return code


def events_since_resume(events: list[Event[Data]]) -> list[Event[Data]]:
    """The events of the newest runner: from the last `QueueResumed` on, else all."""
    resumed = [index for index, event in enumerate(events) if event.type == "QueueResumed"]
    return events[resumed[-1] :] if resumed else events


def _wait_for_ownership(runner: RunnerProcess) -> LogCommitted | RunnerExited | None:
    """Wait until the runner owns the queue or has nothing to do, and print its messages until then.

    Returns:
        None when the runner died first.
    """
    first: LogCommitted | RunnerExited | None = None
    while first is None and (news := runner.messages()) is not None:
        for item in news:
            if isinstance(item, RunnerError):
                raise _refused_error(runner, item)
            if isinstance(item, WarningMessage):
                print(printable(item.text), file=sys.stderr)
            elif first is None:
                first = item
    return first


def _died_error(runner: RunnerProcess, queue_id: str) -> RunnerDied:
    how = _exit_text(runner.wait())
    output = runner.stderr_tail()
    return RunnerDied(
        f"the runner of queue {queue_id} died",
        why=f"{how}; last output: {output}" if output else how,
    )


def _exit_text(code: int) -> str:
    """How a process ended: `signal 9` or `exit code 1`."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _print_already_ended(roots: Roots, queue_id: str) -> None:
    with LocalQueue(roots, queue_id) as source:
        source.refresh()
        state = source.state.state
        print(f"Queue {queue_id} has already {state}; nothing to run.", file=sys.stderr)


def _refused_error(runner: RunnerProcess, refused: RunnerError) -> SpawnError:
    runner.wait()  # it releases the queue's lock on exit
    kind = RunnerAlive if refused.alive else SpawnError
    error = kind(refused.what, why=refused.why, hint=refused.hint)
    error.exit_code = refused.exit_code
    return error


@contextmanager
def _forward_signals(runner: RunnerProcess) -> Iterator[None]:
    """Forward SIGINT and SIGTERM to the runner."""
    count = 0

    def stop(number: int, _frame: object) -> None:
        nonlocal count
        count += 1
        # Unbuffered, and before the signal is forwarded: another signal may arrive at any line.
        if number == signal.SIGINT:
            note = b"Stopping; press Ctrl-C again to stop" if count == 1 else b"Stopping"
            with suppress(OSError):
                os.write(2, b"\n%s at once.\n" % note)
        runner.signal(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def open_view(queue_id: str) -> Iterator[View]:
    """Open the live view on a terminal, else a `LineView`."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from spawn.cli.support.live import LiveView

        with LiveView() as live:
            yield live
    else:
        yield LineView(queue_id, style_for(sys.stdout))


class LineView:
    """Prints one line per event."""

    def __init__(self, queue_id: str, style: Style) -> None:
        self._queue_id = queue_id
        self._style = style
        self._open = True

    def events(self, events: list[Event[Data]], source: LocalQueue) -> None:
        """Print the events."""
        for event in events:
            text = describe(event)
            at = f"{parse_timestamp(event.at).astimezone():%H:%M:%S}"
            who = event.job_id or f"queue {self._queue_id}"
            late = late_end(event, None)
            self._print(f"[{at}] {_glyph(event)} {who}: {printable(text)}{late}")
            for line in getattr(event.data, "last_lines", ()):
                self._print(f"             {printable(line)}")

    def tick(self, source: LocalQueue) -> None:
        """Do nothing: a line shows no elapsed time."""

    def say(self, text: str) -> None:
        """Print a warning to stderr."""
        print(f"Warning: {printable(text)}", file=sys.stderr)

    def close(self, report: Report) -> None:
        """Print the summary."""
        for line in summary(report, self._style):
            self._print(line)

    def _print(self, line: str) -> None:
        if not self._open:
            return
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self._open = False  # keep following: the exit code is still the queue's
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _glyph(event: Event[Data]) -> str:
    kinds = {
        "JobStarted": "running",
        "JobCompleted": "completed",
        "JobFailed": "failed",
        "JobRetryScheduled": "retrying",
        "JobBlocked": "blocked",
        "JobInterrupted": "interrupted",
        "QueueCompleted": "completed",
        "QueueFailed": "failed",
        "QueueInterrupted": "interrupted",
    }
    return GLYPHS.get(kinds.get(event.type, ""), "·")
