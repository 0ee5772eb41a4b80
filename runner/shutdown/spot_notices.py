"""Polls an EC2 instance's metadata service for a spot interruption notice."""

from collections.abc import Callable
from threading import Event, Thread

from spawn.runner.ports import LoopMessage, SpotNotice
from spawn.runner.threads import keep_running
from spawn.store.aws.metadata import Metadata

POLL_SECONDS = 5.0
"""Poll interval. Source: "Spot Instance interruption notices" in the EC2 user guide."""


class Notices:
    """A thread that polls until there is a notice, and posts it once.

    Args:
        post: Receives the `Noticed`, on that thread.
    """

    def __init__(self, metadata: Metadata, post: Callable[[LoopMessage], None]) -> None:
        self._metadata = metadata
        self._post = post
        self._closed = Event()
        self._thread = Thread(
            target=lambda: keep_running("notices", self._run, self._closed.wait),
            name="notices",
            daemon=True,
        )

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def close(self) -> None:
        """Stop polling."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            notice = self._metadata.notice()
            if notice is not None:
                self._post(SpotNotice(notice.action, notice.at))
                return
            self._closed.wait(POLL_SECONDS)
