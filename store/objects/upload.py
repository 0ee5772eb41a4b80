"""Multipart uploads to a bucket."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from threading import Condition
from typing import Any, BinaryIO

from spawn.store.objects.bucket_client import BucketClient
from spawn.store.objects.interface import ObjectExists, StoreError


class Budget:
    """A number of bytes that threads share.

    Args:
        limit: Bytes that all threads may hold together. A larger request waits until no other
            thread holds any.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = Condition()

    def acquire(self, size: int) -> None:
        """Wait until `size` bytes are free, then hold them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size

    def release(self, size: int) -> None:
        """Free `size` bytes."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes for a block."""
        self.acquire(size)
        try:
            yield
        finally:
            self.release(size)


class Upload:
    """One multipart upload, which sends several parts concurrently.

    Args:
        name: The object's key in the bucket.
        errors: Translates the errors of requests.
        extra: boto3's arguments for the object.
        budget: Limits the file data in memory.
    """

    def __init__(
        self,
        client: BucketClient,
        name: str,
        errors: Callable[[], AbstractContextManager[None]],
        *,
        extra: Mapping[str, str],
        budget: Budget,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._client = client
        self._errors = errors
        self._budget = budget
        self._pool = pool
        with errors():
            found = client.request("create_multipart_upload", Key=name, **extra)
        self._names = {"Key": name, "UploadId": found["UploadId"]}
        self._parts: list[Future[dict[str, Any]]] = []
        self._held = 0

    def send(self, file: BinaryIO, bytes_each: int) -> tuple[int, str]:
        """Upload the parts of a file; returns its size and its SHA-256 in hex."""
        digest = sha256()
        size = 0
        self._held = bytes_each
        while True:
            self._budget.acquire(bytes_each)
            try:
                data = file.read(bytes_each)
                for part in self._parts:
                    if part.done():
                        part.result()  # stops after the first part that failed
                if not data:
                    break
                self._parts.append(self._pool.submit(self._send, data, len(self._parts) + 1))
            except BaseException:
                self._budget.release(bytes_each)
                raise
            digest.update(data)
            size += len(data)
        self._budget.release(bytes_each)
        return size, digest.hexdigest()

    def complete(self) -> None:
        """Create the object from its parts.

        Raises:
            Exists: An object has this key.
        """
        parts = [part.result() for part in self._parts]
        with self._errors():
            self._client.request_slow(
                "complete_multipart_upload",
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
                **self._names,
            )

    def abort(self) -> None:
        """Abort the upload. Errors of the store are ignored."""
        for part in self._parts:
            if part.cancel():
                self._budget.release(self._held)
        wait(self._parts)
        with suppress(StoreError, ObjectExists), self._errors():
            self._client.request("abort_multipart_upload", **self._names)

    def _send(self, data: bytes, number: int) -> dict[str, Any]:
        try:
            with self._errors():
                found = self._client.request(
                    "upload_part", Body=data, PartNumber=number, **self._names
                )
        finally:
            self._budget.release(self._held)
        return {"ETag": found["ETag"], "PartNumber": number}


def abort_unfinished(
    client: BucketClient, name: str, errors: Callable[[], AbstractContextManager[None]]
) -> None:
    """Abort a key's unfinished uploads by runners that died: S3 keeps them, and they cost money."""
    with suppress(StoreError, ObjectExists), errors():  # optional: permissions may be missing
        found = client.request("list_multipart_uploads", Prefix=name)
        for each in found.get("Uploads", ()):
            if each["Key"] == name:
                client.request("abort_multipart_upload", Key=name, UploadId=each["UploadId"])
