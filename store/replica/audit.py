"""Read a replica as an auditor does: every object of the log, and what they say of each other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from msgspec import Struct, structs

from spawn.core import chain, codec
from spawn.core.config.model import QueueConfig
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.events import QueueReconfigured, QueueSubmitted
from spawn.core.replay import Replay, Row
from spawn.core.submission import config_sha256
from spawn.store.log.head import Head
from spawn.store.log.verify import Verified, check_config
from spawn.store.objects.port import NotThere, SmallObjects, list_all
from spawn.store.replica import names, restore
from spawn.store.replica.lease import Seen, look
from spawn.store.replica.submitted import parse_submitted

AHEAD = 8
"""Objects that are asked for at once."""
_HASH = 32
_CONFIGURING = {b"QueueSubmitted", b"QueueReconfigured"}

Named = tuple[str, int, int | None]
"""An object: `(key, first seq, last seq where the name says it)`."""


class Audited(Struct, frozen=True, kw_only=True):
    """What a replica that holds amounts to."""

    verified: Verified
    segments: int
    packs: int
    seen: Seen | None
    """The lease; None when there is none."""
    as_submitted: bool
    """Whether the log ever had the configuration of `queue.json`: whoever began the queue may have
    edited it before the log did. Nothing rests on it once there is a log."""


def audit(store: SmallObjects, queue_id: str) -> Audited:
    """Check a replica: every segment, the chain through them, legality; every pack against them;
    the lease's head; the configuration that was submitted.

    Raises:
        QueueNotFound: The queue is not there, or its log has no event.
        CorruptLog: With the object or the event that is wrong.
        StoreError: The store cannot be read.
    """
    # In this order: what an owner writes meanwhile is then in what is listed last.
    seen = look(store)
    packs = list(_packs(store))
    segments = [(key, restore.first_of(key), None) for key, _ in list_all(store, names.LOG)]
    submitted = _submitted(store, queue_id)
    if submitted is None and not segments and not packs and seen is None:
        raise _absent(store, queue_id)
    book = _Book(queue_id)
    try:
        book.read_segments(_fetched(store, segments))
    except CorruptLog as error:
        if submitted is not None and submitted.queue_id != queue_id and error.seq <= 1:
            raise _absent(store, queue_id, why=f"{submitted.queue_id} is there") from None
        raise
    for key, rows in _fetched(store, packs):
        book.compare(key, rows)
    seq = book.fold.seq
    at = seen.lease.seq if seen else 0
    restore.expect_head(seen, seq, {at: book.hash(at)} if 0 < at <= seq else {})
    if book.fold.empty:
        why = f"{submitted.queue_id} is there" if submitted else ""
        if submitted is not None and submitted.queue_id == queue_id:
            why = "it was submitted, and has not begun"
        raise _absent(store, queue_id, why=why)
    state = book.fold.state
    check_config(state)
    _expect_submitted(store, submitted, queue_id)
    return Audited(
        verified=Verified(events=seq, hash=book.fold.hash.hex(), state=state),
        segments=len(segments),
        packs=len(packs),
        seen=seen,
        as_submitted=_was_configured(submitted, book.configs),
    )


def newest(store: SmallObjects, queue_id: str) -> tuple[Head, Seen] | None:
    """The newest event that a replica has, and its lease; None where nothing was shipped.

    Raises:
        CorruptLog: The lease or an object after it is damaged.
        StoreError: The store cannot be read.
    """
    seen = look(store)
    if seen is None:
        return None
    seq = seen.lease.seq
    try:
        hash_ = bytes.fromhex(seen.lease.hash) if seq else b""
    except ValueError:
        raise CorruptLog(f"{names.LEASE} has no hash", why=repr(seen.lease.hash)) from None
    for row in restore.read(store, queue_id, after=seq, hash_=hash_):
        seq, hash_ = row[0], row[3]
    return Head(seq=seq, hash=hash_, source=f"its copy at {store.location}"), seen


class _Book:
    """The log as the segments have it, and the hash of every event for what repeats them."""

    def __init__(self, queue_id: str) -> None:
        self.fold = Replay(queue_id)
        self.configs: list[str] = []
        """Hashes of the configurations that the queue ever had."""
        self._hashes = bytearray(chain.genesis(queue_id))

    def hash(self, seq: int) -> bytes:
        """The chain's hash up to an event."""
        return bytes(self._hashes[seq * _HASH : (seq + 1) * _HASH])

    def read_segments(self, objects: Iterable[tuple[str, Iterator[Row]]]) -> None:
        """Fold what the segments hold; each begins where the one before it ends."""
        self.fold.feed(self._follow(objects))

    def compare(self, key: str, rows: Iterable[Row]) -> None:
        """See that a pack repeats what the segments have."""
        for seq, _, line, hash_ in rows:
            if seq > self.fold.seq:
                raise CorruptLog(
                    f"event {seq} is missing in the store",
                    seq=seq,
                    why=f"{key} has it, and no segment",
                )
            if hash_ != self.hash(seq) or chain.link(self.hash(seq - 1), line) != hash_:
                raise CorruptLog(
                    f"event {seq} is not what was written",
                    seq=seq,
                    why=f"{key} has another than the segments",
                )

    def _follow(self, objects: Iterable[tuple[str, Iterator[Row]]]) -> Iterator[Row]:
        after = 0
        for key, rows in objects:
            for row in rows:
                if row[0] <= after:
                    raise CorruptLog(
                        f"event {row[0]} is in the store twice",
                        seq=row[0],
                        why=f"{key} repeats what the segment before it has",
                    )
                self._hashes += restore.follow(key, row, after, self.hash(after))
                after = row[0]
                yield row
                if row[1] in _CONFIGURING:
                    self._note(row)

    def _note(self, row: Row) -> None:
        event = codec.decode(row[2], row[1])
        if event is not None and isinstance(event.data, QueueSubmitted | QueueReconfigured):
            self.configs.append(event.data.config_sha256)


