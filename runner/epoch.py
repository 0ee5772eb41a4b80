"""What the loop knows of its epoch: whether the queue is ours, since when, and how much of the log
the object store has."""

from collections.abc import Callable, Set

from spawn.core.config.model import QueueConfig
from spawn.runner.ports import Clock, Confirmed, Renewed, Replica, Shipped
from spawn.store.replica.lease import START_SECONDS

OWNING_SECONDS = 10.0
"""How often the loop tells how long the queue has been ours."""

SLEPT_SECONDS = 30.0
"""A round that comes so late says that the process, or the machine, was asleep."""


class Epoch:
    """One runner's time with the queue.

    Args:
        number: How many runners have owned the queue, with this one.
        offline: Begin though nobody knows whether the queue is ours.
        owning: Told now and then how many seconds the queue has been ours, should we die.
    """

    def __init__(
        self,
        number: int,
        replica: Replica,
        clock: Clock,
        *,
        offline: bool,
        owning: Callable[[float], None],
    ) -> None:
        self.number = number
        self._replica = replica
        self._clock = clock
        self._offline = offline
        self._owning = owning
        self._owned_at = self._told_at = clock.monotonic()
        self._opening_seq = 0
        self._shipped = 0
        self._unshipped: dict[str, int] = {}
        self._renewed_at: float | None = None
        self._round_at: float | None = None
        self._unsure = False

    def begin(self, seq: int) -> None:
        """The opening is durable, and ends with this seq."""
        self._opening_seq = seq
        self._owned_at = self._told_at = self._clock.monotonic()
        self._owning(0.0)

    @property
    def seconds(self) -> float:
        """How long the queue has been ours."""
        return self._clock.monotonic() - self._owned_at

    @property
    def owned(self) -> bool:
        """Whether the opening is in the object store: the queue was certainly ours."""
        return self._shipped >= self._opening_seq > 0

    @property
    def lapsed(self) -> bool:
        """Whether the lease was ours, and could not be renewed in time: another machine may have
        taken the queue since, without force."""
        at = self._renewed_at
        return at is not None and self._clock.monotonic() - at > START_SECONDS

    def allows(self, config: QueueConfig) -> bool:
        """Whether the queue is ours for all we know: nothing begins before."""
        offline = self._offline and config.durability != "s3"
        return (offline or (self.owned and not self.lapsed)) and not self._unsure

    def take(self, happening: Shipped | Confirmed | Renewed) -> None:
        """Note what the replica says."""
        match happening:
            case Shipped(seq):
                self._shipped = seq
                for job_id in [key for key, at in self._unshipped.items() if at <= seq]:
                    del self._unshipped[job_id]
            case Confirmed():
                self._unsure = False
            case Renewed(at):
                self._renewed_at = at

    def wake(self) -> None:
        """A round begins; one that comes late asks whether the queue is still ours."""
        now = self._clock.monotonic()
        if now - self._told_at >= OWNING_SECONDS:
            self._told_at = now
            self._owning(now - self._owned_at)
        if self._round_at is not None and now - self._round_at > SLEPT_SECONDS:
            self._unsure = True
            self._replica.confirm()

    def rest(self) -> None:
        """It is over."""
        self._round_at = self._clock.monotonic()

    def ship(self, job_id: str, seq: int) -> None:
        """Hold up a job's dependents until the store has its completion, the event of this seq."""
        self._unshipped[job_id] = seq

    def forget(self, seq: int) -> None:
        """The log has taken nothing after this seq."""
        self._unshipped = {key: at for key, at in self._unshipped.items() if at <= seq}

    @property
    def held(self) -> Set[str]:
        """Completed jobs whose dependents wait until the store knows of it."""
        return self._unshipped.keys()
