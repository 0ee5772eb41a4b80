"""An object store in a bucket. The one place that asks S3 for objects.

Requests are tried once: what to do about a failure is for who asked. Credentials, profiles and
endpoints come by boto3's chain, `AWS_ENDPOINT_URL` included.
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

from spawn.store.files import target
from spawn.store.objects.asking import Asking
from spawn.store.objects.aws import NotAnAnswer, code_of, errors
from spawn.store.objects.budget import Budget
from spawn.store.objects.encryption import encryption
from spawn.store.objects.port import PAGE, Changed, Exists, NotThere, Object, Stream, Unavailable
from spawn.store.objects.upload import Upload, forget

PART_BYTES = 8 * 1024 * 1024
"""Larger files are sent in parts of this size."""
MEMORY_BYTES = 4 * PART_BYTES
"""What is held of files in memory, all that are sent at once together."""
PARTS_AT_ONCE = 4
MAX_PARTS = 10_000
"""Source: "Amazon S3 multipart upload limits" of the S3 user guide."""
_READ_BYTES = 1024 * 1024


class S3Store:
    """Objects below a prefix of a bucket.

    Args:
        owner: The account that the bucket must belong to; every request names it. The caller's own
            on AWS, where a bucket's name is global and a stranger may have it.

    Raises:
        InvalidArgument: The environment's settings of encryption are none.
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
        self._asking = Asking(bucket, region=region, profile=profile, owner=owner)
        self._prefix = f"{prefix}/" if prefix else ""
        self._encryption = encryption(os.environ)
        self._making = Lock()
        self._bare_etag = False
        self._refuses = False
        self._budget = Budget(MEMORY_BYTES)
        self._senders: ThreadPoolExecutor | None = None

    @property
    def location(self) -> str:
        """See `ObjectStore.location`."""
        return f"s3://{self._asking.bucket}/{self._prefix}"

    @property
    def far(self) -> bool:
        """It is."""
        return True

    def create(self, key: str, data: bytes) -> str:
        """See `ObjectStore.create`."""
        try:
            with self._errors(key):
                return self._put(key, data, IfNoneMatch="*")
        except Exists:
            self._refuses = True
            raise

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `ObjectStore.replace`."""
        with self._errors(key, missing=Changed):
            try:
                return self._put(key, data, IfMatch=etag.strip('"') if self._bare_etag else etag)
            except ClientError as error:
                # Ceph wants the ETag without the quotes that it gave it with.
                if (
                    code_of(error) != "PreconditionFailed"
                    or self._bare_etag
                    or self._etag(key) != etag
                ):
                    raise
                new = self._put(key, data, IfMatch=etag.strip('"'))
                self._bare_etag = True
                return new

    def read(self, key: str) -> Object:
        """See `ObjectStore.read`."""
        with self._errors(key, missing=NotThere):
            found = self._asking.ask("get_object", Key=self._prefix + key)
            with closing(found["Body"]) as body:  # entered itself it would be the bare stream
                data = body.read()
            if found.get("ContentType", "").startswith("text/html"):  # nothing small of ours is
                raise NotAnAnswer("a page of HTML")
            now = _now(found)
            return Object(data, found["ETag"], _age(found, now), now)

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        """See `ObjectStore.list`."""
        extra = {"StartAfter": self._prefix + after} if after else {}
        with self._errors(prefix):
            found = self._asking.ask(
                "list_objects_v2", Prefix=self._prefix + prefix, MaxKeys=PAGE, **extra
            )
            return [
                (each["Key"].removeprefix(self._prefix), each["Size"])
                for each in found.get("Contents", ())
            ]

    def folders(self) -> Iterator[str]:
        """Names of the folders right below this place, in order; a request for each `PAGE`."""
        after: dict[str, str] = {}
        while True:
            with self._errors(""):
                found = self._asking.ask(
                    "list_objects_v2", Prefix=self._prefix, Delimiter="/", MaxKeys=PAGE, **after
                )
                names = [each["Prefix"] for each in found.get("CommonPrefixes", ())]
            for name in names:
                yield name.removeprefix(self._prefix).rstrip("/")
            if not found.get("IsTruncated"):
                return
            after = {"ContinuationToken": found["NextContinuationToken"]}

    def at(self, prefix: str) -> "S3Store":
        """Another place of the same bucket, asked over the same connections."""
        other = S3Store(bucket=self._asking.bucket, prefix=prefix)
        other._asking = self._asking
        return other

    def has(self, key: str) -> bool:
        """See `ObjectStore.has`.

        A HEAD would say less: its errors have no body, so that an expired token looks like a
        request that will never do.
        """
        try:
            with self._errors(key, missing=NotThere):
                self._first_byte(key)
        except NotThere:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        """See `ObjectStore.open`. Reading raises the same errors."""
        with self._errors(key, missing=NotThere):
            body = self._asking.ask("get_object", Key=self._prefix + key)["Body"]
        return BufferedReader(_Body(body, lambda: self._errors(key)), _READ_BYTES)

    def open_range(self, key: str, at: int, size: int, etag: str = "") -> tuple[Stream, str]:
        """See `ObjectStore.open_range`."""
        try:
            with self._errors(key, missing=NotThere):
                body, which, found = self._range(self._prefix + key, at, size, etag)
        except Exists:
            raise Changed(key) from None
        if not which.startswith(f"bytes {at}-{at + size - 1}/"):
            body.close()
            raise Unavailable(
                f"{self.location} cannot be read",
                why=f"it answers with other bytes of {key} than those that it was asked for",
            )
        if etag and found != etag:  # a store that ignores conditions
            body.close()
            raise Changed(key)
        return _Body(body, lambda: self._errors(key)), found

    def _range(self, name: str, at: int, size: int, etag: str) -> tuple[Any, str, str]:
        """Ask for part of an object; returns its body, which bytes these are, and its ETag."""
        wanted = f"bytes={at}-{at + size - 1}"
        lean = self._asking.lean
        known = lean.knows
        reply = lean.get(name, {"Range": wanted} | ({"If-Match": etag} if etag else {}))
        if reply is not None:
            return reply, reply.headers.get("content-range", ""), reply.headers.get("etag", "")
        condition = {"IfMatch": etag} if etag else {}
        found = self._asking.ask("get_object", Key=name, Range=wanted, **condition)
        if known:
            lean.missed()
        return found["Body"], str(found.get("ContentRange", "")), str(found.get("ETag", ""))

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """See `ObjectStore.put`. All is durable here."""
        return sha256(data).hexdigest() if self._keep(key, data) else self._there(key)[1]

    def link(self, key: str, source: Path) -> None:
        """See `ObjectStore.link`."""
        self.put_file(key, source)

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """See `ObjectStore.put_file`."""
        with open(source, "rb", opener=target) as file:
            size = os.fstat(file.fileno()).st_size
            bytes_each = part_bytes(size)
            if size < bytes_each:
                with self._budget.of(size):
                    data = file.read(bytes_each)
                    if accept is not None:
                        accept()
                    if self._keep(key, data):
                        return len(data), sha256(data).hexdigest()
            elif not self.has(key):  # else much would be sent in vain
                with self._upload(key) as upload:
                    sent, digest = upload.send(file, bytes_each)
                    if accept is not None:
                        accept()
                    upload.complete()
                    return sent, digest
        return self._there(key)

    def settle(self) -> None:
        """See `ObjectStore.settle`. All is durable here."""

    def _keep(self, key: str, data: bytes) -> bool:
        """Put it, unless the key is taken; returns whether it was put.

        Until the store has shown that it refuses to overwrite, we look first.
        """
        if not self._refuses and self.has(key):
            return False
        try:
            self.create(key, data)
        except Exists:
            return False
        return True

    def _there(self, key: str) -> tuple[int, str]:
        """Size and SHA-256 of what an earlier try kept under a key."""
        digest = sha256()
        size = 0
        try:
            with self.open(key) as file:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
        except NotThere:
            raise Unavailable(
                f"{self.location} cannot be used",
                why=f"it says that {key} is there, and that it is not",
            ) from None
        return size, digest.hexdigest()

    @contextmanager
    def _upload(self, key: str) -> Iterator[Upload]:
        """An upload in parts; given up unless it is completed. A key that is taken by then ends
        the block."""
        name = self._prefix + key
        forget(self._asking, name, lambda: self._errors(key))
        upload = Upload(
            self._asking,
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
            if not isinstance(error, Exists):
                raise

    def _pool(self) -> ThreadPoolExecutor:
        with self._making:
            if self._senders is None:
                self._senders = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="sender")
            return self._senders

    def _put(self, key: str, data: bytes, **condition: str) -> str:
        found = self._asking.ask(
            "put_object", Key=self._prefix + key, Body=data, **self._encryption, **condition
        )
        return str(found["ETag"])

    def _first_byte(self, key: str) -> bytes:
        try:
            found = self._asking.ask("get_object", Key=self._prefix + key, Range="bytes=0-0")
        except ClientError as error:
            if code_of(error) != "InvalidRange":
                raise
            return b""  # it is empty
        with closing(found["Body"]) as body:
            return bytes(body.read(1))

    def _etag(self, key: str) -> str:
        return str(self._asking.ask("head_object", Key=self._prefix + key)["ETag"])

    def _errors(
        self, key: str, missing: type[Exception] | None = None
    ) -> AbstractContextManager[None]:
        return errors(self.location, self._asking.bucket, key, missing)


class _Body(RawIOBase):
    """What a request answered with, its errors in the contract's words."""

    def __init__(self, body: Any, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._body = body
        self._errors = errors

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `RawIOBase.readinto`."""
        try:
            return int(self._body.readinto(buffer))
        except Exception:  # to guard every read would cost more than a small one
            with self._errors():
                raise

    def read(self, size: int | None = -1) -> bytes:
        """See `RawIOBase.read`; without a copy on the way where boto3 has asked."""
        with self._errors():
            return bytes(self._body.read(None if size is None or size < 0 else size))

    def close(self) -> None:
        """Give the connection up, unless all was read."""
        self._body.close()
        super().close()


def part_bytes(size: int) -> int:
    """How large the parts are in which a file of this size is uploaded."""
    return max(PART_BYTES, -(-size // MAX_PARTS))


def _now(found: dict[str, Any]) -> datetime | None:
    """What the server's clock said when it answered; None: it does not say."""
    from email.utils import parsedate_to_datetime

    try:
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
    except (ValueError, OverflowError):
        return None
    return now if now.tzinfo else now.replace(tzinfo=UTC)


def _age(found: dict[str, Any], now: datetime | None) -> float:
    """Seconds since an object was written, by the server's clock alone; 0, as if it were new, when
    that does not say."""
    return 0.0 if now is None else max(0.0, float((now - found["LastModified"]).total_seconds()))
