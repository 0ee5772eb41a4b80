"""A large file goes to a bucket in parts."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from hashlib import sha256
from typing import Any, BinaryIO

from spawn.store.objects.asking import Asking
from spawn.store.objects.budget import Budget
from spawn.store.objects.port import Exists, StoreError


class Upload:
    """One upload in parts, several of them on their way at once.

    Args:
        name: The object's key in the bucket.
        errors: Puts what a request raises in the contract's words.
        extra: Arguments of boto3 for the object.
        budget: What may be held of files in memory.
    """

    def __init__(
        self,
        asking: Asking,
        name: str,
        errors: Callable[[], AbstractContextManager[None]],
        *,
        extra: Mapping[str, str],
        budget: Budget,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._asking = asking
        self._errors = errors
        self._budget = budget
        self._pool = pool
        with errors():
            found = asking.ask("create_multipart_upload", Key=name, **extra)
        self._names = {"Key": name, "UploadId": found["UploadId"]}
        self._parts: list[Future[dict[str, Any]]] = []
        self._held = 0

    def send(self, file: BinaryIO, bytes_each: int) -> tuple[int, str]:
        """Send a file; returns how many bytes it had, and their SHA-256 in hex."""
        digest = sha256()
        size = 0
        self._held = bytes_each
        while True:
            self._budget.take(bytes_each)
            try:
                data = file.read(bytes_each)
                for part in self._parts:
                    if part.done():
                        part.result()  # no use in sending more when one has failed
                if not data:
                    break
                self._parts.append(self._pool.submit(self._send, data, len(self._parts) + 1))
            except BaseException:
                self._budget.give(bytes_each)
                raise
            digest.update(data)
            size += len(data)
        self._budget.give(bytes_each)
        return size, digest.hexdigest()

    def complete(self) -> None:
        """Give the whole its key.

        Raises:
            Exists: It is taken.
        """
        parts = [part.result() for part in self._parts]
        with self._errors():
            self._asking.ask_patiently(
                "complete_multipart_upload",
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
                **self._names,
            )

    def abort(self) -> None:
        """Give it up, as far as the store lets us."""
        for part in self._parts:
            if part.cancel():
                self._budget.give(self._held)
        wait(self._parts)
        with suppress(StoreError, Exists), self._errors():
            self._asking.ask("abort_multipart_upload", **self._names)

    def _send(self, data: bytes, number: int) -> dict[str, Any]:
        try:
            with self._errors():
                found = self._asking.ask("upload_part", Body=data, PartNumber=number, **self._names)
        finally:
            self._budget.give(self._held)
        return {"ETag": found["ETag"], "PartNumber": number}


def forget(asking: Asking, name: str, errors: Callable[[], AbstractContextManager[None]]) -> None:
    """Give up what runners that died have left of this key: S3 keeps it, and it costs."""
    with suppress(StoreError, Exists), errors():  # not ours to see, or not to be had: never mind
        found = asking.ask("list_multipart_uploads", Prefix=name)
        for each in found.get("Uploads", ()):
            if each["Key"] == name:
                asking.ask("abort_multipart_upload", Key=name, UploadId=each["UploadId"])