def _packs(store: SmallObjects) -> Iterator[Named]:
    for key, _ in list_all(store, names.PACKS):
        named = names.parse_pack(key)
        if named is None:
            raise restore.foreign(key)
        yield key, *named


def _fetched(store: SmallObjects, objects: Iterable[Named]) -> Iterator[tuple[str, Iterator[Row]]]:
    """Read objects in order, a few of them ahead: a log may have very many segments."""
    waiting = iter(objects)
    with ThreadPoolExecutor(AHEAD) as pool:

        def ask(named: Named) -> tuple[Named, Callable[[], bytes]]:
            return named, pool.submit(restore.fetch, store, named[0], named[1]).result

        asked = deque(map(ask, islice(waiting, AHEAD)))
        while asked:
            (key, first, _), answer = asked.popleft()
            data = answer()
            asked.extend(map(ask, islice(waiting, 1)))
            yield key, restore.rows_of(key, first, data)


def _submitted(store: SmallObjects, queue_id: str) -> QueueConfig | None:
    try:
        found = store.read(names.QUEUE)
    except NotThere:
        return None
    return parse_submitted("", found.data)[0]


def _expect_submitted(store: SmallObjects, submitted: QueueConfig | None, queue_id: str) -> None:
    if submitted is None:
        raise CorruptLog(f"{names.QUEUE} is gone", why=f"{store.location} has the log of a queue")
    if submitted.queue_id != queue_id:
        raise CorruptLog(f"{names.QUEUE} is of another queue", why=f"it says {submitted.queue_id}")


def _was_configured(submitted: QueueConfig | None, hashes: Iterable[str]) -> bool:
    if submitted is None:
        return False
    without_id = structs.replace(submitted, queue_id=None)  # the log's may leave it to the events
    return not {config_sha256(submitted), config_sha256(without_id)}.isdisjoint(hashes)


def _absent(store: SmallObjects, queue_id: str, *, why: str = "") -> QueueNotFound:
    return QueueNotFound(
        f"queue {queue_id} is not at {store.location}",
        why=why,
        hint="--bucket and --prefix say where it is",
    )
