"""Print the output of a job, once or as it grows."""

import time
from collections.abc import Iterable, Mapping
from typing import IO

from msgspec import Struct

from spawn.cli.host import say
from spawn.cli.sources.output import OutputStream, StartedAttempt
from spawn.cli.sources.queue import QueueSource
from spawn.cli.support.outage_retry import OutageRetry
from spawn.core.errors import InvalidArgument
from spawn.store.objects.interface import Unavailable


class OutputSelection(Struct, frozen=True, kw_only=True):
    """Which output to print."""

    job_id: str
    attempt: int | None
    """None: the newest."""
    follow: bool
    """Whether to continue until the job ends."""


def print_output(
    source: QueueSource, wanted: OutputSelection, outs: Mapping[str, IO[bytes]]
) -> None:
    """Print an attempt's streams; with `follow`, until the job has no further attempt.

    Args:
        source: A source that was refreshed.
        outs: The file for each of `stdout.log` and `stderr.log`.

    Raises:
        InvalidArgument: The job has no such attempt, and will have none.
        SpawnError: The output is gone.
    """
    reader = _Reader(source, wanted.follow)
    shown = 0
    while True:
        over = _final_state(source, wanted.job_id, alive=reader.refresh())
        found = _select_attempt(source, wanted, over)
        if found is not None and found.number > shown:
            streams = reader.open(found, outs)
            if streams is None:
                time.sleep(source.poll_seconds)
                continue
            if shown:
                say(f"-- attempt {found.number} --")
            shown = found.number
            _print_attempt(source, wanted, found, streams, outs, reader)
            if wanted.attempt is not None or not wanted.follow:
                return
            continue
        if over or not wanted.follow:
            if not shown:
                say(f"Job {wanted.job_id} has not run: it is {over or 'waiting'}")
            return
        time.sleep(source.poll_seconds)


class _Reader:
    """Reads a queue's state and output; with `follow`, it retries during an outage."""

    def __init__(self, source: QueueSource, follow: bool) -> None:
        self._source = source
        self._follow = follow
        self._retry = OutageRetry()

    def refresh(self) -> bool:
        """Refresh the source; returns whether a runner may be alive.

        The runner is checked before the refresh, so that all output of a dead runner is read.
        """
        alive = self._source.runner_alive()
        known = not self._follow or self._retry.refresh(self._source)
        return alive or not known

    def open(self, attempt: StartedAttempt, names: Iterable[str]) -> dict[str, OutputStream] | None:
        """Open an attempt's streams; None while the store is unavailable."""
        try:
            return {name: self._source.output(attempt, name) for name in names}
        except Unavailable as error:
            if not self._follow:
                raise
            self._retry.record_failure(error)
            return None

    def copy(self, stream: OutputStream, out: IO[bytes], *, ended: bool) -> bool:
        """Copy the available part of a stream; returns False while the store is unavailable."""
        try:
            stream.copy_to(out, ended=ended)
        except Unavailable as error:
            if not self._follow:
                raise
            self._retry.record_failure(error)
            return False
        return True


def _print_attempt(
    source: QueueSource,
    wanted: OutputSelection,
    attempt: StartedAttempt,
    streams: Mapping[str, OutputStream],
    outs: Mapping[str, IO[bytes]],
    reader: _Reader,
) -> None:
    try:
        while True:
            alive = reader.refresh()
            ended = not (_is_running(source, wanted.job_id, attempt.number) and alive)
            copied = [reader.copy(streams[name], out, ended=ended) for name, out in outs.items()]
            if not wanted.follow or (ended and all(copied)):
                break
            time.sleep(source.poll_seconds)
        cut = [name for name, stream in streams.items() if not stream.whole]
    finally:
        for stream in streams.values():
            stream.close()
    if cut:
        say(_incomplete_text(source, wanted.job_id, attempt, cut))


def _incomplete_text(
    source: QueueSource, job_id: str, attempt: StartedAttempt, names: list[str]
) -> str:
    what = " and ".join(names)
    which = f"attempt {attempt.number} of {job_id}"
    if _is_running(source, job_id, attempt.number):
        if source.runner_alive():
            return f"This is the {what} of {which} so far: the attempt is still running"
        return f"Incomplete: {what} of {which}; its runner has not been heard from since"
    return f"Incomplete: {what} of {which}; the rest was never uploaded to S3"


def _select_attempt(
    source: QueueSource, wanted: OutputSelection, over: str
) -> StartedAttempt | None:
    found = source.attempts(wanted.job_id)
    if wanted.attempt is None:
        return found[-1] if found else None
    selected = [each for each in found if each.number == wanted.attempt]
    if not selected and (over or not wanted.follow):
        there = ", ".join(str(each.number) for each in found) or "none"
        raise InvalidArgument(
            f"job {wanted.job_id} has no attempt {wanted.attempt}",
            why=f"attempts that started: {there}",
        )
    return selected[0] if selected else None


def _is_running(source: QueueSource, job_id: str, number: int) -> bool:
    """Whether an attempt is running, according to the log."""
    job = source.state.jobs[job_id]
    return job.attempt == number and job.state == "running"


def _final_state(source: QueueSource, job_id: str, *, alive: bool) -> str:
    """The job's state if no further attempt will start; empty while one may."""
    state = source.state
    job = state.jobs[job_id]
    if job.state in ("completed", "failed", "blocked"):
        return job.state
    if state.state not in ("pending", "running"):
        return f"{job.state}, and the queue is {state.state}"
    return "" if alive else f"{job.state}, and the queue's runner has stopped"
