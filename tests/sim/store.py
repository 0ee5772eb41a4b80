"""An object store that fails, delays, reorders, loses replies to writes that took effect, and
answers what no store says."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import md5
from random import Random
from typing import Any

from msgspec import Struct
from tests.sim.kernel import Kernel, Process

from spawn.store.objects.port import (
    PAGE,
    Changed,
    Exists,
    InvalidAnswer,
    NotThere,
    Object,
    Unavailable,
)

TIMEOUT = 8.0


class Faults(Struct):
    """How often what goes wrong, as shares of requests. `outages` are from when to when."""

    refused: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    odd: float = 0.0
    latency: float = 0.05
    outages: tuple[tuple[float, float], ...] = ()


class Bucket:
    """What the store holds; everybody's."""

    def __init__(self, kernel: Kernel, faults: Faults, rng: Random) -> None:
        self.kernel = kernel
        self.faults = faults
        self.rng = rng
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.saved: set[str] = set()
        """The attempts whose results are here, by token."""
        self.written: Callable[[str, bytes, bytes | None, Process], None] = lambda *_: None

    def put(self, key: str, data: bytes, condition: str | None, by: Process) -> str:
        """Write, if what is there is what the condition says: nothing, or this ETag."""
        before = self.objects.get(key)
        if condition is None and before is not None:
            raise Exists(key)
        if condition is not None and (before is None or _etag(before[0]) != condition):
            raise Changed(key)
        self.objects[key] = (data, self.kernel.now)
        self.kernel.trace(f"{by.name} wrote {key}")
        self.written(key, data, before[0] if before else None, by)
        return _etag(data)

    def get(self, key: str) -> Object:
        """Read."""
        if key not in self.objects:
            raise NotThere(key)
        data, at = self.objects[key]
        now = datetime.fromtimestamp(int(self.kernel.now), UTC)
        return Object(data, _etag(data), float(int(self.kernel.now) - int(at)), now)

    def keys(self, prefix: str, after: str) -> list[tuple[str, int]]:
        """List."""
        found = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        return [(key, len(self.objects[key][0])) for key in found[:PAGE]]


class Client:
    """One process's way to the bucket. See `SmallObjects`."""

    location = "s3://sim/q/"

    def __init__(self, bucket: Bucket, process: Process) -> None:
        self._bucket = bucket
        self._process = process
        self.surprising = False
        """Whether some odd answers raise what no store raises, as a fault of ours would."""
        self.failed_at = -1e9
        """When a request of this process failed last."""
        self.asked_at = -1e9
        """When the newest request that was answered, or failed, was made."""

    def create(self, key: str, data: bytes) -> str:
        """See `SmallObjects.create`."""
        return self._ask(lambda: self._bucket.put(key, data, None, self._process), key, write=True)

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `SmallObjects.replace`."""
        return self._ask(lambda: self._bucket.put(key, data, etag, self._process), key, write=True)

    def read(self, key: str) -> Object:
        """See `SmallObjects.read`."""
        return self._ask(lambda: self._bucket.get(key), key)

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        """See `SmallObjects.list`."""
        return self._ask(lambda: self._bucket.keys(prefix, after), prefix)

    def has(self, key: str) -> bool:
        """See `SmallObjects.has`."""
        return self._ask(lambda: key in self._bucket.objects, key)

    def _ask(self, effect: Callable[[], Any], key: str, *, write: bool = False) -> Any:
        kernel, faults, rng = self._bucket.kernel, self._bucket.faults, self._bucket.rng
        asked_at = kernel.now
        kernel.sleep(rng.uniform(0.2, 1.8) * faults.latency / 2)
        out = any(begin <= kernel.now < end for begin, end in faults.outages)
        chance = rng.random()
        if out or chance < faults.refused:
            self._fail(rng.choice([0.01, TIMEOUT]), key, "refused", asked_at)
        chance -= faults.refused
        if write and chance < faults.late:
            kernel.at(rng.expovariate(1 / 5.0), lambda: _quietly(effect))
            self._fail(rng.uniform(0.1, TIMEOUT), key, "late", asked_at)
        chance -= faults.late
        try:
            result, error = effect(), None
        except (Exists, Changed, NotThere) as raised:
            result, error = None, raised
        if chance < faults.lost:
            self._fail(rng.uniform(0.1, TIMEOUT), key, "reply lost", asked_at)
        chance -= faults.lost
        if chance < faults.odd:
            result, error = self._odd(result, key, asked_at), None
        kernel.sleep(rng.uniform(0.2, 1.8) * faults.latency / 2)
        self.asked_at = asked_at
        if error is not None:
            raise error
        return result

    def _odd(self, result: Any, key: str, asked_at: float) -> Object:
        """Answer to what may have taken effect as no store does."""
        rng = self._bucket.rng
        self._bucket.kernel.trace(f"{self._process.name} {key}: odd answer")
        self.failed_at, self.asked_at = self._bucket.kernel.now, asked_at
        if isinstance(result, Object) and rng.random() < 0.7:
            return Object(_garbage(result.data, rng), result.etag, result.age, result.now)
        if self.surprising and rng.random() < 0.5:
            raise KeyError("ETag")
        raise InvalidAnswer(f"{key} cannot be reached", why="odd answer")

    def _fail(self, seconds: float, key: str, why: str, asked_at: float) -> None:
        self._bucket.kernel.trace(f"{self._process.name} {key}: {why}")
        self._bucket.kernel.sleep(seconds)
        self.failed_at = self._bucket.kernel.now
        self.asked_at = asked_at
        raise Unavailable(f"{key} cannot be reached", why=why)


def _garbage(data: bytes, rng: Random) -> bytes:
    """A login page, another document, or the beginning of what there is."""
    half = data[: len(data) // 2]
    lines = half[: half.rfind(b"\n") + 1]
    return rng.choice([b"<html>Sign in</html>\n", b"{}", b"", half, lines, b"[" * 70_000])


def _quietly(effect: Callable[[], Any]) -> None:
    with suppress(Exists, Changed):
        effect()


def _etag(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()
