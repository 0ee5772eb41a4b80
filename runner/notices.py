"""Asks an EC2 instance's metadata service whether the instance is about to be taken back."""

from collections.abc import Callable
from threading import Event, Thread

from spawn.runner.ports import Happening, Noticed
from spawn.runner.threads import keep_running
from spawn.store.metadata import Metadata

ASK_SECONDS = 5.0
"""How often. Source: "Spot Instance interruption notices" of the EC2 user guide says 5 seconds."""


class Notices:
    """A thread that asks until it is told, and then says it once.

    Args:
        post: Takes a `Noticed`, from that thread.
    """

    def __init__(self, metadata: Metadata, post: Callable[[Happening], None]) -> None:
        self._metadata = metadata
        self._post = post
        self._closed = Event()
        self._thread = Thread(
            target=lambda: keep_running("notices", self._run, self._closed.wait),
            name="notices",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to ask, at once for the first time."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            notice = self._metadata.notice()
            if notice is not None:
                self._post(Noticed(notice.action, notice.at))
                return
            self._closed.wait(ASK_SECONDS)
