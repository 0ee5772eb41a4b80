"""The runner's epoch: whether it owns the queue, for how long, and what the object store has."""

from collections.abc import Callable, Set

from spawn.core.config.model import QueueConfig
from spawn.runner.ports import Clock, OwnershipConfirmed, Renewed, Replica, Shipped
from spawn.store.replica.lease import START_SECONDS

SAVE_OWNED_SECONDS = 10.0
"""Interval at which the loop saves how long it has owned the queue."""

SLEPT_SECONDS = 30.0
"""A round that is this late means that the process or the machine was suspended."""


class Epoch:
    """One runner's ownership of the queue.

    Args:
        number: Counts the runners that have owned the queue, including this one.
        offline: Start jobs without checking ownership in the store.
        save_owned: Receives the seconds owned so far, every `SAVE_OWNED_SECONDS`. If this runner
            dies, the next one adds them to the queue's time.
    """

    def __init__(
        self,
        number: int,
        replica: Replica,
        clock: Clock,
        *,
        offline: bool,
        save_owned: Callable[[float], None],
    ) -> None:
        self.number = number
        self._replica = replica
        self._clock = clock
        self._offline = offline
        self._save_owned = save_owned
        self._owned_at = self._saved_at = clock.monotonic()
        self._opening_seq = 0
        self._shipped = 0
        self._unshipped: dict[str, int] = {}
        self._renewed_at: float | None = None
        self._round_at: float | None = None
        self._unconfirmed = False

    def begin(self, seq: int) -> None:
        """Start the epoch: its opening events are durable up to this seq."""
        self._opening_seq = seq
        self._owned_at = self._saved_at = self._clock.monotonic()
        self._save_owned(0.0)

    @property
    def seconds(self) -> float:
        """How long this runner has owned the queue."""
        return self._clock.monotonic() - self._owned_at

    @property
    def owned(self) -> bool:
        """Whether the opening events are in the object store, which proves ownership."""
        return self._shipped >= self._opening_seq > 0

    @property
    def lapsed(self) -> bool:
        """Whether the lease was not renewed in time: another machine may have taken over the queue
        without `--force`."""
        at = self._renewed_at
        return at is not None and self._clock.monotonic() - at > START_SECONDS

    def may_start_jobs(self, config: QueueConfig) -> bool:
        """Whether this runner owns the queue as far as it can tell."""
        offline = self._offline and config.durability != "s3"
        return (offline or (self.owned and not self.lapsed)) and not self._unconfirmed

    def record(self, happening: Shipped | OwnershipConfirmed | Renewed) -> None:
        """Record a report of the replicator."""
        match happening:
            case Shipped(seq):
                self._shipped = seq
                for job_id in [key for key, at in self._unshipped.items() if at <= seq]:
                    del self._unshipped[job_id]
            case OwnershipConfirmed():
                self._unconfirmed = False
            case Renewed(at):
                self._renewed_at = at

    def begin_round(self) -> None:
        """Begin a round of the loop; after a suspension, ask whether we still own the queue."""
        now = self._clock.monotonic()
        if now - self._saved_at >= SAVE_OWNED_SECONDS:
            self._saved_at = now
            self._save_owned(now - self._owned_at)
        if self._round_at is not None and now - self._round_at > SLEPT_SECONDS:
            self._unconfirmed = True
            self._replica.confirm()

    def end_round(self) -> None:
        """End a round of the loop."""
        self._round_at = self._clock.monotonic()

    def hold_dependents(self, job_id: str, seq: int) -> None:
        """Hold a job's dependents until the store has the event of this seq, its completion."""
        self._unshipped[job_id] = seq

    def roll_back(self, seq: int) -> None:
        """Release dependents held for events after this seq, which the log has not taken."""
        self._unshipped = {key: at for key, at in self._unshipped.items() if at <= seq}

    @property
    def held(self) -> Set[str]:
        """Completed jobs whose dependents wait until the completion is in the store."""
        return self._unshipped.keys()
