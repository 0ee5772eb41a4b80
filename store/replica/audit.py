"""Verify a replica: every object of the log, and that the objects agree."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from msgspec import Struct, structs

from spawn.core.config.model import QueueConfig
from spawn.core.domain import chain, codec
from spawn.core.domain.events import QueueReconfigured, QueueSubmitted
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.submission import config_sha256
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.store.log.head import Head
from spawn.store.log.verify import Verified, check_config
from spawn.store.objects.interface import ObjectNotFound, SmallObjects, list_all
from spawn.store.replica import names, read
from spawn.store.replica.lease import LeaseSnapshot, read_lease
from spawn.store.replica.submitted import parse_submitted

AHEAD = 8
"""Objects that are read concurrently."""
_HASH = 32
_CONFIGURING = {b"QueueSubmitted", b"QueueReconfigured"}

_LogObject = tuple[str, int, int | None]
"""An object: `(key, first seq, last seq if the key contains it)`."""


class Audited(Struct, frozen=True, kw_only=True):
    """The result of a successful audit."""

    verified: Verified
    segments: int
    packs: int
    seen: LeaseSnapshot | None
    """The lease; None if there is none."""
    as_submitted: bool
    """Whether the log ever had the configuration in `queue.json`. A user may have edited it before
    the queue started. Nothing depends on `queue.json` once there is a log."""


def audit(store: SmallObjects, queue_id: str) -> Audited:
    """Verify a replica: every segment, their chain, legal transitions, every pack against the
    segments, the lease's newest event, and the submitted configuration.

    Raises:
        QueueNotFound: The queue does not exist, or its log has no events.
        CorruptLog: Names the invalid object or event.
        StoreError: The store cannot be read.
    """
    # In this order, so that the last list includes what an owner writes meanwhile.
    seen = read_lease(store)
    packs = list(_packs(store))
    segments = [(key, read.first_of(key), None) for key, _ in list_all(store, names.LOG)]
    submitted = _submitted(store, queue_id)
    if submitted is None and not segments and not packs and seen is None:
        raise _absent(store, queue_id)
    log = _SegmentLog(queue_id)
    try:
        log.read_segments(_fetched(store, segments))
    except CorruptLog as error:
        if submitted is not None and submitted.queue_id != queue_id and error.seq <= 1:
            raise _absent(store, queue_id, why=f"{submitted.queue_id} is there") from None
        raise
    for key, rows in _fetched(store, packs):
        log.compare(key, rows)
    seq = log.fold.seq
    at = seen.lease.seq if seen else 0
    read.expect_head(seen, seq, {at: log.hash(at)} if 0 < at <= seq else {})
    if log.fold.empty:
        why = f"{submitted.queue_id} is there" if submitted else ""
        if submitted is not None and submitted.queue_id == queue_id:
            why = "it was submitted but has not started"
        raise _absent(store, queue_id, why=why)
    state = log.fold.state
    check_config(state)
    _expect_submitted(store, submitted, queue_id)
    return Audited(
        verified=Verified(events=seq, hash=log.fold.hash.hex(), state=state),
        segments=len(segments),
        packs=len(packs),
        seen=seen,
        as_submitted=_was_configured(submitted, log.configs),
    )


def newest_event(store: SmallObjects, queue_id: str) -> tuple[Head, LeaseSnapshot] | None:
    """The newest event of a replica, and its lease; None if it has no lease.

    Raises:
        CorruptLog: The lease or an object after it is damaged.
        StoreError: The store cannot be read.
    """
    seen = read_lease(store)
    if seen is None:
        return None
    seq = seen.lease.seq
    try:
        hash_ = bytes.fromhex(seen.lease.hash) if seq else b""
    except ValueError:
        raise CorruptLog(f"{names.LEASE} has no hash", why=repr(seen.lease.hash)) from None
    for row in read.read(store, queue_id, after=seq, hash_=hash_):
        seq, hash_ = row[0], row[3]
    return Head(seq=seq, hash=hash_, source=f"its copy at {store.location}"), seen


class _SegmentLog:
    """The log in the segments, with every event's hash to compare packs with."""

    def __init__(self, queue_id: str) -> None:
        self.fold = Replay(queue_id)
        self.configs: list[str] = []
        """Hashes of all configurations that the queue ever had."""
        self._hashes = bytearray(chain.genesis(queue_id))

    def hash(self, seq: int) -> bytes:
        """The chain hash up to an event."""
        return bytes(self._hashes[seq * _HASH : (seq + 1) * _HASH])

    def read_segments(self, objects: Iterable[tuple[str, Iterator[Row]]]) -> None:
        """Replay the segments. Each must start where the previous one ends."""
        self.fold.feed(self._follow(objects))

    def compare(self, key: str, rows: Iterable[Row]) -> None:
        """Check that a pack matches the segments."""
        for seq, _, line, hash_ in rows:
            if seq > self.fold.seq:
                raise CorruptLog(
                    f"event {seq} is missing in the store",
                    seq=seq,
                    why=f"{key} has it, but no segment",
                )
            if hash_ != self.hash(seq) or chain.next_hash(self.hash(seq - 1), line) != hash_:
                raise CorruptLog(
                    f"event {seq} is not what was written",
                    seq=seq,
                    why=f"{key} differs from the segments",
                )

    def _follow(self, objects: Iterable[tuple[str, Iterator[Row]]]) -> Iterator[Row]:
        after = 0
        for key, rows in objects:
            for row in rows:
                if row[0] <= after:
                    raise CorruptLog(
                        f"event {row[0]} is in the store twice",
                        seq=row[0],
                        why=f"{key} repeats events of the previous segment",
                    )
                self._hashes += read.follow(key, row, after, self.hash(after))
                after = row[0]
                yield row
                if row[1] in _CONFIGURING:
                    self._note(row)

    def _note(self, row: Row) -> None:
        event = codec.decode(row[2], row[1])
        if event is not None and isinstance(event.data, QueueSubmitted | QueueReconfigured):
            self.configs.append(event.data.config_sha256)


