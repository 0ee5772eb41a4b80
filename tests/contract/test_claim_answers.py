"""A claim whose response is lost reads the owner again, and does not guess."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec import Struct
from tests.contract.subjects import BUCKET
from tests.support.configs import job, queue
from tests.support.proxy import Fault, Proxy, proxy
from tests.support.s3 import Server

from spawn.core.errors import QueueExists
from spawn.store.objects.interface import ETagMismatch, ObjectStore, Unavailable
from spawn.store.objects.s3 import S3Store
from spawn.store.replica.claim import claim, submit
from spawn.store.replica.names import QUEUE

CONFIG = queue(job("a"), queue_id="nightly")
UNANSWERED: list[Fault] = ["500", "503", "reset", "lose"]


class Place(Struct, frozen=True):
    """A prefix in a bucket, through a client whose requests fail and through a healthy one."""

    proxy: Proxy
    ours: ObjectStore
    others: ObjectStore

    @property
    def name(self) -> str:
        """Name of the claimant."""
        return str(msgspec.json.decode(self.others.read(QUEUE).data)["claimed_by"])

    def first(self, fault: Fault, before: Callable[[], object] = lambda: None) -> Any:
        """Return our store; its first write of each kind calls `before` and then meets a fault."""

        def meet() -> AbstractContextManager[object]:
            before()
            return self.proxy.fault(fault, "PUT", key=QUEUE)

        return _First(self.ours, meet)


@pytest.fixture(scope="module")
def ways(moto_server: Server) -> Iterator[tuple[Proxy, S3Store, S3Store]]:
    """A proxy, a client of the bucket through it, and a direct client."""
    client = moto_server.client()
    if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
    with proxy(moto_server.endpoint) as between, pytest.MonkeyPatch.context() as patch:
        made = []
        for endpoint in (between.endpoint, moto_server.endpoint):
            for name, value in Server(endpoint).environ.items():
                patch.setenv(name, value)
            made.append(S3Store(bucket=BUCKET, prefix=""))
            assert not made[-1].has(str(uuid4()))  # connected
        yield between, made[0], made[1]


@pytest.fixture
def place(ways: tuple[Proxy, S3Store, S3Store]) -> Place:
    """An empty prefix."""
    between, ours, others = ways
    prefix = f"claims/{uuid4()}"
    return Place(between, ours.with_prefix(prefix), others.with_prefix(prefix))


def test_a_replacement_counts_though_its_response_is_lost(place: Place) -> None:
    submit(place.others, CONFIG)
    assert claim(_Replacing(place.first("lose")), CONFIG, by="i-1")
    assert place.name == "i-1"
    with pytest.raises(QueueExists):
        claim(place.others, CONFIG, by="i-2")


def test_a_creation_counts_though_its_response_is_lost(place: Place) -> None:
    assert claim(place.first("lose"), CONFIG, by="i-1")
    assert place.name == "i-1"


@pytest.mark.parametrize("fault", UNANSWERED)
def test_a_late_claim_without_a_response_loses(place: Place, fault: Fault) -> None:
    submit(place.others, CONFIG)

    def other() -> None:
        claim(place.others, CONFIG, by="i-2")

    with pytest.raises(QueueExists, match="used only once"):
        claim(_Replacing(place.first(fault, before=other)), CONFIG, by="i-1")
    assert place.name == "i-2"


@pytest.mark.parametrize("fault", UNANSWERED)
def test_a_late_creation_without_a_response_loses(place: Place, fault: Fault) -> None:
    def other() -> None:
        claim(place.others, CONFIG, by="i-2")

    with pytest.raises(QueueExists, match="used only once"):
        claim(place.first(fault, before=other), CONFIG, by="i-1")
    assert place.name == "i-2"


@pytest.mark.parametrize("fault", ["500", "503", "reset"])
@pytest.mark.parametrize("submitted", [True, False])
def test_a_failed_claim_leaves_the_queue_unclaimed_and_may_be_retried(
    place: Place, fault: Fault, submitted: bool
) -> None:
    if submitted:
        submit(place.others, CONFIG)
    store = place.first(fault)
    with pytest.raises(Unavailable):
        claim(_Replacing(store) if submitted else store, CONFIG, by="i-1")
    assert place.others.has(QUEUE) == submitted
    assert claim(place.ours, CONFIG, by="i-1")
    assert place.name == "i-1"


def test_a_repeated_write_that_is_rejected_does_not_lose_the_claim(place: Place) -> None:
    submit(place.others, CONFIG)
    twice = _Twice(place.ours)
    assert claim(twice, CONFIG, by="i-1")
    assert twice.refused == 1
    assert place.name == "i-1"


def test_a_claim_gives_up_on_a_store_that_rejects_valid_conditions(place: Place) -> None:
    submit(place.others, CONFIG)
    with pytest.raises(Unavailable, match="but it did not"):
        claim(_Refusing(place.ours), CONFIG, by="i-1")
    assert place.name == ""


class _Around:
    """A store with some answers replaced."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _First(_Around):
    """Runs the first `create` and the first `replace` under a context manager."""

    def __init__(self, store: Any, meet: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__(store)
        self._meet = {"create": meet, "replace": meet}

    def create(self, key: str, data: bytes) -> str:
        with self._meet.pop("create", nullcontext)():
            return str(self._store.create(key, data))

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        with self._meet.pop("replace", nullcontext)():
            return str(self._store.replace(key, data, etag=etag))


class _Replacing(_Around):
    """A `_First` that leaves `create` unchanged."""

    def create(self, key: str, data: bytes) -> str:
        return str(self._store._store.create(key, data))


class _Twice(_Around):
    """Sends each replacement twice, as a retry below the client does."""

    refused = 0

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        self._store.replace(key, data, etag=etag)
        try:
            return str(self._store.replace(key, data, etag=etag))
        except ETagMismatch:
            self.refused += 1
            raise


class _Refusing(_Around):
    """Rejects every replacement."""

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        raise ETagMismatch(key)
