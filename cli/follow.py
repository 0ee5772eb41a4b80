"""Show a queue that we started until it ends: live on a terminal, in lines elsewhere.

The runner does not depend on us: whatever becomes of this process, the queue goes on.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from spawn.cli.bootstrap import now
from spawn.cli.render.history import seen_late, what
from spawn.cli.render.status import exit_text
from spawn.cli.render.style import GLYPHS, Style, style_for
from spawn.cli.render.text import printable
from spawn.cli.sources.local import LocalQueue
from spawn.core.durations import text as duration
from spawn.core.errors import RunnerAlive, SpawnError
from spawn.core.events import Data, Event
from spawn.core.moments import moment
from spawn.core.report.model import Report
from spawn.runner.start import Committed, Over, Refused, RunnerProcess, Said
from spawn.store.paths import Roots

TICK_SECONDS = 1.0
DIED = 70
"""Exit code of a service whose runner is gone and whose queue has not ended: as of an error of our
own, for a service manager to start it again."""


class RunnerDied(SpawnError):
    """A runner is gone that was followed, and its queue has not ended."""


class View(Protocol):
    """Something that shows a queue as it goes."""

    def events(self, events: list[Event[Data]], source: LocalQueue) -> None:
        """The log has grown."""
        ...

    def tick(self, source: LocalQueue) -> None:
        """Time has passed."""
        ...

    def say(self, text: str) -> None:
        """The runner has something to say."""
        ...

    def close(self, report: Report) -> None:
        """The queue has ended or was interrupted: this is how."""
        ...


def detached(runner: RunnerProcess, queue_id: str) -> int:
    """Wait until the runner owns the queue, then leave it alone; returns the exit code.

    Raises:
        SpawnError: The runner refused, or died.
    """
    over = False
    while (news := runner.news()) is not None:
        for item in news:
            if isinstance(item, Refused):
                raise _refusal(runner, item)
            if isinstance(item, Committed):
                print(queue_id)
                print(f"Running. `spawn queue status {queue_id}` shows it.", file=sys.stderr)
                return 0
            over = over or isinstance(item, Over)
    if not over:
        raise _death(runner, queue_id)
    print(queue_id)
    return runner.wait()


def ended(runner: RunnerProcess, queue_id: str) -> int:
    """Wait for the runner's end; returns its exit code.

    Raises:
        SpawnError: The runner refused, or died.
    """
    over = False
    while (news := runner.news()) is not None:
        for item in news:
            if isinstance(item, Refused):
                raise _refusal(runner, item)
            if isinstance(item, Said):
                print(f"Warning: {printable(item.text)}", file=sys.stderr)
            over = over or isinstance(item, Over)
    if not over:
        raise _death(runner, queue_id)
    return runner.wait()


def follow(runner: RunnerProcess, roots: Roots, queue_id: str) -> int:
    """Show the queue until the runner ends; returns the runner's exit code."""
    with _passing_signals(runner):
        first = _first_word(runner)
        if isinstance(first, Over):
            _say_ended(roots, queue_id)
            return runner.wait()
        if first is None:
            code = runner.wait()
            if code in (-signal.SIGINT, -signal.SIGTERM):
                print("Stopped before the queue began.", file=sys.stderr)
                return 128 - code
            raise _death(runner, queue_id)
        with LocalQueue(roots, queue_id) as source, view_of(queue_id) as view:
            view.events(since_ours(source.follow()), source)
            while True:
                ready, _, _ = select.select([runner], [], [], TICK_SECONDS)
                if ready:
                    news = runner.news()
                    if news is None:
                        break
                    for item in news:
                        if isinstance(item, Refused):
                            raise _refusal(runner, item)
                        if isinstance(item, Said):
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
        print(f"Go on: spawn queue resume {queue_id}", file=sys.stderr)  # it has said why
    elif report.status in ("pending", "running"):
        go_on = any(job.status == "running" and not job.unnoticed for job in report.jobs)
        raise RunnerDied(
            f"the runner of queue {queue_id} ended without a word",
            why=_how(code),
            hint=f"{'its jobs go on; ' * go_on}`spawn queue resume {queue_id}` takes them up",
        )
    return code


def since_ours(events: list[Event[Data]]) -> list[Event[Data]]:
    """What the runner that we started has written: from where it went on, or from the beginning."""
    resumed = [index for index, event in enumerate(events) if event.type == "QueueResumed"]
    return events[resumed[-1] :] if resumed else events


