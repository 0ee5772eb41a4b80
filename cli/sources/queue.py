"""What every command reads a queue from, wherever that is."""

from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from spawn.cli.sources.output import Attempt, Stream
from spawn.core.replay import Row
from spawn.core.report.model import Report, Trouble
from spawn.core.state import QueueState
from spawn.store.objects.port import ObjectStore


class QueueSource(Protocol):
    """A queue's log as it grows, and what else is known of it. Used in a `with`.

    One read from S3 raises `StoreError` from whatever asks for more; what was read before stays.
    """

    @property
    def queue_id(self) -> str:
        """The queue's id."""
        ...

    @property
    def poll_seconds(self) -> float:
        """How often it is worth a look."""
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
        """The newest event of that state; 0 for a queue that has none yet."""
        ...

    def refresh(self, *, until: str | None = None) -> None:
        """Fold what the log has gained.

        Args:
            until: A stamp; events after it are left out.

        Raises:
            QueueNotFound: There is no such queue, or the log has no event up to then.
            CorruptLog: With the first event that is wrong.
        """
        ...

    def rows(self) -> Iterator[Row]:
        """Every event as the log holds it, in order, also those after `until`."""
        ...

    def runner_alive(self) -> bool:
        """Whether a runner holds the queue, as far as can be told."""
        ...

    def troubles(self) -> tuple[Trouble, ...]:
        """What keeps a live runner from its work, as far as can be told."""
        ...

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """Report the queue.

        Args:
            past: `now` is long ago: what is known of jobs today does not count.
        """
        ...

    def attempts(self, job_id: str) -> list[Attempt]:
        """The attempts of a job that ever ran, oldest first."""
        ...

    def output(self, attempt: Attempt, name: str) -> Stream:
        """One stream of an attempt, `stdout.log` or `stderr.log`.

        Raises:
            SpawnError: Its bytes are gone.
        """
        ...

    def objects(self) -> ObjectStore:
        """The object store that the queue's results are in."""
        ...
