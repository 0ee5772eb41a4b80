"""The lease names the owner of a queue. It is not the fence: the log is.

Only the store's clock decides whether a lease has expired, never a machine's clock.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf

import msgspec
from msgspec import Struct

from spawn.core.errors import CorruptLog, SpawnError
from spawn.core.reports.model import Trouble
from spawn.store.objects.interface import (
    ETagMismatch,
    Object,
    ObjectExists,
    ObjectNotFound,
    SmallObjects,
    Unavailable,
)
from spawn.store.queue_dir.troubles import fitting
from spawn.store.replica.names import LEASE

RENEW_SECONDS = 10.0
TTL_SECONDS = 60.0
START_SECONDS = 54.0
"""An owner that has not renewed its lease for this long starts no jobs. The rest of the lease is
time to commit a start that was decided just before."""

FORCE = "`--force` takes it over anyway; if its machine is alive, a job may then run twice"


class OwnedElsewhere(SpawnError):
    """Another runner owns the queue, or may own it. A takeover needs `--force`."""


class Fenced(Exception):
    """Another runner owns the queue. Nothing that this runner does counts any more."""


class Owner(Struct, frozen=True, kw_only=True):
    """The owner of a queue. `place` is its machine and folder: a takeover in the same place need
    not wait."""

    place: str
    instance_id: str
    hostname: str
    region: str | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """The contents of `lease.json`. `seq` and `hash` are those of the store's newest event when the
    lease was written, `troubles` are the runner's at that time. `write` counts the writes of one
    runner: two of its leases never have the same bytes, so never the same ETag."""

    epoch: int
    nonce: str
    owner: Owner
    seq: int
    hash: str
    handed_back: bool = False
    troubles: tuple[Trouble, ...] = ()
    write: int = 0


class LeaseSnapshot(Struct, frozen=True):
    """A lease as read. `age` is the seconds since it was written, by the store's clock; `now` is
    the time of that clock, None if the store has none of its own."""

    lease: Lease
    etag: str
    age: float
    now: datetime | None = None

    @property
    def expired(self) -> bool:
        """Whether the owner has not renewed the lease for `TTL_SECONDS`."""
        return self.age > TTL_SECONDS


def read_lease(store: SmallObjects) -> LeaseSnapshot | None:
    """Read the lease; None if there is none.

    Raises:
        CorruptLog: The lease is invalid.
    """
    try:
        found = store.read(LEASE)
    except ObjectNotFound:
        return None
    return LeaseSnapshot(_decode(store, found), found.etag, found.age, found.now)


def _decode(store: SmallObjects, found: Object) -> Lease:
    try:
        return msgspec.json.decode(found.data, type=Lease)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptLog(
            "the queue's lease cannot be read", why=f"{store.location}{LEASE}: {error}"
        ) from None


class LeaseHolder:
    """Claims and renews the lease for one runner.

    Args:
        seen: The lease to replace; None if there was none.
        head: Returns the newest event in the store: `(seq, hash)`.
        troubles: Returns the runner's present troubles, for readers of the store alone.
        fence: Whether the store honors conditional writes. If not, the lease is read before each
            write.
    """

    def __init__(
        self,
        store: SmallObjects,
        *,
        owner: Owner,
        epoch: int,
        nonce: str,
        seen: LeaseSnapshot | None,
        head: Callable[[], tuple[int, bytes]],
        troubles: Callable[[], Sequence[Trouble]] = tuple,
        fence: bool = True,
    ) -> None:
        self._store = store
        self._owner = owner
        self._epoch = epoch
        self._nonce = nonce
        self._etag = seen.etag if seen else None
        self._head = head
        self._troubles = troubles
        self._writes = 0
        self._fence = fence

    def claim(self) -> float:
        """Claim the lease. An earlier claim with the same nonce counts as this one.

        Returns:
            The age of the lease in seconds, by the store's clock: 0, or the age of an earlier try
            that took effect.

        Raises:
            Fenced: Another runner has replaced the lease.
            Unavailable: The store rejects the write but shows no other lease.
        """
        return self._write_lease(claiming=True)

    def renew(self, *, handed_back: bool = False) -> float:
        """Renew the lease, or hand it back. Returns the lease's age, as `claim` does.

        Raises:
            Fenced: A runner of a later epoch owns the queue.
            Unavailable: The store rejects the write but shows no other lease.
        """
        return self._write_lease(handed_back=handed_back)

    def _write_lease(self, *, claiming: bool = False, handed_back: bool = False) -> float:
        for _ in range(3):
            try:
                self._try_write(handed_back=handed_back)
                return 0.0
            except (ObjectExists, ETagMismatch):
                age = self._check_rejection(claiming=claiming)
                if age is not None and not handed_back:
                    return age
        raise Unavailable(
            "the lease cannot be written",
            why=f"the store reports that {LEASE} changed, but it did not",
        )

    def _try_write(self, *, handed_back: bool = False) -> None:
        if not self._fence:
            seen = read_lease(self._store)
            if (seen and seen.etag) != self._etag:
                raise ETagMismatch
        self._writes += 1
        seq, hash_ = self._head()
        lease = Lease(
            epoch=self._epoch,
            nonce=self._nonce,
            owner=self._owner,
            seq=seq,
            hash=hash_.hex(),
            handed_back=handed_back,
            troubles=() if handed_back else fitting(self._troubles()),
            write=self._writes,
        )
        data = msgspec.json.encode(lease, order="sorted")
        if self._etag is None:
            self._etag = self._store.create(LEASE, data)
        else:
            self._etag = self._store.replace(LEASE, data, etag=self._etag)

    def _check_rejection(self, *, claiming: bool) -> float | None:
        """Read the lease after a rejected write. Returns the age of an earlier try of this runner
        that took effect, infinite if the store has no clock; None to write again."""
        seen = read_lease(self._store)
        if seen is None:
            self._etag = None  # it was deleted: the next write creates it
            return None
        if seen.etag == self._etag:
            return None  # it is unchanged
        lease = seen.lease
        # In the same place it is a late write of a runner that died: this one has `runner.lock`.
        foreign = lease.nonce != self._nonce and lease.owner.place != self._owner.place
        if lease.epoch > self._epoch or (claiming and foreign):
            raise Fenced(f"{owner_name(lease)} owns the queue, in epoch {lease.epoch}")
        self._etag = seen.etag
        if lease.nonce != self._nonce or (claiming and lease.handed_back):
            return None
        return seen.age if seen.now is not None else inf


def owner_name(lease: Lease) -> str:
    """The instance id or the hostname of a lease's owner, for messages."""
    owner = lease.owner
    return owner.hostname if owner.instance_id == "local" else owner.instance_id
