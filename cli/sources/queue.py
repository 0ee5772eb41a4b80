"""The interface through which commands read a queue, whatever its source."""

from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from spawn.cli.sources.output import OutputStream, StartedAttempt
from spawn.core.domain.replay import Row
from spawn.core.domain.state import QueueState
from spawn.core.reports.model import Report, Trouble
from spawn.store.objects.interface import ObjectStore


class QueueSource(Protocol):
    """A queue's log and live data, read from this machine, a feed or S3. A context manager.

    Every method of a source in S3 may raise `StoreError`; the state that was read before remains.
    """

    @property
    def queue_id(self) -> str:
        """The queue's id."""
        ...

    @property
    def poll_seconds(self) -> float:
        """The sensible interval between two calls of `refresh`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...

    @property
    def state(self) -> QueueState:
        """The state as of the newest `refresh`."""
        ...

    @property
    def seq(self) -> int:
        """The seq of the newest event in `state`; 0 if the log is empty."""
        ...

    def refresh(self, *, until: str | None = None) -> None:
        """Read new events and fold them into `state`.

        Args:
            until: A timestamp as in the log; later events are ignored.

        Raises:
            QueueNotFound: There is no such queue, or no event up to `until`.
            CorruptLog: The log is damaged; names the first wrong event.
        """
        ...

    def rows(self) -> Iterator[Row]:
        """All events as stored, in order, including those after `until`."""
        ...

    def runner_alive(self) -> bool:
        """Whether a runner holds the queue, as far as is known."""
        ...

    def troubles(self) -> tuple[Trouble, ...]:
        """What currently hinders a live runner, as far as is known."""
        ...

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """Report the queue.

        Args:
            past: Whether `now` is in the past; live data is ignored then.
        """
        ...

    def attempts(self, job_id: str) -> list[StartedAttempt]:
        """The started attempts of a job, oldest first."""
        ...

    def output(self, attempt: StartedAttempt, name: str) -> OutputStream:
        """A stream of an attempt: `stdout.log` or `stderr.log`.

        Raises:
            SpawnError: The stream does not exist any more.
        """
        ...

    def objects(self) -> ObjectStore:
        """The object store with the queue's results."""
        ...
