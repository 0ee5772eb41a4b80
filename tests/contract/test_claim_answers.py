"""A queue's place is taken though answers are lost: whose it is by now is read, never guessed."""

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
from spawn.store.objects.port import Changed, ObjectStore, Unavailable
from spawn.store.objects.s3 import S3Store
from spawn.store.replica.claim import claim, submit
from spawn.store.replica.names import QUEUE

CONFIG = queue(job("a"), queue_id="nightly")
UNANSWERED: list[Fault] = ["500", "503", "reset", "lose"]


class Place(Struct, frozen=True):
    """A place in a bucket, as one sees it whose requests meet faults, and as others do."""

    proxy: Proxy
    ours: ObjectStore
    others: ObjectStore

    @property
    def name(self) -> str:
        """Who has claimed the queue."""
        return str(msgspec.json.decode(self.others.read(QUEUE).data)["claimed_by"])

    def first(self, fault: Fault, before: Callable[[], object] = lambda: None) -> Any:
        """Our store, whose first write of each kind meets a fault, after `before`."""

        def meet() -> AbstractContextManager[object]:
            before()
            return self.proxy.fault(fault, "PUT", key=QUEUE)

        return _First(self.ours, meet)


@pytest.fixture(scope="module")
def ways(moto_server: Server) -> Iterator[tuple[Proxy, S3Store, S3Store]]:
    """A proxy, and the bucket behind it: by its way, and straight."""
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
    """A place where nothing is."""
    between, ours, others = ways
    prefix = f"claims/{uuid4()}"
    return Place(between, ours.at(prefix), others.at(prefix))


def test_a_name_that_was_put_is_ours_though_nobody_said_so(place: Place) -> None:
    submit(place.others, CONFIG)
    assert claim(_Replacing(place.first("lose")), CONFIG, by="i-1")
    assert place.name == "i-1"
    with pytest.raises(QueueExists):
        claim(place.others, CONFIG, by="i-2")


def test_what_was_created_is_ours_though_nobody_said_so(place: Place) -> None:
    assert claim(place.first("lose"), CONFIG, by="i-1")
    assert place.name == "i-1"


@pytest.mark.parametrize("fault", UNANSWERED)
def test_who_is_not_answered_and_was_late_has_lost(place: Place, fault: Fault) -> None:
    submit(place.others, CONFIG)

    def other() -> None:
        claim(place.others, CONFIG, by="i-2")

    with pytest.raises(QueueExists, match="used only once"):
        claim(_Replacing(place.first(fault, before=other)), CONFIG, by="i-1")
    assert place.name == "i-2"


@pytest.mark.parametrize("fault", UNANSWERED)
def test_who_is_not_answered_and_creates_what_another_has_created_has_lost(
    place: Place, fault: Fault
) -> None:
    def other() -> None:
        claim(place.others, CONFIG, by="i-2")

    with pytest.raises(QueueExists, match="used only once"):
        claim(place.first(fault, before=other), CONFIG, by="i-1")
    assert place.name == "i-2"


@pytest.mark.parametrize("fault", ["500", "503", "reset"])
@pytest.mark.parametrize("submitted", [True, False])
def test_what_took_no_effect_is_nobodys_and_may_be_tried_again(
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


def test_a_write_that_is_refused_though_an_earlier_one_was_ours_is_no_loss(place: Place) -> None:
    submit(place.others, CONFIG)
    twice = _Twice(place.ours)
    assert claim(twice, CONFIG, by="i-1")
    assert twice.refused == 1
    assert place.name == "i-1"


def test_a_store_that_refuses_what_has_not_changed_is_not_asked_for_ever(place: Place) -> None:
    submit(place.others, CONFIG)
    with pytest.raises(Unavailable, match="but it did not"):
        claim(_Refusing(place.ours), CONFIG, by="i-1")
    assert place.name == ""


class _Around:
    """A store of which a few answers are another's."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _First(_Around):
    """Writes whose first one, of `create` and of `replace`, is made under a context."""

    def __init__(self, store: Any, meet: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__(store)
        self._meet = {"create": meet, "replace": meet}

    def create(self, key: str, data: bytes) -> str:
        """See `ObjectStore.create`."""
        with self._meet.pop("create", nullcontext)():
            return str(self._store.create(key, data))

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `ObjectStore.replace`."""
        with self._meet.pop("replace", nullcontext)():
            return str(self._store.replace(key, data, etag=etag))


class _Replacing(_Around):
    """A `_First` whose `create` meets nothing."""

    def create(self, key: str, data: bytes) -> str:
        """See `ObjectStore.create`."""
        return str(self._store._store.create(key, data))


class _Twice(_Around):
    """Sends each replacement twice, as what repeats a request on the way does."""

    refused = 0

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `ObjectStore.replace`."""
        self._store.replace(key, data, etag=etag)
        try:
            return str(self._store.replace(key, data, etag=etag))
        except Changed:
            self.refused += 1
            raise


class _Refusing(_Around):
    """Refuses every replacement."""

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `ObjectStore.replace`."""
        raise Changed(key)
