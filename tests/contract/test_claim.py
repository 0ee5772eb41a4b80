"""A queue's prefix is claimed once, also after a submission for a machine that boots later."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import msgspec
import pytest
from tests.contract.subjects import CREATES_ONCE, LACKS, REPLACES_IF, Subject
from tests.support.configs import job, queue
from tests.support.replicas import OWNER

from spawn.core.errors import QueueExists
from spawn.store.objects.interface import ObjectStore
from spawn.store.replica.claim import claim, submit
from spawn.store.replica.claim import take_over_submitted as take_over
from spawn.store.replica.lease import OwnedElsewhere
from spawn.store.replica.names import QUEUE
from spawn.store.replica.submitted import read_submitted

CONFIG = queue(job("a"), queue_id="nightly")


def _name(store: ObjectStore) -> Any:
    return msgspec.json.decode(store.read(QUEUE).data)["claimed_by"]


def test_a_submitted_queue_is_pending_and_unclaimed(subject: Subject) -> None:
    submit(subject.store, CONFIG)
    found = read_submitted(subject.reopen())
    assert found is not None
    assert found.config == CONFIG
    assert _name(subject.store) == ""


def test_an_id_is_submitted_once_whether_claimed_or_not(subject: Subject) -> None:
    submit(subject.store, CONFIG)
    for _ in range(2):
        with pytest.raises(QueueExists, match="nightly already exists at"):
            submit(subject.reopen(), CONFIG)
        claim(subject.store, CONFIG, by="i-1")
    assert _name(subject.store) == "i-1"
    with pytest.raises(QueueExists, match="results of queue nightly"):
        submit(subject.reopen(), queue(job("a"), queue_id="other"))


def test_the_first_claim_of_a_submitted_queue_wins_and_is_repeatable(
    subject: Subject,
) -> None:
    submit(subject.store, CONFIG)
    fence = CREATES_ONCE not in LACKS[subject.kind]
    for _ in range(2):
        assert claim(subject.reopen(), CONFIG, by="i-1") == fence
        assert _name(subject.store) == "i-1"
    with pytest.raises(QueueExists, match="used only once"):
        claim(subject.reopen(), CONFIG, by="i-2")
    assert _name(subject.store) == "i-1"


def test_one_of_eight_concurrent_claims_wins(subject: Subject) -> None:
    """Each of the eight learns the outcome, although radosgw answers many losers with 500."""
    subject.require(CREATES_ONCE)
    subject.require(REPLACES_IF)
    submit(subject.store, CONFIG)
    start = Barrier(8)

    def race(number: int) -> bool:
        store = _Meeting(subject.reopen(), start.wait)
        try:
            return claim(store, CONFIG, by=f"i-{number}")
        except QueueExists:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(race, range(8)))
    assert won.count(True) == 1
    assert _name(subject.store) == f"i-{won.index(True)}"


def test_a_takeover_prevents_a_later_claim_by_another_machine(
    subject: Subject,
) -> None:
    subject.require(CREATES_ONCE)
    submit(subject.store, CONFIG)
    with pytest.raises(OwnedElsewhere, match="submitted elsewhere"):
        take_over(subject.store, "nightly", OWNER, force=False)
    assert take_over(subject.store, "nightly", OWNER, force=True) == (CONFIG, True)
    with pytest.raises(QueueExists):
        claim(subject.reopen(), CONFIG, by="i-1")
    assert claim(subject.reopen(), CONFIG, by=OWNER.place)


class _Meeting:
    """A store in which all clients have read before the first one replaces an object."""

    def __init__(self, store: ObjectStore, meet: Callable[[], object]) -> None:
        self._store = store
        self._meet: Callable[[], object] | None = meet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        meet, self._meet = self._meet, None
        if meet is not None:
            meet()
        return self._store.replace(key, data, etag=etag)
