"""The replicator, with a clock that advances only while it waits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from tests.cli import samples

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.runner.ports import LoopMessage
from spawn.runner.replication.replicator import Lag, Replicator
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import ETagMismatch, Unavailable
from spawn.store.replica.lease import TTL_SECONDS, Lease, LeaseHolder, Owner, read_lease
from spawn.store.replica.names import LEASE
from spawn.store.replica.reconcile import StoreHead


class Time:
    """Clock and bell: only waiting takes time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wall(self) -> datetime:
        return datetime(2026, 1, 27, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float | None) -> None:
        assert seconds is not None, "it would wait for ever"
        self.seconds += seconds + 0.001

    def ring(self) -> None:
        """Do nothing."""


class NoHandingBack(FolderStore):
    """A store in which an existing lease cannot be changed."""

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        assert key == LEASE
        raise Unavailable("it cannot be reached")


def _replicator(
    store: FolderStore, rows: list[Row], time: Time, lags: list[Lag], found: StoreHead | None = None
) -> Replicator:
    happened: list[LoopMessage] = []
    return Replicator(
        store=store,
        queue_id=samples.QUEUE_ID,
        log=lambda after: rows[after:],
        replica=found or StoreHead(0, chain.genesis(samples.QUEUE_ID), None),
        claim_place=lambda: True,
        fence=True,
        owner=Owner(place="p", instance_id="local", hostname="h"),
        epoch=1,
        nonce="n",
        clock=time,
        bell=time,
        fraction=lambda: 0.5,
        post=happened.append,
        report=lags.append,
    )


def test_a_drain_gives_up_handing_back_after_the_leases_lifetime(
    tmp_path: Path,
) -> None:
    rows = list(samples.training().rows)
    time, lags = Time(), []  # type: tuple[Time, list[Lag]]
    replicator = _replicator(NoHandingBack(tmp_path), rows, time, lags)
    replicator.committed(len(rows))
    replicator.drain(3600.0)
    replicator.run()
    assert (replicator.behind, replicator.fenced) == (0, "")
    assert TTL_SECONDS <= time.seconds < TTL_SECONDS + 25
    assert lags[-1].trouble


def test_an_internal_error_is_reported_and_the_replicator_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(FolderStore):
        failures = 3

        def create(self, key: str, data: bytes) -> str:
            if "/log/" in key and self.failures:
                self.failures -= 1
                raise KeyError("ETag")
            return super().create(key, data)

    rows = list(samples.training().rows)
    lags: list[Lag] = []
    replicator = _replicator(Odd(tmp_path), rows, Time(), lags)
    replicator.committed(len(rows))
    replicator.drain(600.0)
    replicator.run()
    assert (replicator.behind, replicator.fenced) == (0, "")
    assert ("internal error: KeyError('ETag')", "internal") in [(x.trouble, x.kind) for x in lags]
    assert lags[-1].trouble == ""
    assert capsys.readouterr().err.count("Traceback") == 1


def test_a_false_rejection_is_neither_a_claim_nor_another_owner(tmp_path: Path) -> None:
    """A proxy reports that the lease has changed, although it has not."""

    class Lying(FolderStore):
        lies = 4

        def replace(self, key: str, data: bytes, *, etag: str) -> str:
            if self.lies:
                self.lies -= 1
                raise ETagMismatch(key)
            return super().replace(key, data, etag=etag)

    store = Lying(tmp_path)
    before = Owner(place="before", instance_id="local", hostname="b")
    lease = Lease(epoch=1, nonce="b", owner=before, seq=0, hash="", handed_back=True)
    store.create(LEASE, msgspec.json.encode(lease))
    seen = read_lease(store)
    owner = Owner(place="p", instance_id="local", hostname="h")
    holder = LeaseHolder(
        store, owner=owner, epoch=2, nonce="n", seen=seen, head=lambda: (0, bytes(32))
    )  # fmt: skip
    with pytest.raises(Unavailable):
        holder.claim()
    assert holder.claim() == 0.0
    found = read_lease(store)
    assert found is not None
    assert found.lease.owner == owner


def test_a_drain_retries_until_its_timeout(tmp_path: Path) -> None:
    class Down(FolderStore):
        def create(self, key: str, data: bytes) -> str:
            raise Unavailable("it cannot be reached")

    rows = list(samples.training().rows)
    time = Time()
    replicator = _replicator(Down(tmp_path), rows, time, [])
    replicator.committed(len(rows))
    replicator.drain(600.0)
    replicator.run()
    assert replicator.behind == len(rows)
    assert 600 <= time.seconds < 625


def test_the_opening_is_shipped_at_once_after_an_earlier_claim(
    tmp_path: Path,
) -> None:
    rows = list(samples.training().rows)[:3]

    class Later(Time):
        rests: ClassVar[list[int]] = []

        def wait(self, seconds: float | None) -> None:
            self.rests.append(replicator.behind)
            if len(self.rests) == 1:
                replicator.committed(3)
            else:
                replicator.drain(600.0)

    found = StoreHead(2, rows[1][3], None)
    replicator = _replicator(FolderStore(tmp_path), rows, Later(), [], found=found)
    replicator.run()
    assert Later.rests == [0, 0]
