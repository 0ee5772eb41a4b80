"""Start a runner: the one thing that the command line knows of this package."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct

from spawn.core.codec import clean
from spawn.core.config.model import QueueConfig
from spawn.core.errors import InvalidArgument
from spawn.core.ttl import Ttl
from spawn.runner.interpreter import python

OnComplete = Literal["keep", "stop", "terminate"]
"""What becomes of the instance when its queue has ended."""


class RunOrder(Struct, frozen=True, kw_only=True):
    """What a runner is to run, and where.

    `task`: `run` makes a queue of `config`; `or_resume` goes on with the one of this id if it is
    there; `resume` goes on, with `config` instead of its own where one is given; `cancel` ends it.
    `by` is who asks. `global_timeout` is seconds. `from_s3` takes the queue from the object store,
    with `force` also from an owner who may be alive; `offline` begins without asking it. Without
    `no_s3`, `bucket`, `prefix`, `region` and `profile` say where it is. `ttl` is how long the queue
    may stay on this machine; `on_complete` what becomes of it at the queue's end, or then.
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
    ttl: Ttl | None = None
    on_complete: OnComplete = "keep"


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


class Over(Struct, frozen=True, tag=True):
    """The runner ends in good order; its exit code says how. Without this word, it died."""


News = Committed | Said | Refused | Over

_WORDS_BYTES = 4096
_WORDS_LINES = 5
_decoder = msgspec.json.Decoder(News)


class RunnerProcess:
    """A runner that was started; it does not depend on us from here on.

    Args:
        order: Its stdin.

    Raises:
        InvalidArgument: A name in the order is not UTF-8.
    """

    def __init__(self, order: RunOrder) -> None:
        try:
            data = msgspec.json.encode(order)
        except UnicodeEncodeError as error:
            what = f"{clean(error.object)} is not UTF-8"
            raise InvalidArgument(what, hint="rename it, or name another") from None
        self._stderr = os.memfd_create("stderr")
        self._read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*python("spawn.runner"), str(write)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,  # ours may be a pipe that another process reads to its end
                pass_fds=[write],
                start_new_session=True,
            )
        finally:
            os.close(write)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # it may be dead already
            stdin.write(data)
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

    def last_words(self) -> str:
        """The last lines that it wrote to stderr before that became the queue's `runner.log`."""
        size = os.fstat(self._stderr).st_size
        text = clean(os.pread(self._stderr, _WORDS_BYTES, max(0, size - _WORDS_BYTES)))
        return "\n".join(text.strip().splitlines()[-_WORDS_LINES:])

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the runner's end; returns its exit code."""
        return self._process.wait()
