"""Start a runner: the one thing that the command line knows of this package."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec import Struct

from spawn.core.config.model import QueueConfig


class RunOrder(Struct, frozen=True, kw_only=True):
    """What a runner is to run, and where.

    `task`: `run` makes a queue of `config`; `or_resume` goes on with the one of this id if it is
    there; `resume` goes on, with `config` instead of its own where one is given; `cancel` ends it.
    `by` is who asks. `global_timeout` is seconds. `from_s3` takes the queue from the object store,
    with `force` also from an owner who may be alive; `offline` begins without asking it. Without
    `no_s3`, `bucket`, `prefix`, `region` and `profile` say where it is.
    """

    task: Literal["run", "or_resume", "resume", "cancel"]

    queue_id: str
    state: str
    log: str
    cache: str
    by: str = ""
    config: QueueConfig | None = None
    file: str = ""
    file_sha256: str = ""
    retry_failed: bool = False
    global_timeout: float | None = None
    leave_jobs: bool = False
    from_s3: bool = False
    force: bool = False
    offline: bool = False
    no_s3: bool = False
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    profile: str | None = None


class Committed(Struct, frozen=True, tag=True):
    """The log has grown to this seq. The first one says that the runner owns the queue."""

    seq: int


class Said(Struct, frozen=True, tag=True):
    """Something that a person should know."""

    text: str


class Refused(Struct, frozen=True, tag=True):
    """The runner ends with this error. `alive`: another one runs the queue."""

    what: str
    why: str
    hint: str
    exit_code: int
    alive: bool = False


News = Committed | Said | Refused

_decoder = msgspec.json.Decoder(News)


class RunnerProcess:
    """A runner that was started; it does not depend on us from here on.

    Args:
        order: Its stdin.
    """

    def __init__(self, order: RunOrder) -> None:
        self._read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "spawn.runner", str(write)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # ours may be a pipe that somebody waits for
                pass_fds=[write],
                start_new_session=True,
            )
        finally:
            os.close(write)
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(msgspec.json.encode(order))
        self._rest = b""

    @property
    def pid(self) -> int:
        """The runner's process id."""
        return self._process.pid

    def fileno(self) -> int:
        """A descriptor that is readable when there is news, and at the runner's end."""
        return self._read

    def news(self) -> Iterator[News] | None:
        """Take what the runner has told; waits when there is nothing. None: it has ended."""
        data = os.read(self._read, 65536)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return map(_decoder.decode, lines)

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the runner's end; returns its exit code."""
        return self._process.wait()
