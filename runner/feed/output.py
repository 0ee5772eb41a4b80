"""What attempts printed, by byte range. Nothing outside of a queue's folder is ever opened."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from spawn.core.feed.address import AskOutput
from spawn.runner.feed.response import Response
from spawn.store import lock, queues
from spawn.store.feed.errors import NoOutput
from spawn.store.files import regular
from spawn.store.log import read
from spawn.store.paths import QueuePaths, Roots

PIECE = 1024 * 1024
"""Bytes of one answer."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 256


class Outputs:
    """Reads the streams of attempts."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._tokens: dict[tuple[str, int, str, int], str] = {}

    def read(self, ask: AskOutput, *, last: bool) -> Response | None:
        """Read what is asked for; None when there is nothing yet, and more may come.

        Raises:
            QueueNotFound: There is no such queue.
            NoOutput: The attempt never began, or what it printed is not here.
        """
        paths = queues.find(self._roots, ask.queue_id)
        token = self._token(paths, ask)
        attempt = paths.attempt(ask.job_id, ask.attempt, token)
        try:
            with _entered(paths, ask.job_id, attempt.name) as folder:
                over = not lock.is_held(attempt / "lock")  # first: all is written by then
                fd = regular(ask.name, os.O_RDONLY, dir_fd=folder)
        except OSError:
            raise _gone(ask) from None
        try:
            size = os.fstat(fd).st_size
            data = os.pread(fd, PIECE, ask.at) if ask.at < size else b""
        finally:
            os.close(fd)
        if not (data or over or last):
            return None
        said = (("Spawn-Size", str(size)), ("Spawn-Over", str(int(over))))
        return Response(data, "application/octet-stream", more=said)

    def _token(self, paths: QueuePaths, ask: AskOutput) -> str:
        """The token of an attempt: it is part of its folder's name."""
        try:
            inode = paths.events.stat().st_ino
        except OSError:
            raise _gone(ask) from None
        key = (ask.queue_id, inode, ask.job_id, ask.attempt)
        if key not in self._tokens:
            with read.opened(paths.events) as connection:
                began = read.started(connection, ask.job_id, ask.attempt)
            if began is None or not began.token or "/" in began.token or "\0" in began.token:
                raise _gone(ask)
            while len(self._tokens) >= _KEPT:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[key] = began.token
        return self._tokens[key]


@contextmanager
def _entered(paths: QueuePaths, *names: str) -> Iterator[int]:
    """Open a folder below that of a queue's jobs, no link on the way."""
    here = os.open(paths.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (paths.jobs.name, *names):
            below = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _gone(ask: AskOutput) -> NoOutput:
    return NoOutput(
        f"the {ask.name} of attempt {ask.attempt} of job {ask.job_id} is not on this machine",
        why="its folder is not there, or the attempt never began",
    )
