"""What a machine does that comes back to a queue: judged by a real log and a real folder store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import QUEUE_ID, LogBuilder, owner, resumed, started, submission
from tests.support.replicas import OWNER, CountingStore, lease, write_segments

from spawn.core.events import QueueStarted
from spawn.core.state import JobState
from spawn.runner.owning import Owning, own
from spawn.store.log.ledger import Ledger
from spawn.store.replica.lease import Owned

HERE = structs.replace(OWNER, place="here", instance_id="local")


def _at(data: QueueStarted, place: str) -> QueueStarted:
    return structs.replace(data, place=place)


def _own(ledger: Ledger, store: CountingStore, end: Callable[[JobState], None]) -> Owning:
    return own(
        ledger,
        store,
        me=HERE,
        take=lambda: True,
        restore=False,
        force=False,
        end=end,
        gone=lambda *_: "",
        say=print,
    )


def test_a_job_ends_where_another_machine_has_taken_the_queue_and_not_told_its_outcome_yet(
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
    ledger = Ledger(local, QUEUE_ID)
    try:
        with pytest.raises(Owned):
            _own(ledger, store, ended.append)
    finally:
        ledger.close()
    assert [each.config.job_id for each in ended] == ["a"]


@pytest.mark.parametrize(("epoch", "allowed"), [(1, False), (2, True), (3, True)])
def test_a_lease_that_was_handed_back_counts_unless_the_log_has_a_later_owner(
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
    ledger = Ledger(local, QUEUE_ID)
    try:
        if allowed:
            assert _own(ledger, store, print).epoch(ledger.state) == max(epoch, 2) + 1
        else:
            with pytest.raises(Owned, match="is owned by"):
                _own(ledger, store, print)
    finally:
        ledger.close()
