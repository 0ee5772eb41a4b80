"""Tells whoever started the runner what happens."""

import os
from contextlib import suppress

import msgspec

from spawn.runner.start import News


class Teller:
    """Tells whoever started the runner, as long as they listen."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)

    def __call__(self, news: News) -> None:
        with suppress(OSError):  # nobody listens, or too slowly: the log says it all
            os.write(self._fd, msgspec.json.encode(news) + b"\n")