def _first_word(runner: RunnerProcess) -> Committed | Over | None:
    """Wait until the queue is ours, or nothing is to be done; None when the runner died before.
    Tell what the runner says before, such as a bucket made."""
    first: Committed | Over | None = None
    while first is None and (news := runner.news()) is not None:
        for item in news:
            if isinstance(item, Refused):
                raise _refusal(runner, item)
            if isinstance(item, Said):
                print(printable(item.text), file=sys.stderr)
            elif first is None:
                first = item
    return first


def _death(runner: RunnerProcess, queue_id: str) -> RunnerDied:
    """Report a runner that ended without saying why."""
    how = _how(runner.wait())
    said = runner.last_words()
    return RunnerDied(
        f"the runner of queue {queue_id} died",
        why=f"{how}, after it wrote: {said}" if said else how,
    )


def _how(code: int) -> str:
    """How a process ended."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _say_ended(roots: Roots, queue_id: str) -> None:
    with LocalQueue(roots, queue_id) as source:
        source.refresh()
        state = source.state.state
        print(f"Queue {queue_id} has {state} already; nothing was run.", file=sys.stderr)


def _refusal(runner: RunnerProcess, refused: Refused) -> SpawnError:
    """What a runner refused; it is gone then, and holds nothing any more."""
    runner.wait()
    kind = RunnerAlive if refused.alive else SpawnError
    error = kind(refused.what, why=refused.why, hint=refused.hint)
    error.exit_code = refused.exit_code
    return error


@contextmanager
def _passing_signals(runner: RunnerProcess) -> Iterator[None]:
    """Whoever stops us means the queue."""
    asked = 0

    def stop(number: int, _frame: object) -> None:
        nonlocal asked
        asked += 1
        # Said before it is done, and past Python's buffers: another signal may come at any line.
        if number == signal.SIGINT:
            note = b"Stopping in good order; Ctrl-C again stops" if asked == 1 else b"Stopping"
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
def view_of(queue_id: str) -> Iterator[View]:
    """What shows a queue here."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from spawn.cli.live import LiveView

        with LiveView() as live:
            yield live
    else:
        yield Lines(queue_id, style_for(sys.stdout))


class Lines:
    """A line for each event that a person cares for."""

    def __init__(self, queue_id: str, style: Style) -> None:
        self._queue_id = queue_id
        self._style = style
        self._open = True

    def events(self, events: list[Event[Data]], source: LocalQueue) -> None:
        """See `View.events`."""
        for event in events:
            text = what(event)
            at = f"{moment(event.at).astimezone():%H:%M:%S}"
            who = event.job_id or f"queue {self._queue_id}"
            late = seen_late(event, None)
            self._print(f"[{at}] {_glyph(event)} {who}: {printable(text)}{late}")
            for line in getattr(event.data, "last_lines", ()):
                self._print(f"             {printable(line)}")

    def tick(self, source: LocalQueue) -> None:
        """See `View.tick`."""

    def say(self, text: str) -> None:
        """See `View.say`."""
        print(f"Warning: {printable(text)}", file=sys.stderr)

    def close(self, report: Report) -> None:
        """See `View.close`."""
        for line in summary(report, self._style):
            self._print(line)

    def _print(self, line: str) -> None:
        if not self._open:
            return
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self._open = False  # nobody reads any more; the queue's end still is our exit code
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def summary(report: Report, style: Style) -> Iterator[str]:
    """How a queue ended, and what to do next."""
    done = report.counts["completed"]
    reason = f" ({printable(report.reason)})" if report.reason else ""
    status = style(report.status, report.status)
    yield (
        f"Queue {report.queue_id} {status}{reason}: {done} of {report.counts['total']} jobs "
        f"completed in {duration(report.elapsed)}"
    )
    for job in report.jobs:
        if job.status == "failed":
            glyph = style("failed", GLYPHS["failed"])
            yield f"  {glyph} {job.job_id}: exit {exit_text(job)}, {printable(job.why)}"
            if job.log_file:
                # Of an instance that was asked it is a path over there.
                there = f" on {report.instance_id}" if report.target and not report.origin else ""
                yield f"    Log: {job.log_file}{there}"
    for warning in report.warnings:
        yield style("warning", f"Warning: {printable(warning)}")
    yield f"Results Location: {report.results_location}"
    if report.status == "interrupted":
        flag = " --from-s3" if report.origin is not None and not report.there else ""
        yield f"Go on: spawn queue resume {report.target or report.queue_id}{flag}"
    else:
        yield f"Details: spawn queue status {report.target or report.queue_id}"


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
