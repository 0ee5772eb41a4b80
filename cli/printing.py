"""Print what a job printed, once or as it grows."""

import time
from collections.abc import Iterable, Mapping
from typing import IO

from msgspec import Struct

from spawn.cli.bootstrap import say
from spawn.cli.patience import Patience
from spawn.cli.sources.output import Attempt, Stream
from spawn.cli.sources.queue import QueueSource
from spawn.core.errors import InvalidArgument
from spawn.store.objects.port import Unavailable


class Wanted(Struct, frozen=True, kw_only=True):
    """Whose output, of which attempt, the newest where none is named, and whether to go on."""

    job_id: str
    attempt: int | None
    follow: bool


def print_output(source: QueueSource, wanted: Wanted, outs: Mapping[str, IO[bytes]]) -> None:
    """Print an attempt's streams; with `follow`, until no further attempt comes.

    Args:
        source: Refreshed.
        outs: Where each of `stdout.log` and `stderr.log` goes.

    Raises:
        InvalidArgument: The job has no such attempt, and will not.
        SpawnError: Its output is gone.
    """
    look = _Look(source, wanted.follow)
    shown = 0
    while True:
        over = _over(source, wanted.job_id, alive=look())
        here = _chosen(source, wanted, over)
        if here is not None and here.number > shown:
            streams = look.open(here, outs)
            if streams is None:
                time.sleep(source.poll_seconds)
                continue
            if shown:
                say(f"-- attempt {here.number} --")
            shown = here.number
            _print_attempt(source, wanted, here, streams, outs, look)
            if wanted.attempt is not None or not wanted.follow:
                return
            continue
        if over or not wanted.follow:
            if not shown:
                say(f"Job {wanted.job_id} has not run: it is {over or 'waiting'}")
            return
        time.sleep(source.poll_seconds)


class _Look:
    """Sees what became of a queue; with `follow` it bears with a store that does not answer."""

    def __init__(self, source: QueueSource, follow: bool) -> None:
        self._source = source
        self._follow = follow
        self._patience = Patience()

    def __call__(self) -> bool:
        """Refresh the source; returns whether a runner held the queue before: what that wrote is
        then there to be read."""
        alive = self._source.runner_alive()
        known = not self._follow or self._patience.refresh(self._source)
        return alive or not known

    def open(self, attempt: Attempt, names: Iterable[str]) -> dict[str, Stream] | None:
        """Open an attempt's streams; None when they cannot be asked for now."""
        try:
            return {name: self._source.output(attempt, name) for name in names}
        except Unavailable as error:
            if not self._follow:
                raise
            self._patience.bear(error)
            return None

    def copy(self, stream: Stream, out: IO[bytes], *, ended: bool) -> bool:
        """Copy what there is of a stream; returns whether it could be asked for."""
        try:
            stream.copy_to(out, ended=ended)
        except Unavailable as error:
            if not self._follow:
                raise
            self._patience.bear(error)
            return False
        return True


def _print_attempt(
    source: QueueSource,
    wanted: Wanted,
    attempt: Attempt,
    streams: Mapping[str, Stream],
    outs: Mapping[str, IO[bytes]],
    look: _Look,
) -> None:
    try:
        while True:
            alive = look()
            ended = not (_runs(source, wanted.job_id, attempt.number) and alive)
            copied = [look.copy(streams[name], out, ended=ended) for name, out in outs.items()]
            if not wanted.follow or (ended and all(copied)):
                break
            time.sleep(source.poll_seconds)
        cut = [name for name, stream in streams.items() if not stream.whole]
    finally:
        for stream in streams.values():
            stream.close()
    if cut:
        say(_not_whole(source, wanted.job_id, attempt, cut))


def _not_whole(source: QueueSource, job_id: str, attempt: Attempt, names: list[str]) -> str:
    what = " and ".join(names)
    which = f"attempt {attempt.number} of {job_id}"
    if _runs(source, job_id, attempt.number):
        if source.runner_alive():
            return f"This is the {what} of {which} so far: it still runs, and more is on its way"
        return f"This is not the whole {what} of {which}: its runner has not been heard of since"
    return f"This is not the whole {what} of {which}: the rest never came to S3"


def _chosen(source: QueueSource, wanted: Wanted, over: str) -> Attempt | None:
    found = source.attempts(wanted.job_id)
    if wanted.attempt is None:
        return found[-1] if found else None
    chosen = [each for each in found if each.number == wanted.attempt]
    if not chosen and (over or not wanted.follow):
        there = ", ".join(str(each.number) for each in found) or "none"
        raise InvalidArgument(
            f"job {wanted.job_id} has no attempt {wanted.attempt}",
            why=f"attempts that began: {there}",
        )
    return chosen[0] if chosen else None


def _runs(source: QueueSource, job_id: str, number: int) -> bool:
    """Whether an attempt is open, as far as the log says."""
    job = source.state.jobs[job_id]
    return job.attempt == number and job.state == "running"


def _over(source: QueueSource, job_id: str, *, alive: bool) -> str:
    """Why no further attempt of a job comes; empty while one may."""
    state = source.state
    job = state.jobs[job_id]
    if job.state in ("completed", "failed", "blocked"):
        return job.state
    if state.state not in ("pending", "running"):
        return f"{job.state}, and the queue is {state.state}"
    return "" if alive else f"{job.state}, and nobody runs the queue"
