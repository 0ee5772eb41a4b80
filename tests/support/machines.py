"""Machines that share an object store, each with its own home, like separate hosts.

The store's content is read without the product, line by line, and checked by its hashes.
"""

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from tests.support import constants
from tests.support.proxy import Proxy, proxy
from tests.support.queues import Queue, World
from tests.support.s3 import CREDENTIALS


class Remote:
    """One queue's objects, read directly from the server.

    Args:
        keys: Credentials with all permissions.
    """

    def __init__(
        self, server: str, bucket: str, queue_id: str, keys: Mapping[str, str] = CREDENTIALS
    ) -> None:
        self._client = boto3.client(
            "s3",
            endpoint_url=server,
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.bucket = bucket
        self._prefix = f"{queue_id}/"
        self._genesis = sha256(queue_id.encode()).digest()

    def keys(self, under: str = "") -> list[str]:
        """Return the keys below the queue's prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._prefix + under
        )
        return [
            each["Key"].removeprefix(self._prefix)
            for page in pages
            for each in page.get("Contents", ())
        ]

    def read(self, key: str) -> bytes:
        """Read an object."""
        found: bytes = self._client.get_object(Bucket=self.bucket, Key=self._prefix + key)[
            "Body"
        ].read()
        return found

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Put a JSON object, as another client would."""
        body = json.dumps(value).encode()
        self._client.put_object(Bucket=self.bucket, Key=self._prefix + key, Body=body)

    def put(self, key: str, body: bytes) -> None:
        """Put bytes, as another client would."""
        self._client.put_object(Bucket=self.bucket, Key=self._prefix + key, Body=body)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self.bucket, Key=self._prefix + key)

    def uploads(self) -> list[str]:
        """Return the keys of multipart uploads that are neither completed nor aborted."""
        found = self._client.list_multipart_uploads(Bucket=self.bucket)
        return [each["Key"] for each in found.get("Uploads", ())]

    @property
    def lease(self) -> dict[str, Any]:
        """Return the lease."""
        found: dict[str, Any] = json.loads(self.read("_spawn/lease.json"))
        return found

    def lines(self) -> list[bytes]:
        """Return every `<hash> <line>` of the segments, after checking that they form one
        log with an unbroken chain."""
        found: list[bytes] = []
        hash_ = self._genesis
        packs = self.keys("_spawn/packs/")  # before the segments: packs never have newer events
        for key in self.keys("_spawn/log/"):
            assert key == f"_spawn/log/{len(found) + 1:012d}.jsonl", "one log, without a gap"
            for exported in self.read(key).splitlines():
                said, line = exported.split(b" ", 1)
                hash_ = sha256(hash_ + line).digest()
                assert said.decode() == hash_.hex(), f"{key} breaks the chain"
                found.append(exported)
        for key in packs:
            first, last = map(int, Path(key).stem.split("-"))
            packed = self.read(key).splitlines()
            assert packed == found[first - 1 : last], f"{key} differs from the segments"
        return found

    def events(self) -> list[dict[str, Any]]:
        """Return the log's events."""
        return [json.loads(line.split(b" ", 1)[1]) for line in self.lines()]


def log_of(events: Path) -> list[bytes]:
    """Return every `<hash> <line>` of a local log."""
    with sqlite3.connect(events) as connection:
        rows = connection.execute("SELECT hash, line FROM events ORDER BY seq").fetchall()
    connection.close()
    return [bytes(hash_).hex().encode() + b" " + line.encode() for hash_, line in rows]


class Machines:
    """A proxy in front of a server, and the machines that use it.

    Args:
        folder: An empty folder.
        server: The store's endpoint.
        bucket: Created by the first user.
        keys: Credentials with all permissions.
    """

    def __init__(
        self,
        folder: Path,
        server: str,
        through: Proxy,
        bucket: str,
        keys: Mapping[str, str] = CREDENTIALS,
    ) -> None:
        self._folder = folder
        self._server = server
        self.proxy = through
        self.bucket = bucket
        self._keys = keys
        self._environ: dict[str, str] = {}
        self.all: list[World] = []

    def machine(self, name: str = "a", through: Proxy | None = None) -> World:
        """Create another machine.

        Args:
            through: Its own proxy, if the shared one must not be affected.
        """
        environ = {
            **CREDENTIALS,
            **self._environ,
            "AWS_ENDPOINT_URL": (through or self.proxy).endpoint,
        }
        made = World(self._folder, self._folder / name, {**environ, "SPAWN_BUCKET": self.bucket})
        for other in self.all:
            other.others.append(made)
            made.others.append(other)
        self.all.append(made)
        return made

    def override_constant(self, name: str, value: Any) -> None:
        """Change a constant in the processes of every machine; see `constants.override`."""
        constants.override(self._environ, name, value)
        for each in self.all:
            each.override_constant(name, value)

    @contextmanager
    def separate_proxy(self) -> Iterator[Proxy]:
        """A separate proxy."""
        with proxy(self._server) as through:
            yield through

    def remote(self, queue_id: str = "q") -> Remote:
        """Return the store's objects of a queue."""
        return Remote(self._server, self.bucket, queue_id, self._keys)

    def queue_on(self, world: World, queue: Queue) -> Queue:
        """Return the same queue on another machine."""
        there = Queue(world, queue.queue_id, queue.config)
        world.queues.append(there)
        return there

    def lose(self, world: World) -> None:
        """Kill every process of a machine and delete its disk."""
        self.kill(world)
        shutil.rmtree(world.home)

    def arrivals(self, queue_id: str = "q") -> dict[int, float]:
        """Return when each event reached the store: UNIX times by seq."""
        remote = self.remote(queue_id)
        return {
            json.loads(line.split(b" ", 1)[1])["seq"]: put.at
            for put in self.proxy.puts(f"^{queue_id}/_spawn/log/")
            for line in remote.read(put.key.removeprefix(f"{queue_id}/")).splitlines()
        }

    def kill(self, world: World) -> None:
        """Kill every process of a machine."""
        while alive := world.processes():
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in world.started:
            process.wait()

    def close(self) -> None:
        """Check every machine, even if an earlier check has failed."""
        with ExitStack() as stack:
            for world in self.all:
                stack.callback(world.close)


def check_replica(queue: Queue, remote: Remote) -> None:
    """Check that a queue's replica equals its log byte for byte, and that its lease says so."""
    lines = remote.lines()
    assert lines == log_of(queue.paths.events), queue.describe()
    lease = remote.lease
    if lease["seq"]:
        assert lines[lease["seq"] - 1].split(b" ")[0].decode() == lease["hash"]


@contextmanager
def machines_in(
    folder: Path, server: str, bucket: str, seed: int = 0, keys: Mapping[str, str] = CREDENTIALS
) -> Iterator[Machines]:
    """Create machines and check them at the end."""
    with proxy(server, seed) as through:
        made = Machines(folder, server, through, bucket, keys)
        try:
            yield made
        finally:
            made.close()
