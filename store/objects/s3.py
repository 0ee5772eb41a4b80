"""An object store in an S3 bucket.

Requests are not retried; the caller decides. Credentials, profiles and endpoints, including
`AWS_ENDPOINT_URL`, come from boto3's chain.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from io import BufferedReader, RawIOBase
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from spawn.store.files import open_following_links
from spawn.store.objects.aws import UnexpectedResponse, error_code, translate_errors
from spawn.store.objects.bucket_client import BucketClient
from spawn.store.objects.encryption import object_encryption
from spawn.store.objects.interface import (
    PAGE,
    ETagMismatch,
    Object,
    ObjectExists,
    ObjectNotFound,
    Stream,
    Unavailable,
)
from spawn.store.objects.upload import Budget, Upload, abort_unfinished

PART_BYTES = 8 * 1024 * 1024
"""Part size; larger files are uploaded in parts."""
MEMORY_BYTES = 4 * PART_BYTES
"""Limit of file data in memory, for all concurrent uploads together."""
PARTS_AT_ONCE = 4
MAX_PARTS = 10_000
"""Source: "Amazon S3 multipart upload limits" of the S3 user guide."""
_READ_BYTES = 1024 * 1024


class S3Store:
    """Objects below a prefix of a bucket.

    Args:
        owner: The account that must own the bucket; every request names it (default on AWS: the
            caller's account, since bucket names are global and any account may own one).

    Raises:
        InvalidArgument: An encryption setting in the environment is invalid.
    """

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str,
        region: str | None = None,
        profile: str | None = None,
        owner: str | None = None,
    ) -> None:
        self._client = BucketClient(bucket, region=region, profile=profile, owner=owner)
        self._prefix = f"{prefix}/" if prefix else ""
        self._encryption = object_encryption(os.environ)
        self._lock = Lock()
        self._bare_etag = False
        self._rejects_overwrites = False
        self._budget = Budget(MEMORY_BYTES)
        self._senders: ThreadPoolExecutor | None = None

    @property
    def location(self) -> str:
        return f"s3://{self._client.bucket}/{self._prefix}"

    @property
    def is_remote(self) -> bool:
        return True

    def create(self, key: str, data: bytes) -> str:
        try:
            with self._errors(key):
                return self._put(key, data, IfNoneMatch="*")
        except ObjectExists:
            self._rejects_overwrites = True
            raise

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        with self._errors(key, missing=ETagMismatch):
            try:
                return self._put(key, data, IfMatch=etag.strip('"') if self._bare_etag else etag)
            except ClientError as error:
                # Ceph returns ETags with quotes, and expects them without.
                if (
                    error_code(error) != "PreconditionFailed"
                    or self._bare_etag
                    or self._etag(key) != etag
                ):
                    raise
                new = self._put(key, data, IfMatch=etag.strip('"'))
                self._bare_etag = True
                return new

    def read(self, key: str) -> Object:
        with self._errors(key, missing=ObjectNotFound):
            found = self._client.request("get_object", Key=self._prefix + key)
            with closing(found["Body"]) as body:  # `with` on the body yields the raw stream
                data = body.read()
            if found.get("ContentType", "").startswith("text/html"):  # no small object is
                raise UnexpectedResponse("an HTML page")
            now = _server_time(found)
            return Object(data, found["ETag"], _age(found, now), now)

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        extra = {"StartAfter": self._prefix + after} if after else {}
        with self._errors(prefix):
            found = self._client.request(
                "list_objects_v2", Prefix=self._prefix + prefix, MaxKeys=PAGE, **extra
            )
            return [
                (each["Key"].removeprefix(self._prefix), each["Size"])
                for each in found.get("Contents", ())
            ]

    def folders(self) -> Iterator[str]:
        """List the folders directly below the prefix, in order; one request per `PAGE`."""
        after: dict[str, str] = {}
        while True:
            with self._errors(""):
                found = self._client.request(
                    "list_objects_v2", Prefix=self._prefix, Delimiter="/", MaxKeys=PAGE, **after
                )
                names = [each["Prefix"] for each in found.get("CommonPrefixes", ())]
            for name in names:
                yield name.removeprefix(self._prefix).rstrip("/")
            if not found.get("IsTruncated"):
                return
            after = {"ContinuationToken": found["NextContinuationToken"]}

    def with_prefix(self, prefix: str) -> "S3Store":
        """A store with another prefix of the bucket, over the same connections."""
        other = S3Store(bucket=self._client.bucket, prefix=prefix)
        other._client = self._client
        return other

    def has(self, key: str) -> bool:
        """Reads one byte: the errors of a HEAD have no body, so that an expired token would look
        like a permanent error."""
        try:
            with self._errors(key, missing=ObjectNotFound):
                self._first_byte(key)
        except ObjectNotFound:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        with self._errors(key, missing=ObjectNotFound):
            body = self._client.request("get_object", Key=self._prefix + key)["Body"]
        return BufferedReader(_Body(body, lambda: self._errors(key)), _READ_BYTES)

    def open_range(self, key: str, at: int, size: int, etag: str = "") -> tuple[Stream, str]:
        try:
            with self._errors(key, missing=ObjectNotFound):
                body, which, found = self._get_range(self._prefix + key, at, size, etag)
        except ObjectExists:
            raise ETagMismatch(key) from None
        if not which.startswith(f"bytes {at}-{at + size - 1}/"):
            body.close()
            raise Unavailable(
                f"{self.location} cannot be read",
                why=f"it returned other bytes of {key} than requested",
            )
        if etag and found != etag:  # the store ignores conditions
            body.close()
            raise ETagMismatch(key)
        return _Body(body, lambda: self._errors(key)), found

    def _get_range(self, name: str, at: int, size: int, etag: str) -> tuple[Any, str, str]:
        """Request part of an object; returns its body, Content-Range and ETag."""
        wanted = f"bytes={at}-{at + size - 1}"
        direct = self._client.direct
        ready = direct.ready
        reply = direct.get(name, {"Range": wanted} | ({"If-Match": etag} if etag else {}))
        if reply is not None:
            return reply, reply.headers.get("content-range", ""), reply.headers.get("etag", "")
        condition = {"IfMatch": etag} if etag else {}
        found = self._client.request("get_object", Key=name, Range=wanted, **condition)
        if ready:
            direct.record_failure()
        return found["Body"], str(found.get("ContentRange", "")), str(found.get("ETag", ""))

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """Every object is durable."""
        if self._create_unless_exists(key, data):
            return sha256(data).hexdigest()
        return self._existing(key)[1]

    def link(self, key: str, source: Path) -> None:
        self.put_file(key, source)

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        with open(source, "rb", opener=open_following_links) as file:
            size = os.fstat(file.fileno()).st_size
            bytes_each = part_bytes(size)
            if size < bytes_each:
                with self._budget.hold(size):
                    data = file.read(bytes_each)
                    if accept is not None:
                        accept()
                    if self._create_unless_exists(key, data):
                        return len(data), sha256(data).hexdigest()
            elif not self.has(key):  # else a large upload would be in vain
                with self._upload(key) as upload:
                    sent, digest = upload.send(file, bytes_each)
                    if accept is not None:
                        accept()
                    upload.complete()
                    return sent, digest
        return self._existing(key)

    def flush(self) -> None:
        """Does nothing: every object is durable."""

    def _create_unless_exists(self, key: str, data: bytes) -> bool:
        """Create an object unless the key exists; returns whether it was created.

        Checks first, until the store has proved that it rejects overwrites.
        """
        if not self._rejects_overwrites and self.has(key):
            return False
        try:
            self.create(key, data)
        except ObjectExists:
            return False
        return True

    def _existing(self, key: str) -> tuple[int, str]:
        """Size and SHA-256 of an object that an earlier try created."""
        digest = sha256()
        size = 0
        try:
            with self.open(key) as file:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
        except ObjectNotFound:
            raise Unavailable(
                f"{self.location} cannot be used",
                why=f"it reports that {key} exists and that it does not",
            ) from None
        return size, digest.hexdigest()

    @contextmanager
    def _upload(self, key: str) -> Iterator[Upload]:
        """A multipart upload, aborted unless the block completes it. `Exists` ends the block and
        is not raised."""
        name = self._prefix + key
        abort_unfinished(self._client, name, lambda: self._errors(key))
        upload = Upload(
            self._client,
            name,
            lambda: self._errors(key),
            extra=self._encryption,
            budget=self._budget,
            pool=self._pool(),
        )
        try:
            yield upload
        except BaseException as error:
            upload.abort()
            if not isinstance(error, ObjectExists):
                raise

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._senders is None:
                self._senders = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="sender")
            return self._senders

    def _put(self, key: str, data: bytes, **condition: str) -> str:
        found = self._client.request(
            "put_object", Key=self._prefix + key, Body=data, **self._encryption, **condition
        )
        return str(found["ETag"])

    def _first_byte(self, key: str) -> bytes:
        try:
            found = self._client.request("get_object", Key=self._prefix + key, Range="bytes=0-0")
        except ClientError as error:
            if error_code(error) != "InvalidRange":
                raise
            return b""  # the object is empty
        with closing(found["Body"]) as body:
            return bytes(body.read(1))

    def _etag(self, key: str) -> str:
        return str(self._client.request("head_object", Key=self._prefix + key)["ETag"])

    def _errors(
        self, key: str, missing: type[Exception] | None = None
    ) -> AbstractContextManager[None]:
        return translate_errors(self.location, self._client.bucket, key, missing)


class _Body(RawIOBase):
    """A response body that raises the errors of `port`."""

    def __init__(self, body: Any, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._body = body
        self._errors = errors

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._body.readinto(buffer))
        except Exception:  # to guard each read costs more than a small read
            with self._errors():
                raise

    def read(self, size: int | None = -1) -> bytes:
        """Avoids the copy through `readinto` for bodies of boto3."""
        with self._errors():
            return bytes(self._body.read(None if size is None or size < 0 else size))

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        self._body.close()
        super().close()


def part_bytes(size: int) -> int:
    """The part size for uploading a file of this size."""
    return max(PART_BYTES, -(-size // MAX_PARTS))


def _server_time(found: dict[str, Any]) -> datetime | None:
    """The time in a response's Date header; None if it has none."""
    from email.utils import parsedate_to_datetime

    try:
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
    except (ValueError, OverflowError):
        return None
    return now if now.tzinfo else now.replace(tzinfo=UTC)


def _age(found: dict[str, Any], now: datetime | None) -> float:
    """Seconds since an object was written, by the server's clock; 0 if its time is unknown."""
    return 0.0 if now is None else max(0.0, float((now - found["LastModified"]).total_seconds()))