def _packs(store: SmallObjects) -> Iterator[_LogObject]:
    for key, _ in list_all(store, names.PACKS):
        named = names.parse_pack(key)
        if named is None:
            raise read.foreign(key)
        yield key, *named


def _fetched(
    store: SmallObjects, objects: Iterable[_LogObject]
) -> Iterator[tuple[str, Iterator[Row]]]:
    """Read objects in order, `AHEAD` at once: a log may have very many segments."""
    waiting = iter(objects)
    with ThreadPoolExecutor(AHEAD) as pool:

        def ask(named: _LogObject) -> tuple[_LogObject, Callable[[], bytes]]:
            return named, pool.submit(read.fetch, store, named[0], named[1]).result

        asked = deque(map(ask, islice(waiting, AHEAD)))
        while asked:
            (key, first, _), answer = asked.popleft()
            data = answer()
            asked.extend(map(ask, islice(waiting, 1)))
            yield key, read.rows_of(key, first, data)


def _submitted(store: SmallObjects, queue_id: str) -> QueueConfig | None:
    try:
        found = store.read(names.QUEUE)
    except ObjectNotFound:
        return None
    return parse_submitted("", found.data)[0]


def _expect_submitted(store: SmallObjects, submitted: QueueConfig | None, queue_id: str) -> None:
    if submitted is None:
        raise CorruptLog(f"{names.QUEUE} is missing", why=f"{store.location} has a queue's log")
    if submitted.queue_id != queue_id:
        raise CorruptLog(f"{names.QUEUE} belongs to queue {submitted.queue_id}")


def _was_configured(submitted: QueueConfig | None, hashes: Iterable[str]) -> bool:
    if submitted is None:
        return False
    without_id = structs.replace(submitted, queue_id=None)  # the log's may have no id
    return not {config_sha256(submitted), config_sha256(without_id)}.isdisjoint(hashes)


def _absent(store: SmallObjects, queue_id: str, *, why: str = "") -> QueueNotFound:
    """`why`: what is there instead; empty for nothing."""
    return QueueNotFound(
        f"queue {queue_id} is not at {store.location}",
        why=why,
        hint="set --bucket and --prefix to its place",
        cause="" if why else "absent",
    )
