"""A machine that returns to a queue, tested with a real log and a real folder store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import QUEUE_ID, LogBuilder, owner, resumed, started, submission
from tests.support.replicas import OWNER, CountingStore, lease, write_segments

from spawn.core.domain.events import QueueStarted
from spawn.core.domain.state import JobState
from spawn.runner.session.ownership import take_ownership
from spawn.store.log.ledger import Ledger
from spawn.store.replica.lease import Fenced, LeaseHolder, OwnedElsewhere, read_lease

HERE = structs.replace(OWNER, place="here", instance_id="local")


def _at(data: QueueStarted, place: str) -> QueueStarted:
    return structs.replace(data, place=place)


def _own(
    events: Path,
    store: CountingStore,
    *,
    force: bool = False,
    nonce: str = "",
    against: str = "",
    end: Callable[[JobState], None] = lambda _: None,
) -> int:
    """Own the queue; returns the epoch."""
    ledger = Ledger(events, QUEUE_ID)
    try:
        owning = take_ownership(
            ledger,
            store,
            me=HERE,
            take=lambda: True,
            restore=False,
            force=force,
            end=end,
            why_terminated=lambda *_: "",
            say=print,
            nonce=nonce,
            force_nonce=against,
        )
        return owning.epoch(ledger.state)
    finally:
        ledger.close()


def test_a_local_job_is_ended_when_the_new_owner_has_not_recorded_its_outcome(
    tmp_path: Path,
) -> None:
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(_at(owner(), "here"))
    log.job("a", started("a"), attempt=1)
    local = tmp_path / "events.db"
    log.write(local)
    log.queue(_at(resumed(), "there"))
    store = CountingStore(tmp_path / "objects")
    write_segments(store, log.rows, [log.seq])
    lease(store, log.rows[-1], epoch=2)
    ended: list[JobState] = []
    with pytest.raises(OwnedElsewhere):
        _own(local, store, end=ended.append)
    assert [each.config.job_id for each in ended] == ["a"]


@pytest.mark.parametrize(("epoch", "allowed"), [(1, False), (2, True), (3, True)])
def test_a_handed_back_lease_is_ignored_if_the_log_has_a_later_owner(
    tmp_path: Path, epoch: int, allowed: bool
) -> None:
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(_at(owner(), "here"), _at(resumed(), "there"))
    local = tmp_path / "events.db"
    log.write(local)
    store = CountingStore(tmp_path / "objects")
    write_segments(store, log.rows, [log.seq])
    lease(store, log.rows[-1], epoch=epoch, handed_back=True)
    if allowed:
        assert _own(local, store) == max(epoch, 2) + 1
    else:
        with pytest.raises(OwnedElsewhere, match="is owned by"):
            _own(local, store)


def test_a_process_recognizes_its_own_claim(tmp_path: Path) -> None:
    """An earlier try claimed the lease of a silent owner, which had shipped once more."""
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(_at(owner(), "there"))
    log.write(tmp_path / "events.db")
    store = CountingStore(tmp_path / "objects")
    write_segments(store, log.rows, [log.seq])
    lease(store, log.rows[-1], owner=HERE, nonce="ours")
    with pytest.raises(OwnedElsewhere, match="may still be running on host") as refused:
        _own(tmp_path / "events.db", store, nonce="another")
    assert "this machine claimed it 0 s ago" in refused.value.why
    _own(tmp_path / "events.db", store, nonce="ours")
    _own(tmp_path / "events.db", store, nonce="ours", force=True, against="theirs")
    with pytest.raises(OwnedElsewhere):
        _own(tmp_path / "events.db", store, nonce="another", force=True, against="theirs")


@pytest.mark.parametrize("handed_back", [False, True])
def test_the_same_process_may_claim_twice(tmp_path: Path, handed_back: bool) -> None:
    """The process ships the end of a queue, and then resumes it."""
    store = CountingStore(tmp_path)
    head = (0, b"")
    elsewhere = structs.replace(HERE, place="elsewhere")
    first, second, next_, other = (
        LeaseHolder(store, owner=owner, epoch=2, nonce=nonce, seen=None, head=lambda: head)
        for owner, nonce in ((HERE, "ours"), (HERE, "ours"), (HERE, "next"), (elsewhere, "theirs"))
    )
    first.claim()
    if handed_back:
        first.renew(handed_back=True)
    second.claim()
    seen = read_lease(store)
    assert seen is not None
    assert not seen.lease.handed_back
    next_.claim()  # the next process at this place may meet a late write of the previous one
    with pytest.raises(Fenced):
        other.claim()


def test_a_claim_fails_if_the_owner_has_renewed_the_same_lease_meanwhile(tmp_path: Path) -> None:
    """Nothing has happened between two renewals: they must differ all the same, also as ETags."""
    store = CountingStore(tmp_path)
    ours = LeaseHolder(store, owner=HERE, epoch=1, nonce="ours", seen=None, head=lambda: (0, b""))
    ours.claim()
    ours.renew()
    expired = read_lease(store)
    ours.renew()
    other = LeaseHolder(
        store,
        owner=structs.replace(HERE, place="elsewhere"),
        epoch=2,
        nonce="theirs",
        seen=expired,
        head=lambda: (0, b""),
    )
    with pytest.raises(Fenced):
        other.claim()
    ours.renew()


def test_a_machine_restarted_under_another_hostname_is_the_same_machine(
    tmp_path: Path,
) -> None:
    before = structs.replace(_at(owner(), "here"), hostname="before", boot_id="before")
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(before)
    log.job("a", started("a"), attempt=1)
    log.write(tmp_path / "events.db")
    store = CountingStore(tmp_path / "objects")
    write_segments(store, log.rows, [log.seq])
    lease(store, log.rows[-1], owner=structs.replace(HERE, hostname="before"))
    ended: list[JobState] = []
    _own(tmp_path / "events.db", store, end=ended.append)
    assert not ended
