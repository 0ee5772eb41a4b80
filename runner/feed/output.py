"""Read the output of attempts by byte range. Files outside a queue's folder are never opened."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from spawn.runner.feed.request import Response
from spawn.store import queues
from spawn.store.feed.errors import OutputNotFound
from spawn.store.feed.requests import OutputRequest
from spawn.store.files import open_regular
from spawn.store.log import read
from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import QueuePaths, Roots

PIECE = 1024 * 1024
"""Maximum bytes of one answer."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_TOKENS = 256


class OutputReader:
    """Reads the output streams of attempts."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._tokens: dict[tuple[str, int, str, int], str] = {}

    def read(self, ask: OutputRequest, *, last: bool) -> Response | None:
        """Read output; None if there is none yet and more may come.

        Raises:
            QueueNotFound: There is no such queue.
            NoOutput: The attempt never started, or its output is not on this machine.
        """
        paths = queues.find_queue(self._roots, ask.queue_id)
        token = self._token(paths, ask)
        attempt = paths.attempt(ask.job_id, ask.attempt, token)
        try:
            with _open_folder(paths, ask.job_id, attempt.name) as folder:
                # Before the read: an attempt that has ended writes nothing more.
                over = not lock.is_held(attempt / "lock")
                fd = open_regular(ask.name, os.O_RDONLY, dir_fd=folder)
        except OSError:
            raise _no_output(ask) from None
        try:
            size = os.fstat(fd).st_size
            data = os.pread(fd, PIECE, ask.at) if ask.at < size else b""
        finally:
            os.close(fd)
        if not (data or over or last):
            return None
        headers = (("Spawn-Size", str(size)), ("Spawn-Over", str(int(over))))
        return Response(data, "application/octet-stream", more=headers)

    def _token(self, paths: QueuePaths, ask: OutputRequest) -> str:
        """Return the attempt's token, which is part of its folder's name."""
        try:
            inode = paths.events.stat().st_ino
        except OSError:
            raise _no_output(ask) from None
        key = (ask.queue_id, inode, ask.job_id, ask.attempt)
        if key not in self._tokens:
            with read.open_log(paths.events) as connection:
                started = read.attempt_start(connection, ask.job_id, ask.attempt)
            token = "" if started is None else started.token
            if not token or "/" in token or "\0" in token:
                raise _no_output(ask)
            while len(self._tokens) >= _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[key] = token
        return self._tokens[key]


@contextmanager
def _open_folder(paths: QueuePaths, *names: str) -> Iterator[int]:
    """Open a folder below a queue's jobs folder without following links."""
    here = os.open(paths.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (paths.jobs.name, *names):
            below = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _no_output(ask: OutputRequest) -> OutputNotFound:
    return OutputNotFound(
        f"the {ask.name} of attempt {ask.attempt} of job {ask.job_id} is not on this machine",
        why="the attempt never started, or its folder does not exist",
    )
