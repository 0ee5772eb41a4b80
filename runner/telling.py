"""Tells whoever started the runner what happens, and its guardian."""

import os
from contextlib import suppress

import msgspec

from spawn.runner.guardian import OWNED, STOPPING
from spawn.runner.start import Committed, News


class Teller:
    """Tells whoever started the runner, as long as they listen.

    Args:
        fd: Where they listen.
        guardian: Where the guardian does; -1 without one.
    """

    def __init__(self, fd: int, guardian: int) -> None:
        self._fd = fd
        self._guardian = guardian
        self._owns = False
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)

    @property
    def guarded(self) -> bool:
        """Whether a guardian starts this runner again should it die."""
        return self._owns and self._guardian >= 0

    def stopping(self) -> None:
        """The runner was told to stop: nobody is to start it again."""
        self._tell_guardian(STOPPING)

    def _tell_guardian(self, word: bytes) -> None:
        if self._guardian >= 0:
            with suppress(OSError):  # it is gone
                os.write(self._guardian, word)

    def __call__(self, news: News) -> None:
        if isinstance(news, Committed) and not self._owns:
            self._owns = True
            self._tell_guardian(OWNED)
        with suppress(OSError):  # nobody listens, or too slowly: the log says it all
            os.write(self._fd, msgspec.json.encode(news) + b"\n")
