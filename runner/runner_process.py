"""Starts a runner process for the command line."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from signal import Signals
from typing import Literal

import msgspec
from msgspec import Struct

from spawn.core.config.model import QueueConfig
from spawn.core.domain.codec import valid_utf8
from spawn.core.domain.state import QueueState
from spawn.core.errors import InvalidArgument
from spawn.core.values.ttl import Ttl
from spawn.runner.interpreter import python_command

OnComplete = Literal["keep", "stop", "terminate"]
"""What to do with the instance when its queue has ended."""


class RunRequest(Struct, frozen=True, kw_only=True):
    """What a runner runs, and where.

    `task`: `run` creates a queue from `config`; `or_resume` does too, or resumes the queue with
    this id if it exists; `resume` resumes the queue, with `config` as its new configuration if
    given; `cancel` ends it. `state`, `log` and `cache` are the root folders; `by` is the user.
    `global_timeout` is in seconds. `from_s3` takes over the queue from the object store, with
    `force` even from an owner that may be alive. `offline` starts jobs without checking ownership
    in the store. `bucket`, `prefix`, `region` and `profile` name the store, unless `no_s3`. `ttl`
    is how long the queue may stay on this machine; `on_complete` is what to do with the machine
    when the queue ends or `ttl` expires.
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


class LogCommitted(Struct, frozen=True, tag=True):
    """The log has events up to this seq. The first one means that the runner owns the queue."""

    seq: int


class WarningMessage(Struct, frozen=True, tag=True):
    """A user-facing warning."""

    text: str


class RunnerError(Struct, frozen=True, tag=True):
    """The runner exits with this error. `alive`: another runner runs the queue."""

    what: str
    why: str
    hint: str
    exit_code: int
    alive: bool = False


class RunnerExited(Struct, frozen=True, tag=True):
    """The runner exits normally. A runner that closes the channel without this message has died."""


RunnerMessage = LogCommitted | WarningMessage | RunnerError | RunnerExited

_STDERR_BYTES = 4096
_STDERR_LINES = 5
_decoder = msgspec.json.Decoder(RunnerMessage)


class RunnerProcess:
    """A runner process. It keeps running when this process ends.

    Args:
        order: Its stdin.

    Raises:
        InvalidArgument: A name in the order is not UTF-8.
    """

    def __init__(self, order: RunRequest) -> None:
        try:
            data = msgspec.json.encode(order)
        except UnicodeEncodeError as error:
            what = f"{valid_utf8(error.object)} is not UTF-8"
            raise InvalidArgument(what, hint="rename it, or use another name") from None
        self._stderr = os.memfd_create("stderr")
        self._read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*python_command("spawn.runner"), str(write)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,  # ours may be a pipe whose reader waits until all writers end
                pass_fds=[write],
                start_new_session=True,
            )
        finally:
            os.close(write)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # it may have died
            stdin.write(data)
        self._rest = b""

    @property
    def pid(self) -> int:
        """The runner's process id."""
        return self._process.pid

    def fileno(self) -> int:
        """A descriptor that is readable when there is a message, and after the runner's end."""
        return self._read

    def messages(self) -> Iterator[RunnerMessage] | None:
        """Wait for messages of the runner; None once it has ended."""
        data = os.read(self._read, 65536)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return map(_decoder.decode, lines)

    def stderr_tail(self) -> str:
        """The last lines of stderr from before the runner redirected it to `runner.log`."""
        size = os.fstat(self._stderr).st_size
        text = valid_utf8(os.pread(self._stderr, _STDERR_BYTES, max(0, size - _STDERR_BYTES)))
        return "\n".join(text.strip().splitlines()[-_STDERR_LINES:])

    def signal(self, number: int) -> None:
        """Send a signal to the runner."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the runner's end; returns its exit code."""
        return self._process.wait()


TIME_OVER = 128 + Signals.SIGTERM
"""Exit code when the time on this machine is over before the queue has ended. A service manager
does not count a SIGTERM as a failure, so it does not restart the runner."""


def exit_code(state: QueueState) -> int:
    """Exit code of a runner that leaves its queue in this state."""
    if state.state == "interrupted" and state.reason in ("spot", "ttl"):
        return TIME_OVER
    if state.state == "interrupted":
        return 128 + (Signals[state.detail] if state.detail in Signals.__members__ else 1)
    return 0 if state.state == "completed" else 1


class RunOptions(Struct, frozen=True, kw_only=True):
    """What a runner does besides running the queue.

    `by`: the user. `config`: replaces the queue's configuration as soon as no job runs. `rebooted`:
    the machine was restarted since the newest epoch, so its attempts are lost and their records do
    not count: a record survives the process, not the host. `previous_machine`: the machine that the
    queue ran on, if not this one. `offline`: start jobs without checking ownership. `ttl`:
    how long the queue may stay on this machine. `powers_off`: the machine is powered off when the
    queue ends or `ttl` expires.
    """

    by: str = ""
    retry_failed: bool = False
    config: QueueConfig | None = None
    cancel: bool = False
    leave_jobs: bool = False
    rebooted: bool = False
    moved_from: str = ""
    offline: bool = False
    ttl: Ttl | None = None
    powers_off: bool = False
