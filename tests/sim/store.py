"""An object store that fails, delays, reorders, loses responses to writes that took effect, and
gives answers that no store gives."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import md5
from random import Random
from typing import Any

from msgspec import Struct
from tests.sim.kernel import Kernel, Process

from spawn.store.objects.interface import (
    PAGE,
    ETagMismatch,
    InvalidResponse,
    Object,
    ObjectExists,
    ObjectNotFound,
    Unavailable,
)

TIMEOUT = 8.0


class Faults(Struct):
    """Shares of requests that fail in each way. `outages` are intervals."""

    refused: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    odd: float = 0.0
    latency: float = 0.05
    outages: tuple[tuple[float, float], ...] = ()


class Bucket:
    """Objects in the store, shared by all clients."""

    def __init__(self, kernel: Kernel, faults: Faults, rng: Random) -> None:
        self.kernel = kernel
        self.faults = faults
        self.rng = rng
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.saved: set[str] = set()
        """Tokens of the attempts whose results are saved."""
        self.written: Callable[[str, bytes, bytes | None, Process], None] = lambda *_: None

    def put(self, key: str, data: bytes, condition: str | None, by: Process) -> str:
        """Write if the condition holds: None for no object, else the object's ETag."""
        before = self.objects.get(key)
        if condition is None and before is not None:
            raise ObjectExists(key)
        if condition is not None and (before is None or _etag(before[0]) != condition):
            raise ETagMismatch(key)
        self.objects[key] = (data, self.kernel.now)
        self.kernel.trace(f"{by.name} wrote {key}")
        self.written(key, data, before[0] if before else None, by)
        return _etag(data)

    def get(self, key: str) -> Object:
        """Read an object."""
        if key not in self.objects:
            raise ObjectNotFound(key)
        data, at = self.objects[key]
        now = datetime.fromtimestamp(int(self.kernel.now), UTC)
        return Object(data, _etag(data), float(int(self.kernel.now) - int(at)), now)

    def keys(self, prefix: str, after: str) -> list[tuple[str, int]]:
        """List keys."""
        found = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        return [(key, len(self.objects[key][0])) for key in found[:PAGE]]


class Client:
    """The client of one process. Implements `SmallObjects`."""

    location = "s3://sim/q/"

    def __init__(self, bucket: Bucket, process: Process) -> None:
        self._bucket = bucket
        self._process = process
        self.raises_unknown_errors = False
        """Whether some odd answers raise errors that no store raises, as a bug would."""
        self.failed_at = -1e9
        """Time of the process's last failed request."""
        self.asked_at = -1e9
        """Time at which the last finished request was sent."""

    def create(self, key: str, data: bytes) -> str:
        return self._ask(lambda: self._bucket.put(key, data, None, self._process), key, write=True)

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        return self._ask(lambda: self._bucket.put(key, data, etag, self._process), key, write=True)

    def read(self, key: str) -> Object:
        return self._ask(lambda: self._bucket.get(key), key)

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        return self._ask(lambda: self._bucket.keys(prefix, after), prefix)

    def has(self, key: str) -> bool:
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
        except (ObjectExists, ETagMismatch, ObjectNotFound) as raised:
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
        """Give an odd answer to a request that may have taken effect."""
        rng = self._bucket.rng
        self._bucket.kernel.trace(f"{self._process.name} {key}: odd answer")
        self.failed_at, self.asked_at = self._bucket.kernel.now, asked_at
        if isinstance(result, Object) and rng.random() < 0.7:
            return Object(_garbage(result.data, rng), result.etag, result.age, result.now)
        if self.raises_unknown_errors and rng.random() < 0.5:
            raise KeyError("ETag")
        raise InvalidResponse(f"{key} cannot be reached", why="odd answer")

    def _fail(self, seconds: float, key: str, why: str, asked_at: float) -> None:
        self._bucket.kernel.trace(f"{self._process.name} {key}: {why}")
        self._bucket.kernel.sleep(seconds)
        self.failed_at = self._bucket.kernel.now
        self.asked_at = asked_at
        raise Unavailable(f"{key} cannot be reached", why=why)


def _garbage(data: bytes, rng: Random) -> bytes:
    """Return a login page, another document, or the beginning of the object."""
    half = data[: len(data) // 2]
    lines = half[: half.rfind(b"\n") + 1]
    return rng.choice([b"<html>Sign in</html>\n", b"{}", b"", half, lines, b"[" * 70_000])


def _quietly(effect: Callable[[], Any]) -> None:
    with suppress(ObjectExists, ETagMismatch):
        effect()


def _etag(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()
