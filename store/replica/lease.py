"""The lease announces who owns a queue. It is not the fence: the log is.

Its expiry is told by the store's own clock alone, so that no machine's clock counts.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf

import msgspec
from msgspec import Struct

from spawn.core.errors import CorruptLog, SpawnError
from spawn.core.report.model import Trouble
from spawn.store.objects.port import (
    Changed,
    Exists,
    NotThere,
    Object,
    SmallObjects,
    Unavailable,
)
from spawn.store.replica.names import LEASE
from spawn.store.troubles import fitting

RENEW_SECONDS = 10.0
TTL_SECONDS = 60.0
START_SECONDS = 54.0
"""An owner whose lease was not renewed for so long starts nothing. The rest of the lease is for a
start that was decided just before: it has yet to be committed."""

FORCE = "`--force` takes it over all the same; if its machine is alive, a job may then run twice"


class Owned(SpawnError):
    """Somebody else owns the queue, or may: taking it over needs `--force`."""


class Fenced(Exception):
    """Somebody else owns the queue: whatever this runner does counts no more."""


class Owner(Struct, frozen=True, kw_only=True):
    """Who owns a queue. `place` is the machine and the folder: the same one needs no wait."""

    place: str
    instance_id: str
    hostname: str
    region: str | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """What `lease.json` says. `seq` and `hash` are of the newest event that was in the store then,
    `troubles` what kept the runner from its work."""

    epoch: int
    nonce: str
    owner: Owner
    seq: int
    hash: str
    handed_back: bool = False
    troubles: tuple[Trouble, ...] = ()


class Seen(Struct, frozen=True):
    """A lease as it was read. `age` is seconds since it was written, by the store's clock, which
    said `now`; None: there is no other clock than ours."""

    lease: Lease
    etag: str
    age: float
    now: datetime | None = None

    @property
    def expired(self) -> bool:
        """Whether its owner has been silent for too long."""
        return self.age > TTL_SECONDS


def look(store: SmallObjects) -> Seen | None:
    """Read the lease; None when there is none.

    Raises:
        CorruptLog: It is not a lease.
    """
    try:
        found = store.read(LEASE)
    except NotThere:
        return None
    return Seen(_decode(store, found), found.etag, found.age, found.now)


def _decode(store: SmallObjects, found: Object) -> Lease:
    try:
        return msgspec.json.decode(found.data, type=Lease)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptLog(
            "the queue's lease cannot be read", why=f"{store.location}{LEASE}: {error}"
        ) from None


class Holder:
    """One runner's hold on the lease.

    Args:
        seen: The lease that the claim rests on; None when there was none.
        head: Tells the newest event that is in the store: `(seq, hash)`.
        troubles: Tells the runner's present troubles, for readers of the store alone.
        fence: Whether the store honours conditional writes; where it does not, we look first.
    """

    def __init__(
        self,
        store: SmallObjects,
        *,
        owner: Owner,
        epoch: int,
        nonce: str,
        seen: Seen | None,
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
        self._fence = fence

    def claim(self) -> float:
        """Announce that we own the queue, or are about to. An earlier claim with our nonce is ours.

        Returns:
            How many seconds ago the lease was written, by the store's clock: 0, or the age of an
            earlier try that has taken effect.

        Raises:
            Fenced: The lease is not the one that the claim rests on.
            Unavailable: The store refuses to write it, and shows no other.
        """
        return self._announce(claiming=True)

    def renew(self, *, handed_back: bool = False) -> float:
        """Say that we still own it, or own it no more. Returns what `claim` does.

        Raises:
            Fenced: Somebody of a later epoch does.
            Unavailable: The store refuses to write it, and shows no other.
        """
        return self._announce(handed_back=handed_back)

    def _announce(self, *, claiming: bool = False, handed_back: bool = False) -> float:
        for _ in range(3):
            try:
                self._write(handed_back=handed_back)
                return 0.0
            except (Exists, Changed):
                age = self._adopt(claiming=claiming)
                if age is not None and not handed_back:
                    return age
        raise Unavailable(
            "the lease cannot be written",
            why=f"the store says that {LEASE} changed, and it did not",
        )

    def _write(self, *, handed_back: bool = False) -> None:
        if not self._fence:
            seen = look(self._store)
            if (seen and seen.etag) != self._etag:
                raise Changed
        seq, hash_ = self._head()
        lease = Lease(
            epoch=self._epoch,
            nonce=self._nonce,
            owner=self._owner,
            seq=seq,
            hash=hash_.hex(),
            handed_back=handed_back,
            troubles=() if handed_back else fitting(self._troubles()),
        )
        data = msgspec.json.encode(lease, order="sorted")
        if self._etag is None:
            self._etag = self._store.create(LEASE, data)
        else:
            self._etag = self._store.replace(LEASE, data, etag=self._etag)

    def _adopt(self, *, claiming: bool) -> float | None:
        """Learn why a write was refused; returns the age of an earlier try of ours that took
        effect, None where none has. An age that the store does not tell is infinite."""
        seen = look(self._store)
        if seen is None:
            self._etag = None  # somebody took it away: the next write makes it anew
            return None
        if seen.etag == self._etag:
            return None  # nothing has changed
        lease = seen.lease
        # Of our own place it is a late write of a runner that has died: `runner.lock` is ours.
        strange = lease.nonce != self._nonce and lease.owner.place != self._owner.place
        if lease.epoch > self._epoch or (claiming and strange):
            raise Fenced(f"{describe(lease)} owns the queue, in epoch {lease.epoch}")
        self._etag = seen.etag
        if lease.nonce != self._nonce or (claiming and lease.handed_back):
            return None
        return seen.age if seen.now is not None else inf


def describe(lease: Lease) -> str:
    """Name a lease's owner for a person."""
    owner = lease.owner
    return owner.hostname if owner.instance_id == "local" else owner.instance_id
