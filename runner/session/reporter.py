"""Sends messages to the process that started the runner, and to the runner's guardian."""

import os
from contextlib import suppress

import msgspec

from spawn.runner.guardian import OWNED, STOPPING
from spawn.runner.runner_process import LogCommitted, RunnerMessage


class Reporter:
    """Sends a `RunnerMessage` to the process that started the runner; drops it if that is gone.

    Args:
        fd: Descriptor for messages to that process.
        guardian: Descriptor for messages to the guardian; -1 without one.
    """

    def __init__(self, fd: int, guardian: int) -> None:
        self._fd = fd
        self._guardian = guardian
        self._owns = False
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)

    @property
    def guarded(self) -> bool:
        """Whether a guardian restarts this runner if it dies."""
        return self._owns and self._guardian >= 0

    def stopping(self) -> None:
        """Tell the guardian that the runner was asked to stop, so that it does not restart it."""
        self._tell_guardian(STOPPING)

    def _tell_guardian(self, message: bytes) -> None:
        if self._guardian >= 0:
            with suppress(OSError):  # the guardian has died
                os.write(self._guardian, message)

    def __call__(self, message: RunnerMessage) -> None:
        if isinstance(message, LogCommitted) and not self._owns:
            self._owns = True
            self._tell_guardian(OWNED)
        with suppress(OSError):  # the reader has ended or is too slow: the log has everything
            os.write(self._fd, msgspec.json.encode(message) + b"\n")
