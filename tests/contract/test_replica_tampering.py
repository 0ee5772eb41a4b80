"""Any tampering with a replica is reported, or the original log is read."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.legal import Seeded, driven, random_config
from tests.support.logs import QUEUE_ID, LogBuilder, owner, submission
from tests.support.replicas import CountingStore, objects, replicate
from tests.support.soak import scaled

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog
from spawn.store.log.ledger import Ledger
from spawn.store.replica import lines, names
from spawn.store.replica import pack as packing
from spawn.store.replica.audit import audit
from spawn.store.replica.lease import Fenced
from spawn.store.replica.reconcile import reconcile

Objects = dict[str, bytes]


def _log(seed: int, least: int, queue_id: str = QUEUE_ID) -> list[Row]:
    builder = LogBuilder(queue_id)
    builder.add(*submission(random_config(Seeded(seed))))
    builder.queue(owner())
    if queue_id == QUEUE_ID:
        driver = driven(Seeded(seed))
        while driver.log.seq < least:
            driver.act()
        return driver.log.rows
    return builder.rows


ROWS = _log(8, 70)
CONFIG = structs.replace(random_config(Seeded(8)), queue_id=QUEUE_ID)
STRANGERS = _log(9, 0, "weekly")
ENDS = [1, 2, *range(5, len(ROWS), 3), len(ROWS)]


def _originals(*, packed: bool, ends: list[int]) -> Objects:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_BYTES", 6000)
        store = CountingStore(Path(folder))
        replicate(store, ROWS, CONFIG, ends=ends, packed=packed)
        return objects(store.folder)


ORIGINALS = (
    _originals(packed=True, ends=ENDS),
    _originals(packed=False, ends=ENDS),
    _originals(packed=True, ends=[20, len(ROWS)]),
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for all examples, in memory where possible: each example writes and syncs a log."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def _told(error: Exception) -> str:
    """Return the object or event that an error names."""
    text = str(error)
    assert "_spawn/" in text or "event " in text or "seq " in text
    return text


def _restored(store: CountingStore, path: Path) -> str:
    """Restore into an empty log as a runner does; returns the error."""
    ledger = Ledger(path, QUEUE_ID)
    told = ""
    try:
        reconcile(store, QUEUE_ID, ledger.log.rows, ledger.adopt)
    except CorruptLog as error:
        told = _told(error)
    found = list(ledger.log.rows())
    assert found == ([] if told else ROWS), "events of a bad replica were written"
    ledger.close()
    return told


def _audited(store: CountingStore) -> str:
    """Audit the replica; returns the error."""
    try:
        audited = audit(store, QUEUE_ID)
    except CorruptLog as error:
        return _told(error)
    verified = audited.verified
    assert (verified.events, verified.hash) == (len(ROWS), ROWS[-1][3].hex())
    return ""


def _try(folder: Path, changed: Objects) -> tuple[str, str]:
    """Return the errors of restoring and of auditing these objects; both are empty if the result is
    the original log, and no other result is possible."""
    with TemporaryDirectory(dir=folder) as name:
        root = Path(name, "objects")
        for key, data in changed.items():
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).write_bytes(data)
        return _restored(CountingStore(root), Path(name, "events.db")), _audited(
            CountingStore(root)
        )


def _keys(original: Objects, prefix: str) -> list[str]:
    return [key for key in original if key.startswith(prefix)]


def _flip(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    """Cut the data at the end of a line, or anywhere."""
    line_ends = [at + 1 for at, byte in enumerate(data[:-1]) if byte == 10]
    ends = [st.integers(0, len(data) - 1), *([st.sampled_from(line_ends)] if line_ends else [])]
    return data[: draw(st.one_of(ends))]


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    """Insert lines before, after or within: of another queue, repeated, or invalid."""
    own = data.splitlines(keepends=True)
    foreign = lines.encode(STRANGERS).splitlines(keepends=True)
    forged = chain.format_line(sha256(b"").digest(), b'{"seq":1,"type":"QueueCompleted"}') + b"\n"
    line = draw(st.sampled_from([*own, *foreign, forged, b"\n", b"{}\n", b"x\r\n"]))
    at = draw(st.integers(0, len(own)))
    return b"".join([*own[:at], line, *own[at:]])


EDITS: dict[str, Callable[[st.DrawFn, bytes], bytes]] = {
    "a byte flipped": _flip,
    "cut": _cut,
    "lines added": _insert,
    "emptied": lambda draw, data: b"",
}


class Change:
    """An edited object of a replica."""

    def __init__(self, original: Objects, key: str, data: bytes) -> None:
        self.key = key
        self.objects = {**original, key: data}
        self.some = data != original[key]

    def __repr__(self) -> str:
        return f"{self.key} is {self.objects[self.key][:2000]!r}"


@st.composite
def changes(draw: st.DrawFn, prefix: str) -> Change:
    """Return edits of one object at or below a prefix."""
    original = ORIGINALS[
        draw(st.sampled_from([n for n, each in enumerate(ORIGINALS) if _keys(each, prefix)]))
    ]
    key = draw(st.sampled_from(_keys(original, prefix)))
    edit = EDITS[draw(st.sampled_from(sorted(EDITS)))]
    return Change(original, key, edit(draw, original[key]))


LONG = settings(max_examples=scaled(25, 100), suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("original", range(len(ORIGINALS)))
def test_an_unchanged_replica_restores_and_verifies(folder: Path, original: int) -> None:
    assert _try(folder, ORIGINALS[original]) == ("", "")


@LONG
@given(changes(names.LOG))
def test_the_audit_names_every_edited_segment(folder: Path, change: Change) -> None:
    if change.some:
        assert _try(folder, change.objects)[1]


@LONG
@given(changes(names.PACKS))
def test_the_audit_names_every_edited_pack(folder: Path, change: Change) -> None:
    if change.some:
        assert change.key in _try(folder, change.objects)[1]


@LONG
@given(changes(names.LEASE))
def test_an_edited_lease_is_named_or_has_no_effect(folder: Path, change: Change) -> None:
    _try(folder, change.objects)


@LONG
@given(changes(names.QUEUE))
def test_an_edited_queue_json_is_named_or_has_no_effect(folder: Path, change: Change) -> None:
    _try(folder, change.objects)


@LONG
@given(
    seq=st.integers(-2, len(ROWS) + 2),
    hash_=st.sampled_from(["", "x", "00" * 32, *(row[3].hex() for row in ROWS[-3:])]),
    epoch=st.integers(-1, 99),
)
def test_a_forged_lease_is_named_or_has_no_effect(
    folder: Path, seq: int, hash_: str, epoch: int
) -> None:
    original = ORIGINALS[0]
    fields = {**msgspec.json.decode(original[names.LEASE]), "seq": seq, "hash": hash_}
    forged = msgspec.json.encode({**fields, "epoch": epoch})
    told = _try(folder, {**original, names.LEASE: forged})
    true = 0 < seq <= len(ROWS) and hash_ == ROWS[seq - 1][3].hex()
    assert bool(told[0]) == bool(told[1]) == (seq > 0 and not true)


@LONG
@given(changes(names.LOG), st.integers(1, len(ROWS)))
def test_a_lagging_log_gains_original_events_or_none(
    folder: Path, change: Change, known: int
) -> None:
    with TemporaryDirectory(dir=folder) as name:
        store = CountingStore(Path(name, "objects"))
        for key, data in change.objects.items():
            store.create(key, data)
        ledger = Ledger(Path(name, "events.db"), QUEUE_ID)
        ledger.adopt(ROWS[:known])
        try:
            reconcile(store, QUEUE_ID, ledger.log.rows, ledger.adopt)
        except (CorruptLog, Fenced) as error:
            _told(error)
        assert list(ledger.log.rows()) in (ROWS[:known], ROWS)
        assert ledger.seq in (known, len(ROWS))
        ledger.close()


@pytest.mark.parametrize("original", ORIGINALS[:2])
def test_the_audit_reports_each_removed_segment(folder: Path, original: Objects) -> None:
    for key in _keys(original, names.LOG):
        told = _try(folder, {each: data for each, data in original.items() if each != key})[1]
        assert "missing" in told, key


def test_a_removed_last_segment_is_reported_though_no_pack_has_it(folder: Path) -> None:
    original = ORIGINALS[1]
    key = _keys(original, names.LOG)[-1]
    told = _try(folder, {each: data for each, data in original.items() if each != key})
    assert all("segments are missing" in each for each in told)


def test_removed_packs_and_lease_are_not_needed(folder: Path) -> None:
    for original in ORIGINALS:
        for prefix in (names.PACKS, names.LEASE):
            left = {key: data for key, data in original.items() if not key.startswith(prefix)}
            assert _try(folder, left) == ("", "")


@LONG
@given(st.data())
def test_two_swapped_objects_are_named(folder: Path, data: st.DataObject) -> None:
    original = ORIGINALS[data.draw(st.integers(0, len(ORIGINALS) - 1))]
    one, other = data.draw(
        st.lists(
            st.sampled_from([*_keys(original, names.LOG), *_keys(original, names.PACKS)]),
            min_size=2,
            max_size=2,
            unique=True,
        )
    )
    changed = {**original, one: original[other], other: original[one]}
    if changed != original:
        assert _try(folder, changed)[1]


@LONG
@given(st.data())
def test_the_audit_names_a_foreign_object(folder: Path, data: st.DataObject) -> None:
    original = ORIGINALS[data.draw(st.integers(0, len(ORIGINALS) - 1))]
    taken = set(original)
    numbers = st.integers(0, len(ROWS) + 3)
    keys = st.one_of(
        numbers.map(names.segment),
        st.tuples(numbers, numbers).map(lambda both: names.pack(*both)),
        st.sampled_from(
            [
                f"{names.LOG}{name}"
                for name in (
                    "000000000001",
                    "x.jsonl",
                    "1.jsonl",
                    "a/b.jsonl",
                    "²²²²²²²²²²²².jsonl",
                )
            ]
        ),
        st.sampled_from([f"{names.PACKS}{name}" for name in ("x", "000000000001-.jsonl")]),
    ).filter(lambda key: key not in taken)
    contents = st.sampled_from(
        [
            b"",
            b"x",
            b"\n",
            lines.encode(STRANGERS),
            *(v for k, v in original.items() if "/log/" in k),
        ]
    )
    key = data.draw(keys)
    told = _try(folder, {**original, key: data.draw(contents)})
    named = names.parse_pack(key)
    if named is None or named[1] > len(ROWS):
        assert told[1]


def test_another_queues_log_is_rejected(folder: Path) -> None:
    original = {names.QUEUE: ORIGINALS[0][names.QUEUE]}
    told = _try(folder, {**original, names.segment(1): lines.encode(STRANGERS)})
    assert all(names.segment(1) in each for each in told)


@pytest.mark.parametrize(
    "line",
    [b"[" * 60_000, b'{"seq":1,"type":"\\ud800"}', b'{"seq":1,"type":"\xff"}', b'{"seq":1e400}'],
)
def test_an_unreadable_object_is_named(folder: Path, line: bytes) -> None:
    exported = chain.format_line(bytes(32), line) + b"\n"
    for key in (names.segment(1), names.QUEUE, names.LEASE):
        data = exported if key == names.segment(1) else line
        told = _try(folder, {**ORIGINALS[0], key: data})
        assert key in told[1]


@pytest.mark.parametrize("key", [names.LEASE, names.QUEUE])
def test_bytes_that_are_not_text_are_named(folder: Path, key: str) -> None:
    original = ORIGINALS[0]
    data = original[key].replace(b'":"', b'":"\xe6', 3)
    assert data != original[key]
    assert key in _try(folder, {**original, key: data})[1]
